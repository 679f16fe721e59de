"""A study as one page of HTML: no script, no network, opens from disk."""

from collections import Counter
from typing import TYPE_CHECKING, Any

from gainstage.report._template import check_installed, filled
from gainstage.report.study._details import StudyDetails, place_of
from gainstage.report.study._layout import Block, best_and_like, blocks
from gainstage.report.study._method import method
from gainstage.report.study._numbers import at_edge, half, mean, rate, score
from gainstage.report.study._panels import Panel, overview, panels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gainstage.study import Results, Verdict
    from gainstage.study.claims import Judged

_ROWS = 300  # most arms that one page tells one by one
_SENTENCES = 150  # most verdicts
_DRAWN = 280_000  # most characters of all figures; one alone has half of it at most


def study_html(results: "Results", details: StudyDetails | None = None) -> str:
    """The study as a page of its own: verdicts, figures, tables, claims, method.

    The page holds no script and asks for nothing from the network; its colours follow the reader's preference for dark
    or light; names are escaped.

    Args:
        results: of the study.
        details: what to say besides.

    Returns:
        HTML, below 500 kB: of very long lists the beginning is shown, and how many more there are.

    Raises:
        GainstageError: what the extra `report` brings is not installed.
    """
    check_installed()
    details = details or StudyDetails()
    tables = blocks(results)
    found = results.verdicts()
    drawn = _figures(results, tables)
    return filled(
        "study/page.html",
        {"score": score},
        results=results,
        details=details,
        overview=overview(results),
        tables=_tables(results),
        figures=drawn,
        undrawn=len(tables) - len(drawn),
        verdicts=_by_factor(found[:_SENTENCES]),
        unsaid=len(found[_SENTENCES:]),
        answers=Counter(verdict.answer for verdict in found),
        claims=_claims(details.claims),
        method=method(results, details),
    )


def _figures(results: "Results", tables: "Sequence[Block]") -> "list[tuple[Panel, ...]]":
    """The figures of the first tables, as many as a page holds."""
    made: list[tuple[Panel, ...]] = []
    size = 0
    for number, block in enumerate(tables):
        drawn = tuple(panel for panel in panels(results, block, number) if len(panel.svg) <= _DRAWN // 2)
        size += sum(len(panel.svg) for panel in drawn)
        if size > _DRAWN:
            break
        made.append(drawn)
    return made


def _by_factor(verdicts: "Sequence[Verdict]") -> dict[str, list["Verdict"]]:
    return {
        factor or "all arms": [v for v in verdicts if v.factor == factor]
        for factor in dict.fromkeys(v.factor for v in verdicts)
    }


def _tables(results: "Results") -> list[dict[str, Any]]:
    tops, like = best_and_like(results)
    shown, made = 0, []
    for block in blocks(results):
        rows = [_row(results, label, arm, tops, like) for label, (arm,) in block.rows][: max(_ROWS - shown, 0)]
        made.append({"where": block.where, "rows": rows, "more": len(block.rows) - len(rows)})
        shown += len(rows)
    return [table for table in made if table["rows"]]


def _row(results: "Results", label: str, arm: int, tops: set[int], like: set[int]) -> dict[str, Any]:
    each, summary = results.arms[arm], results.summary(arm)
    return {
        "label": label,
        "lr": rate(each.lr),
        "edge": at_edge(results, arm),
        "mean": mean(summary),
        "note": "best" if arm in tops else "like the best" if arm in like else "",
        "iqm": score(summary.iqm),
        "area": score(summary.area),
        "failed": f"{summary.failures}/{summary.n}",
        "failures": summary.failures,
    }


def _claims(claims: "Sequence[Judged]") -> dict[str, Any] | None:
    """A table for each start that is recommended: a row a warning, a column a place."""
    if not claims:
        return None
    places = list(dict.fromkeys(place_of(judged) for judged in claims))
    groups: dict[str, dict[str, dict[str, Any]]] = {}
    for judged in claims:
        claim = judged.claim
        rows = groups.setdefault(f"With {claim.activation}, {claim.better}", {})
        row = rows.setdefault(claim.worse, {"why": f"{claim.why} ({claim.source})", "cells": [None] * len(places)})
        row["cells"][places.index(place_of(judged))] = {
            "verdict": judged.verdict,
            "difference": f"{judged.paired.difference:+.3f}{half(judged.paired.low, judged.paired.high)}",
        }
    count = Counter(judged.verdict for judged in claims)
    return {"places": places, "groups": groups, "count": count, "total": len(claims)}
