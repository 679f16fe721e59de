"""What reaches the terminal: no colours unasked for, no characters it cannot show, nothing of a user's code."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from shutil import get_terminal_size

import click

from gainstage._visible import visible
from gainstage.cli._end import ended
from gainstage.cli._errors import CannotRun


def wants_color() -> bool:
    """True on a terminal that shows colours, unless `NO_COLOR` is set (no-color.org), or where `FORCE_COLOR` is."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def width() -> int | None:
    """Columns of the terminal; None where the output goes to a file or another program, which gets whole lines."""
    return get_terminal_size().columns if sys.stdout.isatty() else None


def speaks_unicode() -> bool:
    """True when standard output can carry the characters of a chart."""
    return (getattr(sys.stdout, "encoding", None) or "ascii").lower().replace("-", "").startswith("utf")


def say(text: str = "", *, styled: bool = False) -> None:
    """Print `text`; a character that standard output cannot carry becomes its escape instead of an error.

    So does a character that does not print, unless the text is `styled`: a page of a report, which has its own colours
    and has made the names in it harmless.
    """
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    told = text if styled else visible(text, keep="\n")
    click.echo(told.rstrip("\n").encode(encoding, "backslashreplace").decode(encoding), color=wants_color())


def note(text: str) -> None:
    """Say something beside the result, on standard error."""
    click.echo(f"gainstage: {visible(text, keep=chr(10))}", err=True)


@contextmanager
def output_is_ours() -> Iterator[None]:
    """Around a user's code: what it prints goes to standard error, and it does not decide how this program ends.

    A module, a factory or a model may call `sys.exit(0)` or raise click's own `Exit`: that is neither clean nor a
    finding, and would end the program in the user's name.

    Raises:
        CannotRun: the code did so; the message names what it did, and where.
    """
    try:
        with redirect_stdout(sys.stderr):
            yield
    except KeyboardInterrupt:
        raise
    except (click.exceptions.Exit, click.ClickException, click.Abort) as error:
        raise CannotRun(ended(error)) from error
    except BaseException as error:
        if isinstance(error, Exception):
            raise
        raise CannotRun(ended(error)) from error
