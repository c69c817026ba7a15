#!/bin/bash
# See latentd decode: install what is missing, build, start two simulators and the daemon, show a live table.
# Usage: daemon/quickstart.sh [--seconds N] [--phonemes]
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
    cat <<'TEXT'
Usage: daemon/quickstart.sh [--seconds N] [--phonemes]

Installs missing Debian packages (apt-get, by sudo if not root), builds the release preset into
build/release, and decodes two simulated streams on loopback until Ctrl-C:
  lorenz  firing rates from the Lorenz system, by an NDT (latents and rates)
  reach   a centre-out reach, by a GRU (rates and a cursor's velocity)
and shows bins/s, latency, budget misses, the ledgers, and the accuracy against the truth.

  --phonemes   beside them speech, by a brain-to-text GRU (phonemes, as text), with its phoneme error
  --seconds N  end by itself after N seconds of signal (at least 5): prints a summary and exits 0
               only if every bin was decoded, the ledgers balance, and the accuracy is above its floor

Nothing is left running and nothing is written outside build/ but a folder in $TMPDIR that is removed.
TEXT
}

seconds=
phonemes=
while [ $# -gt 0 ]; do
    case $1 in
    --seconds)
        [[ $# -gt 1 && $2 =~ ^[0-9]+$ && $2 -ge 5 ]] ||
            { echo "quickstart.sh: --seconds takes a whole number, at least 5" >&2; exit 2; }
        seconds=$2; shift ;;
    --phonemes) phonemes=--phonemes ;;
    -h | --help) usage; exit 0 ;;
    *) echo "quickstart.sh: unknown option '$1'" >&2; usage >&2; exit 2 ;;
    esac
    shift
done

echo "==> packages"
bash tests/install.sh build client
echo "==> build (build/release)"
cmake --preset release >/dev/null
cmake --build --preset release --target latentd latentctl latent-sim \
    latent-replay latent-decode python_client
echo "==> decode"
PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=build/release/python exec /usr/bin/python3 \
    daemon/quickstart/live.py --bin build/release/bin ${seconds:+--seconds "$seconds"} $phonemes
