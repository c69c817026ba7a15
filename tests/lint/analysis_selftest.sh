#!/bin/bash
# The static analysis must notice: a file with planted mistakes has to fail both analysers, the same file
# without them has to pass.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=$(mktemp -d "${TMPDIR:-/tmp}/latent-analysis.XXXXXX")
trap 'rm -rf "$folder"' EXIT
cd "$folder"

write_tree() { # ADDRESS: "&a" can be read, "0" cannot
    mkdir -p core out
    cat >core/pick.c <<C
/* Planted. */
int pick(int a);
int pick(int a)
{
    const int *p = $1;
    return *p + a;
}
C
    printf '[{"directory": "%s", "command": "cc -std=gnu11 -c core/pick.c", "file": "%s"}]\n' \
        "$folder" "$folder/core/pick.c" >out/compile_commands.json
}
for analyser in cppcheck clang_tidy; do
    write_tree "&a"
    bash "$here/$analyser.sh" out 1 >log 2>&1 ||
        { cat log; echo "$analyser fails where nothing is wrong" >&2; exit 1; }
    write_tree 0
    if bash "$here/$analyser.sh" out 1 >log 2>&1; then
        echo "$analyser does not notice a null pointer being read" >&2
        exit 1
    fi
done
echo "cppcheck and clang-tidy notice a planted mistake"
