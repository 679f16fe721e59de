"""A report in the format that was asked for, with what that format shows besides the findings."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from gainstage.cli._errors import CannotRun, explain
from gainstage.cli._files import write_text
from gainstage.cli._places import factory_place, places
from gainstage.cli._terminal import note, say, wants_color

if TYPE_CHECKING:
    from gainstage.check import Report
    from gainstage.plan import Plan
    from gainstage.report import Details
    from gainstage.run import Subject

PLACES = 6  # of one finding, unless --verbose


def can_draw(style: str) -> None:
    """Say before the pass, not after, that the chart of an HTML report cannot be made."""
    if style == "html":
        try:
            import matplotlib  # noqa: F401
        except ModuleNotFoundError:
            raise CannotRun('--output-format html needs matplotlib. Write: pip install "gainstage[plot]"') from None


def details_for(style: str, report: "Report", subject: "Subject", target: str, seed: int) -> "Details":
    """What a format shows besides the findings: source lines, and for HTML one more pass for the chart, and a plan."""
    from gainstage.report import Details

    if style in ("text", "json"):
        return Details(target)
    where = places(subject.model, [f.where for f in (*report.findings, *(report.known or ()))])
    home = factory_place(target)
    if style != "html":
        return Details(target, where, home)
    from gainstage.check.probes import one_pass
    from gainstage.theory import predict

    observed, _ = one_pass(subject.model, subject.example, target=subject.target, loss=subject.loss, seed=seed)
    tape = observed.tape
    return Details(target, where, home, tape=tape, predicted=predict(tape, subject.model), plan=_plan(subject))


def _plan(subject: "Subject") -> "Plan | None":
    import gainstage as gs

    try:
        return gs.plan(subject.model, subject.example)
    except Exception as error:  # the report must not fail because the plan does
        note(f"the report has no plan: {explain(error)}")
        return None


def show(
    report: "Report", style: str, details: "Details", *, verbose: bool, statistics: bool, file: Path | None
) -> None:
    """Print the report, or write it to a file."""
    from gainstage.report import text, write

    if statistics:
        page = _statistics(report)
    elif style == "text":
        page = text(report, color=file is None and wants_color(), places=None if verbose else PLACES, verbose=verbose)
    else:
        page = write(report, style, details)
    if file is not None:
        write_text(file, page if page.endswith("\n") or not page else page + "\n")
        note(f"wrote {file}")
    elif page:
        say(page, styled=True)


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
    return "\n".join([*rows, "[*] can be fixed with --fix -o FILE.safetensors"])
