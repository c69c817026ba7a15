"""The live table: repainted in place on a terminal, cut to its size; plain lines elsewhere."""
import os
import sys

_HEAD = (
    "stream", "model", "bins/s", "p50 us", "p99 us", "max us", "misses", "rate R2", "readout R2")
_WIDTHS = (6, 10, 6, 6, 6, 6, 6, 7, 10)  # at least
_N_LEFT = 2  # columns of text; numbers stand to the right
_DROPPED = ("model", "max us", "p50 us", "misses", "p99 us", "bins/s")  # where it is too narrow
_PLAIN_EVERY = 2  # rows; a log needs fewer than a terminal
_PLAIN_SIZE = (80, 10000)
_GAP = "  "
_ENTER, _LEAVE = "\x1b[?1049h", "\x1b[?1049l"  # the other screen
_HOME, _CLEAR_LINE, _CLEAR_BELOW = "\x1b[H", "\x1b[2K", "\x1b[J"
_MORE_DUE = "frames due above bins in: where no bin comes, one is filled, held or SAFE"


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


def _aligned(rows, n_columns):
    """Rows of cells -> lines of at most n_columns characters: columns are left out, never
    wrapped."""
    widths = [max(least, *map(len, cells)) for least, cells in zip(_WIDTHS, zip(*rows))]
    kept = list(range(len(_HEAD)))
    for head in _DROPPED:
        if sum(widths[i] for i in kept) + len(_GAP) * (len(kept) - 1) <= n_columns:
            break
        kept.remove(_HEAD.index(head))
    for cells in rows:
        yield _GAP.join(
            cells[i].ljust(widths[i]) if i < _N_LEFT else cells[i].rjust(widths[i]) for i in kept)


def _folded(text, n_columns, indent):
    """A text as lines of at most n_columns, broken between words; those after the first are
    indented."""
    line, empty = "", True
    for word in text.split(" "):
        if not empty and len(line) + 1 + len(word) > n_columns:
            yield line
            line, empty = indent, True
        line += word if empty else f" {word}"
        empty = False
    yield line


def _more_due(view):
    """Were more frames due than bins came in?"""
    total = {name: n for name, n, _, _ in view.ledgers()}
    return total["frames due"] > total["bins in"]


class Table:
    """Prints the state of all streams, again and again. On a terminal: on its other screen, as
    pagers do, where neither keys that are pressed nor a change of the size leave anything behind;
    close() or summary() leads back."""

    def __init__(self, out=sys.stdout):
        self._out = out
        self._on_terminal = out.isatty()
        self._is_open = False
        self._n_shown = 0

    def show(self, views, elapsed_s):
        """One update."""
        self._n_shown += 1
        if self._on_terminal:
            self._paint(self._lines(
                views, f"latentd quickstart, {elapsed_s:.0f} s; Ctrl-C ends it", self._size()))
        elif self._n_shown % _PLAIN_EVERY == 1:
            self._out.write("\n".join(self._plain(views, elapsed_s)) + "\n")
        self._out.flush()

    def summary(self, views, elapsed_s):
        """The last state, whole."""
        self.close()
        size = (self._size()[0], _PLAIN_SIZE[1])
        title = f"latentd quickstart, {elapsed_s:.0f} s, ended"
        self._out.write("\n".join(self._lines(views, title, size)) + "\n")
        self._out.flush()

    def close(self):
        """The terminal as it was before the first update."""
        if self._is_open:
            self._out.write(_LEAVE)
            self._out.flush()
        self._is_open = False

    def _size(self):
        """Columns and lines; a terminal that does not know says 0."""
        if not self._on_terminal:
            return _PLAIN_SIZE
        size = os.get_terminal_size(self._out.fileno())
        return size.columns or 80, size.lines or 24

    def _paint(self, lines):
        enter = "" if self._is_open else _ENTER
        self._is_open = True
        self._out.write(
            enter + _HOME + "".join(f"{_CLEAR_LINE}{line}\n" for line in lines) + _CLEAR_BELOW)

    def _lines(self, views, title, size):
        """At most as many lines as fit above the cursor, none longer than a line less the last
        column, where a terminal may wrap. What matters less is left out first."""
        n_columns, n_lines = size[0] - 1, size[1] - 1
        table = list(_aligned([_HEAD, *map(row, views)], n_columns))
        ledgers = [
            (view.name, [line for ledger in view.ledgers()
                         for line in self._fold(f"  {ledger_text(*ledger)}", n_columns)])
            for view in views]
        note = self._fold(_MORE_DUE, n_columns) if any(map(_more_due, views)) else []
        said = [line for text in filter(None, (view.said() for view in views))
                for line in self._fold(text, n_columns)]
        for blank, with_note in (([""], True), ([], True), ([], False)):
            lines = [title, *blank, *table, *(blank if said else []), *said]
            for name, ledger in ledgers:
                lines += [*blank, f"{name} ledgers", *ledger]
            lines += [*blank, *note] if note and with_note else []
            if len(lines) <= n_lines:
                break
        if len(lines) > n_lines:
            lines[n_lines - 1:] = ["(more: make the window higher)"]
        return [line[:n_columns] for line in lines[:n_lines]]

    def _fold(self, text, n_columns):
        """A log is searched line by line: folded only for a terminal."""
        return list(_folded(text, n_columns, "    ")) if self._on_terminal else [text]

    @staticmethod
    def _plain(views, elapsed_s):
        for view in views:
            cells = ", ".join(f"{head} {cell}" for head, cell in zip(_HEAD[2:], row(view)[2:]))
            yield f"{elapsed_s:4.0f} s  {view.name} ({view.model}): {cells}"
            if view.said():
                yield f"{elapsed_s:4.0f} s  {view.said()}"
