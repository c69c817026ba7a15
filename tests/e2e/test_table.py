#!/usr/bin/python3
"""The quickstart's live table in a real terminal (tmux): it fits, is repainted in place, and says
why more frames are due than bins came in. With --play: what runs in that terminal."""
import itertools
import os
import pathlib
import re
import subprocess
import sys
import time
import types
import unittest

SOURCE = pathlib.Path(os.environ.get("LATENT_SOURCE", pathlib.Path(__file__).parents[2]))
BUILD = pathlib.Path(os.environ.get("LATENT_BUILD", SOURCE / "build" / "release"))
BIN = pathlib.Path(os.environ.get("LATENT_BIN", BUILD / "bin"))
WAIT_S = 120  # ends a test that would hang
COUNT = itertools.count()  # of tmux servers
SIZES = ((80, 24), (120, 40), (60, 20))
NUMBER = r"(-|[\d.]+)"
COLUMNS = {
    80: ["stream", "model", "bins/s", "p50 us", "p99 us", "max us", "misses", "rate R2",
         "readout R2"],
    60: ["stream", "bins/s", "p50 us", "p99 us", "misses", "rate R2", "readout R2"]}
COLUMNS[120] = COLUMNS[80]


def view(name, model, n):
    """As live.View: a stream whose every ledger has many outcomes, after n updates."""
    ledgers = [
        ("messages in", 100 * n + 3, {"accepted": 100 * n, "refused.shape": 3}, True),
        ("bins in", 100 * n, {"decoded": 99 * n, "duplicate": n}, True),
        ("frames due", 120 * n, {"published": 118 * n, "suppressed.send": n, "skipped": n}, True)]
    score = types.SimpleNamespace(rate_r2=lambda: 0.957, readout_r2=lambda: None)
    return types.SimpleNamespace(
        name=name, model=model, bins_per_s=99.8, score=score, ledgers=lambda: ledgers,
        latency_us=lambda: (96.0, 1254.0, 53200.0), misses=lambda: n, said=lambda: None)


def play():
    """An update for every line that comes in."""
    from table import Table  # of daemon/quickstart, on the PYTHONPATH of this terminal only
    table = Table()
    for n in range(1, 1000):
        table.show([view("lorenz", "ndt A", n), view("reach", "gru causal", 7 * n)], n)
        sys.stdin.readline()


class Terminal:
    """tmux with one window, of a server of its own."""

    def __init__(self, test, size, command):
        self._socket = f"latentd-test-{os.getpid()}-{next(COUNT)}"
        self._tmux("new-session", "-d", "-x", size[0], "-y", size[1], command)
        test.addCleanup(self._tmux, "kill-server", check=False)

    def _tmux(self, *arguments, check=True):
        done = subprocess.run(
            ["tmux", "-L", self._socket, "-f", "/dev/null", *map(str, arguments)], check=check,
            capture_output=True, text=True, env={**os.environ, "LC_ALL": "C.UTF-8"})
        return done.stdout

    def enter(self):
        """Keys that the terminal echoes, somewhere, and the return key."""
        self._tmux("send-keys", "typed", "Enter")

    def interrupt(self):
        """Ctrl-C."""
        self._tmux("send-keys", "C-c")

    def resize(self, size):
        """The window's new size."""
        self._tmux("resize-window", "-x", size[0], "-y", size[1])

    def rows(self, joined=False):
        """Screen and what scrolled off it, without what is empty; joined: wrapped rows as one."""
        said = self._tmux("capture-pane", "-p", "-S", "-", *(["-J"] if joined else []))
        return [line.rstrip() for line in said.splitlines() if line.strip()]

    def wait_for(self, pattern):
        """Until a row matches; -> all rows of the screen."""
        end = time.monotonic() + WAIT_S
        while time.monotonic() < end:
            rows = self.rows()
            if any(re.search(pattern, line) for line in rows):
                return rows
            time.sleep(0.05)
        raise AssertionError(f"no row matches {pattern}:\n" + "\n".join(rows))


class TableTest(unittest.TestCase):
    def assert_table(self, terminal, rows, size):
        """One table that nothing wraps or runs into."""
        self.assertEqual(rows, terminal.rows(joined=True), "rows are wrapped")
        self.assertLess(max(map(len, rows)), size[0])
        heads = [line for line in rows if line.lstrip().startswith("stream")]
        self.assertEqual(
            [re.split(r"  +", head.strip()) for head in heads], [COLUMNS[size[0]]], rows)
        for stream in ("lorenz", "reach"):
            cells = [re.split(r"  +", line) for line in rows if line.startswith(f"{stream}  ")]
            self.assertEqual([len(row) for row in cells], [len(COLUMNS[size[0]])], rows)
            for cell in cells[0][2 if size[0] > 60 else 1:]:
                self.assertRegex(cell, f"^{NUMBER}$")
        for what in ("latentd quickstart, ", "lorenz ledgers", "reach ledgers"):
            self.assertEqual(sum(line.startswith(what) for line in rows), 1, rows)

    def folded(self, rows):
        """The text of the rows, whatever was folded."""
        return re.sub(r"\s+", " ", " ".join(rows))

    def player(self, size):
        return Terminal(self, size, f"PYTHONPATH={SOURCE}/daemon/quickstart "
                        f"PYTHONDONTWRITEBYTECODE=1 /usr/bin/python3 {__file__} --play")

    def test_fits_and_repaints(self):
        for size in SIZES:
            with self.subTest(size=size):
                terminal = self.player(size)
                for n in range(1, 6):
                    rows = terminal.wait_for(f"^latentd quickstart, {n} s")
                    terminal.enter()
                self.assert_table(terminal, terminal.wait_for("^latentd quickstart, 6 s"), size)
                said = self.folded(terminal.rows())
                for text in ("frames due 720 = published 708 + suppressed.send 6 + skipped 6",
                             "messages in 4203 = accepted 4200 + refused.shape 3",
                             "frames due above bins in: where no bin comes"):
                    self.assertIn(text, said)
                self.assertLess(len(rows), size[1])

    def test_a_resized_window_is_painted_anew(self):
        terminal = self.player((120, 40))
        terminal.wait_for("^latentd quickstart, 1 s")
        terminal.resize((80, 24))
        terminal.enter()
        self.assert_table(terminal, terminal.wait_for("^latentd quickstart, 2 s"), (80, 24))

    def test_a_window_too_low_says_so(self):
        terminal = self.player((80, 10))
        terminal.wait_for("^latentd quickstart, 1 s")
        terminal.enter()
        rows = terminal.wait_for("^latentd quickstart, 2 s")
        self.assertEqual(sum(line.startswith("stream") for line in rows), 1, rows)
        self.assertEqual(rows[-1], "(more: make the window higher)")

    def test_the_quickstart_itself(self):
        environment = f"PYTHONPATH={BUILD / 'python'} PYTHONDONTWRITEBYTECODE=1"
        terminal = Terminal(self, (80, 24), f"{environment} /usr/bin/python3 "
                            f"{SOURCE}/daemon/quickstart/live.py --bin {BIN}; read -r _")
        for n in (1, 2, 3):
            terminal.wait_for(f"^latentd quickstart, {n} s; ")
        terminal.interrupt()
        terminal.wait_for("^ok: every bin decoded, ledgers balanced")
        self.assert_table(terminal, terminal.rows(), (80, 24))


if __name__ == "__main__":
    if sys.argv[1:] == ["--play"]:
        play()
    else:
        unittest.main()
