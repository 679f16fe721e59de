"""`gainstage compare`: does a choice matter here? Arms × seeds, trained and compared fairly."""

import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gainstage.cli._errors import VERBOSE, CannotRun, explain
from gainstage.cli._files import write_text
from gainstage.cli._options import output_format, verbose
from gainstage.cli._report import can_write
from gainstage.cli._study import default_store, executor_of, study_from
from gainstage.cli._terminal import note, output_is_ours, say, wants_color

if TYPE_CHECKING:
    from gainstage.report.study import StudyDetails
    from gainstage.study import Results, Study, Tally

FORMATS = ("text", "json", "html", "csv")
_FILE = click.Path(path_type=Path)


@click.command()
@verbose
@click.argument("file", required=False, type=_FILE, metavar="[STUDY.toml]")
@click.option("--seeds", type=click.IntRange(1), metavar="N", help="How many seeds for each arm.")
@click.option("--steps", type=click.IntRange(1), metavar="N", help="Updates of each run.")
@click.option("--data", metavar="NAME", help="digits, mnist1d, breast_cancer, wine, iris, diabetes or mnist5k.")
@click.option("--store", type=_FILE, metavar="FILE", help="Where trials are kept; a file of the user by default.")
@click.option(
    "--executor",
    "kind",
    type=click.Choice(("pool", "serial", "ray")),
    default="pool",
    show_default=True,
    help="Processes of this machine, this process, or a Ray cluster.",
)
@click.option("--workers", type=click.IntRange(1), metavar="N", help="Processes of the pool; one a core by default.")
@output_format(*FORMATS)
@click.option("--output-file", type=_FILE, metavar="FILE", help="Write it there instead of printing it.")
def compare(
    file: Path | None,
    seeds: int | None,
    steps: int | None,
    data: str | None,
    store: Path | None,
    kind: str,
    workers: int | None,
    style: str,
    output_file: Path | None,
) -> None:
    """Train every arm with several seeds and say what matters.

    STUDY.toml holds the arms. Without it: initialization × activation × depth
    on digits, and which claims of the textbooks hold.

    \b
    data = "digits"                    # seeds, steps, margin: see gs.Study
    seeds = 5
    [grid]                             # every combination
    init = ["xavier_normal", "he_normal", "normal(std=0.01)"]
    depth = [4, 20]
    [[arms]]                           # or single arms
    name = "mine"
    model = "net.py:build"
    options = { width = 3 }

    The learning rate of each arm is tuned unless the file gives lr. Trials are
    kept as they end: the same command goes on where it was interrupted.

    Exit codes: 0 done, 2 could not run, 130 interrupted.
    """
    if workers is not None and kind != "pool":
        raise click.UsageError("--workers is for --executor pool.")
    can_write(style)
    _can_write(output_file)
    with output_is_ours():
        study, title = (study_from(file), file.stem) if file else _default()
        given: dict[str, Any] = {"seeds": seeds, "steps": steps, "data": data}
        study = replace(study, **{name: value for name, value in given.items() if value is not None})
        where = store or default_store()
        from gainstage.study import Tally

        tally = Tally(len(study.arms) * len(study.seed_list))
        results = _run(study, where, kind, workers, tally)
    if tally.known:
        note(f"{tally.known} of {tally.total} trials were known from {where}")
    _show(results, style, _details(results, title, where, tally, claims=file is None), output_file)


def _default() -> "tuple[Study, str]":
    from gainstage.study import textbook

    return textbook(), "textbook comparison"


def _run(study: "Study", where: Path, kind: str, workers: int | None, tally: "Tally") -> "Results":
    """Run the study; where it ends early, say what is kept."""
    from gainstage.errors import GainstageError
    from gainstage.study import DamagedTrials, Store

    def kept() -> str:
        return f"Kept {tally.done} of {tally.total} trials in {where}; the same command goes on from there."

    with Store(where) as store, warnings.catch_warnings():
        warnings.simplefilter("ignore", DamagedTrials)  # told below, with their number
        try:
            with executor_of(kind, workers) as executor:
                results = study.run(executor=executor, store=store, progress=tally)
            if store.damaged:
                note(f"{store.damaged} of the trials in {where} were damaged, and were computed anew")
            return results
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"interrupted. {kept()}") from None
        except Exception as error:
            if not tally.done:
                raise
            said = str(error) if isinstance(error, GainstageError) else f"unexpected {explain(error)}"
            raise CannotRun(f"{said}\n{kept()}") from error


def _details(results: "Results", title: str, where: Path, tally: "Tally", *, claims: bool) -> "StudyDetails":
    from gainstage.report.study import StudyDetails, versions

    judged: Any = ()
    if claims:
        from gainstage.study.claims import judge

        judged = judge(results)
    return StudyDetails(title, tally.total, tally.known, str(where), judged, versions())


def _show(results: "Results", style: str, details: "StudyDetails", file: Path | None) -> None:
    from gainstage.report.study import study_text, write_study

    if style == "text":
        full = click.get_current_context().meta.get(VERBOSE, False)
        page = study_text(results, details, color=file is None and wants_color(), verbose=full)
    else:
        page = write_study(results, style, details)
    if file is None:
        say(page, styled=True)
        return
    write_text(file, page)
    note(f"wrote {file}")


def _can_write(path: Path | None) -> None:
    """Say before the training, not after, that the output has no place."""
    if path is not None and (path.is_dir() or not path.parent.is_dir()):
        raise CannotRun(f"cannot write {path}: expected a file name in a directory that exists.")
