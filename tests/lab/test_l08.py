"""Lesson 8: mean squares add along a stream, linear behind a normalization, exponential without, flat with 1/√(2L)."""

from math import log

import pytest
from lesson_battery import BrowserBattery, Case, app_of, definitions

CASE = Case(
    "l08_residual",
    slider="Blocks (two branches each)",
    name="blocks",
    readout="stream_after_the_last_branch",
    right="It grows with the number of branches: 3 to 100 times",
    wrong="It multiplies at every branch: more than 1000 times",
    codes=frozenset({"FWD207"}),
    fixed={"last": "1/√(2L) as large"},
)


class TestLesson(BrowserBattery):
    case = CASE


def test_by_hand_and_by_the_library() -> None:
    assert definitions(CASE)["streams_differ_by"] < 1e-4


def test_the_stream_grows_linearly_and_theory_says_so() -> None:
    levels, theory = definitions(CASE)["levels"], definitions(CASE)["levels_by_theory"]
    first, second = levels[11] - levels[1], levels[21] - levels[11]
    assert second == pytest.approx(first, rel=0.5)
    assert theory[-1] == pytest.approx(levels[-1], rel=0.35)


@pytest.mark.parametrize("blocks", [4, 16])
def test_scaled_last_weights_keep_the_stream_at_any_depth(blocks: int) -> None:
    from gainstage.lab.lessons.l08_residual import stream, transformer

    tokens = definitions(CASE)["tokens"][:16]
    levels, _, _ = stream(transformer(blocks, last="1/√(2L) as large"), tokens)
    assert levels[-1] < 3
    zero, _, _ = stream(transformer(blocks, last="zero"), tokens)
    assert zero[-1] == pytest.approx(zero[0])


def test_without_normalization_it_multiplies() -> None:
    assert definitions(CASE)["growth"]["none"] > 1e4


def test_a_zero_branch_hears_nothing_in_the_first_step_only() -> None:
    scaled, zero = definitions(CASE)["zero_init"]
    assert zero["first weight, step 1"] == 0
    assert zero["last weight, step 1"] > 0
    assert zero["first weight, step 2"] > 0
    assert scaled["first weight, step 1"] > 0


def test_the_head_costs_at_most_what_the_bound_says() -> None:
    for row in definitions(CASE)["heads"]:
        assert row["loss measured"] <= 1.02 * row["ln V + n·σ²/2"]
    assert definitions(CASE)["heads"][0]["loss measured"] == pytest.approx(log(16), rel=0.02)


def test_warm_up_helps_at_the_high_rate() -> None:
    end = {(row["rate"], row["warm-up"] != "none"): row["end"] for row in definitions(CASE)["warm_ups"]}
    assert end[0.03, True] < end[0.03, False] / 2


def test_other_settings_of_the_sliders() -> None:
    values = {"blocks": 4, "std": 0.02, "embedding": 0.02, "norm": "after (post-norm)", "last": "zero"}
    fakes = {name: type("Widget", (), {"value": value}) for name, value in values.items()}
    _, defined = app_of(CASE).run(defs=fakes)
    assert defined["levels"][-1] == pytest.approx(1, rel=0.05)  # normalized after every sum
