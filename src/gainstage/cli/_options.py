"""The options that verbs share."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from gainstage.cli._errors import VERBOSE

Verb = TypeVar("Verb", bound=Callable[..., Any])


def _remember_verbose(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    ctx.meta[VERBOSE] = value


verbose = click.option(
    "--verbose",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_remember_verbose,
    help="Show the stack trace of what went wrong.",
)
seed = click.option(
    "--seed",
    type=click.IntRange(0, 2**32 - 1),
    default=0,
    show_default=True,
    metavar="INT",
    help="Seed of the factory, of --input and of what gainstage draws.",
)
output_format = click.option(
    "--output-format",
    "style",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="How to print.",
)
inputs = click.option(
    "--input",
    "inputs",
    multiple=True,
    metavar="SHAPE",
    help="Example input: 8x3x64x64 (normal numbers), ids:8x128:50257 (integers below 50257), "
    "name=8x16 (keyword input). Repeat for several inputs.",
)


def with_target(verb: Verb) -> Verb:
    """Add TARGET, `--input`, `--seed` and `--verbose`; the verb gets `target`, `inputs` and `seed`."""
    for decorate in (verbose, seed, inputs, click.argument("target", metavar="TARGET")):
        verb = decorate(verb)
    return verb
