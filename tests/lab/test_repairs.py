"""Repairs that are none: training or a demand of the lesson refuses them, whatever the check says."""

from functools import cache
from typing import Any

import pytest
from document_battery import run_whole


@cache
def fix_of(key: str) -> Any:
    run = run_whole(key)
    (part,) = run.document.of("fix")
    return run.repair(part)


@pytest.mark.parametrize("rate", ["0.05", "0.5", "5"])
def test_lesson_1_refuses_a_start_that_learns_nothing(rate: str) -> None:
    judged = fix_of("l01_why").grade(start="PyTorch's default", rate=rate)
    assert not judged.ok
    assert not judged.trained.learned  # also where the check were silent
    assert judged.trained.score < 0.2


def test_lesson_3_refuses_a_factor_of_root_half_a_layer() -> None:
    judged = fix_of("l03_variance").grade(law="lecun_normal: n·var = 1")
    (factor,) = judged.demands
    assert factor.measured == pytest.approx(1 / 2**0.5, rel=0.05)
    assert not factor.met
    assert not judged.ok
