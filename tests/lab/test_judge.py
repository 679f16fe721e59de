"""What passes as repaired: the check, every demand, and all steps of training with the score that is asked for."""

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from gainstage.lab import Demand, Trained, digits, keeps_its_level, on_digits
from gainstage.run import Subject


def test_a_demand_is_met_inside_its_range_and_never_by_nan() -> None:
    assert Demand("level", 1.0, 1.0, 2.0).met
    assert not Demand("level", 0.99, 1.0, 2.0).met
    assert not Demand("level", 2.01, 1.0, 2.0).met
    assert not Demand("level", float("nan")).met


def test_who_breaks_off_has_not_learned() -> None:
    assert Trained((1.0,) * 100, 0.7, 0.7).learned
    assert not Trained((1.0,) * 99, 0.9, 0.7).learned
    assert not Trained((1.0,) * 100, 0.69, 0.7).learned


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0])
def test_the_factor_of_a_layer_is_measured_both_ways(scale: float) -> None:
    layers = [nn.Linear(64, 64, bias=False) for _ in range(5)]
    with torch.no_grad():
        for layer in layers:
            layer.weight.copy_(scale * torch.eye(64))
    subject = Subject(nn.Sequential(*layers), digits().x[:32], digits().y[:32], cross_entropy)
    forward, backward = keeps_its_level(0.9, 1.1, gradient=True)(subject)
    assert (forward.measured, backward.measured) == (pytest.approx(scale), pytest.approx(scale))
    assert forward.met == (scale == 1.0)


def test_a_network_that_cannot_see_its_input_guesses() -> None:
    torch.manual_seed(0)
    good = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    assert on_digits()(Subject(good, digits().x[:64], digits().y[:64], cross_entropy)).learned
    blind = nn.Sequential(nn.Dropout(1.0), nn.Linear(64, 10))
    trained = on_digits()(Subject(blind, digits().x[:64], digits().y[:64], cross_entropy))
    assert len(trained.losses) == 100
    assert trained.score < 0.3
