"""The one way a command here says no: one line on standard error and exit code 2."""
import argparse
import difflib
import math
import os
import re
import sys
import warnings

import numpy as np

from latent_models.common import missing_text

LINE_MAX = 2000


class Refusal(Exception):
    """Input that cannot be used. The text says what, where, expected, found, what to do."""


class Parser(argparse.ArgumentParser):
    """A command line whose mistakes are refusals: the word, the option nearest to it, one line."""

    def __init__(self, text=None):
        super().__init__(description=text, formatter_class=argparse.RawTextHelpFormatter,
                         allow_abbrev=False)

    def error(self, message):
        unknown = re.match(r"unrecognized arguments: (--[^\s=]+)", message)
        of_value = re.match(r"argument (.*?): (.*: expected .*)", message, re.DOTALL)
        if of_value:  # by one of the converters below: the value, and what was expected
            message = f"{of_value[1]} {of_value[2]}"
        near = unknown and difflib.get_close_matches(unknown[1], self._option_string_actions, 1)
        raise Refusal(f"{message}{f' (did you mean {near[0]}?)' if near else ''}; see --help")


def whole(low, high=2 ** 31 - 1):
    """For add_argument's type: a whole number of low to high."""
    def convert(text):
        if not re.fullmatch(r"[+-]?\d{1,18}", text) or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(
                f"{text}: expected a whole number of {low} to {high}")
        return int(text)
    return convert


def number(low=-math.inf, high=math.inf, above=None):
    """For add_argument's type: a finite number of low to high, or more than above."""
    def convert(text):
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value) or not low <= value <= high or \
                (above is not None and value <= above):
            least = f"more than {above:g}" if above is not None else f"at least {low:g}"
            most = "" if high == math.inf else f", at most {high:g}"
            raise argparse.ArgumentTypeError(
                f"{text}: expected a number{'' if least.endswith('-inf') else ' of ' + least}"
                f"{most}")
        return value
    return convert


def milliseconds(low, high):
    """For add_argument's type: a time in milliseconds; what would be right in seconds or in
    microseconds is named in milliseconds, not taken."""
    plain = number(low, high)

    def convert(text):
        try:
            return plain(text)
        except argparse.ArgumentTypeError as error:
            for unit, factor in (("seconds", 1000), ("microseconds", 0.001)):
                guess = float(text) * factor if re.fullmatch(r"[0-9.]*[0-9](e-?\d+)?", text) else 0
                if low <= guess <= high:
                    raise argparse.ArgumentTypeError(
                        f"{text}: expected milliseconds, {low:g} to {high:g}; {text} {unit} are "
                        f"{guess:g}") from error
            raise
    return convert


def words_of(*allowed):
    """For add_argument's type: WORD,WORD, each one of these, as a list."""
    def convert(text):
        words = text.split(",")
        strange = [word for word in words if word not in allowed]
        if strange:
            raise argparse.ArgumentTypeError(f"{text}: expected words of {', '.join(allowed)}, "
                                             f"found {strange[0]!r}")
        return words
    return convert


def printable(text):
    """One line that a terminal shows and does not obey, whatever a file put into it."""
    line = " ".join(str(text).split())
    line = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)
    return line if len(line) <= LINE_MAX else line[:LINE_MAX] + " ..."


def say_no(text):
    """The line, and the end of the program."""
    program = os.path.basename(sys.argv[0])
    print(f"{program}: {printable(text)}", file=sys.stderr)
    sys.exit(2)


def run_command(main):
    """Run main(); a Refusal becomes one line on standard error and exit code 2. So does whatever
    nobody foresaw, which says that it was not; LATENT_TRACEBACK=1 shows where it was raised."""
    warnings.simplefilter("ignore", RuntimeWarning)  # results are checked to be finite instead
    try:
        try:
            status = main()
        finally:
            sys.stdout.flush()  # after --help, too, which exits
    except Refusal as refusal:
        say_no(refusal)
    except BrokenPipeError:  # who read our output has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except KeyboardInterrupt:
        sys.exit(130)
    except ModuleNotFoundError as error:
        say_no(missing_text(error))
    except MemoryError as error:
        say_no(f"not enough memory: {error or 'a smaller recording or model needs less'}")
    except np.linalg.LinAlgError as error:
        say_no(f"equations without a solution ({error}): data or weights that are constant, silent "
               f"or absurdly large")
    except OSError as error:
        say_no(f"{error.filename or 'a file'}: {error.strerror or error}")
    except Exception as error:
        if "allocate memory" in str(error):  # PyTorch's way to say MemoryError
            say_no("not enough memory: a smaller recording or model needs less")
        if os.environ.get("LATENT_TRACEBACK"):
            raise
        say_no(f"unforeseen {type(error).__name__}: {error}; the input may be damaged. Please "
               f"report it with what LATENT_TRACEBACK=1 prints")
    sys.exit(status)
