"""`gainstage check`: what is wrong with a model at its start, and what would repair it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gainstage.cli._errors import CLEAN, FINDINGS, VERBOSE, CannotRun, did_you_mean
from gainstage.cli._files import read_text, write_text, write_weights
from gainstage.cli._fixes import difference, laws_of, repair
from gainstage.cli._objective import with_objective
from gainstage.cli._options import FORMATS, output_format, with_loss, with_targets
from gainstage.cli._places import module_file
from gainstage.cli._report import can_write, details_for, show
from gainstage.cli._target import load
from gainstage.cli._targets import Chosen, chosen
from gainstage.cli._terminal import note, output_is_ours, say

if TYPE_CHECKING:
    from gainstage.check import Baseline, Report

_FILE = click.Path(path_type=Path)


@click.command()
@with_targets
@with_loss
@click.option("--select", multiple=True, metavar="CODES", help="Only these rules: codes or their beginnings, a,b,c.")
@click.option("--ignore", multiple=True, metavar="CODES", help="Not these rules.")
@click.option("--train", is_flag=True, help="Also train the model for some seconds, and undo it.")
@click.option("--fix", is_flag=True, help="Write weights with the fixes made to -o, and check those.")
@click.option("--diff", is_flag=True, help="Show what the fixes would change, and write nothing.")
@click.option("-o", "--output", type=_FILE, metavar="FILE.safetensors", help="Where --fix writes the weights.")
@output_format(*FORMATS)
@click.option("--output-file", type=_FILE, metavar="FILE", help="Write the report there instead of printing it.")
@click.option("--statistics", is_flag=True, help="Count the findings of each rule instead of showing them.")
@click.option("--baseline", type=_FILE, metavar="FILE", help="Report only what this baseline does not know.")
@click.option("--write-baseline", type=_FILE, metavar="FILE", help="Write what was found there; exit code 0.")
@click.option("--exit-zero", is_flag=True, help="Leave with exit code 0 also when there are findings.")
def check(
    targets: tuple[str, ...],
    inputs: tuple[str, ...],
    seed: int,
    loss: str | None,
    classes: int | None,
    select: tuple[str, ...],
    ignore: tuple[str, ...],
    train: bool,
    fix: bool,
    diff: bool,
    output: Path | None,
    style: str,
    output_file: Path | None,
    statistics: bool,
    baseline: Path | None,
    write_baseline: Path | None,
    exit_zero: bool,
) -> None:
    """Check the start of every TARGET: what one batch shows.

    Without a TARGET, those of [tool.gainstage.targets] in pyproject.toml.

    A factory builds the model anew each time, so --fix does not touch your
    source: it draws the weights that the findings name from the laws that
    their fixes give, leaves all others as built, and writes them to -o.

    Settings are read from [tool.gainstage] in the nearest pyproject.toml at or
    above TARGET: select, ignore, per-module-ignores, severity. Options win.

    Exit codes: 0 clean, 1 findings above a note, 2 could not run.
    """
    _refuse_contradictions(fix, diff, output, style, output_file, statistics)
    can_write(style)
    known = _read_baseline(baseline)
    every = chosen(targets, inputs)
    single = [fix, output_file, baseline, write_baseline, style not in ("text", "concise", "github")]
    if len(every) > 1 and any(single):
        raise click.UsageError("several TARGETs go with --output-format text, concise and github, without files.")
    rules: dict[str, Any] = {"select": _codes(select, "--select"), "ignore": _codes(ignore, "--ignore")}
    healthy = True
    for one in every:
        if len(every) > 1 and style == "text":
            say(f"== {one.name}")
        wanted = _Wanted(known, loss, classes, train, fix, diff, output, style, output_file, statistics)
        report = _check_one(one, seed, rules, wanted)
        healthy = healthy and report.ok
        if len(every) > 1 and style == "text":
            say()
    if write_baseline is not None:
        _write_baseline(report, write_baseline)
    accepted = healthy or exit_zero or write_baseline is not None
    click.get_current_context().exit(CLEAN if accepted else FINDINGS)


@dataclass(frozen=True)
class _Wanted:
    """What the options ask for, beside the rules."""

    known: "Baseline | None"
    loss: str | None
    classes: int | None
    train: bool
    fix: bool
    diff: bool
    output: Path | None
    style: str
    output_file: Path | None
    statistics: bool


def _check_one(one: Chosen, seed: int, rules: dict[str, Any], wanted: _Wanted) -> "Report":
    """Load one TARGET, check it and print what is asked for."""
    with output_is_ours():
        import gainstage as gs
        from gainstage.check import config, only_new

        subject = with_objective(load(one.target, one.inputs, seed), wanted.loss, wanted.classes, seed)
        file = module_file(one.target)
        settings = config.find(file.parent if file else Path.cwd())
        given: dict[str, Any] = {"target": subject.target, "loss": subject.loss, "train": wanted.train}
        given |= {"optimizer": subject.optimizer, "train_step": subject.train_step}

        def run() -> "Report":
            report = gs.check(subject.model, subject.example, seed=seed, config=settings, **given, **rules)
            return report if wanted.known is None else only_new(report, wanted.known)

        report = run()
        laws = laws_of(report)
        changes = difference(subject.model, laws) if wanted.diff else ""
        found = len(report.findings)
        if wanted.fix and laws and wanted.output is not None and report.plan is not None:
            repair(subject.model, report.plan, laws, seed)
            report = run()
            write_weights(wanted.output, subject.model)
        style = "text" if wanted.diff or wanted.statistics else wanted.style
        details = details_for(style, report, subject, one.target)
    if wanted.diff:
        say(changes or "No finding has a fix that changes the plan.")
    else:
        verbose = click.get_current_context().meta.get(VERBOSE, False)
        show(report, wanted.style, details, verbose=verbose, statistics=wanted.statistics, file=wanted.output_file)
    if wanted.fix:
        note(_what_fix_did(len(laws), found, len(report.findings), wanted.output))
    return report


def _what_fix_did(changed: int, before: int, after: int, output: Path | None) -> str:
    if not changed:
        return "nothing to fix in the weights, so nothing was written"
    return (
        f"{changed} parameter{'s' * (changed != 1)} changed, {before} findings before, {after} after\n"
        f"gainstage: wrote {output}"
    )


def _refuse_contradictions(
    fix: bool, diff: bool, output: Path | None, style: str, output_file: Path | None, statistics: bool
) -> None:
    if fix and diff:
        raise click.UsageError("--fix writes and --diff only shows: give one of them.")
    if fix and output is None:
        raise click.UsageError("--fix needs a file to write the weights to: add -o FILE.safetensors.")
    if output is not None and not fix:
        raise click.UsageError(
            "-o is where --fix writes weights: add --fix, or use gainstage init for a whole new start. "
            "A report is written to --output-file."
        )
    if output is not None and output == output_file:
        raise click.UsageError("-o takes the weights and --output-file the report: give them different names.")
    if diff and (style != "text" or output_file is not None):
        raise click.UsageError("--diff prints changes, not a report: leave out --output-format and --output-file.")
    if statistics and (style != "text" or diff):
        raise click.UsageError("--statistics prints counts: leave out --output-format and --diff.")


def _read_baseline(path: Path | None) -> "Baseline | None":
    if path is None:
        return None
    from gainstage.check import Baseline
    from gainstage.errors import GainstageError

    try:
        return Baseline.from_json(read_text(path))
    except GainstageError as error:
        raise CannotRun(f"--baseline {path}: {error}") from error


def _write_baseline(report: "Report", path: Path) -> None:
    from gainstage.check import Baseline

    write_text(path, Baseline.of(report).to_json())
    number = len(report.findings) + len(report.known or ())
    note(f"wrote {path}: {number} finding{'s' * (number != 1)}, known from now on")


def _codes(given: Sequence[str], option: str) -> tuple[str, ...]:
    """The codes and prefixes of a repeatable, comma-separated option; each must be the beginning of a rule's code."""
    from gainstage.check import RULES

    codes = tuple(word.strip().upper() for text in given for word in text.split(",") if word.strip())
    for code in codes:
        if not any(known.startswith(code) for known in RULES):
            families = sorted({known.rstrip("0123456789") for known in RULES})
            raise CannotRun(
                f"{option}: no rule has a code that begins with {code!r}.{did_you_mean(code, [*RULES, *families])} "
                "gainstage rule --all shows every rule."
            )
    return codes
