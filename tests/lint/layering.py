#!/usr/bin/python3
"""Layering lint: the folder tree is the dependency graph.

Inside core a folder includes only itself and those above it in LAYERS; inside daemon/lib, only
itself and those above it in FLOORS. proto sees latent.h of core, daemon that, latent_bytes.h and
what proto gives, tests/bench sees latent.h, the line, the wire and the keys. A program of daemon
sees the floors and itself, never another program. circles.py holds that files do not use each
other."""
import pathlib
import re

import tree

LAYERS = ("base", "kernels", "layers", "models", "decode")
FLOORS = ("base", "line", "feed", "shadow", "health", "why", "net", "conf", "record", "command",
          "data", "features", "source", "control", "setup", "certify")
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"\n]+)[>"]', re.MULTILINE)
STANDARD = {f"{name}.h" for name in (
    "assert ctype errno float inttypes limits math stdalign stdarg stdatomic stdbool stddef stdint "
    "stdio stdlib string").split()}
# What core may have from outside; the rest (sockets, clocks, threads, HDF5 ...) is the daemon's.
CORE_SYSTEM = {
    "jansson.h": ("core/base/", "core/models/", "core/decode/"),
    "sodium.h": ("core/base/", "core/decode/"),
    "cblas.h": ("core/kernels/blas.c",),
    "openblas-pthread/cblas.h": ("core/kernels/blas.c",),
    "arm_neon.h": ("core/kernels/",),
    "immintrin.h": ("core/kernels/", "core/decode/"),
    "xmmintrin.h": ("core/kernels/", "core/decode/"),
    "cpuid.h": ("core/kernels/",),
    "fcntl.h": ("core/base/safetensors.c",),
    "unistd.h": ("core/base/safetensors.c",),
    "sys/stat.h": ("core/base/safetensors.c",),
}
INCLUDE_FOLDER = ("latent.h", "latent_bytes.h")
PUBLIC = {"proto": {"latent.h", "latent.pb-c.h"},
          "daemon": {"latent.h", "latent_bytes.h", "wire.h", "client.h", "latent.pb-c.h"},
          "bench": {"net/curve.h", "latent.h", "line/line.h", "wire.h"}}


def includes(root, path):
    """(line, "<" or quote, name) of every include of a file."""
    code = tree.c_code(tree.read(root, path), keep_strings=True)
    for line, match in tree.matches(code, INCLUDE):
        yield line, match.group(1), match.group(2)


def core_target(root, path, name):
    """The core folder that an include in core reaches, "include" for its public folder, None when
    none."""
    if name in INCLUDE_FOLDER:
        return "include"
    if (root / "core" / name).is_file():
        return name.split("/")[0]
    if (root / path.parent / name).is_file():
        return path.parts[1]
    return None


def check_core_quoted(root, path, line, name):
    """A quoted include in core: latent.h, or a header of this folder or of one above it."""
    own = path.parts[1]
    target = core_target(root, path, name)
    if target == "include":
        return None
    if target is None:
        return tree.Finding(path, line, "core-outside", f'"{name}" is not a header of core')
    if own not in LAYERS or target not in LAYERS or LAYERS.index(target) > LAYERS.index(own):
        allowed = LAYERS[:LAYERS.index(own) + 1] if own in LAYERS else ()
        return tree.Finding(path, line, "core-layers", f'core/{own} includes "{name}"; allowed: '
                            + ", ".join(("latent.h",) + allowed))
    return None


def check_core_system(path, line, name):
    """A <...> include in core: standard C, or one of the few libraries where they belong."""
    allowed = CORE_SYSTEM.get(name, ())
    if name in STANDARD or any(path.as_posix().startswith(prefix) for prefix in allowed):
        return None
    return tree.Finding(path, line, "core-system",
                        f"<{name}> does not belong here: core is computation only")


def check_outside(root, path, line, name, *, area, folder):
    """A quoted include of proto or tests/bench: a public header, or one of its own folder."""
    own = (root / folder / name, root / path.parent / name)
    if name in PUBLIC[area] or any(candidate.is_file() for candidate in own):
        return None
    return tree.Finding(path, line, f"{area}-headers",
                        f'"{name}" is neither of {folder} nor one of {sorted(PUBLIC[area])}')


def check_daemon(root, path, line, name):
    """A quoted include in daemon: a public header, a floor at or above its own, its program."""
    own = path.parts[2] if path.parts[1] == "lib" else None
    target = name.split("/")[0]
    if name in PUBLIC["daemon"]:
        return None
    if (root / "daemon/lib" / name).is_file():
        if own is None or is_at_or_above(target, own):
            return None
        return tree.Finding(path, line, "daemon-floors",
                            f'daemon/lib/{own} includes "{name}", which stands below it')
    if not (root / "daemon" / name).is_file():
        return tree.Finding(path, line, "daemon-headers",
                            f'"{name}" is neither of daemon nor one of {sorted(PUBLIC["daemon"])}')
    if own is None and target == path.parts[1]:
        return None
    return tree.Finding(path, line, "daemon-programs",
                        f'"{name}" belongs to a program; shared code goes to daemon/lib')


def is_at_or_above(target, own):
    known = target in FLOORS and own in FLOORS
    return known and FLOORS.index(target) <= FLOORS.index(own)


def area_of(path):
    """Which rules a file of proto or tests/bench obeys: (area, its folder), or None."""
    if path.parts[0] == "proto":
        return "proto", pathlib.Path("proto")
    if path.parts[:2] == ("tests", "bench"):
        return "bench", pathlib.Path("tests/bench")
    return None


def check_file(root, path):
    area = area_of(path)
    for line, kind, name in includes(root, path):
        if ".." in name.split("/"):
            yield tree.Finding(path, line, "dotdot", f'"{name}": include from the include roots')
        elif path.parts[0] == "core" and kind == "<":
            yield check_core_system(path, line, name)
        elif path.parts[0] == "core":
            yield check_core_quoted(root, path, line, name)
        elif path.parts[0] == "daemon" and kind == '"':
            yield check_daemon(root, path, line, name)
        elif area and kind == '"':
            yield check_outside(root, path, line, name, area=area[0], folder=area[1])


def check(root):
    """All findings of the tree."""
    root = pathlib.Path(root)
    return [finding for path in tree.files(root, "c")
            for finding in check_file(root, path) if finding]


if __name__ == "__main__":
    tree.run(check, __doc__)
