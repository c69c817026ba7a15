"""The live table: a few lines rewritten in place on a terminal, plain lines elsewhere."""
import sys

_HEAD = (
    "stream", "model", "bins/s", "p50 us", "p99 us", "max us", "misses", "rate R2", "readout R2")
_WIDTHS = (8, 10, 7, 8, 8, 8, 7, 8, 10)
_PLAIN_EVERY = 2  # rows; a log needs fewer than a terminal


def number(value, digits):
    """Text of a number that may be None."""
    return "-" if value is None else f"{value:.{digits}f}"


def row(view):
    """Cells of one stream. view: live.View."""
    times = view.latency_us()
    return (
        view.name, view.model, number(view.bins_per_s, 1), *(number(t, 0) for t in times),
        str(view.misses()), number(view.score.rate_r2(), 3), number(view.score.readout_r2(), 3))


def ledger_text(name, total, outcomes, balanced):
    """`bins in 500 = decoded 500`, with what is 0 left out."""
    shown = [f"{outcome} {n}" for outcome, n in outcomes.items() if n] or ["nothing yet"]
    return f"{name} {total} = {' + '.join(shown)}{'' if balanced else '  NOT BALANCED'}"


def _aligned(cells):
    return "  ".join(
        cell.ljust(width) if i < 2 else cell.rjust(width)
        for i, (cell, width) in enumerate(zip(cells, _WIDTHS)))


class Table:
    """Prints the state of all streams, again and again."""

    def __init__(self, out=sys.stdout):
        self._out = out
        self._in_place = out.isatty()
        self._n_lines = 0
        self._n_shown = 0

    def show(self, views, elapsed_s):
        """One update."""
        self._n_shown += 1
        if self._in_place:
            title = f"latentd quickstart, {elapsed_s:.0f} s; Ctrl-C ends it"
            self._write(self._lines(views, title))
        elif self._n_shown % _PLAIN_EVERY == 1:
            self._out.write("\n".join(self._plain(views, elapsed_s)) + "\n")
        self._out.flush()

    def summary(self, views, elapsed_s):
        """The last state, whole."""
        self._write(self._lines(views, f"latentd quickstart, {elapsed_s:.0f} s, ended"))
        self._out.flush()

    @staticmethod
    def _lines(views, title):
        lines = [title, "", _aligned(_HEAD)]
        lines += [_aligned(row(view)) for view in views]
        for view in views:
            lines += ["", f"{view.name} ledgers"]
            lines += [f"  {ledger_text(*ledger)}" for ledger in view.ledgers()]
        return lines

    def _write(self, lines):
        if not self._in_place:
            self._out.write("\n".join(lines) + "\n")
            return
        back = f"\r\x1b[{self._n_lines}A" if self._n_lines else ""
        self._out.write(back + "".join(f"\x1b[2K{line}\n" for line in lines) + "\x1b[J")
        self._n_lines = len(lines)

    @staticmethod
    def _plain(views, elapsed_s):
        for view in views:
            cells = ", ".join(f"{head} {cell}" for head, cell in zip(_HEAD[2:], row(view)[2:]))
            yield f"{elapsed_s:4.0f} s  {view.name} ({view.model}): {cells}"
