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
    help="Say all of it: the whole report, the stack trace of an error.",
)
seed = click.option(
    "--seed",
    type=click.IntRange(0, 2**32 - 1),
    default=0,
    show_default=True,
    metavar="INT",
    help="Seed of the factory, of --input and of what gainstage draws.",
)
FORMATS = ("text", "concise", "json", "sarif", "junit", "github", "html")  # of a report


def output_format(*styles: str) -> Callable[[Verb], Verb]:
    """Add `--output-format`; the verb gets `style`, one of `styles`."""
    return click.option(
        "--output-format",
        "style",
        type=click.Choice(styles),
        default="text",
        show_default=True,
        help="How to write it.",
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
    return _with(click.argument("target", metavar="TARGET"), verb)


def with_targets(verb: Verb) -> Verb:
    """The same for a verb that takes several; it gets `targets`."""
    return _with(click.argument("targets", metavar="[TARGETS]", nargs=-1), verb)


def _with(argument: Callable[[Verb], Verb], verb: Verb) -> Verb:
    for decorate in (verbose, seed, inputs, argument):
        verb = decorate(verb)
    return verb


def with_loss(verb: Verb) -> Verb:
    """Add `--loss` and `--classes`; the verb gets `loss` and `classes`."""
    verb = click.option("--classes", type=click.IntRange(2), metavar="N", help="Labels are drawn below N.")(verb)
    return click.option(
        "--loss", metavar="NAME", help="A loss of torch.nn.functional, with a target drawn for it: cross_entropy."
    )(verb)
