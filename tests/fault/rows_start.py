"""Faults at the start: what latentd must refuse, and how it says so."""
import json
import struct

import chain
from table import row


def parts_of(data):
    """A safetensors file: (header, bytes of the tensors)."""
    n = struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8:8 + n]), data[8 + n:]


def joined(header, tensors):
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + tensors


def with_value(data, tensor, i, value):
    """The file with one value of a tensor replaced."""
    header, tensors = parts_of(data)
    new = struct.pack({"F32": "<f", "F64": "<d"}[header[tensor]["dtype"]], value)
    begin = header[tensor]["data_offsets"][0] + i * len(new)
    return joined(header, tensors[:begin] + new + tensors[begin + len(new):])


def overlapping(data):
    header, tensors = parts_of(data)
    names = [name for name in header if name != "__metadata__"]
    begin, end = header[names[1]]["data_offsets"]
    header[names[1]]["data_offsets"] = [begin - 4, end - 4]
    return joined(header, tensors)


def without(data, tensor):
    header, tensors = parts_of(data)
    del header[tensor]
    return joined(header, tensors)


DAMAGES = [  # what, how, words of the text
    ("empty", lambda data: b"", ()),
    ("header cut", lambda data: data[:100], ()),
    ("cut by a byte", lambda data: data[:-1], ()),
    ("header length", lambda data: struct.pack("<Q", 2**63) + data[8:], ()),
    ("overlapping offsets", overlapping, ()),
    ("NaN weight", lambda data: with_value(data, "M2", 2, float("nan")), ("M2",)),
    ("hole in the data", lambda data: without(data, "M2"), ('"M1"', "a gap")),
    ("wrong known answer", lambda data: with_value(data, "selftest.causal.readout", 0, 123456.0),
     ("readout", "123456")),
    ("wrong weight", lambda data: with_value(data, "M1", 0, 123456.0), ("selftest",)),
]


@row("damaged model", "the model file is cut, its offsets overlap, a weight is NaN or changed, its "
     "known answer is wrong", "refused at start with exit 1; the text names file, line and what "
     "is wrong; mended, it starts")
def damaged_model(run):
    with chain.Chain(run.seed) as c:
        model = c.folder / "model.safetensors"
        good = model.read_bytes()
        for what, damage, words in DAMAGES:
            model.write_bytes(damage(good))
            check_refused(c, what, 1, [f"{c.rig.config}:", "model: ", *words])
        for n in range(0, len(good), run.pick(97, 1)):
            model.write_bytes(good[:n])
            check_refused(c, f"cut to {n} bytes", 1, [f"{c.rig.config}:", "model: "])
        model.write_bytes(good)
        c.start()
        c.feed(1)
    return f"{len(DAMAGES)} kinds of damage, {len(range(0, len(good), run.pick(97, 1)))} cuts"


def check_refused(c, what, code, words):
    found, out, err = c.rig.run_to_end(c.rig.config)
    if (found, out) != (code, "") or any(word not in err for word in words):
        raise AssertionError(f"{what}: exit {found}, said {err!r}; expected exit {code}, {words}")


MISTAKES = [  # lines of [stream arm], words of the text beside file and line
    ("buget-ms = 1", ("buget-ms", "nearest: budget-ms")),
    ("budget-ms = soon", ("budget-ms", "'soon'", "milliseconds")),
    ("budget-ms = 0x10", ("budget-ms", "'0x10'", "milliseconds")),
    ("on-gap = predikt", ("on-gap", "'predikt'", "allowed: auto, predict", "nearest: predict")),
    ("input = inproc://x", ("input", "'inproc://x'", "tcp://HOST:PORT")),
    ("output = tcp://192.0.2.1:5", ("output", "plaintext = anywhere")),
    ("mode = casual", ("mode", "'casual'", "it allows: causal")),
    ("outputs = rates", ("outputs", "the model gives no rates")),
    ("just words", ("'just words'", "key = value")),
]


@row("bad configuration", "unknown keys, values that are none, endpoints that cannot be, what the "
     "model does not have", "refused at start with exit 2; the text says file, line, key, what is "
     "allowed, the nearest known word")
def bad_configuration(run):
    with chain.Chain(run.seed) as c:
        head = f"[latentd]\ncontrol = {c.rig.control}\n[stream arm]\nmodel = model.safetensors\n"
        for line, words in MISTAKES:
            c.rig.config.write_text(head + line + "\n")
            check_refused(c, line, 2, [f"{c.rig.config}:5: ", *words])
    return f"{len(MISTAKES)} mistakes"


