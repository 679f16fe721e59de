"""Roles are values, and any package can add the rules of a family."""

import pickle
from copy import deepcopy

import pytest
import torch
from torch import nn

import gainstage as gs
from gainstage import init
from gainstage.plan import roles
from gainstage.plan.roles import Context, Role, Target, Use
from gainstage.theory import name_behind

X = torch.randn(16, 8)


def net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(8, 16), nn.Softsign(), nn.Linear(16, 4))


def test_a_role_is_its_text_and_has_a_kind() -> None:
    role = Role("norm scale, last of residual branch 3 of 8", "norm scale")
    for same in (role, deepcopy(role), pickle.loads(pickle.dumps(role))):
        assert same == "norm scale, last of residual branch 3 of 8"
        assert same.kind == "norm scale"
    assert Role("output head").kind == "output head"


def test_a_plan_that_is_read_has_the_same_texts() -> None:
    plan = gs.plan(net(), X)
    read = gs.Plan.from_json(plan.to_json())
    assert {name: a.role for name, a in plan.items()} == {name: a.role for name, a in read.items()}
    assert read["2.weight"].kind == "output head"
    assert plan["0.weight"].kind == "input weight"


def test_the_families_are_declared_as_entry_points() -> None:
    names = {rule.__module__ for rule in roles.families()}
    assert {"gainstage.plan.roles.highway", "gainstage.plan.roles.state_space"} <= names


def softsign(context: Context, use: Use) -> Target | None:
    if name_behind(context.graph, use.site) != "softsign":
        return None
    if use.slot == "bias":
        return Target(Role("offset"), law=init.constant(0.5), reason="ours", mean=0.5)
    return Target(Role("weight of ours"), level=4.0, reason="ours")


def test_a_rule_of_a_third_party_is_asked_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roles, "families", lambda: (softsign,))
    plan = gs.plan(net(), X)
    assert (plan["0.weight"].role, plan["0.weight"].level) == ("weight of ours", 4.25)
    assert (plan["0.bias"].role, str(plan["0.bias"].law)) == ("offset", "constant(0.5)")
    assert plan["2.weight"].role == "output head"
    assert str(gs.plan(net(), X, scheme="he_normal")["0.bias"].law) == "zeros"


def test_every_weight_gets_a_role_without_any_family(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roles, "families", tuple)
    assert gs.plan(net(), X)["0.weight"].role == "input weight into softsign"
