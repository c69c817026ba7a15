#!/bin/bash
# Build and run the benchmark; tests/bench/README.md explains the figures.
# Usage: tests/bench/run.sh [--json FILE] [--quick] [--row NAME]...
set -euo pipefail
case "${1:-}" in
-h | --help)
    echo "Usage: tests/bench/run.sh [--json FILE] [--quick] [--row NAME]..."
    echo "  --json FILE  also write the figures as JSON"
    echo "  --quick      a look instead of a measurement (eight minutes instead of three quarters of an hour)"
    echo "  --row NAME   only this row or part, as rows.py and README.md name them (a wrong name"
    echo "               lists them)"
    echo "Environment: LATENT_ORT_LIBRARY, a libonnxruntime.so.1 to use instead of npm's;"
    echo "  LATENT_RTNEURAL, a checkout of RTNeural (the folder that has RTNeural/ in it): with it, its"
    echo "  layers are built for this machine and measured, too."
    exit 0 ;;
esac
started_in=$PWD
cd "$(dirname "$0")/../.."

options=()
while [ $# -gt 0 ]; do
    case $1 in
    --json) options+=(--json "$(cd "$started_in" && realpath "${2:?--json needs a file}")"); shift ;;
    --quick) options+=(--plan quick) ;;
    --row) options+=(--row "${2:?--row needs a name}"); shift ;;
    *) echo "run.sh: unknown option '$1' (see --help)" >&2; exit 2 ;;
    esac
    shift
done

ort_version=1.30.0
npm_folder=build/bench/npm
find_ort() {
    local machine=x64
    [ -d "$npm_folder/node_modules/onnxruntime-node" ] || return 0
    [ "$(uname -m)" = aarch64 ] && machine=arm64
    find "$npm_folder/node_modules/onnxruntime-node/bin" -path "*/linux/$machine/*" \
        -name 'libonnxruntime.so.1' | head -n 1
}
# The library alone is wanted, so the package's own scripts (which would fetch GPU parts) do not run.
install_ort() {
    command -v npm >/dev/null || return 0
    mkdir -p "$npm_folder"
    npm install --prefix "$npm_folder" --ignore-scripts --no-audit --no-fund --loglevel=error \
        "onnxruntime-node@$ort_version" </dev/null || true
}

echo "==> packages"
bash tests/install.sh build client
bash tests/install.sh test bench || echo "going on without the peers that need these packages" >&2
if [ -n "${LATENT_RTNEURAL:-}" ]; then
    options+=(--rtneural "$(cd "$started_in" && realpath "$LATENT_RTNEURAL")")
    bash tests/install.sh rtneural || echo "going on without RTNeural" >&2
fi
echo "==> build"
cmake --preset release >/dev/null
cmake --build --preset release --target bench_step bench_ort bench_memory bench_wire bench_line \
    bench_pair latentd latentctl latent-decode latent-replay
ort=${LATENT_ORT_LIBRARY:-$(find_ort)}
if [ -z "$ort" ]; then
    echo "==> onnxruntime-node $ort_version from npm"
    install_ort
    ort=$(find_ort)
fi
if [ -n "$ort" ]; then
    options+=(--ort "$ort")
else
    options+=(--no-ort "npm could not install onnxruntime-node $ort_version here")
fi
echo "==> measure"
export PYTHONPATH=$PWD/build/release/python PYTHONDONTWRITEBYTECODE=1
exec /usr/bin/python3 tests/bench/bench.py --bin build/release/bin "${options[@]}"
