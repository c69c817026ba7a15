#!/bin/bash
# Run both README commands in a fresh Debian 12 root that holds nothing but a clone of this repository.
# Usage: tests/clean.sh [--full | --command TEXT]... [--cache FOLDER] [--shared FOLDER] [--mirror URL]
#     [--keep]
set -euo pipefail
repository=$(cd "$(dirname "$0")/.." && pwd)

usage() {
    cat <<'TEXT'
Usage: tests/clean.sh [--full | --command TEXT]... [--cache FOLDER] [--shared FOLDER] [--mirror URL]
    [--keep]

Makes a minimal Debian 12 root with debootstrap, clones the last commit into it, and runs there
  daemon/quickstart.sh --seconds 20
  daemon/quickstart.sh --seconds 5      once more: there must be nothing left to build
  tests/run.sh --quick
  --full           tests/run.sh with every stage
  --command TEXT   instead of tests/run.sh this, by bash in the clone; may be repeated
  --cache FOLDER   keep downloaded packages there, for the next time
  --shared FOLDER  show this folder of checking data to the tests (read-only)
  --mirror URL     Debian mirror (default: that of this machine, else deb.debian.org)
  --keep           leave the root on disk and print where it is

Needs root (for chroot and mounts), debootstrap, git and the network. What is mounted is mounted in a name
space of its own, so nothing stays mounted and no process stays alive, however this ends.
TEXT
}

quick=--quick
cache=
shared=
keep=
mirror=
commands=()
while [ $# -gt 0 ]; do
    case $1 in
    --full) quick= ;;
    --command) commands+=("${2:?--command needs a command}"); shift ;;
    --cache) mkdir -p "${2:?--cache needs a folder}"; cache=$(realpath "$2"); shift ;;
    --shared) shared=$(realpath -e "${2:?--shared needs a folder}"); shift ;;
    --mirror) mirror=${2:?--mirror needs a URL}; shift ;;
    --keep) keep=yes ;;
    -h | --help) usage; exit 0 ;;
    *) echo "clean.sh: unknown option '$1'" >&2; usage >&2; exit 2 ;;
    esac
    shift
done
if [ "$(id -u)" != 0 ]; then
    echo "clean.sh: needs root for chroot and mounts: sudo tests/clean.sh" >&2
    exit 1
fi
bash "$repository/tests/install.sh" clean

# The mirror that apt uses here for bookworm, in either of its formats.
host_mirror() {
    cat /etc/apt/sources.list.d/*.sources 2>/dev/null | sed -n 's/^URIs: *\([^ ]*\).*/\1/p' |
        grep -m 1 '/debian/*$' && return
    cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null |
        sed -n 's/^deb \(\[[^]]*\] \)\?\([^ ]*\) bookworm main.*/\2/p' | grep -m 1 . && return
    echo http://deb.debian.org/debian
}
mirror=${mirror:-$(host_mirror)}

# apt locks its cache by process number, which says nothing across name spaces: one at a time.
if [ -n "$cache" ]; then
    exec 9>"$cache/.latent-clean"
    flock -n 9 || { echo "clean.sh: waiting for another one that uses $cache"; flock 9; }
fi

root=$(mktemp -d "${TMPDIR:-/tmp}/latent-clean.XXXXXX")
finish() {
    if [ -n "$keep" ]; then echo "clean.sh: root kept in $root"; return; fi
    rm -rf --one-file-system "$root"
}
trap finish EXIT
trap 'exit 130' INT TERM

say() { printf '\n==> clean [%4ds] %s\n' "$SECONDS" "$*"; }

make_root() {
    local options=(--variant=minbase)
    [ -n "$cache" ] && options+=("--cache-dir=$cache")
    debootstrap "${options[@]}" bookworm "$root" "$mirror" >"$root.log" 2>&1 || {
        tail -n 20 "$root.log" >&2
        rm -f "$root.log"
        return 1
    }
    rm -f "$root.log"
    cp /etc/resolv.conf "$root/etc/resolv.conf"
    # How this machine reaches the mirror (proxy, dates of a frozen mirror) holds inside as well.
    apt-config dump | grep -E '^Acquire::(http|https|Check-|Retries)' \
        >"$root/etc/apt/apt.conf.d/90host" || true
    git clone --quiet "file://$repository" "$root/root/latentd"
}

# Runs in name spaces of its own; $1 is the root.
inside() {
    set -euo pipefail
    local root=$1
    mount --make-rprivate /
    mount --bind "$root" "$root"
    mount -t proc proc "$root/proc"
    mount -t sysfs -o ro sysfs "$root/sys" 2>/dev/null || mount --rbind -o ro /sys "$root/sys"
    mount --rbind /dev "$root/dev"
    if [ -n "$CACHE" ]; then
        mkdir -p "$CACHE/partial"
        mount --bind "$CACHE" "$root/var/cache/apt/archives"
    fi
    if [ -n "$SHARED" ]; then
        mkdir -p "$root/root/shared"
        mount --bind -o ro "$SHARED" "$root/root/shared"
    fi
    chroot "$root" /usr/bin/env -i HOME=/root LANG=C.UTF-8 TERM="${TERM:-dumb}" \
        PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        bash -c "cd /root/latentd && $COMMAND" </dev/null
}

run_inside() { # COMMAND
    say "$1"
    CACHE=$cache SHARED=$shared COMMAND=$1 unshare --mount --pid --fork --kill-child \
        bash -c "$(declare -f inside); inside \"\$1\"" inside "$root"
}

say "debootstrap bookworm from $mirror"
make_root
status=0
again='set -o pipefail; daemon/quickstart.sh --seconds 5 | tee /tmp/again.txt && grep -q "no work to do" /tmp/again.txt'
[ ${#commands[@]} -gt 0 ] || commands=("tests/run.sh${quick:+ $quick}")
for command in "daemon/quickstart.sh --seconds 20" "$again" "${commands[@]}"; do
    if run_inside "$command"; then
        say "ok: $command"
    else
        say "FAILED: $command"
        status=1
    fi
done
exit $status
