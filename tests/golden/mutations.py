"""Damage for the tests of refusals: bytes, header entries, notes, tensors and options of files and
commands that are sound, drawn by a seed."""
import json
import struct

import numpy as np

ABSURD = (None, True, False, 0, -1, 1, 2, 3.5, 1e308, -1e308, float("nan"), float("inf"),
          2 ** 31, 2 ** 63, 2 ** 70, "", "x", "20 ms", "nan", "\x1b[2J", "a" * 3000, "\0",
          "\u202e", [], [1], ["a", None], [[1, 2], 3], {}, {"a": 1}, {"MODEL": "gru"},
          {"TYPE": []})
WORDS = ("", "x", "0", "-1", "1", "2", "1e9", "1e400", "nan", "inf", "-inf", "0.5",
         "99999999999999", "1,2", ",", "a,b", "a,a", "none", "\x1b[31m", "\u202e", "a" * 3000,
         "/", "/dev/null", "/dev/zero", "/nowhere/x", ":", "x:/y", "-", "--", "--x", "@", "%s",
         "{}", "f32,f32", "int8")
DTYPES = ("f8", "f4", "f2", "i8", "i4", "u1", "?", "i1")


def pick(g, items):
    return items[int(g.integers(len(items)))]


def absurd_tensor(g, array):
    """Another tensor in the place of this one."""
    array = np.asarray(array)
    how = int(g.integers(9))
    if how == 0:
        return array.astype(pick(g, DTYPES))
    if how == 1:
        return np.full_like(array, pick(g, (np.nan, np.inf, 1e30, -1e30, 0)))
    if how == 2:
        return array.reshape(-1)
    if how == 3:
        return np.zeros(pick(g, ((), (0,), (1,), (0, 3), (1, 1), (2, 0, 2), (3, 1, 1, 1))),
                        array.dtype)
    if how == 4:
        return array.T
    if how == 5 and array.ndim:
        return array[:-1]
    if how == 6 and array.ndim:
        return np.concatenate([array, array])
    if how == 7:
        return array * np.float64(pick(g, (1e10, -1, 1e-30)))
    return array[..., None]


def absurd_tensors(g, tensors):
    """One of the tensors missing, doubled, renamed or another."""
    tensors = dict(tensors)
    name, how = pick(g, sorted(tensors)), int(g.integers(8))
    if how == 0:
        del tensors[name]
    elif how == 1:
        tensors[pick(g, ("odd", "", "a" * 300, name + ".weight", "\x1b[1m"))] = tensors[name]
    elif how == 2:
        tensors[pick(g, sorted(tensors))] = tensors[name]
    else:
        tensors[name] = absurd_tensor(g, tensors[name])
    return tensors


def absurd_value(g, value):
    """A JSON value with something in it replaced by something absurd."""
    if isinstance(value, dict) and value and g.random() < 0.8:
        key, value = pick(g, sorted(value)), dict(value)
        if g.random() < 0.2:
            del value[key]
        else:
            value[key] = absurd_value(g, value[key])
        return value
    if isinstance(value, list) and value and g.random() < 0.6:
        value = list(value)
        i = int(g.integers(len(value)))
        value[i] = absurd_value(g, value[i])
        return value
    return pick(g, ABSURD)


def absurd_options(g, options):
    """One option missing, doubled or with another value; or one more, out of the air."""
    options = list(map(str, options))
    how = int(g.integers(4))
    at = int(g.integers(len(options) + 1))
    if how == 0 and at < len(options):
        del options[at]
    elif how == 1 and at < len(options):
        options[at] = pick(g, WORDS)
    else:
        options.insert(at, pick(g, WORDS))
    return options


def damaged_bytes(g, data):
    """Bytes flipped, cut, doubled or overwritten."""
    data, how = bytearray(data), int(g.integers(5))
    if not data:
        return bytes(data)
    at = int(g.integers(min(len(data), pick(g, (16, 200, 4000, len(data))))))
    if how == 0:
        return bytes(data[:at])
    if how == 1:
        n = int(g.integers(1, 64))
        data[at:at + n] = g.bytes(n)
    elif how == 2:
        data[at:at] = g.bytes(int(g.integers(1, 64)))
    elif how == 3:
        del data[at:at + int(g.integers(1, 64))]
    else:
        for _ in range(int(g.integers(1, 8))):
            data[int(g.integers(len(data)))] ^= 1 << int(g.integers(8))
    return bytes(data)


def damaged_header(g, data):
    """A safetensors file with something absurd in its header."""
    n = struct.unpack_from("<Q", data)[0]
    header = json.loads(data[8:8 + n])
    text = json.dumps(absurd_value(g, header)).encode()
    return struct.pack("<Q", len(text)) + text + data[8 + n:]
