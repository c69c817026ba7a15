#!/bin/bash
# clang-tidy over the project's own C files of a build, with the checks of clang-tidy.yaml; any warning fails.
# Usage: clang_tidy.sh BUILD-FOLDER [JOBS]
set -euo pipefail
build=$1
config=$(dirname "$0")/clang-tidy.yaml
commands=$(mktemp -d)
trap 'rm -rf "$commands"' EXIT
# Our own sources that the build compiles; generated ones lie in the build folder. Options that only
# gcc knows are no business of clang's: they are left out of the commands that it gets.
/usr/bin/python3 - "$build/compile_commands.json" "$commands" <<'PYTHON'
import json
import pathlib
import sys

GCC_ONLY = {"-fno-tree-loop-distribute-patterns"}
entries = json.loads(pathlib.Path(sys.argv[1]).read_text(encoding="utf-8"))
for entry in entries:
    entry["command"] = " ".join(word for word in entry["command"].split() if word not in GCC_ONLY)
names = sorted({entry["file"] for entry in entries if "/build/" not in entry["file"]})
folder = pathlib.Path(sys.argv[2])
(folder / "compile_commands.json").write_text(json.dumps(entries), encoding="utf-8")
(folder / "files").write_text("\n".join(names) + "\n", encoding="utf-8")
PYTHON
xargs -P "${2:-2}" -n 1 clang-tidy --quiet -p "$commands" --config-file="$config" \
    --extra-arg=-Wno-unknown-warning-option <"$commands/files" 2> >(grep -v 'warnings\? generated' >&2)
echo "clang-tidy: $(wc -l <"$commands/files") files checked"
