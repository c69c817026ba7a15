#!/usr/bin/python3
"""Layering lint: the folder tree is the dependency graph.

Inside core a folder includes only itself and those above it in LAYERS. proto sees latent.h of
core, daemon sees latent.h and what proto gives, tests/bench sees latent.h, the line, the wire and
the keys.
Programs do not include each other."""
import pathlib
import re

import tree

LAYERS = ("base", "kernels", "layers", "models", "decode")
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
PUBLIC = {"proto": {"latent.h", "latent.pb-c.h"},
          "daemon": {"latent.h", "wire.h", "client.h", "latent.pb-c.h"},
          "bench": {"keys/curve.h", "latent.h", "line/pipeline.h", "wire.h"}}


def includes(root, path):
    """(line, "<" or quote, name) of every include of a file."""
    code = tree.c_code(tree.read(root, path), keep_strings=True)
    for line, match in tree.matches(code, INCLUDE):
        yield line, match.group(1), match.group(2)


def core_target(root, path, name):
    """The core folder that an include in core reaches, "include" for latent.h, None when none."""
    if name == "latent.h":
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


def check_outside(root, path, line, name, area, folder):
    """A quoted include outside core: a public header of that area, or one of its own folder."""
    if name in PUBLIC[area]:
        return None
    own = [folder / name, path.parent / name]
    if not any((root / candidate).is_file() for candidate in own):
        return tree.Finding(path, line, f"{area}-headers",
                            f'"{name}" is neither of {folder} nor one of {sorted(PUBLIC[area])}')
    target = next(candidate for candidate in own if (root / candidate).is_file())
    if area == "daemon" and is_program(root, target.parent) and target.parent != path.parent:
        return tree.Finding(path, line, "daemon-programs",
                            f'"{name}" belongs to another program; shared code goes to a library')
    return None


def is_program(root, folder):
    """A folder of daemon that holds a main function is a program's own."""
    main = re.compile(r"^int\s+main\(", re.MULTILINE)
    sources = (root / folder).glob("*.c") if len(folder.parts) > 1 else ()
    return folder.parts[0] == "daemon" and any(main.search(s.read_text()) for s in sources)


def area_of(path):
    """Which rules a file outside core obeys: (area, its folder), or None."""
    if path.parts[0] in ("proto", "daemon"):
        return path.parts[0], pathlib.Path(path.parts[0])
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
        elif area and kind == '"':
            yield check_outside(root, path, line, name, *area)


def check(root):
    """All findings of the tree."""
    root = pathlib.Path(root)
    return [finding for path in tree.files(root, "c")
            for finding in check_file(root, path) if finding]


if __name__ == "__main__":
    tree.run(check, __doc__)
