"""A report for the terminal, in ruff's manner: what, where, measured, expected, why, and what to do."""

from collections import Counter
from typing import TYPE_CHECKING

from rich.text import Text

from gainstage._visible import visible
from gainstage.report._blocks import blocks as blocks_of
from gainstage.report._blocks import fix_of
from gainstage.report._page import Page
from gainstage.report.details import Details

if TYPE_CHECKING:
    from gainstage.check import Finding, Report

_COLOR = {"error": "bold red", "warning": "bold yellow", "note": "bold cyan"}
_NOTES, _SYMPTOMS, _CODES, _REASONS = 3, 4, 8, 6  # the most that a page which is not verbose shows in full


def text(
    report: "Report",
    *,
    width: int = 80,
    color: bool = False,
    places: int | None = None,
    verbose: bool = False,
    details: Details | None = None,
) -> str:
    """The report as text, worst finding first, ending in a line break.

    One block a finding. Findings of one rule that say the same of several places share a block, with a line a place.
    Where there are many notes, each takes one line. After them: a summary, what was judged, and what was not and why,
    a line a reason.

    Args:
        report: what a check found.
        width: columns; no line is longer.
        color: with the terminal's own named colours. The text says the same without.
        places: show at most this many places a block and say how many more there are; all of them by default.
        verbose: show every note and every symptom in full, and each rule that was judged or not by its code.
        details: lines of the user's source, shown beside the places.

    Returns:
        The text. Characters in names that do not print are shown as their escapes.

    Example:
        >>> import gainstage as gs
        >>> print(text(gs.Report("Net", 1210, 5, (), (), ("INI101", "SIG201"))), end="")
        Checked Net: 1,210 parameters, 5 sites.
        No findings. 2 rules judged: INI101 SIG201.
    """
    page = Page(width, color)
    blocks = list(blocks_of(report.findings))
    notes = [same for same in blocks if same[0].severity == "note"]
    brief = notes if len(notes) > _NOTES and not verbose else []
    for same in blocks[: len(blocks) - len(brief)]:
        _block(page, same, places, verbose, details or Details())
        page.line()
    if brief:
        _briefly(page, brief)
    page.line(f"Checked {visible(report.model)}: {report.parameters:,} parameters, {report.sites:,} sites.")
    _summary(page, report, verbose)
    _coverage(page, report, verbose)
    return page.text()


def _block(page: Page, same: "list[Finding]", places: int | None, verbose: bool, details: Details) -> None:
    first = same[0]
    heading = Text.assemble(
        (visible(first.code), _COLOR[first.severity]), " ", (visible(first.name), "bold"), f"  {first.severity}"
    )
    page.line(heading.append(f", {len(same)} places" if len(same) > 1 else ""))
    alike = len({finding.measured for finding in same}) == 1
    for finding in same[:places]:
        place = details.place(finding)
        line = f"  ({place.file}:{place.line})" if place else ""
        page.line(visible(f"{finding.where}{line}"), label="-->", indent=6, style="dim")
        if not alike:
            _labelled(page, "measured", finding.measured)
    if places is not None and len(same) > places:
        page.line(f"and {len(same) - places} more places", label="...", indent=6, style="dim")
    if alike:
        _labelled(page, "measured", first.measured)
    _labelled(page, "expected", first.expected)
    _labelled(page, "why", first.message)
    shown = len(first.symptoms) if verbose or len(first.symptoms) == _SYMPTOMS + 1 else _SYMPTOMS
    for symptom in first.symptoms[:shown]:
        _labelled(page, "explains", symptom)
    if len(first.symptoms) > shown:
        _labelled(page, "", f"and {len(first.symptoms) - shown} more symptoms; --verbose shows them")
    _labelled(page, "fix", fix_of(same), style="green")


def _briefly(page: Page, notes: "list[list[Finding]]") -> None:
    """A line a note: its rule, its first place and how many more there are."""
    for same in notes:
        first, more = same[0], f" and {len(same) - 1} more" if len(same) > 1 else ""
        lead = Text.assemble((visible(first.code), _COLOR["note"]), f" {visible(first.name)}  note: ")
        page.line(lead.append(f"{visible(first.where)}{more}", style="dim"), hang=7)
    page.line("Notes in full: --verbose, or gainstage rule CODE.", style="dim")
    page.line()


def _labelled(page: Page, label: str, body: str, style: str = "dim") -> None:
    page.line(visible(" ".join(body.split())), label=label, indent=12, style=style)


def _summary(page: Page, report: "Report", verbose: bool) -> None:
    counts = [(report.count("error"), "error"), (report.count("warning"), "warning"), (report.count("note"), "note")]
    body = Text()
    for number, severity in counts:
        if number:
            body.append(", " if body.plain else "")
            body.append(_plural(number, severity), style=_COLOR[severity])
    known = f"{_plural(len(report.known), 'finding')} known from the baseline not shown." if report.known else ""
    if report.findings:
        page.line(body.append("." if not report.ok else ". Notes do not count against the model."))
        if known:
            page.line(known)
        page.line(_judged(report, verbose), hang=2)
    else:
        page.line(f"No {'new ' * bool(known)}findings. {known} {_judged(report, verbose)}".replace("  ", " "), hang=2)


def _judged(report: "Report", verbose: bool) -> str:
    """How many rules were measured; a few by their codes, many by their families."""
    codes = report.judged
    if len(codes) > _CODES and not verbose:
        families = Counter(code.rstrip("0123456789") for code in codes)
        codes = (", ".join(f"{family} {number}" for family, number in families.items()),)
    return f"{_plural(len(report.judged), 'rule')} judged: {' '.join(codes) or 'none'}."


def _coverage(page: Page, report: "Report", verbose: bool) -> None:
    """What could not be judged: a rule that was not measured has not passed."""
    from gainstage.check.findings import FAILED

    if not report.not_judged:
        return
    few = verbose or len(report.not_judged) <= _REASONS
    page.line(f"{_plural(len(report.not_judged), 'rule')} not judged{'' if few else ' (--verbose names each)'}:")
    if few:
        for rule in report.not_judged:
            code = visible(rule.code)
            page.line(f"{visible(rule.name)}: {visible(rule.why)}", label=code, indent=len(code) + 3)
        return
    groups: dict[str, list[str]] = {}
    for rule in report.not_judged:
        groups.setdefault(rule.why, []).append(rule.code)
    ranked = sorted(groups.items(), key=lambda group: (not group[0].startswith(FAILED), -len(group[1]), group[1]))
    left = ranked[_REASONS:] if len(ranked) > _REASONS + 1 else []
    for why, codes in ranked[: len(ranked) - len(left)]:
        more = f" +{len(codes) - 1}" if len(codes) > 1 else ""
        page.line(visible(why), label=f"{visible(codes[0])}{more}", indent=14)
    if left:
        number = sum(len(codes) for _, codes in left)
        page.line(f"{_plural(number, 'rule')} for {len(left)} other reasons", label="...", indent=14)


def _plural(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
