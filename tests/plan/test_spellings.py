"""The same network in other words gets the same plan: role, law and level of every parameter."""

from functools import cache

import pytest
from spellings import FAMILIES, Plan, known, others


@cache
def reference(family: str) -> Plan:
    return FAMILIES[family].plan(next(iter(FAMILIES[family].spell)))


def mark(family: str, spelling: str) -> object:
    marks = [pytest.mark.xfail(strict=True, reason="planned differently today")] * known("plan", family, spelling)
    return pytest.param(family, spelling, marks=marks, id=f"{family}: {spelling}")


@pytest.mark.parametrize(("family", "spelling"), [mark(*pair) for pair in others("plan")])
def test_other_words_get_the_same_plan(family: str, spelling: str) -> None:
    wanted, found = reference(family), FAMILIES[family].plan(spelling)
    assert set(found) == set(wanted)
    for name, told in wanted.items():
        assert found[name] == tuple(near(value) for value in told), name


def near(value: str | float | None) -> object:
    """Gains have three digits, and levels are found along other ways: 5 %."""
    return pytest.approx(value, rel=0.05) if isinstance(value, float) else value


@pytest.mark.parametrize("family", [name for name, family in FAMILIES.items() if not family.losses])
def test_the_reference_has_a_plan_for_everything(family: str) -> None:
    assert all(role != "unknown" for role, _, _ in reference(family).values())
