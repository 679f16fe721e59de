"""When one cause explains several findings: report the cause, and fold the symptoms under it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from gainstage.check._registry import RULES
from gainstage.check.findings import SEVERITIES, Finding

# From cause to symptom. A finding folds those that its rule explains, if it is at least as severe; of findings that
# explain each other and are equally severe, the first here is the cause.
PRECEDENCE = (
    "FWD206",  # after the first NaN nothing else can be trusted
    "INI102",
    "INI101",
    "FWD204",
    "FWD205",
    "FWD207",
    "FWD201",
    "FWD202",
    "FWD203",
    "BWD301",
    "BWD302",
    "BWD304",
    "BWD303",
    "OUT501",
    "INI103",
)


def fold(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """The causes among the findings, worst first; each rule's first finding lists the symptoms that it explains."""
    left = sorted(findings, key=_worst_first)
    told: list[Finding] = []
    while left:
        cause = left[0]
        worst, explains = SEVERITIES.index(cause.severity), RULES[cause.code].explains
        same = [f for f in left if f.code == cause.code]
        symptoms = [
            f for f in left if f not in same and f.code.startswith(explains) and SEVERITIES.index(f.severity) >= worst
        ]
        told += [replace(cause, symptoms=_sentences(symptoms)), *same[1:]]
        left = [f for f in left if f not in same and f not in symptoms]
    return tuple(sorted(told, key=_worst_first))


def _sentences(symptoms: Sequence[Finding]) -> tuple[str, ...]:
    """One sentence a rule: its first place, and how many more."""
    count = Counter(f.code for f in symptoms)
    first = {f.code: f for f in reversed(symptoms)}
    return tuple(
        f"{f.code} {f.name} at {f.where}: {f.measured}" + (f" (and {count[code] - 1} more)" if count[code] > 1 else "")
        for code, f in sorted(first.items())
    )


def _place(code: str) -> int:
    return PRECEDENCE.index(code) if code in PRECEDENCE else len(PRECEDENCE)


def _worst_first(finding: Finding) -> tuple[int, int]:
    return SEVERITIES.index(finding.severity), _place(finding.code)
