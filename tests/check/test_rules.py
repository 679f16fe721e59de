"""Every rule's page: its example trips it, its "use instead" does not, and its fix makes the finding go away."""

import re
import textwrap
from dataclasses import dataclass, fields
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import gainstage as gs
from gainstage.check import RULES, Finding

HEADINGS = ["What it does", "Why is this bad?", "Known problems", "Example", "Use instead", "References"]
BY_LAW = (
    *("INI", "FWD201", "FWD202", "FWD203", "FWD204", "FWD205", "FWD207", "FWD208", "FWD209", "FWD214"),
    *("BWD301", "BWD302", "NRM411", "OUT501"),
)


@dataclass
class Case:
    """What a block of a rule's page defines; what it leaves open is a classifier's batch."""

    model: nn.Module
    x: Any
    y: Any
    loss: Any
    optimizer: Any = None
    train_step: Any = None

    def findings(self, code: str) -> tuple[Finding, ...]:
        steps = {"optimizer": self.optimizer, "train_step": self.train_step, "train": code.startswith("TRN")}
        report = gs.check(self.model, self.x, target=self.y, loss=self.loss, select=[code], **steps)
        assert report.judged == (code,), report.not_judged
        return report.findings


def run(code: str, heading: str) -> Case:
    section = RULES[code].doc.split(f"## {heading}")[1].split("\n## ")[0]
    block = re.search(r"```python\n(.*?)```", section, re.DOTALL)
    assert block, (code, heading)
    torch.manual_seed(0)
    x, y = torch.randn(64, 8, generator=torch.Generator().manual_seed(1)), torch.arange(64) % 4
    names = {"torch": torch, "nn": nn, "F": F, "gs": gs, "x": x, "y": y, "loss": F.cross_entropy}
    exec(textwrap.dedent(block[1]), names)
    return Case(*(names.get(field.name) for field in fields(Case)))


@pytest.mark.parametrize("code", RULES)
def test_the_page_has_its_headings_in_order(code: str) -> None:
    assert re.findall(r"^## (.*)$", RULES[code].doc, re.MULTILINE) == HEADINGS
    assert re.fullmatch(r"[A-Z]{3}\d{3}", code)
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", RULES[code].name)


@pytest.mark.parametrize("code", RULES)
def test_the_example_trips_the_rule(code: str) -> None:
    findings = run(code, "Example").findings(code)
    assert findings
    assert all(f.code == code and f.name == RULES[code].name for f in findings)
    assert all(f.measured and f.expected and f.message and f.fix.text for f in findings)
    numbers = [(f.value, f.limit, f.quantity) for f in findings]
    if RULES[code].no_number:
        assert numbers == [(None, None, "")] * len(findings)
    else:
        assert any(value is not None and limit is not None and quantity for value, limit, quantity in numbers), numbers


@pytest.mark.parametrize("code", RULES)
def test_what_to_use_instead_does_not(code: str) -> None:
    assert not run(code, "Use instead").findings(code)


@pytest.mark.parametrize("code", RULES)
def test_the_fix_makes_the_finding_go_away(code: str) -> None:
    case = run(code, "Example")
    laws = {name: law for finding in case.findings(code) for name, law in finding.fix.laws.items()}
    assert bool(laws) == code.startswith(BY_LAW)
    if laws:
        gs.plan(case.model, case.x).replace(laws).only(laws).apply(case.model)
        assert not case.findings(code)


def test_names_are_unique() -> None:
    assert len({rule.name for rule in RULES.values()}) == len(RULES)
