"""Lesson 15: the rule by hand and by the library, what is restored, and gradient descent beside ridge."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lesson_battery import Case, LessonBattery, app_of, definitions
from torch.nn.functional import cross_entropy

import gainstage as gs
from gainstage.lab import Judgement
from gainstage.lab.lessons import l15_stopping as lesson

CASE = Case(
    "l15_stopping",
    slider="Patience (epochs)",
    name="patience",
    readout="stops_after_epoch",
    right="It does not stop",
    wrong="After epoch 5: no epoch gains 0.05",
    codes=frozenset({"FWD204"}),
    fixed={"weights": "of the best epoch", "rate": "0.003"},
)


class TestLesson(LessonBattery):
    case = CASE


@given(st.lists(st.integers(0, 20), min_size=1, max_size=30), st.integers(1, 6), st.sampled_from([0.0, 0.5, 2.0]))
def test_the_rule_by_hand_is_that_of_the_library(values: list[int], patience: int, min_delta: float) -> None:
    stopper = gs.train.EarlyStopping("val_loss", patience=patience, min_delta=min_delta)
    stop = next((i for i, value in enumerate(values) if stopper.step(float(value))), None)
    assert lesson.stop_by_hand(values, patience, min_delta) == (stop, stopper.best_epoch)


def test_gradient_descent_follows_its_formula_and_ridge_in_weak_directions() -> None:
    for row in definitions(CASE)["shares"]:
        assert row["share learned"] == pytest.approx(row["formula"], rel=1e-4)
    weak = [row for row in definitions(CASE)["shares"] if row["direction"] == "curvature 0.01"]
    assert weak[9]["ridge"] == pytest.approx(weak[9]["formula"], rel=0.02)  # eta t lambda = 0.01


def test_the_best_state_is_put_back_whole() -> None:
    defined = definitions(CASE)
    assert defined["restored_loss"] == pytest.approx(defined["kept"].best, rel=1e-5)
    assert defined["kept"].best == min(defined["val_losses"])
    assert defined["same_as_by_hand"]


def test_the_run_overfits_and_the_best_epoch_is_better_on_the_test_images() -> None:
    defined = definitions(CASE)
    run, accuracies = defined["run"], defined["test_accuracies"]
    assert run.epochs[-1].loss < 0.3
    assert defined["val_losses"][-1] > 1.3 * defined["kept"].best
    assert accuracies[defined["kept"].best_epoch] > accuracies[-1] + 0.03


def test_small_gains_add_up_to_progress() -> None:
    waits = definitions(CASE)["waits"]
    assert len(waits) == 30
    # three gains of 0.02 exceed 0.05, so at most two epochs are waited
    assert max(waits) == 2


def test_longer_patience_never_stops_earlier() -> None:
    _, defined = app_of(CASE).run(
        defs={
            name: type("Widget", (), {"value": value})
            for name, value in {"noise": 0.5, "watched": 20, "seed": 1, "patience": 2, "min_delta": 0.1}.items()
        }
    )
    run = defined["run"]
    stops = [lesson.replayed(run, patience=p).epoch for p in range(1, 20)]
    assert stops == sorted(stops)


def test_going_back_does_not_undo_what_every_epoch_has() -> None:
    fix = definitions(CASE)["fix"]
    for choice in ({"weights": "of the best epoch"}, {"patience": "2"}):
        graded = fix.grade(**choice)
        assert isinstance(graded, Judgement)
        assert not graded.ok


def test_a_state_that_is_restored_is_that_of_its_epoch() -> None:
    model, run, stopper = lesson.trained(0.3, seed=3, epochs=8)
    stopper.restore()
    _, _, x, y = lesson.noisy_digits(0.3)
    with torch.no_grad():
        loss = cross_entropy(model(x), y).item()
    assert loss == pytest.approx(run.epochs[stopper.best_epoch].metrics["val_loss"], rel=1e-5)


def test_the_weights_of_the_last_epoch_are_refused() -> None:
    last = definitions(CASE)["fix"].grade(rate="0.003", patience="2")
    best = definitions(CASE)["fix"].grade(rate="0.003", patience="2", weights="of the best epoch")
    assert (last.report.ok, last.ok) == (True, False)
    assert last.demands[0].measured > 1.001
    assert best.ok
    assert best.demands[0].measured == pytest.approx(1.0, abs=1e-5)
