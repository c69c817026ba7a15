#!/usr/bin/python3
"""Format lint: C is laid out as .clang-format says. Comments and strings are their authors'."""
import pathlib
import re
import shutil
import subprocess
import sys

import tree

WARNING = re.compile(r"^(?P<path>[^:\n]+):(?P<line>\d+):\d+: (?:error|warning): code should be",
                     re.MULTILINE)
# A comment that ends alone on a line, though its last words have room for it.
LONE_END = re.compile(r"^[^\n]*[^\s*/][^\n]*\n[ \t]*\*/[ \t]*$", re.MULTILINE)


def clang_format(root, paths):
    """What clang-format says of these files; it reads .clang-format of root."""
    command = ["clang-format", "--dry-run", "-Werror", "--style=file", *map(str, paths)]
    result = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    return result.stderr


def lone_ends(root, path):
    text = tree.read(root, path)
    for match in LONE_END.finditer(text):
        number = text.count("\n", 0, match.end()) + 1
        yield tree.Finding(path, number, "comment-end", "*/ stands alone; it ends the last line")


def layout(root, paths):
    said = clang_format(root, paths) if paths else ""
    for match in WARNING.finditer(said):
        path, line = match.group("path", "line")
        yield tree.Finding(path, int(line), "format",
                           "not as .clang-format says; run clang-format -i on it")


def check(root):
    """All findings of the tree."""
    root = pathlib.Path(root)
    paths = tree.files(root, "c")
    return [*layout(root, paths), *(one for path in paths for one in lone_ends(root, path))]


if __name__ == "__main__":
    if not shutil.which("clang-format"):
        print("SKIP host: no clang-format")
        sys.exit(77)
    tree.run(check, __doc__)
