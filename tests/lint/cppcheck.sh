#!/bin/bash
# cppcheck over what a build compiles, generated code left out; any message fails.
# Usage: cppcheck.sh BUILD-FOLDER [JOBS]
set -euo pipefail
build=$1
cache=$build/cppcheck
mkdir -p "$cache"
# missingInclude: system headers are not given to it. unknownMacro: cmocka's and jansson's. ctuuninitvar:
# takes a pointer to what a function is to fill for a use of it.
report=$(cppcheck --project="$build/compile_commands.json" --cppcheck-build-dir="$cache" \
    --enable=warning,performance,portability --std=c11 --platform=unix64 --inline-suppr \
    --suppress=missingInclude --suppress=missingIncludeSystem --suppress=unknownMacro \
    --suppress=ctuuninitvar --suppress="*:$PWD/$build/*" --suppress="*:$build/*" \
    --error-exitcode=1 --quiet -j "${2:-2}" 2>&1) || { echo "$report"; exit 1; }
# Its analysis across files reports without an exit code.
if [ -n "$report" ]; then
    echo "$report"
    exit 1
fi
