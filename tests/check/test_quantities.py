"""A rule is a quantity with limits: it says its number on healthy models as well, and its limits stand beside it."""

import re
from math import isfinite
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import gainstage as gs
from gainstage.check import RULES, Evidence, Fix, Found, Limit, NotMeasured, Quantity, Rule
from gainstage.check.facts.walk import fewest_weights
from gainstage.check.quantity import numbers_of

ROOM = Path(gs.check.__file__ or "").parent
SHARED = "gainstage.check.facts.limits"


def healthy() -> Evidence:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 64), nn.Tanh(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 4))
    return Evidence(model, torch.randn(64, 8), target=torch.arange(64) % 4, loss=F.cross_entropy)


def declared() -> dict[tuple[str, str], Limit | Quantity]:
    """Every limit and quantity of the check by the module and name under which it is written down."""
    found: dict[tuple[str, str], Limit | Quantity] = {}
    for file in ROOM.rglob("*.py"):
        module = ".".join(["gainstage.check", *file.relative_to(ROOM).with_suffix("").parts])
        for name in re.findall(r"^([A-Z_]+) = (?:Limit|Quantity)\(", file.read_text(), re.MULTILINE):
            found[module, name] = getattr(__import__(module, fromlist=["_"]), name)
    return found


DECLARED = {key: value for key, value in declared().items() if key[0] != "gainstage.check.quantity"}


@pytest.mark.parametrize("code", RULES)
def test_a_rule_measures_a_number_or_says_why_it_does_not(code: str) -> None:
    rule = RULES[code]
    assert rule.quantities or len(rule.no_number) > 20
    assert all(quantity.of and quantity.limits for quantity in rule.quantities.values())
    limits = [limit for quantity in rule.quantities.values() for limit in quantity.limits.values()]
    assert all(len(limit.why) > 20 for limit in [*limits, *rule.limits.values()])


@pytest.mark.parametrize(("module", "name"), DECLARED)
def test_a_limit_stands_beside_its_user(module: str, name: str) -> None:
    number = DECLARED[module, name]
    users = {
        rule.function.__module__
        for rule in RULES.values()
        if any(number is used for used in numbers_of(rule.function).values())
    }
    assert users, "no rule compares with it"
    if module == SHARED:
        assert len(users) > 1, f"only {users} reads it: it belongs there"
    elif ".rules." in module:
        assert users == {module}


def test_a_rule_says_its_number_where_it_finds_nothing() -> None:
    evidence = healthy()
    for code in ("FWD201", "FWD202", "FWD203", "FWD205", "BWD303", "INI101", "INI105", "OUT501", "DAT601", "DAT608"):
        values = RULES[code].values(evidence)
        assert values, code
        assert all(isfinite(value.number) for value in values), code
        assert RULES[code].findings(evidence) == []
        assert {value.quantity.of for value in values} <= {q.of for q in RULES[code].quantities.values()}
    rms = RULES["FWD203"].values(evidence)[0]
    assert rms.number == pytest.approx(evidence.forward(evidence.heads[0]).rms, rel=0.2)
    assert rms.number < rms.quantity.warning


LEVEL = Quantity("level of nothing", note=Limit(1.0, "one"), error=Limit(3.0, "three"))


@pytest.mark.parametrize(("severity", "limit"), [("note", 1.0), ("warning", 3.0), ("error", 3.0)])
def test_a_finding_carries_its_number_and_the_limit_behind_its_severity(severity: str, limit: float) -> None:
    def level(evidence: Evidence) -> object:
        yield LEVEL(0.5, "a")
        yield Found(severity, "b", "5", "1", "much", Fix("less"), value=LEVEL(5.0))

    rule = Rule("ZZZ999", "level", "note", "", level)
    evidence = healthy()
    (finding,) = rule.findings(evidence)
    assert (finding.value, finding.limit, finding.quantity) == (5.0, limit, "level of nothing")
    assert [value.number for value in rule.values(evidence)] == [0.5, 5.0]
    document = finding.to_json()
    assert (document["value"], document["limit"], document["quantity"]) == (5.0, limit, "level of nothing")


def test_a_number_that_is_none_is_null_in_json() -> None:
    def endless(evidence: Evidence) -> object:
        yield Found("error", "b", "inf", "1", "much", Fix("less"), value=LEVEL(float("inf")))

    (finding,) = Rule("ZZZ999", "endless", "note", "", endless).findings(healthy())
    assert finding.value == float("inf")
    assert finding.to_json()["value"] is None


def test_a_fact_is_computed_once_and_a_refusal_is_remembered() -> None:
    from gainstage.check._fact import fact

    asked: list[str] = []

    @fact
    def three(evidence: Evidence) -> int:
        asked.append("three")
        return 3

    @fact
    def never(evidence: Evidence) -> int:
        asked.append("never")
        raise NotMeasured("no reason")

    evidence = healthy()
    assert three(evidence) + three(evidence) == 6
    for _ in range(2):
        with pytest.raises(NotMeasured, match="no reason"):
            never(evidence)
    assert asked == ["three", "never"]
    assert three(healthy()) == 3
    assert asked == ["three", "never", "three"]


class Blocks(nn.Module):
    """Six weights in a row, the four in the middle with a path past each pair."""

    def __init__(self, skips: bool) -> None:
        super().__init__()
        self.layers, self.skips = nn.ModuleList(nn.Linear(8, 8) for _ in range(6)), skips

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first, *middle, last = self.layers
        h = torch.tanh(first(torch.cat([x[:, :4], x[:, 4:]], 1)))
        for a, b in ((middle[0], middle[1]), (middle[2], middle[3])):
            h = b(torch.tanh(a(h))) + (h if self.skips else 0.0)
        return last(h)


@pytest.mark.parametrize(("skips", "fewest"), [(True, 1), (False, 5)])
def test_the_shortest_path_is_counted_by_the_weights_on_it(skips: bool, fewest: int) -> None:
    evidence = Evidence(Blocks(skips), torch.randn(32, 8))
    (first,) = [weight for weight in evidence.weights if weight.name == "layers.0.weight"]
    assert fewest_weights(evidence, first.sites) == fewest
