"""Lesson 3: the second moment is handed on, by hand and by the library, and theory agrees."""

from math import pi, sqrt

import pytest
from document_battery import names
from torch import nn

import gainstage as gs
from gainstage import lab

KEY = "l03_variance"


def test_a_layer_hands_on_the_second_moment_and_not_the_variance() -> None:
    for row in names(KEY)["one_layer"]:
        # a sample variance over 4096 units scatters by 2.2 %; 12 % is beyond 5 standard deviations
        assert row["measured Var(y)"] == pytest.approx(row["n·var(w)·E[x²]"], rel=0.12)
    relu = names(KEY)["one_layer"][1]
    assert relu["measured Var(y)"] > 1.2 * relu["n·var(w)·Var(x)"]


def test_the_moments_behind_a_relu() -> None:
    assert names(KEY)["by_moment"] == pytest.approx(1 / 2)
    assert names(KEY)["by_variance"] == pytest.approx(1 / 2 - 1 / (2 * pi))


def test_by_hand_and_by_the_library_are_the_same() -> None:
    model, x = names(KEY)["chain"](20, 128, 1.0, "relu", 0), lab.draw(gs.init.normal(), 256, 128)
    tape = [site.forward.rms for site in gs.record(model, x, backward=False) if site.op == "linear"]
    by_hand = names(KEY)["levels_by_hand"]([w.detach() for w in model.parameters()], x, nn.ReLU())
    assert by_hand == pytest.approx(tape, rel=1e-4)


def test_a_scale_of_root_two_keeps_the_level_of_a_relu_chain() -> None:
    readout, figure, _ = names(KEY)["levels"](depth=30, width=256, scale=sqrt(2), activation="relu", seed=0)
    theory = [row["root mean square"] for row in figure.rows if row["what"] == "theory"]
    signal = [row["root mean square"] for row in figure.rows if row["what"] == "signal"]
    assert theory == pytest.approx([sqrt(2)] * 30)
    assert 0.3 < signal[-1] / signal[0] < 3
    assert "1.41" in readout.static
