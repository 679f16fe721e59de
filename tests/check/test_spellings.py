"""The same network in other words gets the same verdict, where it is healthy and where it is broken."""

from functools import cache

import pytest
from spellings import FAMILIES, HAVE_NO_HEALTHY, KNOWN, known, others


@cache
def reference(family: str, broken: bool) -> list[tuple[str, str]]:
    return FAMILIES[family].verdict(next(iter(FAMILIES[family].spell)), broken=broken)


def marked(kind: str) -> list[object]:
    found = []
    for pair in others(kind):
        marks = [pytest.mark.xfail(strict=True, reason="judged differently today")] * known(kind, *pair)
        found.append(pytest.param(*pair, marks=marks, id=": ".join(pair)))
    return found


@pytest.mark.parametrize(("family", "spelling"), marked("healthy"))
def test_other_words_for_a_healthy_network_get_the_same_verdict(family: str, spelling: str) -> None:
    assert FAMILIES[family].verdict(spelling, broken=False) == reference(family, False)


@pytest.mark.parametrize(("family", "spelling"), marked("broken"))
def test_other_words_for_a_broken_network_get_the_same_verdict(family: str, spelling: str) -> None:
    assert FAMILIES[family].verdict(spelling, broken=True) == reference(family, True)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_reference_is_healthy_until_it_is_broken(family: str) -> None:
    assert reference(family, True)
    assert family in HAVE_NO_HEALTHY or not reference(family, False)


def test_the_battery_is_large_enough_to_mean_something() -> None:
    assert sum(len(family.spell) for name, family in FAMILIES.items() if name.startswith("residual")) >= 20
    assert sum(len(family.spell) for family in FAMILIES.values()) >= 150
    for family, differing in KNOWN.items():
        assert set(differing) <= {"plan", "healthy", "broken"}
        assert {spelling for spellings in differing.values() for spelling in spellings} <= set(FAMILIES[family].spell)
