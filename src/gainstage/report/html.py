"""A report as one page of HTML: no script, no network, opens from disk."""

from math import isfinite
from typing import TYPE_CHECKING, Any

from gainstage.report._blocks import blocks, fix_of
from gainstage.report._math import readable
from gainstage.report._template import check_installed, filled
from gainstage.report.concise import count
from gainstage.report.details import Details, names

if TYPE_CHECKING:
    from gainstage.check import Report

_PLACES, _PLANNED, _DRAWN, _LISTED = 100, 600, 600, 200  # the most that one page holds of each


def html(report: "Report", details: Details | None = None) -> str:
    """The report as a page of its own: findings, signal chart, plan and coverage.

    The chart stands there where `details` has a tape, the plan where it has one. The page holds no script and asks for
    nothing from the network; its colours follow the reader's preference for dark or light; names are escaped.

    Args:
        report: what a check found.
        details: tape and prediction for the chart, plan, places in source files, pages of rules.

    Returns:
        HTML, below 500 kB: of very long lists the beginning is shown, and how many more there are.

    Raises:
        GainstageError: what the extra `report` brings is not installed.

    Example:
        >>> import torch, gainstage as gs
        >>> model, x = torch.nn.Linear(8, 4), torch.randn(32, 8)
        >>> report = gs.check(model, x)
        >>> page = html(report, Details(tape=report.tape, plan=report.plan))
        >>> page.startswith("<!doctype html>"), "<svg" in page, "<script" in page
        (True, True, False)
    """
    check_installed()
    details = details or Details()
    return filled(
        "page.html",
        {"number": _number},
        report=report,
        details=details,
        summary=count(report),
        blocks=[block(same, details) for same in blocks(report.findings)],
        chart=_chart(details),
        plan=_plan(details),
        reasons=_reasons(report),
        names=names(report, details),
        most=_PLACES,
    )


def block(same: "list[Any]", details: Details) -> dict[str, Any]:
    """What the page shows of findings of one rule that say the same."""
    first, rule = same[0], details.rule(same[0].code)
    return {
        "first": first,
        "places": [(f, details.place(f)) for f in same[:_PLACES]],
        "more": max(len(same) - _PLACES, 0),
        "alike": len({f.measured for f in same}) == 1,
        "symptoms": [symptom for f in same for symptom in f.symptoms],
        "fix": fix_of(same),
        "laws": len({name for f in same for name in f.fix.laws}),
        "page": _markdown(rule.doc) if rule else None,
    }


def _chart(details: Details) -> dict[str, Any] | None:
    if details.tape is None:
        return None
    from markupsafe import Markup

    from gainstage.report._figure import described, figure, thinned
    from gainstage.signal import rows

    table = rows(details.tape, details.predicted)
    if all(row.forward is None and row.backward is None for row in table):
        return None  # a model on the meta device
    drawing = figure(thinned(table, _DRAWN), title=f"Signal and gradient of {details.tape.model} by depth")
    listed = thinned(table, _LISTED)
    return {"svg": Markup(drawing), "described": described(table), "rows": listed, "total": len(table)}


def _plan(details: Details) -> dict[str, Any] | None:
    if details.plan is None:
        return None
    plan = details.plan
    describe = getattr(plan, "describe", None)
    shown = [
        (name, a.role, describe(name) if describe else (a.law or "left as it is"), a.reason)
        for name, a in list(plan.items())[:_PLANNED]
    ]
    return {"rows": shown, "total": len(plan)}


def _reasons(report: "Report") -> list[tuple[str, list[Any]]]:
    """The rules that were not judged, by reason, the most frequent first."""
    groups: dict[str, list[Any]] = {}
    for rule in report.not_judged:
        groups.setdefault(rule.why, []).append(rule)
    return sorted(groups.items(), key=lambda group: -len(group[1]))


def _markdown(doc: str) -> Any:
    """A rule's page as markup, its headings below those of a finding; markup in the text itself is escaped."""
    from markdown_it import MarkdownIt
    from markupsafe import Markup

    reader = MarkdownIt("commonmark", {"html": False})
    tokens = reader.parse(readable(doc, "`"))
    for token in tokens:
        if token.type.startswith("heading"):
            token.tag = "h4"
    return Markup(reader.renderer.render(tokens, reader.options, {}))


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}" if isfinite(value) else "not finite"
