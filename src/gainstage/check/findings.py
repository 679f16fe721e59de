"""What a check says: findings, what could not be judged, and both together as a report."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from math import isfinite
from typing import TYPE_CHECKING, Any

from gainstage._notebook import folded
from gainstage._visible import visible
from gainstage.check.quantity import SEVERITIES as SEVERITIES
from gainstage.check.quantity import Severity as Severity
from gainstage.check.quantity import Value as Value
from gainstage.init import Law

if TYPE_CHECKING:
    from gainstage.plan import Plan
    from gainstage.signal import Tape

Repair = Callable[[Any], AbstractContextManager[Any]]  # of evidence, to the evidence of the repaired subject
FAILED = "the rule itself failed"  # begins the reason of a rule that raised


@dataclass(frozen=True)
class Fix:
    """What to change: a sentence, and the laws to replace in the plan where a plan can carry it.

    Attributes:
        text: for people.
        laws: by parameter.
        repair: how else the fix can be tried on the model (`check/repairs.py`).
    """

    text: str
    laws: Mapping[str, Law] = field(default_factory=dict)
    repair: Repair | None = field(default=None, repr=False, compare=False)

    def __str__(self) -> str:
        return visible(self.text, keep="\n")


@dataclass(frozen=True)
class Found:
    """What a rule yields where it speaks: a finding that does not repeat which rule it is of.

    Attributes:
        severity: `"error"` (training will fail), `"warning"` (training is harmed), `"note"` (good to know).
        where: a parameter, a site or a module of the model.
        measured: what was measured, with its unit, for people.
        expected: the range that a healthy model has.
        message: the cause, in one sentence.
        fix: what to change.
        value: the number behind `measured`; None where the rule has none.
    """

    severity: Severity
    where: str
    measured: str
    expected: str
    message: str
    fix: Fix
    value: Value | None = None


@dataclass(frozen=True)
class Finding:
    """One thing that a rule found: the rule's code and name, the fields of `Found`, and what it explains.

    Attributes:
        code: stable rule code, `"INI101"`.
        name: the rule's name, `"identical-units"`.
        severity, where, measured, expected, message, fix: see `Found`.
        symptoms: what else was found that this finding explains, one sentence each; not reported on its own.
        value: the measured number; None where the rule has none.
        quantity: what the number is, with its unit where it has one; a share or ratio says of what.
        limit: the number beyond which the rule gives this severity; None without a value.
        source: file and line, counted from 1, of the user's code that calls what `where` names; None where none does.
    """

    code: str
    name: str
    severity: Severity
    where: str
    measured: str
    expected: str
    message: str
    fix: Fix
    symptoms: tuple[str, ...] = ()
    value: float | None = None
    quantity: str = ""
    limit: float | None = None
    source: tuple[str, int] | None = None

    def to_json(self) -> dict[str, Any]:
        """The finding as plain JSON values, laws of the fix included; `symptoms` and `source` only where there are any.

        `value` is null where the rule has no number, and where that is not finite, which `measured` says.
        """
        folded = {"symptoms": list(self.symptoms)} if self.symptoms else {}
        return {
            "code": self.code,
            "name": self.name,
            "severity": self.severity,
            "where": self.where,
            "measured": self.measured,
            "value": self.value if self.value is None or isfinite(self.value) else None,
            "quantity": self.quantity,
            "limit": self.limit,
            "expected": self.expected,
            "message": self.message,
            "fix": {"text": self.fix.text, "laws": {k: v.to_json() for k, v in self.fix.laws.items()}},
            **folded,
            **({"source": {"file": self.source[0], "line": self.source[1]}} if self.source else {}),
        }


@dataclass(frozen=True)
class NotJudged:
    """A rule that could not be measured on this model, and why."""

    code: str
    name: str
    why: str


@dataclass(frozen=True)
class Report:
    """The findings of one check, worst first.

    Attributes:
        model: class name of the model.
        parameters: number of trainable elements.
        sites: number of sites on the tape.
        findings: worst first, then in execution order.
        not_judged: the coverage section: rules that could not be measured here.
        judged: codes of the rules that were measured.
        known: with a baseline, the findings that it knows, which are not in `findings`; None without one.
        tape: of the pass that was judged; it stays in this process.
        planner: makes `plan`.
    """

    model: str
    parameters: int
    sites: int
    findings: tuple[Finding, ...]
    not_judged: tuple[NotJudged, ...]
    judged: tuple[str, ...]
    known: tuple[Finding, ...] | None = None
    tape: "Tape | None" = field(default=None, repr=False, compare=False)
    planner: "Callable[[], Plan | None]" = field(default=lambda: None, repr=False, compare=False)

    @cached_property
    def plan(self) -> "Plan | None":
        """The auto plan of the model, from which the fixes are, made of the tape; None where it cannot be planned."""
        return self.planner()

    def __getstate__(self) -> dict[str, Any]:
        """What goes to another process: all but the tape, whose functions do not all travel."""
        return self.__dict__ | {"tape": None, "planner": None, "plan": self.plan}

    @property
    def ok(self) -> bool:
        """True when nothing is above a note."""
        return all(finding.severity == "note" for finding in self.findings)

    def count(self, severity: Severity) -> int:
        """How many findings have this severity."""
        return sum(finding.severity == severity for finding in self.findings)

    def to_json(self) -> dict[str, Any]:
        """The report as plain JSON values; `known` only where there is a baseline."""
        known = {} if self.known is None else {"known": [finding.to_json() for finding in self.known]}
        return {
            "model": self.model,
            "parameters": self.parameters,
            "sites": self.sites,
            "ok": self.ok,
            "findings": [finding.to_json() for finding in self.findings],
            "judged": list(self.judged),
            "not_judged": [{"code": n.code, "name": n.name, "why": n.why} for n in self.not_judged],
            **known,
        }

    def _repr_html_(self) -> str:
        """In a notebook: how many findings, and each folded with its numbers and its fix."""
        counts = [f"{self.count(s)} {s}{'s' * (self.count(s) != 1)}" for s in ("error", "warning", "note")]
        parts = [
            (
                f"{f.severity} {f.code} {f.name} {f.where}",
                f"{f.message}\nmeasured: {f.measured}\nexpected: {f.expected}\nfix: {f.fix}",
            )
            for f in self.findings
        ]
        unjudged = "\n".join(f"{rule.code} {rule.name}: {rule.why}" for rule in self.not_judged)
        parts.append((f"{len(self.judged)} rules judged, {len(self.not_judged)} not", unjudged))
        return folded(f"{self.model}: {', '.join(counts)}", parts)

    def __str__(self) -> str:
        lines = [f"{f.code} {f.severity} {f.where}: {f.measured} (expected {f.expected})" for f in self.findings]
        return "\n".join(
            [*map(visible, lines), f"{len(self.findings)} findings, {len(self.not_judged)} rules not judged"]
        )
