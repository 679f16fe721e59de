"""What a report can show besides its findings: files and lines, pages of rules, the signal, the plan."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from gainstage.check import Finding, Report, Rule
    from gainstage.signal import Tape


@dataclass(frozen=True)
class Place:
    """A line of a source file.

    Args:
        file: path relative to the directory of the project, with `/`; absolute for files elsewhere.
        line: counted from 1.
    """

    file: str
    line: int


class Planned(Protocol):
    """What is read of one parameter of a plan: `gs.Plan` has it."""

    @property
    def role(self) -> str: ...  # noqa: D102
    @property
    def reason(self) -> str: ...  # noqa: D102
    @property
    def law(self) -> Any: ...  # noqa: D102


@dataclass(frozen=True)
class Details:
    """Everything is optional; each writer shows what it has a place for.

    Args:
        target: what was checked, as the user names it: `"train.py:build"`.
        places: where in the source the model behind a finding's `where` is written.
        home: where the model is built; findings without a place of their own are shown there.
        rules: by code, for their pages; the catalogue by default.
        tape: of the checked pass, for the chart.
        predicted: by site, the root mean square that theory gives `(forward, backward)`, for the chart.
        plan: role, law and reason of every parameter.
    """

    target: str = ""
    places: Mapping[str, Place] = field(default_factory=dict)
    home: Place | None = None
    rules: "Mapping[str, Rule] | None" = None
    tape: "Tape | None" = None
    predicted: Mapping[int, tuple[float | None, float | None]] = field(default_factory=dict)
    plan: Mapping[str, Planned] | None = None

    def place(self, finding: "Finding") -> Place | None:
        """The line that calls what a finding speaks of; else where that part of the model is written."""
        return Place(*finding.source) if finding.source else self.places.get(finding.where, self.home)

    def rule(self, code: str) -> "Rule | None":
        """The catalogue's entry; None for a rule that it does not have."""
        if self.rules is None:
            from gainstage.check import RULES

            return RULES.get(code)
        return self.rules.get(code)


def names(report: "Report", details: Details) -> dict[str, str]:
    """The name of every rule that a report speaks of, by code, sorted."""
    told = {f.code: f.name for f in (*report.findings, *(report.known or ()))}
    told |= {rule.code: rule.name for rule in report.not_judged}
    for code in report.judged:
        rule = details.rule(code)
        told.setdefault(code, rule.name if rule else code)
    return dict(sorted(told.items()))


def sections(doc: str) -> dict[str, str]:
    """A rule's page by its headings.

    >>> sections("## What it does\\nCounts.\\n\\n## References\\nLu, 2020.")
    {'What it does': 'Counts.', 'References': 'Lu, 2020.'}
    """
    parts = (part.partition("\n") for part in f"\n{doc}".split("\n## ")[1:])
    return {title.strip(): body.strip() for title, _, body in parts}
