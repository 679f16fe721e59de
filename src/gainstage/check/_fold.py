"""When one cause explains several findings: report the cause, and fold the symptoms under it.

A finding folds another where its rule says that it may (`explains`) and the model shows that it does: with the cause
repaired, the symptom is gone. Where no repair can be tried, the place decides: a cause comes before its effect. What
the repaired model cannot show (a `train_step` has data of its own) goes with the symptom that explains it.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from math import log

from gainstage.check._fact import NotMeasured
from gainstage.check._registry import RULES, effects
from gainstage.check.evidence import Evidence
from gainstage.check.facts.sites import site_of
from gainstage.check.findings import SEVERITIES, Finding, Severity
from gainstage.check.repairs import drawn
from gainstage.errors import GainstageError
from gainstage.run import NotRestored

NEAR = 3.0  # times a limit: what is left of a symptom there is not reported beside its cause


def fold(findings: Sequence[Finding], evidence: Evidence | None = None) -> tuple[Finding, ...]:
    """The causes among the findings, worst first; each cause's first finding lists the symptoms that it explains.

    What a rule may explain is told by the rules alone: `explains` names its effects, and their effects are its own. A
    cause is as severe as the worst of its symptoms: an input of size 1e6 that makes the loss overflow is an error.
    A note is no cause of anything above a note.

    Args:
        findings: of one check.
        evidence: that they were read from, on which causes are repaired; without it, what may be explained is.
    """
    of: dict[str, list[Finding]] = {}
    for finding in findings:
        of.setdefault(finding.code, []).append(finding)
    worst = {code: _severity(same) for code, same in of.items()}
    explained = effects()
    order = _order(explained)

    def may_cause(cause: str, symptom: str) -> bool:
        return symptom in explained[cause] and not (worst[cause] == "note" and worst[symptom] != "note")

    told: list[Finding] = []
    while of:
        left = sorted(of, key=lambda code: (SEVERITIES.index(worst[code]), order[code]))
        cause = next((code for code in left if not any(may_cause(other, code) for other in left)), left[0])
        causes = of.pop(cause)
        possible = [finding for code in left if code != cause and may_cause(cause, code) for finding in of[code]]
        symptoms = possible if evidence is None else _shown(evidence, causes, possible)
        for finding in symptoms:
            of[finding.code].remove(finding)
        of = {code: same for code, same in of.items() if same}
        first, *others = sorted(causes, key=lambda f: SEVERITIES.index(f.severity))
        told += [replace(first, severity=_severity([*causes, *symptoms]), symptoms=_sentences(symptoms)), *others]
    return tuple(sorted(told, key=lambda f: (SEVERITIES.index(f.severity), order[f.code])))


def _shown(evidence: Evidence, causes: Sequence[Finding], possible: Sequence[Finding]) -> list[Finding]:
    """Those of the possible symptoms that the model shows to be effects of the causes."""
    if all(finding.severity == "note" for finding in possible):
        return list(possible)
    present = {finding.code for finding in possible}
    near = _near(causes[0].code, present)
    stays = _stays(evidence, causes, present, near)
    found = []
    for finding in possible:
        if (after := stays.get(finding.code)) is not None:
            still = [f for f in after if (f.severity != "note" or finding.severity == "note") and not _left(f, finding)]
            before = {f.where for f in possible if f.code == finding.code}
            if not any(f.where == finding.where or f.where not in before for f in still):
                found.append(finding)
    near = near.union(*(_near(code, present) for code in {finding.code for finding in found}))
    return found + [
        finding
        for finding in possible
        if finding.code in near - stays.keys() and any(_first(evidence, cause, finding) for cause in causes)
    ]


def _stays(evidence: Evidence, causes: Sequence[Finding], codes: set[str], near: set[str]) -> dict[str, list[Finding]]:
    """What these rules find once the causes are repaired; nothing where that was not possible or did not help."""
    fixes = [cause.fix for cause in causes]
    laws = {name: law for fix in reversed(fixes) for name, law in fix.laws.items()}
    repair = next((fix.repair for fix in fixes if fix.repair is not None), partial(drawn, laws=laws) if laws else None)
    found: dict[str, list[Finding]] = {}
    if repair is None or not evidence.has_numbers:
        return found
    try:
        with repair(evidence) as repaired:
            for code in (causes[0].code, *sorted(codes)):
                try:
                    found[code] = RULES[code].findings(repaired)
                except NotMeasured:
                    if code in near | {causes[0].code}:
                        found[code] = []  # nothing is left that it could speak of
    except NotRestored:
        raise
    except (NotMeasured, GainstageError, RuntimeError, ValueError, TypeError):
        return {}
    return {} if found.pop(causes[0].code, None) else found


def _left(after: Finding, before: Finding) -> bool:
    """Whether what is left of a number is near its limit, and less than the root of the excess."""
    if not after.value or not before.value or not after.limit or not before.limit:
        return False
    excess, rest = (abs(log(abs(f.value / f.limit))) for f in (before, after))  # type: ignore[operator]
    return rest <= min(log(NEAR), excess / 2)


def _near(cause: str, present: set[str]) -> set[str]:
    """The findings that a rule names as its effects, and theirs, as far as each was found."""
    near, todo = set[str](), [cause]
    while todo:
        begins = RULES[todo.pop()].explains
        fresh = {code for code in present - near if begins and code.startswith(begins)}
        near |= fresh
        todo += fresh
    return near


def _first(evidence: Evidence, cause: Finding, symptom: Finding) -> bool:
    """Whether the signal passes the cause before the symptom; true where either is at no site.

    A gradient passes both on its way, in whatever order.
    """
    graph, (start, end) = evidence.graph, (site_of(evidence, f.where) for f in (cause, symptom))
    if start is None or end is None or start == end or graph.depends(end, start):
        return True
    return symptom.code.startswith("BWD") and graph.depends(start, end)


def _severity(findings: Sequence[Finding]) -> Severity:
    return min((f.severity for f in findings), key=SEVERITIES.index)


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
