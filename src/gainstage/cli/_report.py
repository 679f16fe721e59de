"""A report in the format that was asked for, with what that format shows besides the findings."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from gainstage.cli._files import write_text
from gainstage.cli._places import factory_place, places
from gainstage.cli._terminal import note, say, wants_color

if TYPE_CHECKING:
    from gainstage.check import Report
    from gainstage.report import Details
    from gainstage.run import Subject

PLACES = 6  # of one finding, unless --verbose


def can_write(style: str) -> None:
    """Say before the pass, not after, that an HTML report cannot be made."""
    if style == "html":
        from gainstage.report import check_installed

        check_installed()


def details_for(style: str, report: "Report", subject: "Subject", target: str) -> "Details":
    """What a format shows besides the findings: source lines, and for HTML the signal and the plan."""
    from gainstage.report import Details

    if style in ("text", "json"):
        return Details(target)
    where = places(subject.model, [f.where for f in (*report.findings, *(report.known or ()))])
    home = factory_place(target)
    if style != "html":
        return Details(target, where, home)
    from gainstage.theory import predict

    if report.plan is None:
        note(f"the report has no plan; gainstage init {target} says why")
    assert report.tape is not None
    predicted = predict(report.tape, subject.model)
    return Details(target, where, home, tape=report.tape, predicted=predicted, plan=report.plan)


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
    from gainstage._columns import columns

    counts = Counter((f.code, f.name, f.severity) for f in report.findings)
    if not counts:
        return "no findings"
    by_fix = {f.code: True for f in report.findings} | {f.code: False for f in report.findings if not f.fix.laws}
    rows = [
        (str(number), code, "[*]" if by_fix[code] else "[ ]", severity, name)
        for (code, name, severity), number in counts.most_common()
    ]
    table = columns(("number", "code", "fix", "severity", "rule"), rows, numbers=(0,))
    return f"{table}\n[*] can be fixed with --fix -o FILE.safetensors"
