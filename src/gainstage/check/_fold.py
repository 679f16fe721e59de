"""When one cause explains several findings: report the cause, and fold the symptoms under it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from gainstage.check._registry import RULES, effects
from gainstage.check.findings import SEVERITIES, Finding


def fold(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """The causes among the findings, worst first; each cause's first finding lists the symptoms that it explains.

    What a rule explains is told by the rules alone: `explains` names its effects, and their effects are its own. A
    cause is as severe as the worst of its symptoms: an input of size 1e6 that makes the loss overflow is an error.
    A note is no cause of anything above a note.
    """
    of: dict[str, list[Finding]] = {}
    for finding in findings:
        of.setdefault(finding.code, []).append(finding)
    worst = {code: min((f.severity for f in same), key=SEVERITIES.index) for code, same in of.items()}
    explained = effects()
    order = _order(explained)

    def causes(cause: str, symptom: str) -> bool:
        return symptom in explained[cause] and not (worst[cause] == "note" and worst[symptom] != "note")

    told: list[Finding] = []
    left = sorted(of, key=lambda code: (SEVERITIES.index(worst[code]), order[code]))
    while left:
        cause = next((code for code in left if not any(causes(other, code) for other in left)), left[0])
        codes = {code for code in left if causes(cause, code)} - {cause}
        symptoms = [finding for code in left if code in codes for finding in of[code]]
        severity = min((f.severity for f in [*of[cause], *symptoms]), key=SEVERITIES.index)
        first, *others = sorted(of[cause], key=lambda f: SEVERITIES.index(f.severity))
        told += [replace(first, severity=severity, symptoms=_sentences(symptoms)), *others]
        left = [code for code in left if code != cause and code not in codes]
    return tuple(sorted(told, key=lambda f: (SEVERITIES.index(f.severity), order[f.code])))


def _order(explained: Mapping[str, frozenset[str]]) -> dict[str, tuple[int, bool, int, str]]:
    """The order of findings that are equally severe: of a rule that is usually worse first, causes before effects.

    A rule without effects is no cause. An effect has every cause of its causes and these besides, so that the number of
    causes orders the others.
    """
    causes = Counter(effect for effects_of_one in explained.values() for effect in effects_of_one)
    return {
        code: (SEVERITIES.index(rule.severity), not explained[code], causes[code], code) for code, rule in RULES.items()
    }


def _sentences(symptoms: Sequence[Finding]) -> tuple[str, ...]:
    """One sentence a rule: its first place, and how many more."""
    count = Counter(f.code for f in symptoms)
    first = {f.code: f for f in reversed(symptoms)}
    return tuple(
        f"{f.code} {f.name} at {f.where}: {f.measured}" + (f" (and {count[code] - 1} more)" if count[code] > 1 else "")
        for code, f in sorted(first.items())
    )
