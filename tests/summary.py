#!/usr/bin/python3
"""Read the outcomes that tests/run.sh collected; print a line per stage, failures and skips.

A skip prints "SKIP CLASS: reason". Class `shared` (needs the checking data) is a failure when the
data are there; class `host` (this machine cannot) is listed; any other skip is a failure."""
import argparse
import pathlib
import re
import sys
import xml.etree.ElementTree as ElementTree

SKIP_LINE = re.compile(r"SKIP (\w+): *(.+)")


class Outcome:
    """One test of one stage: result is ok, fail or skip; note says why."""

    def __init__(self, stage, name, result, note=""):
        self.stage, self.name, self.result, self.note = stage, name, result, note


def skip_outcome(stage, name, output, shared_present):
    """Judge a skipped test by the class it printed."""
    match = SKIP_LINE.search(output)
    if not match:
        return Outcome(stage, name, "fail", "skipped without a line 'SKIP CLASS: reason'")
    kind, reason = match.groups()
    if kind == "shared" and not shared_present:
        return Outcome(stage, name, "skip", f"shared: {reason}")
    if kind == "shared":
        return Outcome(stage, name, "fail", f"skipped although the data are there: {reason}")
    if kind == "host":
        return Outcome(stage, name, "skip", f"host: {reason}")
    return Outcome(stage, name, "fail", f"unknown class of skip '{kind}': {reason}")


def pass_outcome(stage, name, output, shared_present):
    """A test that passed may have left parts out; the same classes hold for them."""
    match = SKIP_LINE.search(output)
    if not match:
        return Outcome(stage, name, "ok")
    judged = skip_outcome(stage, name, output, shared_present)
    result = "fail" if judged.result == "fail" else "ok"
    return Outcome(stage, name, result, f"in part, {judged.note}")


def read_junit(path, shared_present):
    """Outcomes in a JUnit file written by ctest; the stage is the file's name."""
    try:
        root = ElementTree.parse(path).getroot()
    except ElementTree.ParseError as error:
        yield Outcome(path.stem, "ctest", "fail", f"its report cannot be read: {error}")
        return
    for case in root.iter("testcase"):
        name, output = case.get("name"), case.findtext("system-out") or ""
        skipped = case.find("skipped")
        if case.get("status") == "run":
            yield pass_outcome(path.stem, name, output, shared_present)
        elif skipped is not None and "SKIP_RETURN_CODE" in skipped.get("message", ""):
            yield skip_outcome(path.stem, name, output, shared_present)
        else:
            failure = case.find("failure")
            note = failure.get("message", "") if failure is not None else case.get("status", "")
            yield Outcome(path.stem, name, "fail", note or "failed")


def read_steps(path):
    """Outcomes of builds and of checks that are not ctest tests: lines "STAGE NAME ok|fail"."""
    if not path.exists():
        return
    for line in path.read_text().splitlines():
        stage, name, result = line.split()
        yield Outcome(stage, name, result, "" if result == "ok" else "see its output above")


def count(outcomes, result):
    return sum(outcome.result == result for outcome in outcomes)


def print_stages(outcomes):
    print(f"{'stage':<10} {'ok':>5} {'fail':>5} {'skip':>5}")
    for stage in dict.fromkeys(outcome.stage for outcome in outcomes):
        of_stage = [outcome for outcome in outcomes if outcome.stage == stage]
        print(f"{stage:<10} {count(of_stage, 'ok'):>5} {count(of_stage, 'fail'):>5} "
              f"{count(of_stage, 'skip'):>5}")


def print_notes(outcomes, result, title):
    chosen = [outcome for outcome in outcomes if outcome.result == result and outcome.note]
    if chosen:
        print(f"\n{title}")
    for outcome in chosen:
        print(f"  {outcome.stage}: {outcome.name}: {outcome.note}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=pathlib.Path, required=True,
                        help="folder with steps.txt and one JUnit file per stage")
    parser.add_argument("--shared", type=pathlib.Path, required=True,
                        help="folder with the checking data; need not exist")
    args = parser.parse_args()
    shared_present = (args.shared / "known_answers").is_dir()
    outcomes = list(read_steps(args.results / "steps.txt"))
    for path in sorted(args.results.glob("*.xml")):
        outcomes += read_junit(path, shared_present)
    print_stages(outcomes)
    print_notes(outcomes, "skip", "Skipped:")
    print_notes(outcomes, "ok", "Skipped in part:")
    print_notes(outcomes, "fail", "Failed:")
    failed = count(outcomes, "fail")
    if not outcomes:
        print("\nFailed:\n  nothing was run")
        failed = 1
    print(f"\n{count(outcomes, 'ok')} passed, {failed} failed, {count(outcomes, 'skip')} skipped")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
