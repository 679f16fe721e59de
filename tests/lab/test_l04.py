"""Lesson 4: Xavier's two definitions, its two distributions, what n and m are, and what the compromise costs."""

from math import sqrt

import pytest
from document_battery import names

import gainstage as gs
from gainstage.lab import networks

KEY = "l04_xavier"


def test_by_hand_and_by_the_library_are_the_same() -> None:
    for row in names(KEY)["drawn"]:
        assert row["by hand − library"] < 1e-6
        # the deviation of 8192 numbers scatters by 0.8 %; 5 % is beyond 6 standard deviations
        assert row["std, measured"] == pytest.approx(row["√(2/(n+m))"], rel=0.05)
    uniform, normal = names(KEY)["drawn"]
    assert uniform["largest weight"] <= uniform["√(6/(n+m))"] < normal["largest weight"]


def test_the_two_definitions_differ_by_the_root_of_the_average_fan_over_the_fan_in() -> None:
    assert float(names(KEY)["ratio"]) == pytest.approx(sqrt((64 + 1024) / 2 / 64), rel=1e-5)


def test_fans_are_counted_as_the_weight_is_used_and_swapping_them_costs_their_ratio() -> None:
    rows = {row["layer"]: row for row in names(KEY)["fans_of"]}
    assert [(row["fan in n"], row["fan out m"]) for row in rows.values()] == [
        (64, 256),
        (256, 64),
        (16 * 9, 32 * 9),
        (16 * 9, 32 * 9 / 4),
        (4 * 9, 8 * 9),
    ]
    for row in rows.values():
        # the mean over 64 samples and many units of a normal signal's square scatters by a few percent
        assert row["factor"] == pytest.approx(1, rel=0.15)
        assert row["factor, n and m swapped"] == pytest.approx(row["n/m"], rel=0.15)


def test_the_compromise_loses_in_both_directions_and_the_one_sided_laws_cancel() -> None:
    lesson = names(KEY)
    assert lesson["per_pair"] == pytest.approx(4 * 32 * 256 / 288**2)
    assert lesson["kept"] == pytest.approx([lesson["per_pair"] ** (lesson["DEPTH"] / 4)] * 2, rel=0.5)
    for kept in (*lesson["ahead"], *lesson["back"]):
        assert 0.5 < kept < 2


def test_theory_follows_every_law_layer_by_layer() -> None:
    for law in names(KEY)["LAWS"]:
        _, figure, _ = names(KEY)["alternate"](law=law, first=32, second=256)
        found = {
            what: [row["root mean square"] for row in figure.rows if row["what"] == what]
            for what in ("signal", "theory")
        }
        assert found["theory"] == pytest.approx(found["signal"], rel=0.5)


def test_tanh_and_sigmoid_settle_where_theory_says() -> None:
    rows = {(row["activation"], row["gain"]): row for row in names(KEY)["settled"]}
    tanh, sigmoid = rows["tanh", "1"], rows["sigmoid", "1"]
    assert tanh["level it settles at"] == pytest.approx(0, abs=1e-6)
    assert tanh["gradient, factor a layer"] == pytest.approx(1)
    for name in ("tanh", "sigmoid"):
        assert rows[name, "exact, gs.gain"]["level it settles at"] == pytest.approx(1)
    assert sigmoid["gradient, factor a layer"] < 1 / 16  # its slope is at most 1/4
    assert sigmoid["constant part of φ, share"] > 0.9
    assert names(KEY)["alike"] == 1


def test_sigmoid_makes_samples_alike_at_its_own_gain() -> None:
    def apart(activation: str, factor: float) -> float:
        law = gs.init.xavier_normal().scaled(factor)
        *_, last = networks.levels(names(KEY)["alternating"](20, 128, 128, law, activation), 128, backward=False)
        return float(last.variance_between / last.mean_square)

    assert sqrt(apart("sigmoid", gs.gain("sigmoid"))) < 1e-3
    assert apart("tanh", 1.0) > 0.9
