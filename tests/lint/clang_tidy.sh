#!/bin/bash
# clang-tidy over the project's own C files of a build, with the checks of clang-tidy.yaml; any warning fails.
# Usage: clang_tidy.sh BUILD-FOLDER [JOBS]
set -euo pipefail
build=$1
config=$(dirname "$0")/clang-tidy.yaml
# Our own sources that the build compiles; generated ones lie in the build folder.
list_files() {
    /usr/bin/python3 - "$build/compile_commands.json" <<'PYTHON'
import json
import sys

with open(sys.argv[1], encoding="utf-8") as commands:
    files = sorted({entry["file"] for entry in json.load(commands)})
print("\n".join(name for name in files if "/build/" not in name))
PYTHON
}
# gcc-only flags of the compile commands are no business of clang's.
list_files | xargs -P "${2:-2}" -n 1 clang-tidy --quiet -p "$build" --config-file="$config" \
    --extra-arg=-Wno-unknown-warning-option 2> >(grep -v 'warnings\? generated' >&2)
echo "clang-tidy: $(list_files | wc -l) files checked"
