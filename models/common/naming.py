"""Names of tensors: those an exporter wants, the prefixes that wrappers put before them, and the
--rename line for names that are another's.

A name is words joined by dots; in the names an exporter wants, * stands for any word.
"""
import difflib
import re
import typing

from latent_models.common.refusal import Refusal

# What wrappers put before a name (DataParallel, compile, Lightning, FSDP), and within it.
WRAPPERS = {"module", "model", "net", "network", "_orig_mod", "_module", "_fsdp_wrapped_module",
            "_forward_module"}
WITHIN = ("_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.")
COUNTERS = ("num_batches_tracked", "n_averaged")  # of training alone
SHOWN = 8


class Names(typing.NamedTuple):
    """required: every file has them; optional: known besides. Patterns."""

    required: tuple
    optional: tuple = ()

    @property
    def all(self):
        return self.required + self.optional

    def known(self, name):
        return any(fits(pattern, name) for pattern in self.all)

    def missing(self, tensors):
        """Required patterns that no tensor has."""
        return [p for p in self.required if not any(fits(p, name) for name in tensors)]


def fits(pattern, name):
    return bool(re.fullmatch(r"[^.]+".join(map(re.escape, pattern.split("*"))), name))


def listed(names, n=SHOWN):
    """A few of them, for a text."""
    names = list(names)
    return ", ".join(names[:n]) + (f", ... ({len(names)} in all)" if len(names) > n else "")


def with_dot(prefix):
    return prefix if prefix.endswith((".", "/")) else prefix + "."


def strip(tensors, prefix):
    """The tensors below a prefix, without it."""
    return {name[len(prefix):]: array for name, array in tensors.items()
            if name.startswith(prefix) and len(name) > len(prefix)}


def drop_counters(tensors, names):
    return {name: array for name, array in tensors.items()
            if names.known(name) or name.rsplit(".", 1)[-1] not in COUNTERS}


def drop_within(tensors, path):
    """-> (tensors by names without the wrappers that stand inside them, those wrappers)."""
    plain, words = {}, [word for word in WITHIN if any(word in name for name in tensors)]
    for name, array in tensors.items():
        for word in words:
            name = name.replace(word, "")
        if name in plain:
            raise Refusal(f"{path}: two tensors are {name} once {' '.join(words)} is left out; "
                          f"choose with --prefix")
        plain[name] = array
    return plain, words


def drop_shared(tensors, names, sources):
    """-> (tensors without the words that all their names begin with, those words). A word goes as
    long as no name is known yet (nor one of sources, which --rename will change), and where a
    known name comes of it, or it is a wrapper's."""
    def is_found(left):
        return any(names.known(name) or name.startswith(tuple(sources)) for name in left)

    left, words, wrapped = tensors, [], (tensors, [])
    while left and not is_found(left):
        heads = {name.partition(".")[0] for name in left}
        if len(heads) != 1 or any("." not in name for name in left):
            return wrapped
        word = heads.pop()
        left, words = strip(left, word + "."), [*words, word]
        if wrapped[1] == words[:-1] and word in WRAPPERS:
            wrapped = (left, words)
    return (left, words) if left else wrapped


def rename(tensors, path, pairs):
    """--rename A=B: the tensor A, or all below the prefix A, is B's."""
    for old, new in pairs:
        moved = {name: new + name[len(old):] for name in tensors
                 if name == old or name.startswith(old + ".")}
        if not moved:
            raise Refusal(f"{path}: --rename {old}={new}: no tensor {old} or {old}.*; it has "
                          f"{listed(sorted(tensors))}")
        taken = sorted(set(moved.values()) & (set(tensors) - set(moved)))
        if taken:
            raise Refusal(f"{path}: --rename {old}={new}: {taken[0]} is there already")
        tensors = {moved.get(name, name): array for name, array in tensors.items()}
    return tensors


def settle(checkpoint, names, prefix=None, pairs=()):
    """The checkpoint's tensors by the names that are wanted, as far as prefixes and --rename tell;
    notes of what was done."""
    path, tensors = checkpoint.path, checkpoint.tensors
    if prefix:
        chosen = checkpoint.below(with_dot(prefix))
        if not chosen:
            raise Refusal(f"{path}: --prefix {prefix}: no tensor's name begins with "
                          f"{with_dot(prefix)}; it has {listed(sorted(tensors))}")
        checkpoint.notes.append(f"only what is below {with_dot(prefix)} ({len(chosen)} tensors)")
        tensors = chosen
    tensors, within = drop_within(drop_counters(tensors, names), path)
    tensors, words = drop_shared(tensors, names, [old for old, _ in pairs])
    if words:
        checkpoint.notes.append(f"without the prefix {'.'.join(words)}.")
    checkpoint.notes.extend(f"without {word} in names" for word in within)
    checkpoint.tensors = rename(tensors, path, pairs)
    checkpoint.notes.extend(f"{old} as {new}" for old, new in pairs)


def check(path, tensors, names, what):
    """Refuse a file that lacks what every such file has, and what reads the future."""
    missing = names.missing(tensors)
    if missing:
        raise Refusal(f"{path}: tensor {missing[0]} is missing: not {what}? "
                      f"{advice(tensors, names)}")
    check_causal(path, tensors, names)


def check_causal(path, tensors, names):
    """A layer that reads backwards, where the architecture has none."""
    for name in tensors:
        if re.search(r"_l\d+_reverse$", name) and not any(n.endswith("reverse") for n in names.all):
            raise Refusal(f"{path}: tensor {name}: a bidirectional layer reads the future: it is "
                          f"not causal and cannot run bin by bin; train it with "
                          f"bidirectional=False")


def advice(tensors, names):
    """Found and wanted names, and what to copy when they are only called otherwise."""
    wanted = dict.fromkeys(re.sub(r"\d+", "*", name) for name in names.all)
    text = f"It has {listed(sorted(tensors), 16)}; wanted: {listed(wanted, 24)}"
    below = prefix_of(tensors, names)
    if below:
        return f"{text}; the names are there below a prefix: --prefix {below}"
    found = renames_for(tensors, names)
    if not found:
        return f"{text}; --rename A=B takes another name"
    line = " ".join(f"--rename {old}={new[0]}" for old, new in found)
    others = "; ".join(f"or {old}={'|'.join(new[1:4])}" for old, new in found if len(new) > 1)
    return f"{text}; if only the names differ: {line}{f' ({others})' if others else ''}"


def prefix_of(tensors, names):
    """A prefix below which everything that is required stands; None: there is none."""
    if not names.required:
        return None
    first = names.required[0]
    for name in sorted(tensors):
        parts = name.split(".")
        for i in range(1, len(parts)):
            prefix = ".".join(parts[:i]) + "."
            if fits(first, ".".join(parts[i:])) and not names.missing(strip(tensors, prefix)):
                return prefix
    return None


def heads_of(name, pattern):
    """What is left of a name and a pattern before their longest common end; None: no such end, or
    nothing before it that could be renamed."""
    parts, words = name.split("."), pattern.split(".")
    n = 0
    while n < min(len(parts), len(words)) and fits(words[-1 - n], parts[-1 - n]):
        n += 1
    n = min(n, len(words) - 1)
    old, new = ".".join(parts[:len(parts) - n]), ".".join(words[:len(words) - n])
    if not n or "*" in new:
        return None
    return (old, new) if old else (name, f"{new}.{name}")


def renames_for(tensors, names):
    """[(found prefix, [wanted prefixes, the likeliest first])] that would make names known."""
    strange = [name for name in tensors if not names.known(name)]
    taken, missing, options = {n for n in tensors if names.known(n)}, names.missing(tensors), {}
    for name in strange:
        for old, new in filter(None, (heads_of(name, pattern) for pattern in names.all)):
            below = [n for n in strange if n == old or n.startswith(old + ".")]
            moved = [new + n[len(old):] for n in below]
            if all(map(names.known, moved)) and not taken & set(moved):
                needed = sum(any(fits(p, n) for n in moved) for p in missing)
                options.setdefault(old, {})[new] = (needed, len(moved))
    chosen = []
    for old in sorted(options, key=lambda o: (-max(options[o].values())[1], o)):
        used = {new[0] for _, new in chosen}
        new = [n for n in options[old] if n not in used]
        if not new or any(old.startswith(before + ".") for before, _ in chosen):
            continue
        last = old.rsplit(".", 1)[-1]
        chosen.append((old, sorted(new, key=lambda n: (
            -options[old][n][0], n != "readout",
            -difflib.SequenceMatcher(None, last, n).ratio()))))
    return chosen


def zero_biases(tensors, expected):
    """Names of expected biases that are missing since their layers were made with bias=False: the
    weights are there, and none of the layers that differ by a number alone has a bias. A model's
    own offset is no layer's."""
    def layer(name):
        return re.sub(r"\d+", "*", name.rpartition(".")[0])

    def is_bias(name):
        return "bias" in name.rpartition(".")[2]

    beside, having = set(map(layer, tensors)), {
        layer(name) for name in tensors if is_bias(name) or name.endswith("running_mean")}
    return [name for name in expected if is_bias(name) and name not in tensors and layer(name)
            and layer(name) in beside - having]
