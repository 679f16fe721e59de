"""How a command ends that could not run: one message, exit code 2, no stack trace unless asked for."""

import os
import sys
import textwrap
import traceback
from typing import NoReturn

import click

from gainstage._visible import visible
from gainstage.cli._errors import CANNOT_RUN, INTERRUPTED, VERBOSE, explain
from gainstage.cli._module import user_line
from gainstage.errors import GainstageError


def ended(error: BaseException) -> str:
    """What a user's code did that would have ended this program, and what to write instead.

    >>> ended(SystemExit("usage: net.py DATA"))[:63]
    "your code called sys.exit('usage: net.py DATA'), which ends the"
    """
    did = f"called sys.exit({error.code!r})" if isinstance(error, SystemExit) else f"raised {explain(error)}"
    return (
        f"your code {did}{user_line(error)}, which ends the program that runs it, so nothing was found out. "
        "Let it raise an error that says what is wrong: raise ValueError(...)."
    )


def stop(ctx: click.Context, error: BaseException) -> NoReturn:
    """Say once on standard error why the command cannot run, and leave with exit code 2."""
    verbose = ctx.meta.get(VERBOSE, False)
    if verbose:
        click.echo(visible("".join(traceback.format_exception(error)), keep="\n"), err=True)
    expected = isinstance(error, GainstageError)
    message = str(error) if expected else f"unexpected {explain(error)}"
    if not isinstance(error, Exception):
        message = ended(error)
    if not verbose and (error.__cause__ is not None or not expected):
        message += "\n(--verbose shows the stack trace)"
    click.echo(_wrapped(f"gainstage: {visible(message, keep=chr(10))}"), err=True)
    ctx.exit(CANNOT_RUN)


def stop_quietly(ctx: click.Context, error: BaseException) -> NoReturn:
    """Leave after Ctrl-C, or after the reader of our output went away (`gainstage ... | head`)."""
    if isinstance(error, BrokenPipeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nothing left to fail on at exit
        ctx.exit(CANNOT_RUN)
    said = str(error) if isinstance(error, KeyboardInterrupt) else ""  # what a verb has to add: what is kept
    click.echo("\n" * bool(said) + f"gainstage: {visible(said or 'interrupted')}", err=True)
    ctx.exit(INTERRUPTED)


def _wrapped(message: str, width: int = 80) -> str:
    """Each line of `message` within `width` columns; lines that are indented (lists, code) stay as they are."""
    lines = (
        [line] if line.startswith(" ") else textwrap.wrap(line, width, break_long_words=False, break_on_hyphens=False)
        for line in message.split("\n")
    )
    return "\n".join(part for group in lines for part in group or [""])
