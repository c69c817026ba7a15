"""The one way a command here says no: a text on standard error and exit code 2."""
import sys


class Refusal(Exception):
    """Input that cannot be used. The text says what, where, expected, found, what to do."""


def run_command(main):
    """Run main(); a Refusal becomes one line on standard error and exit code 2."""
    try:
        sys.exit(main())
    except Refusal as refusal:
        print(f"{sys.argv[0].rsplit('/', 1)[-1]}: {refusal}", file=sys.stderr)
        sys.exit(2)
