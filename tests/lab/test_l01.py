"""Lesson 1: the loops agree, a start that is too small learns nothing and the planned one learns."""

from document_battery import names

KEY = "l01_why"


def test_the_loop_by_hand_is_the_loop_of_the_library() -> None:
    lesson = names(KEY)
    by_hand = lesson["train_by_hand"](lesson["network"](4, "he_normal"), lesson["batches"](steps=10), 0.05)
    run = lesson["lab"].networks.trained(lesson["network"](4, "he_normal"), 0.05, steps=10)
    assert max(abs(a - b) for a, b in zip(by_hand, run.losses, strict=True)) < 1e-5


def test_a_start_that_is_too_small_guesses_and_the_planned_one_learns() -> None:
    assert names(KEY)["reached"] < 0.2
    assert names(KEY)["reached_planned"] > 0.8
    assert names(KEY)["left"] < 1e-6
