#!/usr/bin/python3
"""cmake --install: what is installed works from its prefix, as a stranger would use it."""
import json
import os
import pathlib
import re
import shlex
import shutil
import socket
import struct
import subprocess
import tempfile
import unittest

import h5py
import numpy as np

SOURCE = pathlib.Path(os.environ.get("LATENT_SOURCE", pathlib.Path(__file__).parents[2]))
BUILD = pathlib.Path(os.environ.get("LATENT_BUILD", SOURCE / "build" / "release"))
PROGRAMS = {"latentd": 8, "latentctl": 1, "latent-sim": 1, "latent-replay": 1, "latent-decode": 1}
WAIT_S = 60  # ends a test that would hang
API = re.compile(r"^LATENT_API [^;(]*?\b(\w+)\(", re.MULTILINE)
N_BINS = 40


def run(*command, **options):
    done = subprocess.run([str(word) for word in command], text=True, check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
    if done.returncode:
        raise AssertionError(f"{command}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def declared(*headers):
    """The functions that headers of the source tree declare as public."""
    return sorted(name for header in headers for name in API.findall(
        (SOURCE / header).read_text()))


def defined(library, *options):
    """The symbols that a library shows: its functions, by name."""
    lines = run("nm", "--defined-only", *options, library).splitlines()
    return sorted(line.split()[2] for line in lines if re.search(r" [^A ] ", line))


def model_config(path):
    raw = path.read_bytes()
    header = json.loads(raw[8:8 + struct.unpack("<Q", raw[:8])[0]])
    return json.loads(header["__metadata__"]["latent.config"])


class InstallCase(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)
        cls.prefix = cls.folder / "prefix"
        run("cmake", "--install", BUILD, "--prefix", cls.prefix)
        cls.lib = cls.prefix / "lib"

    def package(self, name, *options):
        """The flags that pkg-config gives for an installed library."""
        environment = {**os.environ, "PKG_CONFIG_PATH": str(self.lib / "pkgconfig")}
        return shlex.split(run("pkg-config", *options, name, env=environment))


class LibraryTest(InstallCase):
    def compile(self, source, name, flags):
        program = self.folder / name
        run("cc", "-Wall", "-Wextra", "-Werror", SOURCE / source, "-o", program, *flags)
        return program

    def bins(self, n_channels):
        """Counts [N_BINS, n_channels], in the two forms that are read."""
        counts = np.random.default_rng(7).poisson(0.4, (N_BINS, n_channels)).astype(np.uint8)
        with h5py.File(self.folder / "in.h5", "w") as file:
            file["counts"] = counts
        np.savetxt(self.folder / "in.txt", counts, "%d")

    def expected(self, model):
        """Latents, rates and readout side by side, by latent-decode from the prefix."""
        config = model_config(model)
        self.bins(config["n_channels"])
        out = self.folder / "out.h5"
        run(self.prefix / "bin/latent-decode", "--model", model, "--out", out, "--bin-ms",
            config["bin_width_us"] / 1000, "--in", f"{self.folder}/in.h5:/counts")
        with h5py.File(out) as file:
            groups = [file[name][()] for name in ("latents", "rates", "readout") if name in file]
        return np.hstack([group.reshape(N_BINS, -1) for group in groups])

    def printed(self, program, model):
        with open(self.folder / "in.txt", encoding="ascii") as counts:
            said = run(program, model, stdin=counts,
                       env={**os.environ, "LD_LIBRARY_PATH": str(self.lib)})
        return np.array([[float(word) for word in line.split()] for line in said.splitlines()],
                        np.float32)

    def test_example_decodes(self):
        source = "core/examples/decode.c"
        self.assertLess(len((SOURCE / source).read_text().splitlines()), 30)
        shared = self.compile(source, "shared", self.package("latent", "--cflags", "--libs"))
        static = self.compile(source, "static", ["-static", *self.package(
            "latent", "--static", "--cflags", "--libs")])
        self.assertIn("liblatent.so.0", run("readelf", "-d", shared))
        self.assertNotIn("NEEDED", run("readelf", "-d", static))
        for model in ("models/ndt/lorenz_causal", "models/kalman/reach"):
            model = SOURCE / f"{model}.safetensors"
            expected = self.expected(model)
            self.assertEqual(np.isfinite(expected).all(), True)
            for program in (shared, static):
                np.testing.assert_array_equal(self.printed(program, model), expected)

    def test_client_compiles(self):
        """Against both forms; it needs a running latentd to say more than its usage."""
        source = "proto/examples/cursor.c"
        shared = self.compile(source, "cursor", self.package("latent-client", "--cflags", "--libs"))
        flags = self.package("latent-client", "--static", "--cflags", "--libs")
        static = self.compile(source, "cursor-static", [
            flag.replace("-llatent-client", "-l:liblatent-client.a") for flag in flags])
        self.assertIn("liblatent-client.so.0", run("readelf", "-d", shared))
        self.assertNotIn("liblatent", run("readelf", "-d", static))
        for program in (shared, static):
            done = subprocess.run([program], stderr=subprocess.PIPE, text=True, check=False,
                                  env={**os.environ, "LD_LIBRARY_PATH": str(self.lib)})
            self.assertEqual((done.returncode, "ENDPOINT STREAM" in done.stderr), (2, True))

    def test_nothing_else_is_seen(self):
        """No symbol of OpenBLAS or of the inside: a program may have the same names."""
        for name, node, headers in (
                ("latent", "LATENT_0", ("core/include/latent.h",)),
                ("latent-client", "LATENT_CLIENT_0", ("proto/client.h", "proto/wire.h"))):
            api = declared(*headers)
            self.assertGreater(len(api), 10)
            self.assertEqual(defined(self.lib / f"lib{name}.so", "-D"),
                             [f"{symbol}@@{node}" for symbol in api])
            self.assertEqual(defined(self.lib / f"lib{name}.a", "-g"), api)

    def test_schema(self):
        schema = self.package("latent-client", "--variable=schema")[0]
        self.assertEqual(pathlib.Path(schema).read_text(),
                         (SOURCE / "proto/latent.proto").read_text())

    def test_python(self):
        folder = next(self.lib.glob("python*/dist-packages"))
        said = run("/usr/bin/python3", "-c", "import latentd, latent_models.stack.own as own; "
                   "print(latentd.__file__, latentd.Subscriber.__name__, own.__file__)",
                   env={**os.environ, "PYTHONPATH": str(folder)})
        self.assertEqual(said.split(), [f"{folder}/latentd/__init__.py", "Subscriber",
                                        f"{folder}/latent_models/stack/own.py"])


class ProgramTest(InstallCase):
    def test_programs_and_pages(self):
        for name, section in PROGRAMS.items():
            program = self.prefix / "bin" / name
            help_text = run(program, "--help", env={"PATH": "/usr/bin"})
            page = (self.prefix / f"share/man/man{section}/{name}.{section}").read_text()
            page = page.replace("\\-", "-").replace("\\e", "\\")
            self.assertRegex(page, rf'(?m)\A\.TH {name.upper()} {section} "" "{name} \d+\.\d+')
            self.assertIn(f"\n.SH NAME\n{name} - {help_text.split(': ', 1)[1].splitlines()[0]}\n",
                          page)
            _, usage, rest = help_text.split("\n\n", 2)
            usage = re.sub(r"(?im)^usage: |^ {7}", "", usage)
            self.assertIn(f"\n.SH SYNOPSIS\n.nf\n{usage}\n.fi\n", page)
            self.assertIn(f"\n.SH DESCRIPTION\n.nf\n{rest}.fi\n", page)
        self.assertEqual((self.prefix / "share/man/man5/latentd.5").read_text(),
                         run(self.prefix / "bin/latentd", "--man"))

    def test_configuration_is_the_operators(self):
        """A second installation keeps a configuration that was changed."""
        path = self.prefix / "etc/latentd/latentd.conf"
        self.assertEqual(path.read_text(), (SOURCE / "systemd/latentd.conf").read_text())
        path.write_text("# mine\n")
        run("cmake", "--install", BUILD, "--prefix", self.prefix)
        self.assertEqual(path.read_text(), "# mine\n")

    def test_destdir(self):
        """A package is staged; the unit names the places where its files will lie."""
        stage = self.folder / "stage"
        run("cmake", "--install", BUILD, "--prefix", "/opt/latentd",
            env={**os.environ, "DESTDIR": str(stage)})
        unit = (stage / "opt/latentd/lib/systemd/system/latentd.service").read_text()
        self.assertIn("\nExecStart=/opt/latentd/bin/latentd "
                      "/opt/latentd/etc/latentd/latentd.conf\n", unit)
        self.assertEqual((stage / "opt/latentd/etc/latentd/latentd.conf").is_file(), True)


class ServiceTest(InstallCase):
    def setUp(self):
        self.unit = self.lib / "systemd/system/latentd.service"
        self.command = shlex.split(re.search(r"^ExecStart=(.*)", self.unit.read_text(),
                                             re.MULTILINE).group(1))

    def test_unit_is_right(self):
        if not shutil.which("systemd-analyze"):
            print("SKIP host: no systemd-analyze (package systemd)")
            return
        done = subprocess.run(["systemd-analyze", "verify", "--man=no", self.unit], text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        self.assertEqual((done.returncode, done.stdout), (0, ""))

    def test_start_and_stop_are_told(self):
        """What systemd would do: the line of the unit, a notify socket, SIGTERM."""
        config = pathlib.Path(self.command[1])
        config.write_text(
            f"[latentd]\ncontrol = ipc://{self.folder}/control\n[stream reach]\n"
            f"model = {SOURCE}/models/kalman/reach.safetensors\n"
            "input = tcp://127.0.0.1:*\noutput = tcp://127.0.0.1:*\n")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(f"{self.folder}/notify")
            manager.settimeout(WAIT_S)
            with subprocess.Popen(self.command, stdout=subprocess.PIPE, env={
                    "NOTIFY_SOCKET": f"{self.folder}/notify"}) as process:
                self.addCleanup(process.kill)
                self.assertEqual(manager.recv(100), b"READY=1")
                process.terminate()
                self.assertEqual(manager.recv(100), b"STOPPING=1")
                self.assertEqual(process.wait(WAIT_S), 0)
        self.assertIn("\nType=notify\n", self.unit.read_text())


if __name__ == "__main__":
    unittest.main()
