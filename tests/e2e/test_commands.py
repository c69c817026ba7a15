#!/usr/bin/python3
"""Command lines of all programs: a mistake is one line on stderr that names it, the nearest word
that is known and --help; the exit code is 2 and nothing else is printed. --help and --version
answer on stdout with 0."""
import os
import pathlib
import re
import resource
import subprocess
import unittest

from latentd import encoding

BIN = pathlib.Path(os.environ["LATENT_BIN"])
SOURCE = pathlib.Path(os.environ["LATENT_SOURCE"])
PROGRAMS = ("latentd", "latentctl", "latent-sim", "latent-replay", "latent-decode")
COLUMNS = 80
SECONDS = "--timeout: expected a number from 0.001 to 3600, found "

# What each program says of each kind of mistake. A kind that a program cannot make is missing.
MISTAKES = {
    "latentd": [
        ([], "CONFIG is missing"),
        (["--check"], "CONFIG is missing"),
        (["--zzzzzzzz"], 'unknown option "--zzzzzzzz"'),
        (["--chek", "c"], 'unknown option "--chek"; nearest: --check'),
        (["--versio"], 'unknown option "--versio"; nearest: --version'),
        (["--check=yes", "c"], "--check takes no value"),
        (["c", "d"], 'unexpected "d"'),
        (["--man", "c"], 'unexpected "c"'),
        (["--check", "--print-config", "c"],
         "--check, --print-config, --help-config and --man exclude each other"),
        (["-v"], 'unknown option "-v"'),
    ],
    "latentctl": [
        ([], "a command is missing"),
        (["--json"], "a command is missing"),
        (["status", "--zzzzzzzz"], 'unknown option "--zzzzzzzz"'),
        (["status", "--tiemout", "3"], 'unknown option "--tiemout"; nearest: --timeout'),
        (["status", "--tiemout=3"], 'unknown option "--tiemout"; nearest: --timeout'),
        (["statsu"], 'unknown command "statsu"; nearest: status'),
        (["xyzzyqq"], 'unknown command "xyzzyqq"'),
        (["record", "strat", "arm", "f"], 'unknown word "strat"; nearest: start'),
        (["record", "forever"], 'unknown word "forever"'),
        (["record"], "start or stop is missing"),
        (["record", "start"], "STREAM is missing"),
        (["record", "start", "arm"], "FILE is missing"),
        (["record", "stop", "arm", "f"], 'unexpected "f"'),
        (["safe", "arm"], "on or off is missing"),
        (["safe", "arm", "onn"], 'unknown word "onn"; nearest: on'),
        (["reset"], "STREAM is missing"),
        (["status", "arm"], 'unexpected "arm"'),
        (["export", "r"], "OUT.h5 is missing"),
        (["keys", "--key"], "--key needs a value, FILE"),
        (["status", "--control", "--json"], "--control needs a value, ENDPOINT"),
        (["status", "--timeout", "x"], SECONDS + '"x"'),
        (["status", "--timeout", "0"], SECONDS + '"0"'),
        (["status", "--timeout=3601"], SECONDS + '"3601"'),
        (["status", "--timeout=nan"], SECONDS + '"nan"'),
        (["status", "--timeout="], SECONDS + '""'),
        (["status", "--key", "k"], "--key and --server-key go together"),
        (["status", "--"] + ["--json"], 'unexpected "--json"'),
        (["a"] * 20, 'unknown command "a"'),
        (["status", "--\x1b[31m"], 'unknown option "--?[31m"'),
    ],
    "latent-sim": [
        ([], "--recipe is missing"),
        (["--zzzzzzzz"], 'unknown option "--zzzzzzzz"'),
        (["--recipee", "r"], 'unknown option "--recipee"; nearest: --recipe'),
        (["recipe.json"], 'unexpected "recipe.json"'),
        (["--recipe"], "--recipe needs a value, FILE"),
        (["--recipe", "r"], "--out (for a data set) or --stream (live) is missing"),
        (["--recipe", "r", "--out", "o", "--stream", "s"],
         "--out and --stream do not go together"),
        (["--recipe", "r", "--stream", "s"], "--stream needs --bins"),
        (["--recipe", "r", "--out", "o", "--dead", "1"],
         "--dead and --noisy go with --stream, not --out"),
        (["--seconds", "-1"], '--seconds: expected a number, 0 or more, found "-1"'),
        (["--seconds", "1s"], '--seconds: expected a number, 0 or more, found "1s"'),
        (["--seed", "1.5"], '--seed: expected a whole number, 0 or more, found "1.5"'),
        (["--seed", "-1"], '--seed: expected a whole number, 0 or more, found "-1"'),
        (["--seed", "99999999999999999999"],
         '--seed: expected a whole number, 0 or more, found "99999999999999999999"'),
        (["--batch", "0"], '--batch: expected a whole number from 1 to 256, found "0"'),
        (["--batch", "257"], '--batch: expected a whole number from 1 to 256, found "257"'),
        (["--socket", "sub"], '--socket: expected auto or push or pub, found "sub"'),
        (["--attach", "listen"], '--attach: expected connect or bind, found "listen"'),
        (["--recipe", "r", "--stream", "a b", "--bins", "b"],
         '--stream: expected 1 to 32 letters, digits, - and _, found "a b"'),
        (["--recipe", "r", "--stream", "s" * 33, "--bins", "b"],
         f'--stream: expected 1 to 32 letters, digits, - and _, found "{"s" * 33}"'),
        (["--recipe", "r", "--stream", "s", "--bins", "b", "--key", "k"],
         "--key and --server-key go together"),
        (["--recipe", "r", "--stream", "s", "--bins", "b", "--key", "k", "--server-key", "k",
          "--attach", "bind"], "--key goes with --attach connect"),
    ],
    "latent-replay": [
        ([], "--in, --ticks, --record or --verify is missing"),
        (["--zzzzzzzz"], 'unknown option "--zzzzzzzz"'),
        (["--lopo"], 'unknown option "--lopo"; nearest: --loop'),
        (["recording.h5"], 'unexpected "recording.h5"'),
        (["--in"], "--in needs a value, FILE:/DATASET"),
        (["--in", "a:/b"], "--stream is missing"),
        (["--in", "a:/b", "--stream", "s"], "--bins is missing"),
        (["--in", "a:/b", "--ticks", "a:/b", "--stream", "s", "--bins", "b"],
         "--in and --ticks do not go together"),
        (["--ticks", "a:/b", "--stream", "s", "--bins", "b"], "--ticks needs --units"),
        (["--stop-after", "soon"], '--stop-after: expected a number, 0 or more, found "soon"'),
        (["--bin-ms", "0"], '--bin-ms: expected a number from 0.1 to 10000, found "0"'),
        (["--bin-ms", "0.02"], '--bin-ms: expected a number from 0.1 to 10000, found "0.02" '
         "(milliseconds; 0.02 seconds are 20)"),
        (["--bin-ms=20000"], '--bin-ms: expected a number from 0.1 to 10000, found "20000" '
         "(milliseconds; 20000 microseconds are 20)"),
        (["--model", "m", "--in", "a:/b"], "--model goes with --verify"),
        (["--verify", "r", "--loop"], "--verify takes no other option than --model"),
        (["--record", "r", "--loop"],
         "--record sends a whole record once: without --in, --ticks, --loop and --seconds"),
    ],
    "latent-decode": [
        ([], "--model is missing"),
        (["--zzzzzzzz"], 'unknown option "--zzzzzzzz"'),
        (["--precisoin", "f32"], 'unknown option "--precisoin"; nearest: --precision'),
        (["model"], 'unexpected "model"'),
        (["--out"], "--out needs a value, FILE"),
        (["--model", "m"], "--out is missing"),
        (["--model", "m", "--out", "o"], "--in or --ticks is missing"),
        (["--bins-only"], "--out is missing"),
        (["--bins-only", "--fast", "--out", "o"],
         "--bins-only goes without --model, --mode, --precision, --session, --compare and --fast"),
        (["--threads", "many"], '--threads: expected a whole number from 0 to 4096, found "many"'),
        (["--threads", "5000"], '--threads: expected a whole number from 0 to 4096, found "5000"'),
        (["--max-loss", "inf"], '--max-loss: expected a number, 0 or more, found "inf"'),
        (["--model", "m", "--out", "o", "--in", "i:/d", "--max-loss", "1"],
         "--max-loss goes with --compare"),
        (["--model", "m", "--out", "o", "--in", "i:/d", "--split", "s:/t"],
         "--behaviour, --use, --split, --rates and --conditions go with --bins-only"),
        (["--model", "m", "--out", "o", "--in", "i:/d", "--input", "some"],
         "--input: expected counts or real"),
    ],
}


def run(program, *arguments, **options):
    return subprocess.run([BIN / program, *arguments], capture_output=True, text=True, timeout=60,
                          check=False, **options)


class Wire(unittest.TestCase):
    def test_bounds(self):
        """The Python client's bounds are those of proto/wire.h."""
        header = (SOURCE / "proto" / "wire.h").read_text()
        for name in ("MAX_BYTES", "MAX_BINS", "MAX_CHANNELS", "MAX_STREAM"):
            value = re.search(rf"^#define WIRE_{name} ([^/\n]*)", header, re.MULTILINE)[1]
            value = value.strip().strip("()").split(" << ")  # (1u << 20), or a plain number
            number = int(value[0].rstrip("u")) << int((value + ["0"])[1])
            self.assertEqual(getattr(encoding, name), number, name)


class Commands(unittest.TestCase):
    def test_mistakes(self):
        self.assertEqual(set(MISTAKES), set(PROGRAMS))
        for program, cases in MISTAKES.items():
            for arguments, text in cases:
                with self.subTest(program=program, arguments=arguments):
                    done = run(program, *arguments)
                    self.assertEqual(done.stderr, f"{program}: {text}; see {program} --help\n")
                    self.assertEqual((done.returncode, done.stdout), (2, ""))

    def test_help(self):
        """Every line fits a terminal; every option that it names is one."""
        for program in PROGRAMS:
            done = run(program, "--help")
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertRegex(done.stdout, rf"^{program} [0-9.]+: .*\n\nusage: {program} ")
            wide = [line for line in done.stdout.splitlines() if len(line) > COLUMNS]
            self.assertEqual(wide, [], program)
            named = set(re.findall(r"^  --([a-z0-9-]+)", done.stdout, re.MULTILINE))
            self.assertGreaterEqual(named, {"help", "version"})
            for option in named:
                self.assertNotIn("unknown", run(program, f"--{option}").stderr)

    def test_help_comes_first(self):
        """Wherever it stands, and whatever else is mistaken; not behind --."""
        for arguments in (["record", "--help"], ["--timeout", "x", "--help"],
                          ["--zzzzzzzz", "--help"]):
            done = run("latentctl", *arguments)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertIn("usage: latentctl", done.stdout)
        self.assertEqual(run("latentctl", "--", "--help").returncode, 2)

    def test_defaults(self):
        """What --help calls the default is what the program holds, given or not."""
        for arguments in ((), ("--socket", "push")):
            text = run("latent-sim", *arguments, "--help").stdout
            self.assertRegex(text, r"--socket KIND .*\n.*\n +\(default: pub\)\n")
        self.assertRegex(run("latent-replay", "--help").stdout,
                         r"--socket KIND .*\n.*\n +\(default: auto\)\n")

    def test_version(self):
        versions = {run(program, "--version").stdout.partition(" ")[2] for program in PROGRAMS}
        self.assertEqual(len(versions), 1)
        self.assertRegex(versions.pop(), r"^[0-9]+\.[0-9]+\.[0-9]+\n$")

    def test_forms_of_a_value(self):
        """--name VALUE and --name=VALUE; the last one counts."""
        for arguments in (["--recipe", "/none"], ["--recipe=/none"],
                          ["--recipe", "/other", "--recipe=/none"]):
            done = run("latent-sim", *arguments, "--out", "/none/x.h5")
            self.assertEqual((done.returncode, done.stdout), (1, ""))
            self.assertIn("/none: No such file", done.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
