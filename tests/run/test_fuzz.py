"""500 random modules, contexts, calls and exceptions: no trace, no foreign exception, the same twice."""

import pytest
from fuzz.attempt import quiet
from fuzz.grammar import draw
from fuzz.judge import Verdict, judge
from fuzz.plainly import run_plain
from fuzz.seeds import random_states_kept

CASES = 500
BLOCK = 10


@pytest.mark.parametrize("first", range(0, CASES, BLOCK))
def test_leaves_no_trace(first: int) -> None:
    verdicts = [judge(draw(seed)) for seed in range(first, first + BLOCK)]
    failed = [verdict for verdict in verdicts if verdict.outcome == "failed"]
    assert not failed, "\n\n".join(told(verdict) for verdict in failed)


def told(verdict: Verdict) -> str:
    again = f"  again: python benchmarks/fuzz.py --seed {verdict.case.seed} --shrink"
    return f"{verdict}\n{again}\n{verdict.case.source()}"


def test_most_cases_are_fair() -> None:
    """A case that does not run plainly says nothing; few are left out."""
    with quiet(), random_states_kept():
        plain = [run_plain(draw(seed)) for seed in range(10_000, 10_040)]
    assert sum(bool(p.excluded) for p in plain) <= 8
