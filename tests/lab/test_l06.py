"""Lesson 6: SELU's constants, the map of (mean, variance), and what breaks its fixed point."""

import pytest
from lesson_battery import Case, LessonBattery, definitions
from torch import Tensor

import gainstage as gs
from gainstage.lab.lessons import l06_lecun as lesson

CASE = Case(
    "l06_lecun",
    slider="Standard deviation of the input",
    name="std",
    readout="variance_at_the_end",
    right="It keeps growing",
    wrong="It returns to 1: SELU normalizes itself",
    codes=frozenset({"FWD202"}),
    fixed={"activation": "selu"},
)


class TestLesson(LessonBattery):
    case = CASE


def sample(mean: float, spread: float) -> Tensor:
    return mean + spread * lesson.lab.draw(gs.init.normal(), 256, 128)


def test_the_constants_by_hand_are_those_of_pytorch() -> None:
    defined = definitions(CASE)
    assert defined["selu_alpha"] == pytest.approx(defined["torch_alpha"], rel=1e-12)
    assert defined["selu_scale"] == pytest.approx(defined["torch_scale"], rel=1e-12)
    assert lesson.layer(0.0, 1.0, lesson.F.selu) == pytest.approx((0, 1), abs=1e-9)


def test_the_derivatives_at_the_fixed_point_are_those_of_the_paper() -> None:
    ((mean_mean, mean_variance), (variance_mean, variance_variance)) = definitions(CASE)["jacobian"]
    assert (mean_mean, variance_mean) == pytest.approx((0, 0), abs=1e-6)
    # Klambauer et al., section "Stable and Attracting Fixed Point (0,1)": 0.088834 and 0.782648
    assert mean_variance == pytest.approx(0.088834, abs=2e-6)
    assert variance_variance == pytest.approx(0.782648, abs=2e-6)
    assert definitions(CASE)["field"].variance_slope() == pytest.approx(variance_variance, abs=1e-6)


def test_every_start_comes_to_mean_0_and_variance_1() -> None:
    last = [row for row in definitions(CASE)["after"] if row["after"] == "10 layers"]
    assert len(last) == 12
    for row in last:
        assert abs(row["mean"]) < 0.05
        assert abs(row["variance"] - 1) < 0.3


@pytest.mark.parametrize(("mean", "spread", "depth", "drop"), [(-2, 0.25, 20, "none"), (1, 2, 40, "alpha, 0.1")])
def test_the_network_normalizes_itself_as_theory_says(mean: float, spread: float, depth: int, drop: str) -> None:
    measured = lesson.entering(lesson.chain(depth, 128, "selu", 1.0, drop), sample(mean, spread))
    assert measured[0] == pytest.approx((mean, spread**2), abs=0.1)
    assert measured[-1] == pytest.approx((0, 1), abs=0.3)
    assert lesson.expected(depth, mean, spread**2, "selu", 1.0, drop)[-1] == pytest.approx((0, 1), abs=0.1)


def test_theory_and_measurement_agree_at_the_start_of_the_page() -> None:
    defined = definitions(CASE)
    for measured, theory in zip(defined["measured"][:8], defined["theory"][:8], strict=True):
        assert measured == pytest.approx(theory, abs=0.3, rel=0.2)


def test_relu_remembers_the_level_of_the_input() -> None:
    def square(spread: float) -> float:
        mean, variance = lesson.entering(lesson.chain(20, 128, "relu", 2**0.5), sample(0, spread))[-1]
        return mean**2 + variance

    assert square(4) / square(1) == pytest.approx(16, rel=1e-3)


def test_what_breaks_it() -> None:
    defined = definitions(CASE)
    whole, alpha, ordinary, half, he, torch_default, elu, relu = defined["broken"]
    for row in (whole, alpha):
        assert row["theory, variance"] == pytest.approx(1, abs=1e-6)
        assert row["variance"] == pytest.approx(1, abs=0.2)
    # 1 / (1 - p) on every mean square but the last layer's, which has no dropout
    field = gs.theory.MeanField("selu", weight_variance=1 / 0.9)
    entering_last = field.fixed_point() * 0.9
    assert ordinary["theory, variance"] + 0.05 > entering_last > 1.2
    assert half["variance"] > 100
    assert he["variance"] > 100
    for row in (torch_default, elu, relu):
        assert row["variance"] < 0.01


def test_he_grows_by_the_square_of_the_scale_a_layer() -> None:
    defined = definitions(CASE)
    theory = lesson.expected(200, 0.0, 1.0, "selu", 2**0.5)
    squares = [mean**2 + variance for mean, variance in theory]
    assert squares[-1] / squares[-2] == pytest.approx(defined["selu_scale"] ** 2, rel=1e-3)
    assert defined["he_levels"][-1] > 100


def test_alpha_dropout_keeps_mean_0_and_variance_1_and_the_ordinary_one_does_not() -> None:
    assert lesson.after_dropout(0.0, 1.0, "alpha, 0.5") == pytest.approx((0, 1))
    assert lesson.after_dropout(0.0, 1.0, "ordinary, 0.5") == pytest.approx((0, 2))
    x = lesson.lab.draw(gs.init.normal(), 200_000) + 0.5
    for drop, layer in (("alpha, 0.5", gs.nn.AlphaDropout), ("ordinary, 0.5", gs.nn.Dropout)):
        y = layer(0.5, generator=lesson.torch.Generator().manual_seed(0))(x)
        # means and variances of 2e5 numbers of deviation 1.5 scatter by below 0.8 %; 5 % is beyond 6 of them
        assert (float(y.mean()), float(y.var())) == pytest.approx(lesson.after_dropout(0.5, 1.0, drop), abs=0.05)
