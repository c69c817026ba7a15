#!/bin/bash
# Install what is missing of the given groups of tests/packages.txt, and nothing else.
# Usage: tests/install.sh GROUP...
set -euo pipefail
list=$(dirname "$0")/packages.txt

for group in "$@"; do
    grep -q "^$group " "$list" || { echo "install.sh: no group '$group' in $list" >&2; exit 2; }
done

packages_missing() { # GROUP...
    local group package command
    while read -r group package command; do
        [[ " $* " == *" $group "* ]] || continue
        [ -n "$command" ] && command -v "$command" >/dev/null && continue
        dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null |
            grep -qx installed || echo "$package"
    done < <(grep -v '^#' "$list")
}

# How this user may run apt-get: nothing (root), sudo, or sudo without a question when nobody could answer.
root_command() {
    [ "$(id -u)" = 0 ] && return
    command -v sudo >/dev/null || return
    if [ -t 0 ]; then echo "sudo"; else echo "sudo -n"; fi
}

if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
    echo "install.sh: no apt-get here. latentd is built and tested on Debian 12;" >&2
    echo "  elsewhere install what corresponds to tests/packages.txt and use cmake by hand." >&2
    exit 1
fi
mapfile -t missing < <(packages_missing "$@" | sort -u)
if [ ${#missing[@]} = 0 ]; then
    echo "packages ($*): all installed"
    exit 0
fi
echo "packages ($*): installing ${missing[*]}"
as_root=$(root_command)
if [ "$(id -u)" != 0 ] && [ -z "$as_root" ]; then
    echo "install.sh: not root and no sudo. Run as root:" >&2
    echo "  apt-get update && apt-get install -y --no-install-recommends ${missing[*]}" >&2
    exit 1
fi
apt() {
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y \
        -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 -o Dpkg::Use-Pty=0 "$@" </dev/null
}
apt update || echo "install.sh: apt-get update failed; trying with the lists that are here" >&2
if ! apt install --no-install-recommends "${missing[@]}"; then
    echo "install.sh: apt-get could not install: ${missing[*]}" >&2
    echo "  Is this Debian 12 (bookworm), with network, and may $(id -un) use sudo?" >&2
    exit 1
fi
