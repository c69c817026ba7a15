#!/bin/bash
# cppcheck over what a build compiles, generated code left out; any message fails.
# Usage: cppcheck.sh BUILD-FOLDER [JOBS]
set -euo pipefail
build=$1
cache=$build/cppcheck
mkdir -p "$cache"
# missingInclude: system headers are not given to it. The two suppressions by name are for cmocka's
# and jansson's macros, which it cannot see through.
exec cppcheck --project="$build/compile_commands.json" --cppcheck-build-dir="$cache" \
    --enable=warning,performance,portability --std=c11 --platform=unix64 --inline-suppr \
    --suppress=missingInclude --suppress=missingIncludeSystem --suppress=unknownMacro \
    --suppress="*:$PWD/$build/*" --suppress="*:$build/*" \
    --error-exitcode=1 --quiet -j "${2:-2}"
