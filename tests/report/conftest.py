"""Reports made by hand, so that the writers are tested without a model."""

import pytest

from gainstage.check import Rule
from gainstage.check.findings import Finding, Fix, NotJudged, Report
from gainstage.report import Details, Place


class FakeLaw:
    """Stands for a law: the writers only ask for its JSON."""

    def to_json(self) -> dict[str, object]:
        return {"name": "he_normal"}


def finding(where: str = "fc1.weight", **changes: object) -> Finding:
    given = {
        "code": "INI101",
        "name": "identical-units",
        "severity": "error",
        "measured": "16 of 16 units are identical",
        "expected": "no two alike",
        "message": "these units compute the same value, get the same gradient and stay equal throughout training",
        "fix": Fix("draw the weight from he_normal", {where: FakeLaw()}),
        **changes,
    }
    return Finding(where=where, **given)


def report(*findings: Finding, not_judged: tuple[NotJudged, ...] = ()) -> Report:
    return Report("Net", 1_234_567, 101, findings, not_judged, ("INI101", "SIG201"))


@pytest.fixture
def sick() -> Report:
    """Findings of every severity, a rule that found the same in several places, and rules that could not be judged."""
    return report(
        *(finding(f"blocks.{i}.fc1.weight") for i in range(3)),
        *(
            finding(
                f"blocks.{i}.norm/layer_norm#0",
                code="SIG202",
                name="explosion",
                measured=f"RMS {rms}",
                expected="0.3 to 3",
                value=float(rms),
                quantity="RMS of the signal",
                limit=3.0,
            )
            for i, rms in ((1, 81), (2, 952))
        ),
        finding(
            "stem/linear#0",
            code="FWD201",
            name="collapse",
            symptoms=("BWD301 vanishing-gradient at 0.weight: 1e-9 (and 46 more)",),
        ),
        finding("head/linear#0", code="SIG401", name="dead-units", severity="warning", measured="12 % never active"),
        finding("head.bias", code="INI301", name="untouched", severity="note", fix=Fix("nothing to do")),
        not_judged=(
            NotJudged(
                "SIG501",
                "initial-loss",
                "no target and no loss were given: pass target= and loss= so that the "
                "loss can be compared with that of guessing",
            ),
            NotJudged("SIG601", "stream-growth", "the model has no residual stream"),
        ),
    )


@pytest.fixture
def healthy() -> Report:
    return report()


PAGE = """## What it does
Finds *units* that are equal.

## Why is this bad?
They stay equal: `a < b & c`.

## Example
```python
nn.init.constant_(weight, 0.1)
```"""


@pytest.fixture
def details() -> Details:
    """Pages of two rules and some lines of source; nothing of the real catalogue."""

    def rule(code: str, name: str, doc: str) -> Rule:
        return Rule(code, name, "error", doc, lambda evidence: iter(()))

    rules = {"INI101": rule("INI101", "identical-units", PAGE), "SIG201": rule("SIG201", "quiet", "")}
    places = {"blocks.1.fc1.weight": Place("src/nets.py", 40)}
    return Details("src/nets.py:build", places, Place("src/nets.py", 7), rules)
