"""A report for the terminal, in ruff's manner: what, where, measured, expected, why, and what to do."""

from collections.abc import Iterator, Sequence
from io import StringIO
from itertools import groupby
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from gainstage.report._visible import visible

if TYPE_CHECKING:
    from gainstage.check import Finding, Report

_COLOR = {"error": "bold red", "warning": "bold yellow", "note": "bold cyan"}


def text(report: "Report", *, width: int = 80, color: bool = False, places: int | None = None) -> str:
    """The report as text, worst finding first, ending in a line break.

    One block a finding. Findings of one rule that say the same of several places share a block, with a line a place.
    After them: a summary, and what was judged and what was not, and why.

    Args:
        report: what a check found.
        width: columns; no line is longer.
        color: with the terminal's own named colours. The text says the same without.
        places: show at most this many places a block and say how many more there are; all of them by default.

    Returns:
        The text. Characters in names that do not print are shown as their escapes.

    Example:
        >>> import gainstage as gs
        >>> print(text(gs.Report("Net", 1210, 5, (), (), ("INI101", "SIG201"))), end="")
        Checked Net: 1,210 parameters, 5 sites.
        No findings. 2 rules judged: INI101 SIG201.
    """
    page = _Page(width, color)
    for same in _blocks(report.findings):
        _block(page, same, places)
        page.line()
    page.line(f"Checked {visible(report.model)}: {report.parameters:,} parameters, {report.sites:,} sites.")
    _summary(page, report)
    _coverage(page, report)
    return page.text()


class _Page:
    """Lines of styled text, wrapped to a width."""

    def __init__(self, width: int, color: bool) -> None:
        self._console = Console(
            file=StringIO(),
            width=width,
            force_terminal=color,
            color_system="standard" if color else None,
            no_color=not color,
            legacy_windows=False,
            soft_wrap=True,
        )
        self._width = width

    def line(self, body: str | Text = "", *, label: str = "", indent: int = 0, style: str = "") -> None:
        """Add `body` behind `label`, from column `indent` on; what does not fit goes on below, under its beginning."""
        content = Text(body) if isinstance(body, str) else body
        lead = Text(f"  {label}".ljust(indent), style=style) if label else Text()
        for part in content.wrap(self._console, self._width - indent, overflow="fold") if content.plain else [Text()]:
            part.rstrip()
            self._console.print(Text.assemble(lead, part), highlight=False, markup=False, emoji=False)
            lead = Text(" " * indent)

    def text(self) -> str:
        """The page so far."""
        assert isinstance(self._console.file, StringIO)
        return self._console.file.getvalue()


def _blocks(findings: "Sequence[Finding]") -> "Iterator[list[Finding]]":
    """Neighbours that differ only in where and how much."""
    for _, same in groupby(findings, key=_what_is_said):
        yield list(same)


def _what_is_said(finding: "Finding") -> tuple[str, ...]:
    f = finding
    return f.code, f.severity, f.expected, f.message, f.fix.text, *f.symptoms


def _block(page: _Page, same: "list[Finding]", places: int | None) -> None:
    first = same[0]
    heading = Text.assemble(
        (visible(first.code), _COLOR[first.severity]), " ", (visible(first.name), "bold"), f"  {first.severity}"
    )
    page.line(heading.append(f", {len(same)} places" if len(same) > 1 else ""))
    alike = len({finding.measured for finding in same}) == 1
    for finding in same[:places]:
        page.line(visible(finding.where), label="-->", indent=6, style="dim")
        if not alike:
            _labelled(page, "measured", finding.measured)
    if places is not None and len(same) > places:
        page.line(f"and {len(same) - places} more places", label="...", indent=6, style="dim")
    if alike:
        _labelled(page, "measured", first.measured)
    _labelled(page, "expected", first.expected)
    _labelled(page, "why", first.message)
    for symptom in first.symptoms:
        _labelled(page, "explains", symptom)
    _labelled(page, "fix", first.fix.text, style="green")


def _labelled(page: _Page, label: str, body: str, style: str = "dim") -> None:
    page.line(visible(" ".join(body.split())), label=label, indent=12, style=style)


def _summary(page: _Page, report: "Report") -> None:
    if not report.findings:
        page.line(f"No findings. {_judged(report)}")
        return
    counts = [(report.count("error"), "error"), (report.count("warning"), "warning"), (report.count("note"), "note")]
    body = Text()
    for number, severity in counts:
        if number:
            body.append(", " if body.plain else "")
            body.append(_plural(number, severity), style=_COLOR[severity])
    page.line(body.append("." if not report.ok else ". Notes do not count against the model."))
    page.line(_judged(report))


def _judged(report: "Report") -> str:
    return f"{_plural(len(report.judged), 'rule')} judged: {' '.join(report.judged) or 'none'}."


def _coverage(page: _Page, report: "Report") -> None:
    """What could not be judged: a rule that was not measured has not passed."""
    if not report.not_judged:
        return
    page.line(f"{_plural(len(report.not_judged), 'rule')} not judged:")
    for rule in report.not_judged:
        page.line(f"{visible(rule.name)}: {visible(rule.why)}", label=visible(rule.code), indent=len(rule.code) + 3)


def _plural(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
