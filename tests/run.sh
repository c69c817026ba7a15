#!/bin/bash
# Install what is missing, build, and run every test: the one command of a fresh Debian 12 machine.
# Usage: tests/run.sh [--quick] [--stage NAME]... [--jobs N]
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
source_dir=$PWD

usage() {
    cat <<'TEXT'
Usage: tests/run.sh [--quick] [--stage NAME]... [--jobs N]

  --quick        the release build and its tests only
  --stage NAME   only this stage (may be repeated):
                   lint      style and layering of the sources (also among the release tests)
                   release   release build, every test
                   analysis  cppcheck and clang-tidy
                   asan      address and undefined-behaviour sanitizers: unit, golden, e2e, fault
                   tsan      thread sanitizer: unit, e2e
  --jobs N       processes that work at a time (default: the number of CPUs); beside them a test
                 that mostly waits for programs, or 2 N + 1 of these alone

Needs Debian 12; installs missing packages (tests/packages.txt) with apt-get, by sudo if not root.
Environment: LATENT_SHARED, the folder with the checking data (default: ../shared);
CI=true turns compiler warnings into errors.
The last line is "N passed, M failed, K skipped"; the exit code is 0 only if nothing failed.
TEXT
}

all_stages="lint release analysis asan tsan"
stages=
jobs=$(nproc)
while [ $# -gt 0 ]; do
    case $1 in
    --quick) stages="release" ;;
    --stage)
        [[ $# -gt 1 && " $all_stages " == *" $2 "* ]] ||
            { echo "run.sh: --stage takes one of: $all_stages" >&2; exit 2; }
        stages="$stages $2"; shift ;;
    --jobs)
        [[ $# -gt 1 && $2 =~ ^[1-9][0-9]*$ ]] ||
            { echo "run.sh: --jobs takes a number" >&2; exit 2; }
        jobs=$2; shift ;;
    -h | --help) usage; exit 0 ;;
    *) echo "run.sh: unknown option '$1'" >&2; usage >&2; exit 2 ;;
    esac
    shift
done
stages=${stages:-release analysis asan tsan}

export LATENT_SHARED=${LATENT_SHARED:-$source_dir/../shared}
export PYTHONDONTWRITEBYTECODE=1
results=$(mktemp -d "${TMPDIR:-/tmp}/latent-tests.XXXXXX") || exit 1
trap 'rm -rf "$results"' EXIT
trap 'exit 130' INT TERM

say() { printf '\n==> [%4ds] %s\n' "$SECONDS" "$*"; }

# A step that is a test of its own: its outcome is a line of steps.txt, "STAGE NAME ok|fail".
step() { # STAGE NAME COMMAND...
    local stage=$1 name=$2
    shift 2
    say "$stage: $name"
    if "$@"; then
        echo "$stage $name ok" >>"$results/steps.txt"
    else
        echo "$stage $name fail" >>"$results/steps.txt"
        echo "run.sh: $stage: $name FAILED" >&2
        return 1
    fi
}

werror=OFF
[ -n "${CI:-}" ] && werror=ON
build() { # PRESET
    cmake --preset "$1" -DLATENT_WERROR=$werror >"$results/cmake.txt" 2>&1 ||
        { cat "$results/cmake.txt" >&2; return 1; }
    cmake --build --preset "$1" -j "$jobs"
}

# Run the tests of a build; their outcome is read from the JUnit file. Fails when it was not written.
tests() { # PRESET CTEST-OPTION...
    local preset=$1
    shift
    say "$preset: tests"
    "${runner[@]}" ctest --test-dir "build/$preset" --output-on-failure --no-tests=error \
        --test-output-size-passed 100000 --test-output-size-failed 200000 \
        -j $((2 * jobs + 1)) --output-junit "$results/$preset.xml" "$@" </dev/null
    [ -s "$results/$preset.xml" ] || step "$preset" "ctest" false
}
runner=(env)

stage_lint() {
    step lint style /usr/bin/python3 tests/lint/style.py "$source_dir"
    step lint format /usr/bin/python3 tests/lint/format.py "$source_dir"
    step lint layering /usr/bin/python3 tests/lint/layering.py "$source_dir"
}

stage_release() {
    step release build build release && tests release
}

stage_analysis() {
    step analysis build build release || return
    step analysis self-test bash tests/lint/analysis_selftest.sh
    step analysis cppcheck bash tests/lint/cppcheck.sh build/release "$jobs"
    step analysis clang-tidy bash tests/lint/clang_tidy.sh build/release "$jobs"
}

stage_asan() {
    step asan build build asan || return
    runner=(env "ASAN_OPTIONS=abort_on_error=1:detect_stack_use_after_return=1"
        "UBSAN_OPTIONS=print_stacktrace=1"
        "LSAN_OPTIONS=suppressions=$source_dir/tests/suppressions/lsan.txt:print_suppressions=0")
    # Golden tests that run Python alone, or score accuracy, would only be repeated.
    tests asan -L '^(unit|golden|e2e|fault)$' -LE '^(slow|nosan)$' \
        -E '^golden_(reference|torch|training|unpickle|shipped)$'
    runner=(env)
}

stage_tsan() {
    step tsan build build tsan || return
    # Without a fixed memory layout gcc's run-time refuses kernels that randomise 32 bits of it.
    local fixed=()
    setarch "$(uname -m)" -R true 2>/dev/null && fixed=(setarch "$(uname -m)" -R)
    local suppressions=$source_dir/tests/suppressions/tsan.txt
    runner=(env "TSAN_OPTIONS=second_deadlock_stack=1:exitcode=66:suppressions=$suppressions"
        "${fixed[@]}")
    tests tsan -L '^(threads|e2e)$' -LE '^(slow|nosan)$'
    runner=(env)
}

say "packages"
if ! bash tests/install.sh build client test; then
    echo "0 passed, 1 failed, 0 skipped"
    exit 1
fi
for stage in $stages; do
    "stage_$stage"
done
say "done"
/usr/bin/python3 tests/summary.py --results "$results" --shared "$LATENT_SHARED"
