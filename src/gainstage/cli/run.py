"""`gainstage run`: a script that we did not write, up to its first steps, observed and checked."""

import os
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gainstage.cli._errors import CANNOT_RUN, CLEAN, FINDINGS, VERBOSE, CannotRun, explain
from gainstage.cli._options import FORMATS, output_format, verbose
from gainstage.cli._report import can_write
from gainstage.cli._script import execute, speaks, unseen
from gainstage.cli._terminal import note, say, width

if TYPE_CHECKING:
    from gainstage.check import Report
    from gainstage.report import Details
    from gainstage.run import Pair, capture

_PLAIN = {"ignore_unknown_options": True, "allow_interspersed_args": False}


@click.command(context_settings=_PLAIN)
@verbose
@click.option("-m", "module", metavar="MODULE", help="Run a module, as python -m does.")
@click.option("--steps", type=click.IntRange(1, 10_000), default=1, show_default=True, help="Stop before this update.")
@click.option("--and-go-on", is_flag=True, help="Check, and let the script go on, watched.")
@click.option(
    "--every", type=click.IntRange(1), default=50, show_default=True, help="With --and-go-on: report interval."
)
@click.option(
    "--record", type=click.Path(path_type=Path), metavar="RUN.jsonl", help="With --and-go-on: keep the reports."
)
@click.option("--patience", type=float, default=600.0, show_default=True, help="Seconds to wait for the first step.")
@output_format(*FORMATS)
@click.option("--exit-zero", is_flag=True, help="Leave with exit code 0 also when there are findings.")
@click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="SCRIPT.py [ARGS]")
def run(
    module: str | None,
    steps: int,
    and_go_on: bool,
    every: int,
    record: Path | None,
    patience: float,
    style: str,
    exit_zero: bool,
    command: tuple[str, ...],
) -> None:
    """Run your script up to its first step, and check what it trains.

    \b
    gainstage run train.py --lr 0.1
    gainstage run -m package.train --lr 0.1
    torchrun --nproc-per-node 2 -m gainstage run train.py

    Nothing in the script changes: what is trained, its batch, loss and
    optimizer are seen at the backward pass and at the optimizer's step. It is
    stopped right before its first update. What it prints goes to standard
    error.

    Exit codes: 0 clean, 1 findings above a note, 2 could not run.
    """
    if module is None and not command:
        raise click.UsageError("Give a script, or a module with -m: gainstage run train.py")
    if (every != 50 or record is not None) and not and_go_on:
        raise click.UsageError("--every and --record are of a watch: add --and-go-on.")
    can_write(style)
    name = module or command[0]
    argv = list(command) if module is None else [module, *command]
    code = 0

    def report(seen: "capture") -> int:
        return _report(seen, name, style, exit_zero)

    if and_go_on:
        from gainstage.cli._watched import execute_watched

        code = execute_watched(argv, module is not None, report, every=every, record=record, patience=patience)
    else:
        code = _stopped(argv, module is not None, report, steps, patience)
    click.get_current_context().exit(code)


def _stopped(argv: list[str], as_module: bool, report: Callable[["capture"], int], steps: int, patience: float) -> int:
    from gainstage.adapters import finders
    from gainstage.run import capture

    out = sys.stdout

    def swallowed() -> None:
        note("the script caught the exception that ends it (a bare except:) and went on; it is ended here")
        code = CANNOT_RUN
        try:
            with redirect_stdout(out):
                code = report(seen) if seen.subjects else CANNOT_RUN
        except Exception as error:
            note(explain(error))
        finally:
            out.flush()
            sys.stderr.flush()
            os._exit(code)

    seen = capture(steps, patience=patience, finders=finders(), on_swallowed=swallowed)
    ended = execute(argv, as_module, seen, patience)
    if not seen.pairs or not seen.subjects:
        raise CannotRun(unseen(argv[0], ended, seen, patience))
    if seen.swallowed:
        note("the script caught the exception that ends it (a bare except:), and was ended a little later")
    return report(seen)


def _report(seen: "capture", name: str, style: str, exit_zero: bool) -> int:
    """Check every pair and say what was found; of several ranks the first speaks."""
    from gainstage.check import check
    from gainstage.report import text, write

    ok = True
    for number, pair in enumerate(seen.pairs):
        if speaks() and style == "text":
            _heading(seen, pair, name, number)
        if pair.subject is None:
            if speaks():
                note(f"no backward pass was seen that reaches what {type(pair.optimizer).__name__} holds")
            continue
        s = pair.subject
        given: dict[str, Any] = {"target": s.target, "loss": s.loss, "optimizer": s.optimizer}
        report = check(s.model, s.example, **given, train_step=s.train_step)
        ok = ok and report.ok
        if speaks():
            details = _details(report, pair, name)
            full = click.get_current_context().meta.get(VERBOSE, False)
            say(
                text(report, verbose=full, details=details) if style == "text" else write(report, style, details),
                styled=True,
            )
    return CLEAN if ok or exit_zero else FINDINGS


def _heading(seen: "capture", pair: "Pair", name: str, number: int) -> None:
    said = seen.table(pair)
    if number == 0:
        many = f", {len(seen.pairs)} optimizers: each is checked with what it trains" if len(seen.pairs) > 1 else ""
        say(f"{name} up to its first step{many}")
    page = max(40, min(width() or 80, 100))
    say("\n" + "\n".join(_row(*row, page) for row in said))
    say("\n")


def _row(label: str, what: str, line: str, page: int) -> str:
    """A line of the table of what was seen: the script's own line at its right, or below where it does not fit."""
    start = f"  {label:<10}{what}"
    if not line:
        return start if len(start) <= page else f"{start[: page - 4]} ..."
    if len(start) + 2 + len(line) <= page:
        return f"{start}{line:>{page - len(start)}}"
    return f"{start}\n{line:>{page}}"


def _details(report: "Report", pair: "Pair", name: str) -> "Details":
    """The user's own lines: of a class for a place in the model, of the loss or the step for what is of these."""
    from gainstage.cli._places import places
    from gainstage.report import Details, Place

    assert pair.subject is not None
    wheres = [f.where for f in report.findings]
    lines = {key: Place(*shown(line)) for key, line in pair.lines.items() if line[0]}
    found = places(
        pair.subject.model, [w for w in wheres if not w.startswith(("(loss)", "loss", "optimizer", "train"))]
    )
    for f in report.findings:
        key = "step" if f.code.startswith("OPT") and f.where not in found else "loss"
        if f.where not in found and key in lines and (key == "step" or f.where.startswith(("(loss)", "loss"))):
            found[f.where] = lines[key]
    return Details(name, found, lines.get("model"))


def shown(line: tuple[str, int]) -> tuple[str, int]:
    """File and line, relative to the current directory where that is above it."""
    path, here = Path(line[0]).resolve(), Path.cwd().resolve()
    return (path.relative_to(here).as_posix() if path.is_relative_to(here) else path.as_posix()), line[1]
