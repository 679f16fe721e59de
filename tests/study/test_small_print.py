"""Facts that no other test of this room would miss: each was a one-line fault that survived (benchmarks/mutants.py)."""

from gainstage.study._statistics import paired


def test_scores_that_differ_by_rounding_do_not_differ() -> None:
    """0.1 + 0.2 is not 0.3, by 6e-17, in every seed: without a spread that would be certainty."""
    found = paired([0.1 + 0.2, 0.7, 0.1 + 0.2], [0.3, 0.7, 0.3])
    assert found.difference == 0.0
    assert found.p == 1.0
