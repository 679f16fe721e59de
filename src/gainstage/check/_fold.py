"""When one cause explains several findings: report the cause, and fold the symptoms under it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from gainstage.check._registry import RULES
from gainstage.check.findings import SEVERITIES, Finding, Severity

# Of two rules whose findings explain each other and are equally severe, the first here is the cause.
PRECEDENCE = (
    "DAT609",
    "OUT504",
    "OUT513",
    "FWD206",  # after the first NaN nothing else can be trusted
    "INI108",
    "INI102",
    "INI101",
    "NRM402",
    "INI111",
    "INI106",
    "INI104",
    "INI105",
    "INI110",
    "NRM405",
    "NRM404",
    "NRM401",
    "NRM403",
    "NRM408",
    "REG702",
    "REG701",
    "REG704",
    "REG703",
    "NRM406",
    "OUT502",
    "OUT509",
    "DAT606",
    "OUT506",
    "OUT510",
    "OUT507",
    "OUT512",
    "OUT505",
    "OUT503",
    "DAT605",
    "DAT604",
    "DAT602",
    "DAT601",
    "DAT603",
    "DAT607",
    "FWD204",
    "FWD205",
    "FWD207",
    "FWD208",
    "FWD210",
    "FWD211",
    "FWD201",
    "FWD202",
    "FWD203",
    "BWD301",
    "BWD302",
    "BWD304",
    "BWD303",
    "OPT802",
    "OPT808",
    "OPT807",
    "OPT803",
    "OPT815",
    "OPT804",
    "OPT816",
    "OPT809",
    "OPT801",
    "OPT811",
    "OPT805",
    "OUT508",
    "OUT501",
    "INI103",
    "INI109",
    "INI107",
    "NRM407",
    "NRM409",
    "REG705",
    "REG706",
    "TRN901",
    "TRN903",
    "TRN902",
    "BWD305",
    "FWD209",
    "OPT806",
    "OPT810",
    "OPT812",
    "OPT813",
    "OPT814",
    "OUT511",
    "DAT608",
)


def fold(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """The causes among the findings, worst first; each cause's first finding lists the symptoms that it explains.

    A cause is as severe as the worst of its symptoms: an input of size 1e6 that makes the loss overflow is an error.
    A note is no cause of anything above a note. A symptom's symptoms are the cause's.
    """
    of: dict[str, list[Finding]] = {}
    for finding in findings:
        of.setdefault(finding.code, []).append(finding)
    worst = {code: min((f.severity for f in same), key=SEVERITIES.index) for code, same in of.items()}
    told: list[Finding] = []
    left = sorted(of, key=lambda code: (SEVERITIES.index(worst[code]), _place(code)))
    while left:
        roots = [code for code in left if not any(_causes(other, code, worst) for other in left)]
        cause = (roots or left)[0]
        codes = _symptoms(cause, left, worst)
        symptoms = [finding for code in left if code in codes for finding in of[code]]
        severity = min((f.severity for f in [*of[cause], *symptoms]), key=SEVERITIES.index)
        first, *others = sorted(of[cause], key=lambda f: SEVERITIES.index(f.severity))
        told += [replace(first, severity=severity, symptoms=_sentences(symptoms)), *others]
        left = [code for code in left if code != cause and code not in codes]
    return tuple(sorted(told, key=lambda f: (SEVERITIES.index(f.severity), _place(f.code))))


def _causes(cause: str, symptom: str, worst: Mapping[str, Severity]) -> bool:
    """Whether the findings of one rule explain those of another; of two that explain each other, the worse does."""
    if cause == symptom or not symptom.startswith(RULES[cause].explains):
        return False
    if worst[cause] == "note" and worst[symptom] != "note":
        return False
    mutual = cause.startswith(RULES[symptom].explains)
    return not mutual or _rank(cause, worst) < _rank(symptom, worst)


def _rank(code: str, worst: Mapping[str, Severity]) -> tuple[int, int]:
    return SEVERITIES.index(worst[code]), _place(code)


def _symptoms(cause: str, left: Sequence[str], worst: Mapping[str, Severity]) -> set[str]:
    """The rules that a cause explains, directly or through another symptom."""
    found: set[str] = set()
    todo = [cause]
    while todo:
        current = todo.pop()
        fresh = {c for c in left if c != cause and c not in found and _causes(current, c, worst)}
        found |= fresh
        todo += fresh
    return found


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
