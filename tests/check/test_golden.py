"""The text of every rule's finding on the example of its own page, one file a family, and what it folds.

Numbers have two digits, and measured ones below 1e-6 are only called tiny, so that the last bits of a machine do not
show; what a training measured (`TRN`) is left out. After a change that is meant:
`pytest -n 0 --update-golden tests/check/test_golden.py`, and look at the diff.
"""

import importlib.util
import re
from collections.abc import Callable
from pathlib import Path

import pytest

import gainstage as gs
from gainstage.check import RULES, Finding

_SPEC = importlib.util.spec_from_file_location("rule_pages", Path(__file__).parent / "test_rules.py")
pages = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(pages)

FAMILIES = sorted({code[:3] for code in RULES})
_NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d+(?:e[-+]?\d+)?|e[-+]?\d+)(?![\w.]*\w)")


def two_digits(text: str, tiny: float = 0.0) -> str:
    """The text with every number that has a point or an exponent to two significant digits, and below `tiny` none."""
    return _NUMBER.sub(lambda match: f"{number:.2g}" if (number := float(match[0])) >= tiny else "(tiny)", text)


def told(finding: Finding) -> str:
    measured = two_digits(finding.measured, tiny=1e-6)
    laws = [f"{name} {law}" for name, law in finding.fix.laws.items()]
    lines = [
        f"{finding.code} {finding.name} {finding.severity} at {finding.where}",
        f"  {two_digits(finding.message, tiny=1e-6)}",
        f"  measured {re.sub(r'[0-9.]+', '#', measured) if finding.code.startswith('TRN') else measured}",
        f"  expected {two_digits(finding.expected)}",
        *(f"  fix: {two_digits(line)}" for line in str(finding.fix).splitlines()),
        *([f"  laws: {len(laws)}, the first and the last {two_digits(laws[0])}, {laws[-1]}"] if laws else []),
    ]
    return "\n".join(lines)


@pytest.mark.parametrize("family", [family for family in FAMILIES if family != "TRN"])  # which train for seconds
def test_every_rules_finding_reads_as_agreed(family: str, golden: Callable[[str, str], None]) -> None:
    codes = [code for code in sorted(RULES) if code.startswith(family)]
    texts = [told(finding) for code in codes for finding in pages.run(code, "Example").findings(code)]
    golden(f"{family}.txt", "\n".join(texts) + "\n")


def folded(code: str) -> str:
    """What a whole check says on a rule's example: codes, severities, and the codes that each finding explains."""
    case = pages.run(code, "Example")
    steps = {"optimizer": case.optimizer, "train_step": case.train_step}
    report = gs.check(case.model, case.x, target=case.y, loss=case.loss, **steps)
    found = [f"{f.code} {f.severity}{_under(f)}" for f in report.findings]
    return f"{code}: {', '.join(found)}"


def _under(finding: Finding) -> str:
    return f" ({' '.join(symptom.split()[0] for symptom in finding.symptoms)})" if finding.symptoms else ""


@pytest.mark.parametrize("family", [family for family in FAMILIES if family != "TRN"])  # which train for seconds
def test_every_example_folds_as_agreed(family: str, golden: Callable[[str, str], None]) -> None:
    golden(f"{family}.folded", "\n".join(folded(code) for code in sorted(RULES) if code.startswith(family)) + "\n")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("0.12345 of 16", "0.12 of 16"), ("1.2e-05, INI101 at 0.weight", "1.2e-05, INI101 at 0.weight"), ("3e6", "3e+06")],
)
def test_numbers_are_rounded_and_names_are_not(text: str, wanted: str) -> None:
    assert two_digits(text) == wanted
