#!/bin/sh
# The manual page of a program, made of what it says for --help and --version.
# Usage: manual.sh PROGRAM SECTION >PAGE
set -eu
name=$(basename "$1")
version=$("$1" --version)
help=$("$1" --help)
# The first line is "NAME VERSION: summary", then comes the usage; the rest stands as it is printed.
summary=$(printf '%s\n' "$help" | sed -n '1s/^[^:]*: //p')
[ -n "$summary" ] || { echo "manual.sh: $name --help does not open with 'NAME VERSION: summary'" >&2; exit 1; }

escaped() { sed -e 's/\\/\\e/g' -e 's/-/\\-/g' -e "s/^\\([.']\\)/\\\\\\&\\1/"; }
cat <<PAGE
.TH $(echo "$name" | tr a-z- A-Z- | escaped) $2 "" "$version" "latentd"
.SH NAME
$(echo "$name" | escaped) \\- $(echo "$summary" | escaped)
.SH SYNOPSIS
.nf
$(printf '%s\n' "$help" | sed '1,/^$/d' | sed -n '1,/^$/s/^[Uu]sage: \|^       //p' | escaped)
.fi
.SH DESCRIPTION
.nf
$(printf '%s\n' "$help" | sed '1,/^$/d' | sed '1,/^$/d' | escaped)
.fi
.SH SEE ALSO
.BR latentd (8),
.BR latentd (5)
PAGE
