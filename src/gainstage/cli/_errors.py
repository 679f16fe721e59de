"""What the command line says when it cannot run: one message, exit code 2, no stack trace unless asked for.

Exit codes are ruff's: 0 clean, 1 findings above a note, 2 could not run.
"""

from collections.abc import Iterable
from difflib import get_close_matches

from gainstage.errors import GainstageError

CLEAN, FINDINGS, CANNOT_RUN = 0, 1, 2
INTERRUPTED = 130  # 128 + SIGINT, the shells' convention
VERBOSE = "gainstage.verbose"  # key in click's `Context.meta`, set by `--verbose`


class CannotRun(GainstageError):
    """The command line got something it cannot work with: a target, an input, a rule code, a file to write."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A sentence that suggests the nearest known word, or nothing.

    >>> did_you_mean("biuld", ["build", "train"])
    " Did you mean 'build'?"
    >>> did_you_mean("xyz", ["build", "train"])
    ''
    """
    by_lower = {name.lower(): name for name in known}
    near = get_close_matches(word.lower(), by_lower, n=1, cutoff=0.6)
    return f" Did you mean {by_lower[near[0]]!r}?" if near else ""


def explain(error: BaseException) -> str:
    """The class of an exception and what it says, on one line.

    >>> explain(ValueError("bad\\nworse"))
    'ValueError: bad worse'
    """
    try:
        said = " ".join(str(error).split())
    except Exception:  # an exception of the user's may fail at that too
        said = ""
    return f"{type(error).__name__}: {said}" if said else type(error).__name__
