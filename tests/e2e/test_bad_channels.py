#!/usr/bin/python3
"""Channels that die and shout under a running latentd: said, masked and unmasked by itself, the
operator's word kept, in the record and the same again bit by bit. Bins are a second long and come
as fast as they are taken, so that minutes of signal take none."""
import json
import os
import re
import subprocess
import unittest

import numpy as np

import daemon_rig as rig
import record_rig
from latentd import latent_pb2 as pb

N_CHANNELS, BIN_US, MEAN, VARIANCE = 40, 1000000, 20, 36
MASKED = 1 << 9
RECIPE = {"format": 1, "kind": "lorenz", "seed": 7, "n_channels": N_CHANNELS, "bin_width_ms": 1000,
          "trial_bins": 50, "trials": {"train": 1, "valid": 0, "test": 0},
          "lorenz": {"n_conditions": 8, "sigma": 10, "rho": 28, "beta": 2.6666666666666665,
                     "burn_in_time": 20, "time_per_bin": 0.025, "steps_per_bin": 10},
          "readout": {"mean_counts_per_bin": MEAN, "loading_norm": 0.2}}


class BadChannelsTest(unittest.TestCase):
    def setUp(self):
        self.rig = rig.Rig()
        self.addCleanup(self.rig.close)
        self.recipe = self.rig.folder / "recipe.json"
        self.recipe.write_text(json.dumps(RECIPE))
        self.n_sent = 0

    def start(self, *, n_channels=N_CHANNELS, training=(MEAN, VARIANCE), kind="counts",
              clip=None, **keys):
        """Every run of latent-sim is a source that restarted: nothing came for a millisecond."""
        rig.write_model(self.rig.folder / "model.safetensors", n_channels, bin_us=BIN_US,
                        training=training, kind=kind, has_means=training is not None,
                        clip=clip)
        self.rig.configure({"arm": {"missing_after_ms": 1, "on_silent": "flag", **keys}})
        self.rig.start()

    def simulate(self, seconds, *options):
        """So much of the simulator's signal, looked at by the daemon; -> the status."""
        subprocess.run(
            [rig.BIN / "latent-sim", "--recipe", self.recipe, "--stream", "arm", "--bins",
             f"ipc://{self.rig.folder}/in", "--socket", "push", "--full-speed", "--seconds",
             str(seconds), *options], check=True, capture_output=True, timeout=rig.WAIT_S)
        self.n_sent += seconds
        return self.wait(lambda m: m["n_judged"] + m["n_unseen"] >= self.n_sent)

    def masking(self):
        return self.rig.status()["streams"]["arm"]["masking"]

    def wait(self, condition):
        """-> the status of the mask as soon as the condition holds for it."""
        time_is_left = rig.deadline()
        while time_is_left():
            masking = self.masking()
            if condition(masking):
                return masking
        raise AssertionError(f"{masking}\n{self.rig.log.read_text()}")

    def ctl(self, *words):
        code, out, err = self.rig.ctl("channels", "arm", *words)
        self.assertEqual(code, 0, err)
        return out

    def who(self):
        """Number -> who masked it, or does not, and what it is; of those of whom there is something
        to say."""
        channels = json.loads(self.ctl("--json"))["streams"][0]["channels"]
        return {c["number"]: (c["who"], c["verdict"]) for c in channels if c["who"]}

    def logged(self, what):
        """Of which channels the log says so, in one line or more."""
        found = re.findall(rf"arm: channels ([0-9,]+): {what}", self.rig.log.read_text())
        return {int(number) for text in found for number in text.split(",")}

    # ---- said

    def test_proposed(self):
        self.start()
        masking = self.simulate(250, "--dead", "3,17", "--noisy", "21")
        self.assertEqual(
            [masking[key] for key in ("bad_channels", "judged_by", "n_bad", "n_proposed",
                                      "proposed", "n_auto", "n_masked", "version", "n_judged",
                                      "n_unseen")],
            ["propose", "rate and variance", 3, 3, "3,17,21", 0, 0, 0, 250, 0])
        self.assertEqual(self.who(), {3: ("proposed", "dead"), 17: ("proposed", "dead"),
                                      21: ("proposed", "noisy")})
        rows = {line.split()[0]: line.split() for line in self.ctl().splitlines()
                if line.split()[-1] in ("dead", "noisy")}
        self.assertEqual(sorted(rows), ["17", "21", "3"])
        self.assertEqual(rows["3"][3], "20")  # a second in training
        self.assertLess(float(rows["3"][2]), 1)
        self.assertGreater(float(rows["21"][2]), 300)
        self.assertEqual(self.logged("bad by their training"), {3, 17, 21})
        self.assertIn("--mask \\\n            3,17,21", self.rig.ctl("status")[1])

    def test_the_operator_decides(self):
        """What he masks and unmasks is not proposed; when it was well for a while he is asked
        again."""
        self.start()
        self.simulate(200, "--dead", "3,17")
        self.ctl("--mask", "3,5")
        self.assertEqual(self.who(), {3: ("operator", "dead"), 5: ("operator", "good"),
                                      17: ("proposed", "dead")})
        self.ctl("--unmask", "3")
        self.assertEqual(self.who()[3], ("kept", "dead"))
        self.assertEqual(self.masking()["proposed"], "17")
        self.simulate(200)
        self.assertEqual(self.who(), {5: ("operator", "good")})
        self.assertEqual(self.logged("as in training again"), {3, 17})
        self.assertEqual(self.simulate(200, "--dead", "3")["proposed"], "3")

    # ---- masked by latentd

    def test_masked_and_unmasked(self):
        record = self.rig.folder / "auto.record"
        self.start(bad_channels="auto", mask="30", record=record)
        consumer = self.rig.consumer("arm")
        self.simulate(250, "--dead", "3,30", "--noisy", "21")
        masking = self.wait(lambda m: m["n_auto"] == 2)
        self.assertEqual((masking["masked"], masking["n_bad"], masking["n_proposed"]),
                         ("3,21,30", 3, 0))
        self.assertEqual(self.who(), {3: ("auto", "dead"), 21: ("auto", "noisy"),
                                      30: ("operator", "dead")})
        consumer.frames(250)
        self.simulate(10, "--dead", "3,30", "--noisy", "21")
        self.assertEqual({(f.mask_version, bool(f.flags & MASKED)) for f in consumer.frames(10)},
                         {(3, True)})
        self.simulate(350)
        masking = self.wait(lambda m: m["n_auto"] == 0)
        self.assertEqual((masking["masked"], masking["n_bad"], masking["version"]), ("30", 0, 5))
        self.assertIn("arm: latentd: decoded without 3 of 40 channels: 3,21,30",
                      self.rig.log.read_text())
        self.assertEqual(self.rig.stop(), 0)
        record_rig.check_whole(record)
        rows = record_rig.sql(record, "SELECT what FROM entries WHERE kind = "
                                      "(SELECT code FROM names WHERE name = 'mask')")
        self.assertEqual(rows, [["2"], ["3"], ["4"], ["5"]])

    def test_never_against_the_operator(self):
        self.start(bad_channels="auto")
        self.simulate(200, "--dead", "3,17")
        self.wait(lambda m: m["masked"] == "3,17")
        self.ctl("--unmask", "3")
        self.ctl("--mask", "17")
        self.simulate(20, "--dead", "3,17")
        self.assertEqual(self.who(), {3: ("kept", "dead"), 17: ("operator", "dead")})
        self.assertEqual(self.simulate(300)["masked"], "17")

    def test_a_mask_of_the_file(self):
        """A reload puts the operator's mask in place of his; that of latentd stays."""
        self.start(bad_channels="auto", mask="7")
        self.simulate(200, "--dead", "3")
        self.wait(lambda m: m["masked"] == "3,7")
        for mask, who in (("5", {3: ("auto", "dead"), 5: ("operator", "good")}),
                          ("3", {3: ("operator", "dead")})):
            text = self.rig.config.read_text()
            self.rig.config.write_text(re.sub("^mask = .*", f"mask = {mask}", text, flags=re.M))
            code, _, err = self.rig.ctl("reload")
            self.assertEqual(code, 0, err)
            self.assertEqual(self.who(), who)

    def test_too_many_are_safe(self):
        self.start(bad_channels="auto", safe_exit=3)
        self.simulate(200, "--dead", "20-29")
        masking = self.wait(lambda m: m["n_auto"] == 4)
        self.assertEqual((masking["n_bad"], masking["n_proposed"]), (10, 6))
        self.simulate(200, "--dead", "20-30")
        self.wait(lambda m: m["n_auto"] == 11)
        self.simulate(1)
        self.assertEqual(self.rig.status()["streams"]["arm"]["state"], "safe-masked")

    # ---- by what

    def test_nothing_to_judge_by(self):
        self.start(training=None)
        masking = self.simulate_blind()
        self.assertEqual((masking["judged_by"], masking["n_judged"]),
                         ("nothing: the model file holds no training mean", 0))
        self.assertIn("judged by nothing: the model file holds no training mean", self.ctl())
        self.rig.configure({"arm": {"bad_channels": "auto"}})
        code, _, err = self.rig.ctl("reload")
        self.assertEqual(code, 1)
        self.assertIn("bad-channels of [stream arm]: auto goes by training, and the model", err)
        self.assertEqual(self.masking()["bad_channels"], "propose")
        self.rig.stop()
        code, _, err = self.rig.run_to_end("--check", self.rig.config)
        self.assertEqual(code, 2)
        self.assertIn("bad-channels: auto goes by training, and the model file holds no", err)

    def simulate_blind(self):
        source, consumer = self.rig.source(), self.rig.consumer("arm")
        source.send_multipart([b"arm/bins", rig.pack_bins(0, [[1] * N_CHANNELS],
                                                          bin_width_us=BIN_US)])
        consumer.frames(1)
        return self.masking()

    def test_the_training_of_another_model(self):
        """What was as in training is dead by that of the model that was promoted."""
        self.start()
        self.assertEqual(self.simulate(100)["n_bad"], 0)
        other = rig.write_model(self.rig.folder / "other.safetensors", N_CHANNELS, bin_us=BIN_US,
                                training=(50 * MEAN, VARIANCE))
        for words in (("shadow", "arm", str(other)), ("promote", "arm", "--force")):
            code, _, err = self.rig.ctl(*words)
            self.assertEqual(code, 0, err)
        self.assertEqual(self.simulate(15)["n_bad"], 0)
        self.assertEqual(self.simulate(10)["n_bad"], N_CHANNELS)

    def test_off(self):
        self.start(bad_channels="off")
        masking = self.simulate_blind()
        self.assertEqual((masking["bad_channels"], masking["judged_by"], masking["n_judged"]),
                         ("off", "nothing: bad-channels = off", 0))

    def change(self, mode):
        """By a reload; -> its answer."""
        text = self.rig.config.read_text()
        text = re.sub("^bad-channels = .*", f"bad-channels = {mode}", text, flags=re.M)
        self.rig.config.write_text(text)
        return self.rig.ctl("reload")

    def test_changed_by_reload(self):
        """From off to auto, which masks, and back: nothing is judged, and the mask stays."""
        self.start(bad_channels="off")
        self.simulate_blind()
        self.n_sent = 0
        for mode in ("auto", "off", "propose"):
            self.assertEqual(self.change(mode)[0], 0)
            if mode == "off":
                masking = self.wait(lambda m: m["n_judged"] == 0)
                self.assertEqual((masking["bad_channels"], masking["judged_by"]),
                                 ("off", "nothing: bad-channels = off"))
                self.n_sent = 0
            else:
                self.simulate(200, "--dead", "3")
                masking = self.wait(lambda m: m["masked"] == "3" and m["n_bad"] == 1)
            self.assertEqual((masking["masked"], masking["n_auto"]), ("3", 1))

    def test_rate_alone(self):
        self.start(training=(MEAN, None))
        masking = self.simulate(200, "--dead", "3", "--noisy", "4")
        self.assertEqual((masking["judged_by"], masking["proposed"]), ("rate alone", "3-4"))
        channel = json.loads(self.ctl("--json"))["streams"][0]["channels"][3]
        self.assertEqual((channel["z"], channel["variance_ratio"]), (None, None))

    def send(self, rows, encoding=pb.U8):
        """Bins of this rig's own, one after the other."""
        source = self.rig.source()
        for first in range(0, len(rows), 100):
            source.send_multipart([b"arm/bins", rig.pack_bins(
                first, rows[first:first + 100], bin_width_us=BIN_US, encoding=encoding)])
        return self.wait(lambda m: m["n_judged"] + m["n_unseen"] >= len(rows))

    def test_real(self):
        self.start(training=(0, 4), kind="real")
        rows = np.random.default_rng(1).normal(0, 2, (300, N_CHANNELS))
        rows[:, 2] = 0.5
        rows[:, 7] *= 6
        masking = self.send(rows, pb.F32)
        self.assertEqual((masking["judged_by"], masking["proposed"]), ("variance", "2,7"))
        self.assertEqual(self.who(), {2: ("proposed", "dead"), 7: ("proposed", "noisy")})

    def test_artefacts(self):
        self.start()
        rows = np.random.default_rng(2).poisson(MEAN, (300, N_CHANNELS))
        rows[[40, 100, 101, 200]] = 250
        masking = self.send(rows)
        self.assertEqual((masking["n_artefacts"], masking["n_bad"]), (4, 0))
        self.assertIn("300 bins looked at, 4 of them left out, 0 not seen", self.ctl())

    def test_no_signal(self):
        """Nothing in any channel for minutes makes none of them bad."""
        self.start(bad_channels="auto")
        rows = np.random.default_rng(4).poisson(MEAN, (400, N_CHANNELS))
        rows[50:350] = 0
        masking = self.send(rows)
        self.assertEqual((masking["n_bad"], masking["n_masked"], masking["n_unseen"]), (0, 0, 0))
        self.assertGreater(masking["n_artefacts"], 280)

    def test_too_fast(self):
        """What came too fast to be looked at is counted; the line has it all."""
        self.start()
        rows = np.random.default_rng(3).poisson(MEAN, (20000, N_CHANNELS))
        masking = self.send(rows)
        self.assertEqual(masking["n_judged"] + masking["n_unseen"], 20000)
        if not os.environ.get("LATENT_SANITIZE"):
            self.assertGreater(masking["n_unseen"], 0)
        self.assertEqual(self.rig.status()["streams"]["arm"]["bins"]["decoded"], 20000)

    # ---- shown

    def test_what_a_channel_is_like(self):
        self.start(clip=[100] * N_CHANNELS)
        self.simulate(250, "--dead", "3", "--noisy", "21")
        dead, noisy, well = (json.loads(self.ctl("--json"))["streams"][0]["channels"][c]
                             for c in (3, 21, 22))
        for channel, now, z, ratio, zeros, saturated in (
                (dead, 0, -20 / 6, 0, 1, 0), (noisy, 400, 380 / 6, None, 0, 1),
                (well, MEAN, 0, 1, 0, 0)):
            self.assertAlmostEqual(channel["now"] / (now or 1), 1 if now else 0, delta=0.2)
            self.assertAlmostEqual(channel["z"], z, delta=max(1, abs(z) / 5))
            if ratio is not None:
                self.assertAlmostEqual(channel["variance_ratio"], ratio, delta=0.6)
            self.assertAlmostEqual(channel["zeros"], zeros, delta=0.02)
            self.assertAlmostEqual(channel["saturated"], saturated, delta=0.02)

    def test_tables_of_many(self):
        for n_channels in (96, 192):
            with self.subTest(n_channels=n_channels):
                odd = ",".join(map(str, range(1, n_channels, 2)))
                self.start(n_channels=n_channels, mask=odd, max_masked=60)
                for words, n in ((("channels", "arm"), n_channels // 2),
                                 (("channels", "arm", "--all"), n_channels)):
                    lines = self.rig.ctl(*words)[1].splitlines()
                    self.assertLessEqual(max(map(len, lines)), 80)
                    self.assertEqual(sum(line.split()[1:2] == [f"ch{line.split()[0]}"]
                                         for line in lines), n)
                folded = [line for line in self.rig.ctl("status")[1].splitlines()
                          if line.lstrip().startswith(("1,", "3,")) or line.endswith(",")]
                self.assertGreater(len(folded), 1)
                self.assertLessEqual(max(map(len, folded)), 80)
                self.rig.stop()


if __name__ == "__main__":
    unittest.main()
