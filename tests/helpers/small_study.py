"""A study that takes a second, and what two runs of it have to agree on."""

from typing import Any

from gainstage.study import Results, Study, grid


def small(**changes: Any) -> Study:
    """Two inits at two depths on wine, three seeds."""
    arms = grid(init=["he_normal", "zeros"], depth=[1, 3], width=8)
    return Study(
        **({"arms": arms, "data": "wine", "seeds": 3, "steps": 20, "looks": 2, "rates": [1e-2, 1e-1]} | changes)
    )


def numbers_of(results: Results) -> list[tuple[Any, ...]]:
    """All but the times that it took."""
    return [
        (each.lr, each.tried, each.at_edge, [(o.failed, o.curve, o.validation, o.test, o.loss) for o in each.outcomes])
        for each in results.arms
    ]
