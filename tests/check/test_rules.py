"""Every rule's page: its example trips it, its "use instead" does not, and its fix makes the finding go away."""

import re
import textwrap

import pytest
import torch
from torch import nn

import gainstage as gs
from gainstage.check import RULES, Finding

HEADINGS = ["What it does", "Why is this bad?", "Known problems", "Example", "Use instead", "References"]
IN_CODE_ONLY = {"FWD206", "BWD303", "BWD304"}  # no law can mend a logarithm or a detach


def run(code: str, heading: str) -> nn.Module:
    section = RULES[code].doc.split(f"## {heading}")[1].split("\n## ")[0]
    block = re.search(r"```python\n(.*?)```", section, re.DOTALL)
    assert block, (code, heading)
    torch.manual_seed(0)
    names = {"torch": torch, "nn": nn, "gs": gs, "x": batch()[0], "y": batch()[1]}
    exec(textwrap.dedent(block[1]), names)
    return names["model"]


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(64, 8, generator=torch.Generator().manual_seed(1)), torch.arange(64) % 4


def found(model: nn.Module, code: str) -> tuple[Finding, ...]:
    x, y = batch()
    report = gs.check(model, x, target=y, loss=nn.functional.cross_entropy, select=[code])
    assert report.judged == (code,) or not report.findings
    return report.findings


@pytest.mark.parametrize("code", RULES)
def test_the_page_has_its_headings_in_order(code: str) -> None:
    assert re.findall(r"^## (.*)$", RULES[code].doc, re.MULTILINE) == HEADINGS
    assert re.fullmatch(r"[A-Z]{3}\d{3}", code)
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", RULES[code].name)


@pytest.mark.parametrize("code", RULES)
def test_the_example_trips_the_rule(code: str) -> None:
    findings = found(run(code, "Example"), code)
    assert findings
    assert all(f.code == code and f.name == RULES[code].name for f in findings)
    assert all(f.measured and f.expected and f.message and f.fix.text for f in findings)


@pytest.mark.parametrize("code", RULES)
def test_what_to_use_instead_does_not(code: str) -> None:
    assert not found(run(code, "Use instead"), code)


@pytest.mark.parametrize("code", RULES)
def test_the_fix_makes_the_finding_go_away(code: str) -> None:
    model = run(code, "Example")
    laws = {name: law for finding in found(model, code) for name, law in finding.fix.laws.items()}
    assert bool(laws) == (code not in IN_CODE_ONLY)
    if laws:
        gs.plan(model, batch()[0]).replace(laws).only(laws).apply(model)
        assert not found(model, code)


def test_names_are_unique() -> None:
    assert len({rule.name for rule in RULES.values()}) == len(RULES)
