"""What a wrong start does to signal, gradient and loss: asked by rules that may only speak where harm is measured."""

from gainstage.check._fact import fact
from gainstage.check._registry import RULES, NotMeasured
from gainstage.check.evidence import Evidence
from gainstage.check.findings import SEVERITIES, Finding, Severity

_READ = ("FWD201", "FWD202", "FWD203", "FWD205", "FWD206", "FWD207", "BWD301", "BWD302", "OUT501")


@fact
def symptoms(evidence: Evidence) -> dict[str, Finding]:
    """The worst finding of each rule about signal, gradient and initial loss.

    These rules read the observed pass, so that asking them again costs no pass.
    """
    found: dict[str, Finding] = {}
    for code in _READ:
        try:
            told = RULES[code].findings(evidence) if code in RULES else []
        except NotMeasured:
            continue
        if told:
            found[code] = min(told, key=lambda finding: SEVERITIES.index(finding.severity))
    return found


def harm(evidence: Evidence, *codes: str) -> Finding | None:
    """The worst finding above a note of these rules."""
    found = [f for code, f in symptoms(evidence).items() if code in codes and f.severity != "note"]
    return min(found, key=lambda finding: SEVERITIES.index(finding.severity), default=None)


def severity(evidence: Evidence, *codes: str) -> Severity:
    """That of the worst symptom among these rules; a note where there is none."""
    found = harm(evidence, *codes)
    return "note" if found is None else found.severity
