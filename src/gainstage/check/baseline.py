"""A baseline: the findings that are known already, so that a check reports only what is new."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256

from msgspec import Struct

from gainstage._foreign import fitted, json_of, of_version
from gainstage.check.findings import SEVERITIES, Finding, Report, Severity

VERSION = 1
_FILE = "the text of a baseline, as --write-baseline writes it"
Key = tuple[str, str]  # code and kind of place


class _Row(Struct, forbid_unknown_fields=True):
    code: str
    where: str
    severity: Severity


class _File(Struct, forbid_unknown_fields=True):
    version: int
    model: str
    findings: list[_Row]


@dataclass(frozen=True)
class Baseline:
    """What was found before: how often each rule spoke of each place, and how severely at most.

    A finding is known by its code and the kind of its place, `blocks.*.fc/linear#*`, not by its numbers: these change
    with the batch, and which of many alike layers is the worst changes with the seed.

    Attributes:
        model: class name of the model that was checked.
        known: code and kind of place to the severities of the findings there, worst first.
    """

    model: str
    known: Mapping[Key, tuple[Severity, ...]]

    @classmethod
    def of(cls, report: Report) -> "Baseline":
        """Everything that a report found, what it knew from an older baseline included."""
        known: dict[Key, tuple[Severity, ...]] = {}
        for f in sorted((*report.findings, *(report.known or ())), key=lambda f: SEVERITIES.index(f.severity)):
            known[_key(f)] = (*known.get(_key(f), ()), f.severity)
        return cls(report.model, known)

    def knows(self, findings: Iterable[Finding]) -> list[bool]:
        """For each finding, whether it was there before and no less severe."""
        left = {key: Counter(severities) for key, severities in self.known.items()}
        return [_take(left.get(_key(f), Counter()), f.severity) for f in findings]

    def to_json(self) -> str:
        """Text for a file: one line a finding, in the order of the codes, so that a change is easy to review."""
        rows = [
            json.dumps({"code": code, "where": where, "severity": severity})
            for (code, where), severities in sorted(self.known.items())
            for severity in severities
        ]
        body = ",\n    ".join(rows)
        findings = f"[\n    {body}\n  ]" if rows else "[]"
        return f'{{\n  "version": {VERSION},\n  "model": {json.dumps(self.model)},\n  "findings": {findings}\n}}\n'

    @classmethod
    def from_json(cls, text: str) -> "Baseline":
        """The baseline that `to_json` wrote.

        Raises:
            GainstageError: not JSON, another version, or a field that is missing, too much or of another kind.
        """
        file = fitted(of_version(json_of(text, _FILE), VERSION, _FILE), _File, f"expected {_FILE}")
        known: dict[Key, tuple[Severity, ...]] = {}
        for row in file.findings:
            key = row.code, _kind(row.where)
            known[key] = (*known.get(key, ()), row.severity)
        return cls(file.model, known)


def only_new(report: Report, baseline: Baseline) -> Report:
    """The report without what the baseline knows; that goes to `report.known`."""
    known = baseline.knows(report.findings)
    return replace(
        report,
        findings=tuple(f for f, old in zip(report.findings, known, strict=True) if not old),
        known=tuple(f for f, old in zip(report.findings, known, strict=True) if old),
    )


def fingerprint(finding: Finding, number: int = 0) -> str:
    """Sixteen hexadecimal digits that stay the same while the rule speaks of the same kind of place, whatever the
    numbers; `number` counts what the rule has said of that kind of place before.

    >>> from gainstage.check import Fix
    >>> finding = Finding("INI101", "identical-units", "error", "fc.weight", "16", "none", "equal", Fix("draw it"))
    >>> fingerprint(finding)
    'db30e47a64450901'
    """
    return sha256(
        f"{finding.code}\0{_kind(finding.where)}{number or ''}".encode("utf-8", "backslashreplace")
    ).hexdigest()[:16]


def _key(finding: Finding) -> Key:
    return finding.code, _kind(finding.where)


def _kind(where: str) -> str:
    """A place without the numbers of its layers and calls, and without learning rates."""
    return re.sub(r"\d+", "*", re.sub(r"\(lr=[^)]*\)", "", where))


def _take(left: Counter[Severity], severity: Severity) -> bool:
    """Use up one known finding that is at least this severe, the least severe such first."""
    for level in reversed(SEVERITIES[: SEVERITIES.index(severity) + 1]):
        if left[level] > 0:
            left[level] -= 1
            return True
    return False
