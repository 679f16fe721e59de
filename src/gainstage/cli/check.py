"""`gainstage check`: what is wrong with a model at its start, and what would repair it."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gainstage.cli._errors import CLEAN, FINDINGS, CannotRun, did_you_mean
from gainstage.cli._files import write_weights
from gainstage.cli._fixes import difference, laws_of, repair
from gainstage.cli._options import output_format, with_target
from gainstage.cli._target import load
from gainstage.cli._terminal import finished, output_is_ours, say, wants_color

if TYPE_CHECKING:
    from gainstage.check import Report


@click.command()
@with_target
@click.option("--select", multiple=True, metavar="CODES", help="Only these rules: codes or their beginnings, a,b,c.")
@click.option("--ignore", multiple=True, metavar="CODES", help="Not these rules.")
@click.option("--train", is_flag=True, help="Also train the model for some seconds, and undo it.")
@click.option("--fix", is_flag=True, help="Write weights with the fixes made to -o, and check those.")
@click.option("--diff", is_flag=True, help="Show what the fixes would change, and write nothing.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE.safetensors",
    help="Where --fix writes the weights.",
)
@output_format
@click.option("--statistics", is_flag=True, help="Count the findings of each rule instead of showing them.")
@click.option("--exit-zero", is_flag=True, help="Leave with exit code 0 also when there are findings.")
def check(
    target: str,
    inputs: tuple[str, ...],
    seed: int,
    select: tuple[str, ...],
    ignore: tuple[str, ...],
    train: bool,
    fix: bool,
    diff: bool,
    output: Path | None,
    style: str,
    statistics: bool,
    exit_zero: bool,
) -> None:
    """Check the start of TARGET: what one batch shows.

    A factory builds the model anew each time, so --fix does not touch your
    source: it draws the weights that the findings name from the laws that
    their fixes give, leaves all others as built, and writes them to -o.

    Exit codes: 0 clean, 1 findings above a note, 2 could not run.
    """
    _refuse_contradictions(fix, diff, output)
    with output_is_ours():
        import gainstage as gs

        rules: dict[str, Any] = {"select": _codes(select, "--select"), "ignore": _codes(ignore, "--ignore")}
        subject = load(target, inputs, seed)
        given: dict[str, Any] = {"target": subject.target, "loss": subject.loss, "train": train}
        given |= {"optimizer": subject.optimizer, "train_step": subject.train_step}

        def run() -> "Report":
            return gs.check(subject.model, subject.example, seed=seed, **given, **rules)

        report = run()
        laws = laws_of(report)
        changes = difference(subject.model, laws) if diff else ""
        found = len(report.findings)
        if fix and laws and output is not None:
            repair(subject.model, subject.example, laws, seed)
            report = run()
            write_weights(output, subject.model)
    if diff:
        say(finished(changes) or "No finding has a fix that changes the plan.")
    else:
        _show(report, style, statistics)
    if fix:
        click.echo(_what_fix_did(len(laws), found, len(report.findings), output), err=True)
    click.get_current_context().exit(CLEAN if report.ok or exit_zero else FINDINGS)


def _what_fix_did(changed: int, before: int, after: int, output: Path | None) -> str:
    if not changed:
        return "gainstage: nothing to fix in the weights, so nothing was written"
    return (
        f"gainstage: {changed} parameter{'s' * (changed != 1)} changed, {before} findings before, {after} after\n"
        f"gainstage: wrote {output}"
    )


def _refuse_contradictions(fix: bool, diff: bool, output: Path | None) -> None:
    if fix and diff:
        raise click.UsageError("--fix writes and --diff only shows: give one of them.")
    if fix and output is None:
        raise click.UsageError("--fix needs a file to write the weights to: add -o FILE.safetensors.")
    if output is not None and not fix:
        raise click.UsageError("-o is where --fix writes: add --fix, or use gainstage init for a whole new start.")


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


def _show(report: "Report", style: str, statistics: bool) -> None:
    if style == "json":
        from gainstage.report import json_text

        say(json_text(report).rstrip("\n"))
    elif statistics:
        say(_statistics(report))
    else:
        from gainstage.report import text

        say(text(report, color=wants_color()).rstrip("\n"))


def _statistics(report: "Report") -> str:
    """One line a rule, most frequent first; `[*]` where every finding of it has a fix that `--fix` can make."""
    counts = Counter((f.code, f.name, f.severity) for f in report.findings)
    if not counts:
        return "no findings"
    by_fix = {f.code: True for f in report.findings} | {f.code: False for f in report.findings if not f.fix.laws}
    wide = len(str(max(counts.values())))
    rows = [
        f"{n:>{wide}}  {code}  {'[*]' if by_fix[code] else '[ ]'}  {severity:<7}  {name}"
        for (code, name, severity), n in counts.most_common()
    ]
    return finished("\n".join([*rows, "[*] can be fixed with --fix -o FILE.safetensors"]))
