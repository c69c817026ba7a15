#!/usr/bin/python3
"""latentctl certify: facts of a planted machine, measurements of this one, and stalls that it must
notice. What this machine can do is its own affair: no test expects it to be certified."""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time
import unittest
import xml.etree.ElementTree

import daemon_rig as rig

BIN = pathlib.Path(os.environ["LATENT_BIN"])
MODEL = pathlib.Path(os.environ["LATENT_SOURCE"]) / "models" / "gru" / "lorenz.safetensors"
STALL_S = 0.1
BUDGET_MS = 20
CPU = "sys/devices/system/cpu"
GOOD = {
    "proc/cpuinfo": "processor\t: 0\nmodel name\t: Planted 3000\nflags\t\t: fpu sse2\n"
                    "processor\t: 1\n",
    "proc/meminfo": "MemTotal: 16777216 kB\nMemAvailable: 8388608 kB\nSwapTotal: 0 kB\n"
                    "SwapFree: 0 kB\n",
    "proc/sys/kernel/osrelease": "6.1.0-rt\n",
    "proc/sys/kernel/version": "#1 SMP PREEMPT_RT\n",
    "proc/sys/kernel/sched_rt_runtime_us": "-1\n",
    "proc/sys/kernel/numa_balancing": "0\n",
    "proc/sys/net/core/rmem_max": "16777216\n",
    "proc/sys/net/core/netdev_max_backlog": "1000\n",
    f"{CPU}/cpu1/topology/thread_siblings_list": "1\n",
    f"{CPU}/cpu1/cpufreq/scaling_governor": "performance\n",
    f"{CPU}/cpu1/cpufreq/scaling_min_freq": "3000000\n",
    f"{CPU}/cpu1/cpufreq/scaling_max_freq": "3000000\n",
    f"{CPU}/intel_pstate/no_turbo": "1\n",
    f"{CPU}/cpu1/cpuidle/state0/latency": "0\n",
    f"{CPU}/cpu1/cpuidle/state0/name": "POLL\n",
    f"{CPU}/cpu1/cpuidle/state1/latency": "400\n",
    f"{CPU}/cpu1/cpuidle/state1/name": "C6\n",
    f"{CPU}/cpu1/cpuidle/state1/disable": "1\n",
    "sys/devices/system/clocksource/clocksource0/current_clocksource": "tsc\n",
    f"{CPU}/isolated": "1\n",
    f"{CPU}/nohz_full": "0-1\n",
    "sys/kernel/mm/transparent_hugepage/enabled": "always [madvise] never\n",
    "proc/12/comm": "init\n",
}
# What is planted instead: the fact it changes, and what is found then.
BAD = (
    ("proc/cpuinfo", "model name\t: Guest\nflags\t\t: fpu hypervisor\n", "virtual machine", "yes"),
    ("proc/meminfo", "MemAvailable: 524288 kB\nSwapTotal: 0 kB\n", "memory free", "0.5 GiB"),
    ("proc/meminfo", "MemAvailable: 8388608 kB\nSwapTotal: 2048 kB\nSwapFree: 1024 kB\n",
     "swap in use", "1 MiB of 2"),
    ("proc/sys/kernel/version", "#1 SMP PREEMPT_DYNAMIC\n", "preemption", "PREEMPT_DYNAMIC"),
    ("proc/sys/kernel/sched_rt_runtime_us", "950000\n", "limit of real-time threads",
     "950000 us of each second"),
    ("proc/sys/kernel/numa_balancing", "1\n", "NUMA balancing", "on"),
    ("proc/sys/net/core/rmem_max", "212992\n", "largest receive buffer", "0.2 MiB"),
    ("proc/sys/net/core/netdev_max_backlog", "300\n", "receive backlog", "300 packets"),
    (f"{CPU}/cpu1/topology/thread_siblings_list", "1,5\n", "SMT siblings of the data core", "1,5"),
    (f"{CPU}/cpu1/cpufreq/scaling_governor", "powersave\n", "frequency governor", "powersave"),
    (f"{CPU}/cpu1/cpufreq/scaling_min_freq", "800000\n", "frequency range", "800 to 3000 MHz"),
    (f"{CPU}/intel_pstate/no_turbo", "0\n", "turbo", "on"),
    (f"{CPU}/cpu1/cpuidle/state1/disable", "0\n", "deepest idle state", "C6, 400 us to leave"),
    ("sys/devices/system/clocksource/clocksource0/current_clocksource", "hpet\n", "clock source",
     "hpet"),
    (f"{CPU}/isolated", "2-3\n", "isolated cores", "2-3"),
    (f"{CPU}/nohz_full", "(null)\n", "cores without ticks", "none"),
    ("sys/kernel/mm/transparent_hugepage/enabled", "[always] madvise never\n",
     "transparent huge pages", "[always] madvise never"),
    ("proc/12/comm", "irqbalance\n", "irqbalance", "running"),
    ("proc/12/comm", "auditd\n", "auditd", "running"),
)


class Case(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="latent-certify-test-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.config = self.folder / "rig.conf"

    def configure(self, daemon="", **keys):
        """Any stall of STALL_S is above the budget; so, perhaps, is this machine."""
        keys = {"model": MODEL, "input": f"ipc://{self.folder}/in", "budget-ms": BUDGET_MS,
                "output": f"ipc://{self.folder}/out", **keys}
        lines = ["[latentd]", f"control = ipc://{self.folder}/control", daemon, "[stream arm]",
                 *(f"{key.replace('_', '-')} = {value}" for key, value in keys.items())]
        self.config.write_text("\n".join(lines) + "\n")

    def start(self, *options):
        return subprocess.Popen([BIN / "latentctl", "certify", self.config, "--json", *options],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                env={**os.environ, "TMPDIR": str(self.folder)})

    def certify(self, *options):
        process = self.start(*options)
        out, err = process.communicate(timeout=rig.WAIT_S * 3)
        return process.returncode, json.loads(out) if out else None, err


class Planted(Case):
    """Facts below a root of our own: all as they should be, then one after the other not."""

    def plant(self, files):
        for name, text in files.items():
            path = self.folder / "root" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def facts(self):
        code, out, err = self.certify("--seconds", "0", "--root", str(self.folder / "root"))
        self.assertEqual((code, out["measured"], out["certified"]), (2, False, False), err)
        return out, {row["what"]: row for row in out["findings"]
                     if row["group"] in ("machine", "kernel", "network")}

    def test_facts(self):
        self.configure(cpu=1)
        self.plant(GOOD)
        out, good = self.facts()
        self.assertEqual(out["machine"], {"cpu": "Planted 3000", "cores": "2", "memory": "16.0 GiB",
                                          "kernel": "6.1.0-rt #1 SMP PREEMPT_RT"})
        counted = {"time stolen by the host", "times too hot", "packets lost for want of buffers",
                   "device interrupts on the data core", "soft interrupts on the data core"}
        self.assertEqual({what for what, row in good.items() if row["verdict"] != "ok"},
                         counted | {"interrupt coalescing", "clock is steered by",
                                    "hardware clocks (PTP)"})
        for name, text, what, found in BAD:
            with self.subTest(fact=what):
                self.plant({**GOOD, name: text})
                _, facts = self.facts()
                priority = what == "limit of real-time threads"  # only who asks for them is limited
                self.assertEqual((facts[what]["verdict"], facts[what]["found"]),
                                 ("ok" if priority else "warn", found))
                changed = {w for w in facts if facts[w]["found"] != good[w]["found"]}
                self.assertEqual(changed, {what})

    def test_nothing_is_told(self):
        """An empty machine: everything unknown, nothing invented, and it ends well."""
        self.configure(cpu=1)
        self.plant({"proc/empty": ""})
        _, facts = self.facts()
        told = {"isolated cores", "cores without ticks", "irqbalance", "auditd"}
        self.assertEqual({what for what, row in facts.items() if row["verdict"] != "unknown"}, told)

    def test_clocks_and_devices(self):
        """Who steers the clock, which hardware clocks and devices there are."""
        self.configure(cpu=1)
        self.plant({**GOOD, "proc/12/comm": "chronyd\n", "proc/13/comm": "ptp4l\n",
                    "sys/class/ptp/ptp0/clock_name": "ice-0\n",
                    "sys/class/net/eth1/device/vendor": "0x8086\n",
                    "sys/class/net/eth1/operstate": "up\n",
                    "sys/class/net/eth2/device/vendor": "0x8086\n",
                    "sys/class/net/eth2/operstate": "down\n",
                    "sys/class/net/lo/operstate": "unknown\n"})
        out, facts = self.facts()
        self.assertEqual((facts["clock is steered by"]["verdict"],
                          facts["clock is steered by"]["found"]), ("ok", "chronyd"))
        clocks = facts["hardware clocks (PTP)"]
        self.assertEqual((clocks["verdict"], clocks["found"]), ("ok", "ptp0 ice-0; ptp4l runs"))
        self.assertEqual([row["found"] for row in out["findings"]
                          if row["what"] == "interrupt coalescing"], ["eth1: not asked"])
        self.plant({"proc/14/comm": "phc2sys\n"})
        _, facts = self.facts()
        self.assertEqual((facts["clock is steered by"]["verdict"],
                          facts["clock is steered by"]["found"]), ("warn", "chronyd, phc2sys"))

    def test_limited_priority(self):
        self.configure("realtime-priority = 50", cpu=1)
        self.plant({**GOOD, "proc/sys/kernel/sched_rt_runtime_us": "950000\n"})
        _, facts = self.facts()
        self.assertEqual(facts["limit of real-time threads"]["verdict"], "warn")


class Asked(Case):
    """What only this machine can be asked, with programs of our own in the PATH."""

    def facts(self, chronyc):
        """chronyc: what it prints."""
        bin_ = self.folder / "bin"
        bin_.mkdir(exist_ok=True)
        (bin_ / "chronyc").write_text(f"#!/bin/sh\necho '{chronyc}'\n")
        (bin_ / "chronyc").chmod(0o755)
        shutil.copy(shutil.which("sleep"), bin_ / "chronyd")
        daemon = subprocess.Popen([bin_ / "chronyd", "60"])
        try:
            done = subprocess.run(
                [BIN / "latentctl", "certify", self.config, "--json", "--seconds", "0"],
                capture_output=True, text=True, timeout=rig.WAIT_S,
                env={**os.environ, "PATH": f"{bin_}:{os.environ['PATH']}"})
        finally:
            daemon.kill()
            daemon.wait()
        return json.loads(done.stdout)["findings"]

    def test_facts(self):
        self.configure()
        line = "C0A80001,ntp,2,1.5,-0.000012,0,0,-11.25,0,0.05,0.0004,0.0002,64,Normal"
        facts = self.facts(line)
        by_name = {row["what"]: row for row in facts}
        clock = by_name["chronyd's clock"]
        self.assertEqual((clock["verdict"], clock["found"]),
                         ("ok", "ntp, stratum 2: offset -0.012 ms, -11.250 ppm within 0.05, "
                                "dispersion 0.2 ms"))
        self.assertIn("chronyd", by_name["clock is steered by"]["found"])
        self.assertRegex(by_name["clock, as the kernel has it"]["found"],
                         "synchronised, .* ppm|not told")
        self.assertIn("rtla timerlat top", by_name["who interrupts the data core"]["remedy"])
        devices = {path.parent.name for path in pathlib.Path("/sys/class/net").glob("*/device")}
        named = {row["found"].split(":")[0] for row in facts
                 if row["what"] == "interrupt coalescing" and ":" in row["found"]}
        self.assertLessEqual(named, devices)

    def test_no_answer(self):
        self.configure()
        facts = {row["what"]: row for row in self.facts("506 Cannot talk to daemon")}
        self.assertEqual((facts["chronyd's clock"]["verdict"], facts["chronyd's clock"]["found"]),
                         ("unknown", "chronyc does not answer"))


class Measured(Case):
    def check(self, code, out, n_bins):
        """The verdict follows from the numbers."""
        self.assertEqual([s["group"] for s in out["series"]],
                         ["wake", "model", "model", "end to end"])
        failed = []
        for s in out["series"]:
            self.assertEqual(s["n"] + s["lost"], n_bins if s["group"] != "model" else s["n"])
            self.assertLessEqual(s["p50_ms"], s["p99_ms"])
            self.assertLessEqual(s["p99.9_ms"], s["max_ms"])
            if "budget_ms" not in s:
                continue
            bad = s["missed"] > 0 or s["p99.9_ms"] * 2 >= s["budget_ms"]
            self.assertEqual(s["verdict"], "fail" if bad else "ok")
            failed += [s["group"]] if bad else []
        self.assertEqual(sum(s["n"] for s in out["series"] if s["group"] == "model"), n_bins)
        self.assertEqual(out.get("failed"), failed[0] if failed else None)
        self.assertEqual((out["certified"], code), (not failed, 1 if failed else 0))

    def test_run(self):
        self.configure(record=self.folder / "arm.record")
        report = self.folder / "report.md"
        code, out, err = self.certify("--seconds", "1", "--load", "--report", str(report))
        self.assertIn(code, (0, 1), err)
        disk, out["series"] = out["series"][0], out["series"][1:]
        self.assertEqual((disk["group"], disk["n"]), ("disk", 200))
        self.check(code, out, 1 + round(1000 / out["streams"][0]["bin_ms"]))
        text = report.read_text()
        for s in out["series"]:
            self.assertIn(s["name"], text)
        self.assertIn(out["streams"][0]["model_sha256"], text)
        self.assertIn("no medical statement", text)
        self.assertEqual(text.count("```") // 2, len(out["series"]) + 1)
        self.assertFalse((self.folder / "arm.record").exists())
        self.assertFalse((self.folder / "control").exists())

    def test_page(self):
        """The report as HTML: well-formed, a histogram of each series whose bars add up."""
        self.configure()
        report = self.folder / "report.html"
        code, out, err = self.certify("--seconds", "0.5", "--report", str(report))
        self.assertIn(code, (0, 1), err)
        text = report.read_text()
        page = xml.etree.ElementTree.fromstring(
            text.replace("<!DOCTYPE html>", "").replace('<meta charset="utf-8">', ""))
        pictures = list(page.iter("svg"))
        self.assertEqual(len(pictures), len(out["series"]))
        for picture, series in zip(pictures, out["series"], strict=True):
            numbers = [t.text for t in picture.iter("text") if t.get("text-anchor") is None]
            self.assertEqual(sum(map(int, numbers)), series["n"])
            self.assertEqual(len(list(picture.iter("rect"))), len(numbers))
        self.assertIn(out["streams"][0]["model_sha256"], text)
        self.assertIn("no medical statement", text)
        rows = page.findall(".//table")[-1].findall("tr")
        self.assertEqual(len(rows), len(out["findings"]) + 1)

    def test_encrypted(self):
        subprocess.run([BIN / "latentctl", "keys", self.folder / "d"], check=True,
                       stdout=subprocess.DEVNULL)
        self.configure(f"secret-key = {self.folder}/d_secret", input="tcp://127.0.0.1:45570",
                       output="tcp://127.0.0.1:45571")
        with self.config.open("a") as f:
            f.write(f"[client one]\npublic-key = {self.folder}/d\nroles = source consumer\n")
        code, out, err = self.certify("--seconds", "0.5")
        self.assertIn(code, (0, 1), err)
        self.assertTrue(out["series"][-1]["name"].endswith("tcp, encrypted"))
        self.assertGreater(out["series"][-1]["n"], 0)

    def stall(self, stage, pid_of):
        """Stop a process while a stage is measured; -> the certificate."""
        process = self.start("--seconds", "2")
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.stdout.close)
        for line in process.stderr:
            if stage in line:
                break
        time.sleep(1)
        pid = pid_of(process)
        os.kill(pid, signal.SIGSTOP)
        time.sleep(STALL_S)
        os.kill(pid, signal.SIGCONT)
        out = json.loads(process.stdout.read())
        process.wait(rig.WAIT_S)
        self.assertEqual((process.returncode, out["certified"]), (1, False))
        return out

    def test_stalled_machine(self):
        """Everything stands still for a moment: the wake test fails, and is named first."""
        self.configure()
        out = self.stall("wake", lambda process: process.pid)
        self.assertEqual(out["failed"], "wake")
        self.assertGreaterEqual(out["series"][0]["max_ms"], (STALL_S * 1e3 - 20) * 0.9)

    def test_stalled_daemon(self):
        """Only latentd stands still: the way from end to end fails."""
        self.configure()
        out = self.stall("waits for a receiver", self.child_of)
        n_late = (STALL_S * 1e3 - BUDGET_MS) / out["streams"][0]["bin_ms"]
        self.assertEqual(out["series"][-1]["verdict"], "fail")
        self.assertGreaterEqual(out["series"][-1]["missed"], int(n_late) - 1)

    @staticmethod
    def child_of(process):
        tasks = pathlib.Path(f"/proc/{process.pid}/task")
        return next(int(pid) for task in tasks.iterdir()
                    for pid in (task / "children").read_text().split())


class Refused(Case):
    def test_mistakes(self):
        self.configure(nonsense=1)
        code, out, err = self.certify("--seconds", "1")
        self.assertEqual((code, out), (2, None))
        self.assertIn("nonsense", err)
        self.assertEqual(len(err.splitlines()), 1)
        self.configure(model=self.folder / "none.safetensors")
        code, out, err = self.certify("--seconds", "1")
        self.assertEqual((code, out), (2, None))
        self.assertIn("none.safetensors", err)

    def test_signal(self):
        """Ends at once, leaves no process and no folder, and gives no verdict."""
        self.configure()
        process = self.start("--seconds", "60", "--load")
        for line in process.stderr:
            if "wake" in line:
                break
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=rig.WAIT_S)
        self.assertEqual((process.returncode, out), (2, ""))
        self.assertIn("signal", err)
        self.assertEqual(list(self.folder.glob("latent-certify-*")), [])


if __name__ == "__main__":
    unittest.main()
