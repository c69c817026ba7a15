#!/usr/bin/python3
"""What is read of a file: a file for each row of the table in daemon/lib/data/README.md, read by
latent-decode --bins-only; latent-replay and latent-decode read by the same code."""
import re
import unittest

import h5py
import numpy as np

from tool_case import BIN, SOURCE, Case, random_counts, run

HZ = 30000.0
ROW = re.compile(r"^\| `([a-z-]+)` \|", re.MULTILINE)


def spikes(counts, ticks_per_bin=300):
    """Spike times [n] in ticks and units [n] of counts [time, channels]: one at each bin's start,
    the others behind it; in the order of time."""
    times, units = [], []
    for bin_, channel in zip(*np.nonzero(counts)):
        n = counts[bin_, channel]
        times.extend(bin_ * ticks_per_bin + np.arange(n) * (ticks_per_bin // (n + 1)))
        units.extend([channel] * n)
    order = np.argsort(times, kind="stable")
    return np.array(times)[order], np.array(units)[order]


class Rows(Case):
    """Each row_NAME makes files for the row `NAME` (- for _)."""
    def setUp(self):
        super().setUp()
        self.counts = random_counts(7, 300, 5)
        self.path = self.folder / "r.h5"

    def at(self, name):
        return f"{self.path}:/{name}"

    def put(self, name, data, attributes=None, **options):
        """A dataset of the file, made anew."""
        with h5py.File(self.path, "a") as f:
            if name in f:
                del f[name]
            f.create_dataset(name, data=data, **options).attrs.update(attributes or {})
        return self.at(name)

    def file_says(self, **attributes):
        with h5py.File(self.path, "a") as f:
            f.attrs.update(attributes)

    def bins(self, *arguments):
        out = self.folder / "out.npz"
        text = self.run_ok(BIN / "latent-decode", "--bins-only", *arguments, "--out", out)
        with np.load(out, allow_pickle=False) as arrays:
            return dict(arrays), text

    def refuses(self, text, *arguments):
        with self.subTest(text):
            result = run(BIN / "latent-decode", "--bins-only", *arguments, "--out",
                         self.folder / "none.npz")
            self.assertEqual(result.returncode, 1, result.stdout + result.stderr)
            self.assertEqual(result.stderr.count("\n"), 1)
            self.assertIn(text, result.stderr)
            self.assertFalse((self.folder / "none.npz").exists())

    def put_in(self, data, attributes=None, **options):
        return ("--in", self.put("c", data, attributes, **options), "--bin-ms", "10")

    def same_counts(self, *arguments, counts=None):
        arrays, _ = self.bins(*arguments)
        np.testing.assert_array_equal(arrays["counts"], self.counts if counts is None else counts)
        return arrays

    # ---- types, axes, values ----

    def row_types(self):
        for kind in ("u1", "i2", ">i4", "u8", "f2", "<f4", ">f8"):
            self.same_counts(*self.put_in(self.counts.astype(kind)))
        self.same_counts(*self.put_in(self.counts > 0), counts=self.counts > 0)

    def row_other_types(self):
        self.refuses("found texts", *self.put_in(np.array([[b"a", b"b"]])))
        self.refuses("found records", *self.put_in(np.zeros((3, 2), "i4,i4")))
        kind = h5py.enum_dtype({"left": 0, "right": 1}, "i1")
        self.refuses("found enumerations", *self.put_in(np.zeros((3, 2), kind)))
        self.refuses("found char of MATLAB",
                     *self.put_in(self.counts, {"MATLAB_class": np.bytes_("char")}))

    def row_packing(self):
        for options in ({"compression": "gzip", "shuffle": True}, {"compression": "lzf"},
                        {"compression": "lzf", "shuffle": True, "fletcher32": True}):
            counts = np.repeat(self.counts, 7, 0)
            self.same_counts(*self.put_in(counts, chunks=(64, 5), **options), counts=counts)
        space, kind = h5py.h5s.create_simple((4, 2)), h5py.h5t.NATIVE_INT32
        creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        creation.set_chunk((4, 2))
        creation.set_filter(32015, h5py.h5z.FLAG_OPTIONAL, (1, ))
        with h5py.File(self.path, "a") as f:
            f.attrs["bin_width_ms"] = 10
            h5py.h5d.create(f.id, b"zstd", kind, space, creation)
            f["zstd"][...] = 1
        self.refuses("packed by filter 32015", "--in", self.at("zstd"))

    def row_vector_axes(self):
        times, units = spikes(self.counts)
        arguments = ("--ticks", self.put("t", times[:, None]), "--units",
                     self.put("u", units[None].astype("f8")), "--bin-ms", "10", "--clock-hz",
                     "30000")
        self.same_counts(*arguments)

    def wrong_at(self, value):
        values = self.counts.reshape(3, 100, 5).astype("f8")
        values[2, 30, 4] = value
        return self.put_in(values)

    def row_values(self):
        for value, found in ((-1, "-1"), (0.5, "0.5"), (16777216, "1.67772e+07"), (np.nan, "NaN"),
                             (np.inf, "inf")):
            self.refuses(f"trial 2, bin 30, channel 4: expected a count, whole and from 0 to "
                         f"16777215, found {found}", *self.wrong_at(value))

    def row_real(self):
        values = self.counts.reshape(3, 100, 5) - 0.25
        arrays, _ = self.bins(*self.put_in(values), "--input", "real")
        np.testing.assert_array_equal(arrays["counts"], values.astype("f4"))
        self.assertEqual(str(arrays["input"]), "real")
        for value in (np.nan, -np.inf):
            self.refuses("trial 2, bin 30, channel 4: expected a finite value",
                         *self.wrong_at(value), "--input", "real")

    # ---- bin width, window ----

    def width(self, *options):
        return int(self.bins("--in", self.at("c"), *options)[0]["bin_width_us"])

    def row_bin_width(self):
        self.put("c", self.counts)
        self.assertEqual(self.width("--bin-ms", "20"), 20000)
        self.file_says(bin_width_ms="5.0")
        self.assertEqual((self.width(), self.width("--bin-ms", "5")), (5000, 5000))
        self.put("c", self.counts, {"bin_width_us": 5000})
        self.assertEqual(self.width(), 5000)

    def row_bin_width_conflict(self):
        arguments = self.put_in(self.counts, {"bin_width_ms": 20.0})
        self.refuses("its attribute says bins of 20 ms, --bin-ms says 10: leave --bin-ms out",
                     *arguments)
        self.file_says(bin_width_ms=5.0)
        self.refuses("the dataset's attribute says bins of 20 ms, the file's 5", *arguments[:2])
        self.put("c", self.counts, {"bin_width_ms": 20.0, "bin_width_us": 10000})
        self.refuses("contradict each other", *arguments[:2])
        for value in ("20 ms", [20.0, 20.0], np.nan, -1.0):
            self.put("c", self.counts, {"bin_width_ms": value})
            self.refuses("attribute bin_width_ms: expected", *arguments[:2])

    def row_window(self):
        arguments = self.put_in(self.counts)
        arrays = self.same_counts(*arguments, "--start", "0.5", "--seconds", "1",
                                  counts=self.counts[50:150])
        self.assertEqual(float(arrays["start_s"]), 0.5)
        self.refuses("expected whole bins of 10 ms", *arguments, "--start", "0.505")
        self.refuses("it has 300 bins of 10 ms, 3 s", *arguments, "--start", "2", "--seconds", "2")
        self.refuses("recordings without trials", *self.put_in(self.counts[None]), "--start", "1")

    # ---- times of spikes ----

    def ticks(self, times, units, attributes=None, *options):
        return ("--ticks", self.put("t", times, attributes), "--units", self.put("u", units),
                "--bin-ms", "10", *options)

    def row_clock(self):
        times, units = spikes(self.counts)
        self.same_counts(*self.ticks(times, units, {"clock_hz": HZ}))
        self.same_counts(*self.ticks(times, units, {"unit": "1/30000 s, clock of the rig"}))
        self.same_counts(*self.ticks(times, units, {"unit": "fortnights"}, "--clock-hz", "30000"))
        self.same_counts(*self.ticks(times, units, None, "--clock-hz", "30000"))
        self.file_says(clock_hz=HZ)
        self.same_counts(*self.ticks(times, units))
        self.same_counts(*self.ticks(times / HZ, units, None, "--clock-hz", "1"))
        self.file_says(clock_hz=1.0)
        self.same_counts(*self.ticks(times / HZ * 1000, units, {"unit": "ms"}, "--clock-hz",
                                     "1000"))

    def row_clock_conflict(self):
        times, units = spikes(self.counts)
        self.refuses("give --clock-hz", *self.ticks(times, units))
        self.file_says(clock_hz=1000.0)
        own = self.ticks(times, units, {"clock_hz": HZ})
        self.refuses("the dataset's attribute says a clock of 30000 Hz, the file's 1000", *own)
        self.same_counts(*own, "--clock-hz", "30000")
        self.refuses("--clock-hz says 1000: leave --clock-hz out", *own, "--clock-hz", "1000")
        self.refuses('its unit is "fortnights"', *self.ticks(times, units, {"unit": "fortnights"}))
        self.refuses('its unit is "1/0 s"', *self.ticks(times, units, {"unit": "1/0 s"}))
        self.refuses("its unit says a clock of 1 Hz",
                     *self.ticks(times, units, {"unit": "seconds"}))

    def row_seconds(self):
        """Spikes on every edge of a bin fall into the bins that they fall into as ticks."""
        counts = np.ones((5000, 1), np.uint8)
        times, units = spikes(counts)
        for hz in (1, 1e3, 1e6):
            self.same_counts(*self.ticks(times / HZ * hz, units), "--clock-hz", hz, counts=counts)
        self.refuses("times in seconds need --clock-hz 1",
                     *self.ticks(times / HZ, units, {"clock_hz": HZ}))
        self.refuses("expected a whole tick", *self.ticks(times / HZ, units), "--clock-hz", "30000")

    def row_times(self):
        for value in (np.nan, -1.0, np.inf, 2.0**53):
            self.refuses("value 2: expected a number from 0",
                         *self.ticks([0, 5, value], [0, 0, 1], {"clock_hz": HZ}))

    def row_clock_reset(self):
        times, units = spikes(self.counts)
        order = np.argsort(units, kind="stable")
        self.same_counts(*self.ticks(times[order], units[order], {"clock_hz": HZ}))
        reset = np.where(times >= 45000, times - 45000, times)
        self.refuses("was the clock reset?", *self.ticks(reset, units, {"clock_hz": HZ}))

    def row_units(self):
        for value in (-1, 0.5, 65536, np.nan):
            self.refuses("value 1: expected a whole number from 0 to below 65536",
                         *self.ticks([0, 5], [0, value], {"clock_hz": HZ}))
        self.refuses("below 2, found 2", *self.ticks([0, 5], [0, 2], {"clock_hz": HZ}), "--good",
                     self.put("g", [1, 1]))

    def row_good(self):
        arguments = self.ticks(*spikes(self.counts), {"clock_hz": HZ})
        arrays = self.same_counts(*arguments, "--good", self.put("g", [1, 0, 3, 0, 1]),
                                  counts=self.counts[:, [0, 2, 4]])
        self.assertEqual(arrays["channels"].tolist(), [0, 2, 4])
        self.refuses("value 1: expected a number", *arguments, "--good",
                     self.put("g", [1, np.nan, 1, 1, 1]))
        self.refuses("no unit is good", *arguments, "--good", self.put("g", np.zeros(5)))

    def nwb(self, counts, ends=None):
        times, units = spikes(counts)
        order = np.argsort(units, kind="stable")
        found = np.cumsum(np.bincount(units, minlength=counts.shape[1]))
        self.put("units/spike_times", times[order] / HZ)
        self.put("units/spike_times_index", found.astype("u4") if ends is None else ends)

    def row_nwb_units(self):
        self.counts[:, [1, 4]] = 0
        self.nwb(self.counts)
        self.same_counts("--ticks", self.at("units"), "--bin-ms", "10")
        self.same_counts("--ticks", self.at("units/spike_times"), "--units",
                         "/units/spike_times_index", "--bin-ms", "10", "--clock-hz", "1")

    def row_nwb_index(self):
        for ends, text in (([3, 2, 9], "the last one 9"), (None, "expected an end from")):
            self.nwb(self.counts)
            if ends is None:
                ends = [30, 10, int(self.counts.sum())]
            self.put("units/spike_times_index", ends)
            self.refuses(text, "--ticks", self.at("units"), "--bin-ms", "10")

    # ---- what the file says ----

    def row_scale(self):
        self.same_counts(*self.put_in(self.counts * 2 + 3, {"conversion": 0.5, "offset": -1.5}))
        self.same_counts(*self.put_in(self.counts * 2, {"scale_factor": "0.5"}))
        self.refuses("without conversion", *self.put_in(self.counts, {"offset": 1.0}))
        self.refuses("without scale_factor", *self.put_in(self.counts, {"add_offset": 1.0}))
        self.refuses("channel_conversion",
                     *self.put_in(self.counts, {"channel_conversion": np.ones(5)}))

    def row_fill_value(self):
        self.counts[250, 3] = 99
        for name in ("_FillValue", "missing_value"):
            self.refuses("bin 250, channel 3: expected a count, whole and from 0 to 16777215, "
                         "found NaN", *self.put_in(self.counts, {name: 99}))

    def row_matlab_empty(self):
        self.refuses("an empty array of MATLAB",
                     *self.ticks([1, 0], [1, 0], {"MATLAB_empty": np.uint8(1)}))

    def row_matlab_axes(self):
        trials = self.counts.reshape(3, 100, 5)
        attributes = {"MATLAB_class": np.bytes_("double")}
        for counts in (self.counts, trials):
            turned = self.put_in(np.ascontiguousarray(counts.T), attributes)
            self.refuses("give --transpose", *turned)
            self.same_counts(*turned, "--transpose", counts=counts)
            self.same_counts(*self.put_in(counts, attributes), "--as-stored", counts=counts)
        self.same_counts(*self.put_in(np.ascontiguousarray(self.counts.T)), "--transpose",
                         "--start", "1", counts=self.counts[100:])

    def row_never_written(self):
        with h5py.File(self.path, "w") as f:
            f.attrs["bin_width_ms"] = 10
            f.create_dataset("never", (30, 4), "i4")
            f.create_dataset("chunks", (30, 4), "i4", chunks=(10, 4))[:10] = 1
        self.refuses("was never written", "--in", self.at("never"))
        self.refuses("2 of its 3 chunks were never written", "--in", self.at("chunks"))

    def virtual(self, name, *sources):
        """counts made of (rows, file, dataset, rows there, length there)."""
        layout = h5py.VirtualLayout(self.counts.shape, self.counts.dtype)
        for rows, path, dataset, there, n in sources:
            layout[rows] = h5py.VirtualSource(path, dataset, shape=(n, 5))[there]
        with h5py.File(self.path, "a") as f:
            f.create_virtual_dataset(name, layout)
        return "--in", self.at(name), "--bin-ms", "10"

    def row_virtual(self):
        with h5py.File(self.folder / "a.h5", "w") as f:
            f["c"] = self.counts
            f["short"] = self.counts[:100]
            f.create_dataset("chunks", (300, 5), "u1", chunks=(100, 5))
        first, last, rows = np.s_[:150], np.s_[150:], np.s_[:]
        here = (first, "a.h5", "c", first, 300)
        self.same_counts(*self.virtual("whole", here, (last, "a.h5", "c", last, 300)))
        self.same_counts(*self.virtual("again", (rows, ".", "whole", rows, 300)))
        self.refuses("gone.h5:c is not there",
                     *self.virtual("gone", here, (last, "gone.h5", "c", last, 300)))
        self.refuses("a.h5:none is not there",
                     *self.virtual("none", here, (last, "a.h5", "none", last, 300)))
        self.refuses("sources fill 750 of its 1500 values", *self.virtual("half", here))
        self.refuses("a.h5:short is shorter",
                     *self.virtual("short", here, (last, "a.h5", "short", last, 300)))
        self.refuses("3 of its 3 chunks",
                     *self.virtual("holes", here, (last, "a.h5", "chunks", last, 300)))
        raw = self.folder / "raw"
        raw.write_bytes(self.counts.tobytes())
        arguments = self.put_in(None, shape=(300, 5), dtype="u1", external=[(str(raw), 0, 1500)])
        self.same_counts(*arguments)
        raw.write_bytes(self.counts.tobytes()[:-1])
        self.refuses("is missing or too short", *arguments)

    # ---- behaviour ----

    def velocity(self, n=300):
        t = np.arange(n)
        return np.stack([np.sin(t / 30), np.cos(t / 47)], -1)

    def row_behaviour_bins(self):
        v, c = self.velocity(), self.put_in(self.counts)
        arrays, _ = self.bins(*c, "--behaviour", self.put("v", v), "--start", "1")
        np.testing.assert_array_equal(arrays["behaviour"], v[100:])
        arrays, _ = self.bins(*c, "--behaviour", self.put("v", v[:, 0]))
        np.testing.assert_array_equal(arrays["behaviour"], v[:, :1])
        self.refuses("has 1 x 299 bins, the recording 1 x 300", *c, "--behaviour",
                     self.put("v", v[:-1]))
        c = self.put_in(self.counts.reshape(3, 100, 5))
        arrays, _ = self.bins(*c, "--behaviour", self.put("v", v.reshape(3, 100, 2)))
        np.testing.assert_array_equal(arrays["behaviour"], v.reshape(3, 100, 2))
        self.refuses("bins of trials have no times", *c, "--behaviour", "/v", "--behaviour-hz", "9")

    def sampled(self, times, values, attributes=None):
        return (*self.put_in(self.counts), "--behaviour", self.put("v", values),
                "--behaviour-times", self.put("vt", times, attributes))

    def row_behaviour_times(self):
        """A straight line, sampled at other times: the line at the end of each bin."""
        ends = 0.01 * np.arange(1, 301)
        times = np.arange(0.0, 3.1, 0.007)
        line = np.stack([times, 5 - 2 * times], -1)
        expected = np.stack([ends, 5 - 2 * ends], -1)
        second = ("--behaviour-clock-hz", "1")
        with h5py.File(self.path, "a") as f:
            f["series/data"], f["rated/data"] = line, line * 2
            f["rated/data"].attrs["conversion"] = 0.5
            f["series/timestamps"], f["rated/starting_time"] = times, 0.0
            f["series/timestamps"].attrs["unit"] = "seconds"
            f["rated/starting_time"].attrs["rate"] = 1 / 0.007
        c = self.put_in(self.counts)
        for arguments in ((*self.sampled(times, line), *second),
                          (*c, "--behaviour", self.at("series/data"), "--behaviour-hz", 1 / 0.007),
                          (*c, "--behaviour", self.at("series")),
                          (*c, "--behaviour", self.at("rated"))):
            arrays, _ = self.bins(*arguments)
            np.testing.assert_allclose(arrays["behaviour"], expected, rtol=0, atol=1e-12)
            self.assertTrue(arrays["use"].all())
        self.refuses("expected one for each", *self.sampled(times[1:], line), *second)
        self.refuses("leave --behaviour-times", *c, "--behaviour", self.at("series"),
                     "--behaviour-hz", "9")

    def row_behaviour_clock(self):
        v, ticks = self.velocity(), 300 * np.arange(1, 301)
        for times, attributes, options in (
                (ticks, {"clock_hz": HZ}, ()), (ticks, None, ("--behaviour-clock-hz", "30000")),
                (ticks / HZ, {"units": "s"}, ()),
                (ticks / HZ, None, ("--behaviour-clock-hz", "1"))):
            arrays, _ = self.bins(*self.sampled(times, v, attributes), *options)
            np.testing.assert_array_equal(arrays["behaviour"], v)
        self.refuses("give --behaviour-clock-hz", *self.sampled(ticks, v))
        arguments = ("--behaviour", self.at("v"), "--behaviour-times", "/vt")
        spiked = self.ticks(*spikes(self.counts), {"clock_hz": HZ}, "--seconds", "3")
        np.testing.assert_array_equal(self.bins(*spiked, *arguments)[0]["behaviour"], v)
        self.put("vt", ticks / HZ)
        self.refuses("times in seconds need --behaviour-clock-hz 1", *spiked, *arguments)

    def row_behaviour_order(self):
        times = 0.01 * np.arange(1, 301)
        for back in (1.0, 0.01):
            wrong = times.copy()
            wrong[150:] -= back
            self.refuses("value 150: expected later than the one before it",
                         *self.sampled(wrong, self.velocity(), {"unit": "s"}))

    def row_behaviour_outside(self):
        times, v = 0.01 * np.arange(1, 301), self.velocity()
        arrays, text = self.bins(*self.sampled(times[50:250], v[50:250], {"unit": "s"}))
        expected = np.where((np.arange(300) >= 50) & (np.arange(300) < 250), v.T, np.nan).T
        np.testing.assert_array_equal(arrays["behaviour"], expected)
        np.testing.assert_array_equal(arrays["use"], np.isfinite(expected[:, 0]))
        self.assertIn("of 300 bins 100 are before its first or after its last sample", text)
        part = self.sampled(times[100:200], v[100:200], {"unit": "s"})
        self.refuses("fewer than half of the bins have behaviour", *part)
        arrays, _ = self.bins(*part, "--start", "1", "--seconds", "0.99")
        np.testing.assert_array_equal(arrays["behaviour"][1:], v[101:199])
        self.refuses("no bin has behaviour", *self.sampled(times + 5, v, {"unit": "s"}))

    def row_behaviour_gap(self):
        times, v = 0.01 * np.arange(1, 301), self.velocity()
        kept = np.r_[0:50, 53:100, 200:300]
        arguments = self.sampled(times[kept], v[kept], {"unit": "s"})
        arrays, text = self.bins(*arguments)
        self.assertEqual(np.flatnonzero(~arrays["use"]).tolist(), list(range(100, 200)))
        self.assertTrue(np.isnan(arrays["behaviour"][100:200]).all())
        self.assertIn("100 in gaps longer than 50 ms", text)
        between = v[49] + np.arange(1, 4)[:, None] / 4 * (v[53] - v[49])
        np.testing.assert_allclose(arrays["behaviour"][50:53], between, atol=1e-12)
        arrays, _ = self.bins(*arguments, "--max-gap", "20")
        self.assertEqual(int((~arrays["use"]).sum()), 103)
        self.assertTrue(self.bins(*arguments, "--max-gap", "2000")[0]["use"].all())

    def row_use(self):
        v, use = self.velocity(), np.ones(300)
        use[20:30] = 0
        arrays, _ = self.bins(*self.put_in(self.counts), "--use", self.put("use", use))
        np.testing.assert_array_equal(arrays["use"], use != 0)
        times = 0.01 * np.arange(1, 301) - 0.005
        arrays, _ = self.bins(*self.sampled(times, v, {"unit": "s"}), "--use", "/use")
        np.testing.assert_array_equal(np.flatnonzero(~arrays["use"]), [*range(19, 30), 299])
        self.refuses("no bin is left", *self.put_in(self.counts), "--behaviour", "/v", "--use",
                     self.put("use", np.zeros(300)))
        self.refuses("bin 3: expected a number", *self.put_in(self.counts), "--use",
                     self.put("use", np.where(np.arange(300) == 3, np.nan, 1)))

    def row_behaviour_nan(self):
        v, use = self.velocity(), np.ones(300)
        v[100:110, 1], use[100:110] = np.nan, 0
        arguments = (*self.put_in(self.counts), "--behaviour", self.put("v", v))
        self.refuses("bin 100, column 1: expected a finite value, found NaN", *arguments)
        arrays, _ = self.bins(*arguments, "--use", self.put("use", use))
        np.testing.assert_array_equal(arrays["behaviour"], v)
        self.refuses("bin 100, column 1", *self.sampled(0.01 * np.arange(1, 301), v, {"unit": "s"}))

    def row_split(self):
        for name, index in (("train", [0, 1]), ("valid", [2]), ("test", [3])):
            self.put(f"s/{name}", index)
        arguments = (*self.put_in(self.counts.reshape(5, 60, 5)), "--split", "/s")
        arrays, _ = self.bins(*arguments)
        self.assertEqual([arrays[f"split_{n}"].tolist() for n in ("train", "valid", "test")],
                         [[0, 1], [2], [3]])
        self.put("s/test", [3, 1])
        self.refuses("trial 1 is in train and again in test", *arguments)
        self.put("s/test", [5])
        self.refuses("from 0 to below 5, found 5", *arguments)
        self.put("r", np.full((2, 60, 5), 7.0))
        arrays, _ = self.bins(*arguments[:-2], "--rates", "/r", "--conditions",
                              self.put("k", [0, 1, 1, 0, 0]))
        self.assertEqual((arrays["rates"].shape, arrays["conditions"].tolist()),
                         ((2, 60, 5), [0, 1, 1, 0, 0]))
        self.refuses("below 2, found 2", *arguments[:-2], "--rates", "/r", "--conditions",
                     self.put("k", [0, 1, 2, 0, 0]))

    # ---- the table ----

    def test_each_row(self):
        """The rows of the table and the row_ methods are one list."""
        table = ROW.findall((SOURCE / "daemon/lib/data/README.md").read_text())
        tried = [name[4:].replace("_", "-") for name in dir(self) if name.startswith("row_")]
        self.assertEqual(sorted(table), sorted(tried))
        for name in table:
            with self.subTest(name):
                self.path = self.folder / f"{name}.h5"
                self.counts = random_counts(7, 300, 5)
                getattr(self, "row_" + name.replace("-", "_"))()

    def test_the_other_programs(self):
        """latent-replay and latent-decode with a model say the same."""
        recording = self.put("c", self.counts, {"bin_width_ms": 20.0})
        text = "--bin-ms says 10: leave --bin-ms out"
        for program, arguments in (
                ("latent-replay", ("--stream", "s", "--bins", f"ipc://{self.folder}/none")),
                ("latent-decode", ("--bins-only", "--out", self.folder / "o"))):
            self.refused(program, "--in", recording, "--bin-ms", "10", *arguments, text=text)


if __name__ == "__main__":
    unittest.main(verbosity=2)
