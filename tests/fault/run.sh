#!/bin/bash
# The table of faults on a build: tests/fault/run.sh [--quick] [--seed N] [--row NAME]... [--list]
# Environment: LATENT_BUILD, the build to test (default: build/release).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
export LATENT_SOURCE=${LATENT_SOURCE:-$(cd "$here/../.." && pwd)}
export LATENT_BUILD=${LATENT_BUILD:-$LATENT_SOURCE/build/release}
export LATENT_BIN=${LATENT_BIN:-$LATENT_BUILD/bin}
export PYTHONPATH=$LATENT_BUILD/python:$here/../e2e:$here/../bench
export PYTHONDONTWRITEBYTECODE=1 OMP_NUM_THREADS=1
[ -x "$LATENT_BIN/latentd" ] || { echo "run.sh: no $LATENT_BIN/latentd: build first" >&2; exit 2; }
exec /usr/bin/python3 "$here/table.py" "$@"
