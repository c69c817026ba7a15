#!/usr/bin/python3
"""Style lint: the house rules that a machine can hold; tests/lint/README.md lists them."""
import ast
import hashlib
import pathlib
import re
import statistics

import tree

COLUMNS = {"c": 100, "python": 100, "shell": 120}
MAX_FILE_LINES = 500
MAX_FUNCTION_LINES = 50
P90_FUNCTION_LINES = 40
MAX_POSITIONAL = 5
MAX_FILE_BYTES = 2 * 1024 * 1024

# Unfinished work is not landed; spelled in halves so that this file passes its own rule.
UNFINISHED = re.compile(r"\b(" + "|".join(("TO" "DO", "FIX" "ME", "X" "XX", "HA" "CK")) + r")\b")
# Words of one workplace (its tools, its paths) mean nothing to a stranger. Kept as SHA-256, cut.
WORKPLACE = {
    "0c9a453f": "a path of one machine", "8cf10d1b": "a tool of one workplace",
    "014c777f": "a paper of one workplace",
}
WORD = re.compile(r"/?[A-Za-z0-9_.-]+")

PRINTS = re.compile(
    r"\b(printf|fprintf|vprintf|vfprintf|puts|fputs|putchar|fputc|perror|syslog)\s*\(")
ENDS = re.compile(r"\b(exit|_exit|abort|quick_exit|raise|kill)\s*\(")
HEAP = re.compile(
    r"\b(malloc|calloc|realloc|aligned_alloc|posix_memalign|strdup|strndup|asprintf)\s*\(")
CLOCKS = re.compile(
    r"\b(clock_gettime|clock_nanosleep|gettimeofday|timespec_get|time|clock|nanosleep|usleep|sleep|"
    r"timerfd_\w+|uv_hrtime|uv_now|__rdtscp?|_rdtsc)\s*\(")
# The arena itself, the file reader below it, and the handles that own an arena.
HEAP_FILES = ("core/base/arena.c", "core/base/safetensors.c", "core/decode/decoder.c",
              "core/decode/model_file.c")
BLAS = re.compile(r"\b(cblas_\w+|openblas_\w+)\b|cblas\.h[>\"]")
UNSAFE = re.compile(
    r"\b(strcpy|strcat|sprintf|vsprintf|gets|strtok|atoi|atof|system|alloca)\s*\(")
EXAMPLES = ("core/examples/decode.c", "proto/examples/cursor.c")
# Rules on code: name, pattern, folder it holds in, files excepted, what to say.
CODE_RULES = (
    ("core-prints", PRINTS, "core/", EXAMPLES,
     "core prints nothing; errors go to struct latent_error"),
    ("core-ends", ENDS, "core/", (), "core never ends the process; return a code"),
    ("core-heap", HEAP, "core/", HEAP_FILES, "memory of core comes from core/base/arena.h"),
    ("core-clock", CLOCKS, "core/", (), "core reads no clock; time arrives in the bin"),
    ("core-blas", BLAS, "core/", ("core/kernels/blas.c",), "only kernels/blas.c reaches OpenBLAS"),
    ("exit-outside-main", ENDS, "proto/", EXAMPLES, "only main() ends a program"),
    ("unsafe", UNSAFE, "", (), "unbounded or unchecked; use the bounded form"),
)
FAST_MATH = re.compile(r"-ffast-math|-Ofast|-funsafe-math-optimizations|-ffinite-math-only")
NOQA = re.compile(r"#\s*no" r"qa(?!: [A-Z]+[0-9]+\b)", re.IGNORECASE)
ENV_PYTHON = re.compile(r"\A#!.*\benv\s+python")


def line_findings(path, text, columns):
    """Tabs, trailing space, long lines, unfinished work, in any text file."""
    for number, line in enumerate(text.split("\n"), 1):
        if "\t" in line:
            yield tree.Finding(path, number, "tab", "tab; indent with spaces")
        if line != line.rstrip():
            yield tree.Finding(path, number, "trailing-space", "space at the end of the line")
        if columns and len(line) > columns:
            yield tree.Finding(path, number, "columns", f"{len(line)} columns, at most {columns}")
        if UNFINISHED.search(line):
            yield tree.Finding(path, number, "unfinished", UNFINISHED.search(line).group())
        yield from workplace_findings(path, number, line)


def workplace_findings(path, number, line):
    for match in WORD.finditer(line):
        before = line[max(match.start() - 1, 0)]
        if match.group().startswith("/") and match.start() and re.match(r"[\w.)}\]~-]", before):
            continue  # the middle of a relative path
        digest = hashlib.sha256(match.group().lower().encode()).hexdigest()[:8]
        if digest in WORKPLACE:
            yield tree.Finding(path, number, "workplace", f"{match.group()}: {WORKPLACE[digest]}")


def c_functions(code):
    """(first line, number of lines) of every function: from its opening brace in column 0."""
    start = None
    lines = code.split("\n")
    for number, line in enumerate(lines, 1):
        opens = line.rstrip() == "{" or re.match(r"[A-Za-z].*\)\s*\{\s*$", line)
        if start is None and opens:
            start = number
        elif start is not None and line.startswith("}"):
            yield start, number - start + 1
            start = None


def python_functions(text):
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.lineno, node.end_lineno - node.lineno + 1


def python_findings(path, text):
    """Calls that nobody can read, and ways around names of packages."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            names = [a.arg for a in node.args.posonlyargs + node.args.args]
            n_positional = len(names) - (names[:1] in (["self"], ["cls"]))
            if n_positional > MAX_POSITIONAL:
                yield tree.Finding(path, node.lineno, "python-positional",
                                   f"{node.name}: {n_positional} parameters by position, at most "
                                   f"{MAX_POSITIONAL}; the others behind a *")
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "sys.path":
            yield tree.Finding(path, node.lineno, "python-sys-path",
                               "packages are imported by name (tests/README.md: PYTHONPATH)")
    for number, line in enumerate(text.split("\n"), 1):
        if NOQA.search(line):
            yield tree.Finding(path, number, "python-noqa", "name the one warning that is meant")


def size_findings(path, text, functions):
    n_lines = text.count("\n")
    if n_lines > MAX_FILE_LINES:
        yield tree.Finding(path, 0, "file-lines", f"{n_lines} lines, at most {MAX_FILE_LINES}")
    for line, length in functions:
        if length > MAX_FUNCTION_LINES:
            yield tree.Finding(path, line, "function-lines",
                               f"{length} lines, at most {MAX_FUNCTION_LINES}")


def code_findings(path, code):
    """Rules on C without its comments and strings."""
    for rule, pattern, prefix, excepted, text in CODE_RULES:
        name = path.as_posix()
        if not name.startswith(prefix) or name in excepted:
            continue
        for line, match in tree.matches(code, pattern):
            yield tree.Finding(path, line, rule, f"{match.group().strip()}: {text}")


def check_c(root):
    lengths = []
    for path in tree.files(root, "c"):
        text = tree.read(root, path)
        code = tree.c_code(text)
        functions = list(c_functions(code))
        lengths += [length for _, length in functions]
        yield from size_findings(path, text, functions)
        yield from code_findings(path, code)
        if not text.startswith("/*"):
            yield tree.Finding(path, 1, "purpose", "open with a comment: what the file is for")
    if len(lengths) >= 10:
        p90 = statistics.quantiles(lengths, n=10)[-1]
        if p90 > P90_FUNCTION_LINES:
            yield tree.Finding("(all C)", 0, "function-p90", f"one function in ten is longer "
                               f"than {p90:.0f} lines, at most {P90_FUNCTION_LINES}")


def check_scripts(root):
    for path in tree.files(root, "python"):
        text = tree.read(root, path)
        try:
            functions = list(python_functions(text))
        except SyntaxError as error:
            yield tree.Finding(path, error.lineno or 0, "python-syntax", str(error.msg))
            continue
        yield from size_findings(path, text, functions)
        yield from python_findings(path, text)
        if ENV_PYTHON.match(text):
            yield tree.Finding(path, 1, "python-path", "scripts say /usr/bin/python3")
    for path in tree.files(root, "shell"):
        yield from size_findings(path, tree.read(root, path), ())


def check_text(root):
    columns = {path: COLUMNS[kind] for kind in COLUMNS for path in tree.files(root, kind)}
    for path in tree.files(root, "text"):
        if path.name != "LICENSE":
            yield from line_findings(path, tree.read(root, path), columns.get(path))
    for path in tree.files(root, "cmake"):
        for line, match in tree.matches(tree.read(root, path), FAST_MATH):
            yield tree.Finding(path, line, "fast-math", f"{match.group()} removes checks for NaN")


def check_folders(root):
    """Every folder, two levels down, says what it is; no file is large."""
    folders = {path.parent for path in tree.files(root)} | {pathlib.Path(".")}
    for folder in sorted(folders):
        if len(folder.parts) > 2 or folder.name in ("include", ".ci"):
            continue
        if not any((root / folder / name).is_file() for name in ("README.md", "card.md")):
            yield tree.Finding(folder, 0, "readme", "no README.md (or, for a model, card.md)")
    for path in tree.files(root):
        n_bytes = (root / path).stat().st_size
        if n_bytes > MAX_FILE_BYTES:
            yield tree.Finding(path, 0, "file-bytes", f"{n_bytes} bytes, at most {MAX_FILE_BYTES}")


def check_e2e_list(root):
    """A test that nobody runs is worthless: every e2e script stands in the list."""
    folder = root / "tests" / "e2e"
    lists = folder / "CMakeLists.txt"
    listed = lists.read_text() if lists.is_file() else ""
    for script in sorted(folder.glob("test_*.py")):
        if not re.search(rf"[\s(]{re.escape(script.name)}\b", listed):
            yield tree.Finding(script.relative_to(root), 0, "e2e-list",
                               "not in tests/e2e/CMakeLists.txt")


def check(root):
    """All findings of the tree."""
    root = pathlib.Path(root)
    checks = (check_c, check_scripts, check_text, check_folders, check_e2e_list)
    return [finding for one in checks for finding in one(root)]


if __name__ == "__main__":
    tree.run(check, __doc__)
