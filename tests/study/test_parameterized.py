"""Arms whose start and rates follow from a smaller size."""

from typing import Any

import pytest
from torch import nn

from gainstage.study import Arm, Serial, Study, StudyError, grid, load
from gainstage.study._parameterized import scales, transferred


def net(width: int) -> nn.Module:
    return nn.Sequential(nn.Linear(13, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 3))


def test_rates_and_starts_follow_the_rule_and_are_the_base_s_at_the_base() -> None:
    """From width 16 to 64: start 1/2 and rate 1/4 of a hidden weight, 1/4 and 1/4 of the readout."""
    data = load("wine")
    example = data.train.x[:64]
    found = {}
    for width in (16, 64):
        arm = Arm(width=width, depth=2, optimizer="adamw", parameterization="mup", base={"width": 16})
        found[width] = scales(arm, transferred(arm, data, example, "he_normal"))
    assert all(factor == 1 for each in found[16].values() for factor in each.values())
    rates = sorted({each["lr"] for each in found[64].values()})
    assert rates == [0.25, 1.0]
    assert all(each["lr"] * each["weight_decay"] == pytest.approx(1) for each in found[64].values())
    own = Arm(model=net, options={"width": 64}, init=None, parameterization="mup", base={"width": 16}, optimizer="sgd")
    move = transferred(own, data, example, None)
    assert scales(own, move)["2.weight"] == {"lr": 1.0}
    assert scales(own, move)["4.weight"] == {"lr": 0.25}
    assert float(move.model().get_parameter("4.weight").detach().std()) == pytest.approx(3**-0.5 / 16, rel=0.1)


def test_a_study_trains_them_as_one_and_keeps_the_base_as_it_is() -> None:
    arms = grid(width=[8, 32], parameterization=["standard", "mup"], base={"width": 8}, depth=2, lr=0.03)
    results = Study(arms=arms, data="wine", seeds=2, steps=20, looks=2).run(executor=Serial())
    scores = {label: arm.outcomes for label, arm in zip(results.labels, results.arms, strict=True)}
    assert [o.curve for o in scores["width 8 standard"]] == [o.curve for o in scores["width 8 mup"]]
    assert [o.curve for o in scores["width 32 standard"]] != [o.curve for o in scores["width 32 mup"]]
    assert scores["width 32 mup"][0].engine == "as one with 1 other"
    assert "width 32 mup" in str(results)
    assert max(map(len, str(results).splitlines())) <= 80


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"parameterization": "mup"}, "give base="),
        ({"parameterization": "mu", "base": {"width": 8}}, "Did you mean 'mup'"),
        ({"parameterization": "mup", "base": {"widht": 8}}, "Did you mean 'width'"),
        ({"parameterization": "mup", "base": {"width": 0}}, "whole number from 1"),
        ({"parameterization": "mup", "base": {"width": 8}, "init": "lsuv"}, "sets every scale by a batch"),
    ],
)
def test_slips_are_told(given: dict[str, Any], said: str) -> None:
    with pytest.raises(StudyError, match=said):
        Arm(**given)


def test_a_model_that_does_not_grow_is_told() -> None:
    arm = Arm(model=lambda width: net(16), options={"width": 64}, parameterization="mup", base={"width": 16}, lr=0.1)
    with pytest.raises(StudyError, match=r"no parameter grows from width=16 to width=64"):
        Study(arms=[arm], data="wine", seeds=1, steps=2).run(executor=Serial())
