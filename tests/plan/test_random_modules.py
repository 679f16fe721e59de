"""Random modules that run: a plan is made for each, every number in it is one, and two starts are the same start.

`benchmarks/fuzz_starts.py` judges 2,000 more.
"""

import pytest
from fuzz.started import started

CASES, BLOCK, FIRST = 20, 10, 400_000


@pytest.mark.parametrize("first", range(FIRST, FIRST + CASES, BLOCK))
def test_a_start_is_made_of_numbers_and_the_same_twice_and_at_any_scale(first: int) -> None:
    assert {seed: found for seed in range(first, first + BLOCK) if (found := started(seed))} == {}
