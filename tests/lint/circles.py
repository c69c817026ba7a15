#!/usr/bin/python3
"""Circle lint: no two source files use each other, directly or round a corner.

What a file uses is read from its object file: a symbol it lacks and another one defines. So a
header that only lends its types is no use of its source file, and a table of functions is one."""
import argparse
import json
import pathlib
import re
import subprocess
import sys

FOLDERS = ("core", "proto", "daemon")
SKIPS = 77


def objects(build):
    """The object files of the product; not those of the tests, nor those of sources that are gone,
    which a build leaves behind."""
    paths = sorted(path for folder in FOLDERS for path in (build / folder).rglob("*.o"))
    commands = build / "compile_commands.json"
    if not commands.exists():
        return paths
    made = {build / re.search(r" -o (\S+)", entry["command"])[1]
            for entry in json.loads(commands.read_text(encoding="utf-8"))}
    return [path for path in paths if path in made]


def symbols(path):
    """(defined, undefined) names of an object file."""
    said = subprocess.run(["nm", "-P", path], capture_output=True, text=True, check=True).stdout
    defined, undefined = set(), set()
    for line in said.splitlines():
        name, kind = line.split()[:2]
        if kind == "U":
            undefined.add(name)
        elif kind.isupper():
            defined.add(name)
    return defined, undefined


def short(build, path):
    """daemon/lib/line/line.c of build/daemon/lib/line/CMakeFiles/latent-line.dir/line.c.o."""
    parts = [part for part in path.relative_to(build).parts
             if part != "CMakeFiles" and not part.endswith(".dir")]
    return "/".join(parts).removesuffix(".o")


def graph_of(build):
    """Which files each file uses, and one symbol for it: {file: {file: symbol}}."""
    table = {short(build, path): symbols(path) for path in objects(build)}
    owner = {name: path for path, (defined, _) in table.items() for name in defined
             if name != "main"}
    return {path: {owner[name]: name for name in sorted(undefined)
                   if name in owner and owner[name] != path}
            for path, (_, undefined) in table.items()}


def way(graph, start, end):
    """The shortest way from start to end along uses, None when there is none."""
    before, waiting = {start: None}, [start]
    for path in waiting:
        for target in graph.get(path, ()):
            if target not in before:
                before[target] = path
                waiting.append(target)
    if end not in before:
        return None
    steps = [end]
    while before[steps[-1]] is not None:
        steps.append(before[steps[-1]])
    return steps[::-1]


def circles(graph):
    """Every circle once, as its files in the order in which they use each other."""
    found = {}
    for path, uses in sorted(graph.items()):
        for target in uses:
            back = way(graph, target, path)
            if back:
                found.setdefault(frozenset(back), back)
    return list(found.values())


def tell(graph, circle):
    turns = zip(circle, circle[1:] + circle[:1])
    return ", ".join(f"{a} uses {graph[a][b]} of {b}" for a, b in turns)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("build", type=pathlib.Path, help="a build folder")
    graph = graph_of(parser.parse_args().build.resolve())
    if not graph:
        print("SKIP host: no object files")
        sys.exit(SKIPS)
    found = circles(graph)
    for circle in found:
        print(f"{circle[0]}: [circle] {tell(graph, circle)}")
    print(f"{len(graph)} files, {len(found)} circles")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
