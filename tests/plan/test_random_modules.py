"""Random modules that run: a plan is made for each, and every number in it is one."""

import math
import warnings
from dataclasses import fields, is_dataclass, replace

import pytest
from fuzz.attempt import quiet
from fuzz.grammar import draw
from fuzz.plainly import run_plain
from fuzz.seeds import random_states_kept

import gainstage as gs

CASES, BLOCK, FIRST = 60, 10, 400_000


def numbers(value: object) -> list[float]:
    if is_dataclass(value):
        return [number for field in fields(value) for number in numbers(getattr(value, field.name))]
    if isinstance(value, tuple):
        return [number for item in value for number in numbers(item)]
    return [value] if isinstance(value, float) else []


@pytest.mark.parametrize("first", range(FIRST, FIRST + CASES, BLOCK))
def test_a_plan_is_made_and_holds_only_numbers(first: int) -> None:
    for seed in range(first, first + BLOCK):
        case = replace(draw(seed), fault=None, context="plain", call="plan")
        with quiet(), random_states_kept(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if run_plain(case).excluded:
                continue
            scene = case.build()
            plan = gs.plan(scene.model, scene.example)
            laws = [(name, a.law, a.level) for name, a in plan.items() if a.law is not None]
            wrong = [name for name, law, level in laws if not all(map(math.isfinite, [*numbers(law), level or 0.0]))]
            assert not wrong, case.source()
