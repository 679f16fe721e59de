"""The learning rate of an arm."""

from collections.abc import Sequence

from gainstage.study import Arm, Outcome, Trial
from gainstage.study._tuning import grid_of, tune


def outcome(score: float, loss: float = 1.0) -> Outcome:
    return Outcome(None, (), score, 0.0, loss, 0.0, "alone")


def tuned(score_of, arm: Arm | None = None, rates: Sequence[float] | None = (1e-3, 1e-2, 1e-1), seeds=(7,)):
    asked: list[Trial] = []

    def carry_out(trials: Sequence[Trial]) -> list[Outcome]:
        asked.extend(trials)
        return [score_of(trial.arm.lr, trial.seed) for trial in trials]

    (found,) = tune([arm or Arm()], lambda arm, seed: Trial(arm, seed, 1, 1, ""), carry_out, seeds=seeds, rates=rates)
    return found, asked


def test_the_best_on_validation_is_chosen_and_all_that_was_tried_is_told() -> None:
    found, asked = tuned(lambda lr, _: outcome({1e-3: 0.5, 1e-2: 0.9, 1e-1: 0.2}[lr]))
    assert (found.lr, found.at_edge) == (1e-2, False)
    assert found.tried == ((1e-3, 0.5), (1e-2, 0.9), (1e-1, 0.2))
    assert [trial.arm.lr for trial in asked] == [1e-3, 1e-2, 1e-1]


def test_scores_are_averaged_over_the_seeds_and_ties_go_to_the_lower_loss() -> None:
    by_seed = {(1e-3, 1): 0.9, (1e-3, 2): 0.1, (1e-2, 1): 0.6, (1e-2, 2): 0.6, (1e-1, 1): 0.5, (1e-1, 2): 0.5}
    assert tuned(lambda lr, seed: outcome(by_seed[lr, seed]), seeds=(1, 2))[0].lr == 1e-2
    tied = {1e-3: 3.0, 1e-2: 1.0, 1e-1: 2.0}
    assert tuned(lambda lr, _: outcome(0.5, tied[lr]))[0].lr == 1e-2


def test_beyond_an_end_that_is_best_two_more_are_tried() -> None:
    """The grid of Adam ends at 1e-4 and 1e-2."""
    rising, _ = tuned(lambda lr, _: outcome(lr), rates=None)
    assert [lr for lr, _ in rising.tried[-3:]] == [0.01, 0.032, 0.1]
    assert rising.lr == 0.1
    assert rising.at_edge
    once, _ = tuned(lambda lr, _: outcome(-abs(lr - 0.032)), rates=None)
    assert (once.lr, once.at_edge) == (0.032, False)
    falling, _ = tuned(lambda lr, _: outcome(-lr), rates=None)
    assert falling.lr == falling.tried[0][0] == 1e-5


def test_a_grid_that_was_given_is_kept_to() -> None:
    rising, asked = tuned(lambda lr, _: outcome(lr))
    assert (rising.lr, rising.at_edge, len(asked)) == (0.1, True, 3)


def test_where_no_rate_trains_nothing_more_is_tried() -> None:
    found, asked = tuned(lambda lr, _: outcome(0.1, float("inf")), rates=None)
    assert len(asked) == 5
    assert 1e-4 <= found.lr <= 1e-2


def test_a_given_rate_is_not_tuned() -> None:
    found, asked = tuned(lambda lr, _: outcome(lr), Arm(lr=0.5))
    assert (found.lr, found.tried, asked) == (0.5, (), [])


def test_the_grid_suits_the_optimizer() -> None:
    assert grid_of(Arm(), None) == (1e-4, 3.2e-4, 1e-3, 3.2e-3, 1e-2)
    assert grid_of(Arm(optimizer="sgd"), None)[-1] == 1.0
    assert grid_of(Arm(), [0.1, 0.01]) == (0.01, 0.1)
