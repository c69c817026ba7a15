#!/usr/bin/python3
"""Each rule of the lints is fed a tree that breaks it: a lint that cannot fail is worthless.

Every case starts from the same small clean tree: a finding can only come from what it adds."""
import pathlib
import re
import subprocess
import tempfile
import unittest

import circles
import format as layout
import layering
import style

PURPOSE = "/* Part of a tree made to try the lints. */\n"
REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
CLEAN = {
    ".clang-format": (REPOSITORY / ".clang-format").read_text(),
    "README.md": "A tree.\n",
    "core/README.md": "Core.\n",
    "core/include/latent.h": PURPOSE + "#include <stdint.h>\n",
    "core/base/README.md": "Base.\n",
    "core/base/arena.h": PURPOSE,
    "core/base/arena.c": PURPOSE + '#include "base/arena.h"\n#include <stdlib.h>\n'
                                   "void *take(void)\n{\n    return malloc(1);\n}\n",
    "core/kernels/README.md": "Kernels.\n",
    "core/kernels/blas.c": PURPOSE + "#include <cblas.h>\n\n"
                                     "void gemm(void)\n{\n    cblas_sgemm();\n}\n",
    "core/layers/README.md": "Layers.\n",
    "core/layers/layers.h": PURPOSE + '#include "base/arena.h"\n#include "latent.h"\n',
    "proto/README.md": "Wire.\n",
    "proto/wire.h": PURPOSE + '#include "latent.h"\n',
    "daemon/README.md": "Daemon.\n",
    "daemon/lib/README.md": "Floors.\n",
    "daemon/lib/base/text.h": PURPOSE + '#include "latent.h"\n#include "wire.h"\n#include <uv.h>\n',
    "daemon/lib/line/ledger.h": PURPOSE + '#include "base/text.h"\n',
    "daemon/latentd/README.md": "The daemon.\n",
    "daemon/latentd/loop.h": PURPOSE,
    "daemon/latentd/main.c": PURPOSE + '#include "latentd/loop.h"\n#include "line/ledger.h"\n'
                                       "int main(void)\n{\n    return 0;\n}\n",
    "tests/README.md": "Tests.\n",
    "tests/e2e/README.md": "Programs.\n",
    "tests/e2e/CMakeLists.txt": "latent_e2e_test(one test_one.py)\n",
    "tests/e2e/test_one.py": "print(1)\n",
    "tests/bench/README.md": "Bench.\n",
    "tests/bench/bench.c": PURPOSE + '#include "latent.h"\n',
}

# (rule expected, path, text): the one file added to, or replaced in, the clean tree.
STYLE_CASES = (
    ("tab", "daemon/a.c", PURPOSE + "\tint a;\n"),
    ("trailing-space", "daemon/a.c", PURPOSE + "int a; \n"),
    ("trailing-space", "README.md", "A tree. \n"),
    ("columns", "daemon/a.c", PURPOSE + "int " + "a" * 96 + ";\n"),
    ("columns", "models/x.py", "a = 1  # " + "a" * 92 + "\n"),
    ("columns", "tests/a.sh", "echo " + "a" * 116 + "\n"),
    ("unfinished", "daemon/a.c", PURPOSE + "/* TO" "DO: more */\n"),
    ("unfinished", "README.md", "FIX" "ME\n"),
    ("unfinished", "tests/a.sh", "# X" "XX\n"),
    ("workplace", "README.md", "run farm" "-bench\n"),
    ("workplace", "tests/a.sh", "ls /wo" "rk/somewhere\n"),
    ("file-lines", "daemon/a.c", PURPOSE + "int a;\n" * 500),
    ("file-lines", "models/x.py", "a = 1\n" * 501),
    ("file-lines", "tests/a.sh", "true\n" * 501),
    ("function-lines", "daemon/a.c", PURPOSE + "int f(void)\n{\n" + "    f();\n" * 49 + "}\n"),
    ("function-lines", "models/x.py", "def f():\n" + "    f()\n" * 50),
    ("function-p90", "daemon/a.c", PURPOSE + ("int f(void)\n{\n" + "    f();\n" * 45 + "}\n") * 8),
    ("core-prints", "core/base/a.c", PURPOSE + 'void f(void)\n{\n    fprintf(0, "a");\n}\n'),
    ("core-ends", "core/base/a.c", PURPOSE + "void f(void)\n{\n    abort();\n}\n"),
    ("core-ends", "core/base/arena.c", PURPOSE + "void f(void)\n{\n    exit(1);\n}\n"),
    ("core-heap", "core/base/a.c", PURPOSE + "void f(void)\n{\n    malloc (1);\n}\n"),
    ("core-clock", "core/base/a.c", PURPOSE + "void f(void)\n{\n    time(0);\n}\n"),
    ("core-clock", "core/base/a.c", PURPOSE + "void f(void)\n{\n    clock_gettime(0, 0);\n}\n"),
    ("core-blas", "core/kernels/a.c", PURPOSE + "void f(void)\n{\n    cblas_sgemv();\n}\n"),
    ("core-blas", "core/layers/a.c", PURPOSE + "#include <cblas.h>\n"),
    ("exit-outside-main", "proto/a.c", PURPOSE + "void f(void)\n{\n    exit(1);\n}\n"),
    ("unsafe", "daemon/a.c", PURPOSE + "void f(void)\n{\n    strcpy(0, 0);\n}\n"),
    ("purpose", "daemon/a.c", "int a;\n"),
    ("python-syntax", "models/x.py", "def f(:\n"),
    ("python-path", "models/x.py", "#!/usr/bin/env python3\n"),
    ("python-positional", "models/x.py", "def f(a, b, c, d, e, f):\n    pass\n"),
    ("python-positional", "models/x.py", "class A:\n    def f(self, a, b, c, d, e, f):\n"
                                         "        pass\n"),
    ("python-sys-path", "models/x.py", "import sys\nsys.path.insert(0, '.')\n"),
    ("python-sys-path", "tests/a.py", "import sys\nsys.path += ['.']\n"),
    ("python-noqa", "models/x.py", "import sys  # no" "qa\n"),
    ("python-noqa", "models/x.py", "import sys  # no" "qa: ignore\n"),
    ("fast-math", "core/CMakeLists.txt", "add_compile_options(-ffast-math)\n"),
    ("readme", "systemd/unit.service", "[Unit]\n"),
    ("readme", "models/gru/train.py", "a = 1\n"),
    ("file-bytes", "models/README.md", "a" * (2 * 1024 * 1024) + "\n"),
    ("e2e-list", "tests/e2e/test_two.py", "print(2)\n"),
    ("e2e-list", "tests/e2e/CMakeLists.txt", "latent_e2e_test(one other_test_one.py)\n"),
)
LAYERING_CASES = (
    ("core-layers", "core/base/a.c", PURPOSE + '#include "layers/layers.h"\n'),
    ("core-layers", "core/kernels/a.c", PURPOSE + '#  include "layers/layers.h"\n'),
    ("core-layers", "core/other/a.c", PURPOSE + '#include "base/arena.h"\n'),
    ("core-outside", "core/base/a.c", PURPOSE + '#include "wire.h"\n'),
    ("core-outside", "core/base/a.c", PURPOSE + '#include "nowhere.h"\n'),
    ("core-system", "core/base/a.c", PURPOSE + "#include <zmq.h>\n"),
    ("core-system", "core/base/a.c", PURPOSE + "#include <time.h>\n"),
    ("core-system", "core/kernels/a.c", PURPOSE + "#include <cblas.h>\n"),
    ("core-system", "core/layers/a.c", PURPOSE + "#include <pthread.h>\n"),
    ("core-system", "core/kernels/a.c", PURPOSE + "#include <sys/stat.h>\n"),
    ("dotdot", "core/layers/a.c", PURPOSE + '#include "../base/arena.h"\n'),
    ("dotdot", "daemon/a.c", PURPOSE + '#include "../core/base/arena.h"\n'),
    ("proto-headers", "proto/a.c", PURPOSE + '#include "base/arena.h"\n'),
    ("proto-headers", "proto/a.c", PURPOSE + '#include "line/ledger.h"\n'),
    ("daemon-floors", "daemon/lib/base/a.c", PURPOSE + '#include "line/ledger.h"\n'),
    ("daemon-floors", "daemon/lib/other/a.c", PURPOSE + '#include "base/text.h"\n'),
    ("daemon-programs", "daemon/lib/line/a.c", PURPOSE + '#include "latentd/loop.h"\n'),
    ("daemon-headers", "daemon/a.c", PURPOSE + '#include "base/arena.h"\n'),
    ("daemon-headers", "daemon/latentd/a.c", PURPOSE + '#include "layers/layers.h"\n'),
    ("daemon-programs", "daemon/other/a.c", PURPOSE + '#include "latentd/loop.h"\n'),
    ("bench-headers", "tests/bench/a.c", PURPOSE + '#include "base/arena.h"\n'),
)
FORMAT_CASES = (
    ("format", "daemon/a.c", PURPOSE + "int f(void) { return 0; }\n"),
    ("format", "core/base/a.h", PURPOSE + "int  a;\n"),
    ("comment-end", "daemon/a.c", "/* Part of a tree.\n */\n"),
)
CASES = STYLE_CASES + LAYERING_CASES + FORMAT_CASES
CHECKS = (style.check, layering.check, layout.check)
# What must not be found: the same words where they are allowed.
ALLOWED = (
    ("README.md", "A relative a.wo" "rk/b, mktemp a.XXXXXX, a HACKSAW.\n"),
    ("core/base/a.c", PURPOSE + "/* malloc(1), printf(), time(0), cblas_sgemm. */\n"
                                'const char *s = "exit(1)"; char c = \'"\';\n'),
    ("core/base/b.c", PURPOSE + "int uptime(int n)\n{\n    return downtime(n);\n}\n"),
    ("daemon/a.c", PURPOSE + "int " + "a" * 95 + ";\n"),
    ("daemon/b.c", PURPOSE + "int f(void)\n{\n" + "    f();\n" * 38 + "}\n"),
    ("models/gru/card.md", "A model.\n"),
    ("models/x.py", "class A:\n    def f(self, a, b, c, d, e, *, f):\n        pass\n"),
    ("models/y.py", "import os  # no" "qa: F401\n"),
    ("build/release/a.c", "\tTO" "DO \n"),
    ("core/layers/a.c", PURPOSE + '/* #include <zmq.h> */\n#include "layers/layers.h"\n'),
    ("core/layers/b.c", PURPOSE + '#include "layers.h"\n'),
    ("daemon/latentd/a.c", PURPOSE + '#include "latentd/loop.h"\n#include "latent.pb-c.h"\n'),
    ("daemon/other/a.c", PURPOSE + '#include "base/text.h"\n#include "line/ledger.h"\n'),
    ("daemon/lib/line/a.c", PURPOSE + '#include "base/text.h"\n'),
)


def write_tree(root, extra):
    for name, text in {**CLEAN, **extra}.items():
        path = pathlib.Path(root, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def rules(check, extra):
    """The rules, with paths, that a lint finds broken in the clean tree plus extra."""
    with tempfile.TemporaryDirectory() as folder:
        write_tree(folder, extra)
        return {(finding.rule, finding.path) for finding in check(pathlib.Path(folder))}


class LintTest(unittest.TestCase):
    """Violations are found, by the right rule in the right file; what is allowed is not."""

    def test_clean_tree(self):
        for check in CHECKS:
            self.assertEqual(rules(check, {}), set())

    def test_allowed(self):
        for path, text in ALLOWED:
            extra = {path: text}
            for check in (style.check, layering.check):
                found = {item for item in rules(check, extra) if item[1] == path}
                with self.subTest(path=path, text=text):
                    self.assertEqual(found, set())

    def found(self, check, cases):
        for rule, path, text in cases:
            with self.subTest(rule=rule, path=path):
                found = rules(check, {path: text})
                self.assertIn(rule, {name for name, _ in found})
                if rule not in ("function-p90", "readme", "e2e-list"):
                    self.assertIn((rule, path), found)

    def test_style(self):
        self.found(style.check, STYLE_CASES)

    def test_layering(self):
        self.found(layering.check, LAYERING_CASES)

    def test_format(self):
        self.found(layout.check, FORMAT_CASES)

    def test_circles(self):
        """Three files round a corner are found; without the third edge they are not."""
        uses = {"a": "b", "b": "c", "c": "a"}
        self.assertEqual(len(self.circles(uses)), 1)
        self.assertEqual(self.circles({**uses, "c": "puts"}), [])

    def circles(self, uses):
        with tempfile.TemporaryDirectory() as folder:
            core = pathlib.Path(folder, "core")
            core.mkdir()
            for name, used in uses.items():
                code = f"int {used}();\nint {name}(void)\n{{\n    return {used}(0);\n}}\n"
                subprocess.run(["cc", "-xc", "-c", "-", "-o", core / f"{name}.c.o"], input=code,
                               text=True, check=True, capture_output=True)
            return circles.circles(circles.graph_of(pathlib.Path(folder)))

    def test_every_rule_has_a_case(self):
        """No rule may exist that nothing here has made fail."""
        tried = {rule for rule, _, _ in CASES}
        written = {name for name, *_ in style.CODE_RULES}
        for module in (style, layering, layout):
            source = pathlib.Path(module.__file__).read_text()
            written |= set(re.findall(r'tree\.Finding\([^")]*"([a-z0-9-]+)"', source))
            for areas in re.findall(r'f"\{area\}-(\w+)"', source):
                written |= {f"{area}-{areas}" for area in layering.PUBLIC}
        self.assertGreater(len(written), 20)
        self.assertEqual(written - tried, set())


if __name__ == "__main__":
    unittest.main()
