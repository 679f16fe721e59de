"""`gainstage transfer`: does a model behave alike at every width and depth, under which start and rates?"""

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gainstage.cli._errors import CLEAN, FINDINGS, VERBOSE, CannotRun
from gainstage.cli._files import write_text
from gainstage.cli._inputs import example_from, parse
from gainstage.cli._module import import_target
from gainstage.cli._options import output_format, with_target
from gainstage.cli._report import can_write
from gainstage.cli._target import attribute_of
from gainstage.cli._terminal import note, output_is_ours, say, width

if TYPE_CHECKING:
    from gainstage.transfer import Transfer

_FILE = click.Path(path_type=Path)


@click.command()
@with_target
@click.option("--widths", metavar="N,N,...", required=True, help="From the base to the target, as TARGET takes them.")
@click.option("--depths", metavar="N,N,...", help="The same for the depth; without, TARGET's own.")
@click.option("--optimizer", type=click.Choice(("adam", "sgd", "muon")), default="adam", show_default=True)
@click.option(
    "--rule",
    type=click.Choice(("mup", "completep", "spectral", "standard")),
    default="mup",
    show_default=True,
    help="How starts and rates follow the size.",
)
@click.option("--seeds", type=click.IntRange(1), default=3, show_default=True, metavar="N", help="Starts of each size.")
@click.option(
    "--most", type=click.IntRange(1), default=24, show_default=True, metavar="N", help="Starts where fewer cannot tell."
)
@click.option("--steps", type=click.IntRange(1), default=5, show_default=True, metavar="N", help="Of the check.")
@click.option(
    "--rates", metavar="X,X,...", help="Also train at these rates of the base, and find the best of each size."
)
@click.option(
    "--train-steps", type=click.IntRange(1), default=200, show_default=True, metavar="N", help="With --rates."
)
@click.option("--plan", "planned", is_flag=True, help="Only say what the target gets, and train nothing.")
@click.option("-o", "--output", type=_FILE, metavar="FILE.json", help="Write what the target gets: starts and rates.")
@output_format("text", "json", "html")
@click.option("--output-file", type=_FILE, metavar="FILE", help="Write the report there instead of printing it.")
@click.option("--exit-zero", is_flag=True, help="Leave with exit code 0 also when the check fails.")
def transfer(
    target: str,
    inputs: tuple[str, ...],
    seed: int,
    widths: str,
    depths: str | None,
    optimizer: str,
    rule: str,
    seeds: int,
    most: int,
    steps: int,
    rates: str | None,
    train_steps: int,
    planned: bool,
    output: Path | None,
    style: str,
    output_file: Path | None,
    exit_zero: bool,
) -> None:
    """Check that TARGET behaves alike at every width and depth.

    TARGET is a function of the width, or of width and depth, that returns a
    model, (model, example) or a gs.Subject:

    \b
    def model(width, depth=4):  # returns a model with its example
    gainstage transfer net.py:model --widths 64,128,256,512 --depths 4,8

    Every size is trained a few steps with every seed, and with more seeds, up
    to --most, where these cannot tell. What each parameter
    learns must not grow or shrink with the size: pass, fail with the parameter
    and the rule that is broken, or cannot tell.

    Exit codes: 0 pass or cannot tell, 1 fail, 2 could not run.
    """
    can_write(style)
    for text in inputs:
        parse(text)
    with output_is_ours():
        from gainstage.transfer import transfer as resolve

        module, attribute = import_target(target)
        make = attribute_of(module, attribute, target)
        wide, deep = _numbers(widths, "--widths"), _numbers(depths, "--depths") if depths else ()
        sizes, lengths = _sizes(make, target, wide, deep)
        deepest = {name: n for name, n in lengths[-1].items() if n != lengths[0][name]} if lengths else {}
        corner = {**sizes[-1], **deepest}
        move = resolve(
            make, sizes[0], corner, optimizer=optimizer, rule=rule, example=_example(make, sizes, inputs, seed)
        )
        if output is not None:
            write_text(output, move.to_json() + "\n")
            note(f"wrote {output}")
        check = study = None
        if not planned:
            check = move.check(
                widths=sizes, depths=lengths or None, seeds=seeds, most=max(seeds, most), steps=steps, progress=True
            )
            if rates:
                chosen = sorted(_numbers(rates, "--rates", float))
                study = move.study(
                    widths=sizes, depths=lengths or None, rates=chosen, seeds=seeds, steps=train_steps, progress=True
                )  # fmt: skip
    _show(move, check, study, style, output_file, target)
    failed = check is not None and not check.ok
    click.get_current_context().exit(FINDINGS if failed and not exit_zero else CLEAN)


def _numbers(text: str, option: str, kind: Any = int) -> tuple[Any, ...]:
    try:
        found = tuple(kind(word) for word in text.split(",") if word.strip())
    except ValueError:
        found = ()
    if len(set(found)) < 2 or min(found) <= 0:
        raise CannotRun(f"{option} {text!r}: expected at least two different numbers above 0, as in 64,128,256,512")
    return found


def _sizes(
    make: Any, target: str, widths: tuple[int, ...], depths: tuple[int, ...]
) -> tuple[list[dict[str, int]], list[dict[str, int]]]:
    """Keyword arguments for every width, and for every depth at the first width."""
    if not callable(make):
        raise CannotRun(f"{target} is no function: expected one of the width, def model(width): ...")
    try:
        names = [
            n
            for n, p in inspect.signature(make).parameters.items()
            if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
        ]
    except (TypeError, ValueError):
        names = ["width", "depth"]
    wide = "width" if "width" in names else names[0] if names else ""
    deep = "depth" if "depth" in names else next((name for name in names if name != wide), "")
    if not wide or (depths and not deep):
        missing = "the width" if not wide else "the depth"
        raise CannotRun(f"{target} takes no argument for {missing}: expected def model(width, depth): ...")
    first = {deep: depths[0]} if depths else {}
    return [{wide: w, **first} for w in widths], [{wide: widths[0], deep: d} for d in depths]


def _example(make: Any, sizes: list[dict[str, int]], inputs: tuple[str, ...], seed: int) -> Any:
    if not inputs:
        return None
    from torch import nn

    model = make(**sizes[0])
    if not isinstance(model, nn.Module):
        raise CannotRun("--input is for a TARGET that returns a model alone; this one brings its own example")
    return example_from(inputs, model, seed)


def _show(move: "Transfer", check: Any, study: Any, style: str, file: Path | None, target: str) -> None:
    from gainstage.report.transfer import write_transfer

    verbose = click.get_current_context().meta.get(VERBOSE, False)
    columns = None if file is not None else width()
    page = write_transfer(move, check, study, style, target=target, width=columns or 80, every=verbose)
    if file is None:
        say(page, styled=style == "html")
        return
    write_text(file, page if page.endswith("\n") else page + "\n")
    note(f"wrote {file}")
