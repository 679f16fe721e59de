"""What reaches the terminal: no colours unasked for, no characters it cannot show, none of a user's prints."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout

import click


def wants_color() -> bool:
    """True on a terminal that shows colours, unless `NO_COLOR` is set (see no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def speaks_unicode() -> bool:
    """True when standard output can carry the characters of a chart."""
    return (getattr(sys.stdout, "encoding", None) or "ascii").lower().replace("-", "").startswith("utf")


def say(text: str = "") -> None:
    """Print `text`; a character that standard output cannot carry becomes its escape instead of an error."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    click.echo(text.encode(encoding, "backslashreplace").decode(encoding), color=wants_color())


def finished(text: str) -> str:
    """The text of a room (a table, a plan) with escape sequences from the model's names made harmless."""
    from gainstage.report import visible

    return visible(text.rstrip("\n"), keep="\n")


@contextmanager
def output_is_ours() -> Iterator[None]:
    """Send what a user's module, factory or model prints to standard error, so that `--output-format json` parses."""
    with redirect_stdout(sys.stderr):
        yield
