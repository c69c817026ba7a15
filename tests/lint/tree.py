#!/usr/bin/python3
"""What the lints share: the files of the tree, C without comments and strings, and reporting."""
import argparse
import pathlib
import re
import sys

SKIPPED_FOLDERS = {"build", "__pycache__", "node_modules"}
KEPT_HIDDEN = {".ci"}
NAME_ENDS = {
    "c": (".c", ".h"),
    "python": (".py",),
    "shell": (".sh", ".ci/run"),
    "cmake": ("CMakeLists.txt", ".cmake"),
    "text": (".c", ".h", ".py", ".sh", ".ci/run", "CMakeLists.txt", ".cmake", ".md", ".txt",
             ".json", ".proto", ".yaml", ".conf", ".service", ".in"),
}
# Comments, strings and character constants of C; what is not wanted becomes blank, lines stay.
C_TOKEN = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.DOTALL)


class Finding:
    """One violation: rule is its short name, line counts from 1 (0: the whole file)."""

    def __init__(self, path, line, rule, text):
        self.path, self.line, self.rule, self.text = str(path), line, rule, text

    def __str__(self):
        return f"{self.path}:{self.line}: [{self.rule}] {self.text}"


def files(root, kind=None):
    """Paths relative to root of all files, or of one kind; no build trees, no hidden folders."""
    ends = NAME_ENDS[kind] if kind else ("",)
    found = []
    for path in sorted(pathlib.Path(root).rglob("*")):
        relative = path.relative_to(root)
        folders = relative.parts[:-1]
        hidden = any(part.startswith(".") and part not in KEPT_HIDDEN for part in folders)
        if hidden or SKIPPED_FOLDERS & set(folders) or not path.is_file():
            continue
        if relative.as_posix().endswith(ends):
            found.append(relative)
    return found


def read(root, path):
    return (pathlib.Path(root) / path).read_text(encoding="utf-8", errors="replace")


def blank(text):
    return re.sub(r"[^\n]", " ", text)


def c_code(text, keep_strings=False):
    """C with comments (and strings, unless kept) blanked out; line numbers stay."""
    def replace(match):
        token = match.group()
        return token if keep_strings and not token.startswith("/") else blank(token)
    return C_TOKEN.sub(replace, text)


def matches(code, pattern):
    """(line number, match) of every match of a compiled pattern."""
    for match in pattern.finditer(code):
        yield code.count("\n", 0, match.start()) + 1, match


def run(check, description):
    """The main of a lint: print every finding, exit 1 if there is one."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("root", type=pathlib.Path, help="the source tree")
    root = parser.parse_args().root.resolve()
    findings = check(root)
    for finding in findings:
        print(finding)
    print(f"{len(files(root))} files, {len(findings)} findings")
    sys.exit(1 if findings else 0)
