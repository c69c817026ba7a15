#!/bin/bash
# The lints that take seconds, before a commit: style and layering of the tree, layout of staged C files.
# Usage: tests/lint/pre_commit.sh; by git itself after: ln -s ../../tests/lint/pre_commit.sh .git/hooks/pre-commit
set -euo pipefail
cd "$(git rev-parse --show-toplevel)"

# What is committed is judged, not what lies around it: the index as a tree of its own.
staged=$(mktemp -d)
trap 'rm -rf "$staged"' EXIT
git checkout-index --all --prefix="$staged/"

status=0
/usr/bin/python3 "$staged/tests/lint/style.py" "$staged" || status=1
/usr/bin/python3 "$staged/tests/lint/layering.py" "$staged" || status=1
mapfile -t changed < <(git diff --cached --name-only --diff-filter=ACMR -- '*.c' '*.h')
if [ ${#changed[@]} != 0 ] && command -v clang-format >/dev/null; then
    (cd "$staged" && clang-format --dry-run -Werror --style=file "${changed[@]}") ||
        { echo "pre_commit.sh: clang-format -i mends it: ${changed[*]}" >&2; status=1; }
fi
[ $status = 0 ] || echo "pre_commit.sh: not committed; git commit --no-verify overrules it" >&2
exit $status
