"""Lesson 1: the loops agree, a start that is too small learns nothing and the planned one learns."""

from lesson_battery import BrowserBattery, Case, definitions

CASE = Case(
    "l01_why",
    slider="Depth (layers)",
    name="depth",
    readout="signal_last_over_first",
    right="Like guessing: under 20 %",
    wrong="It works: over 70 %",
    codes=frozenset({"INI104"}),
    fixed={"start": "gs.initialize"},
)


class TestLesson(BrowserBattery):
    case = CASE


def test_the_loop_by_hand_is_the_loop_of_the_library() -> None:
    assert definitions(CASE)["loops_differ_by"] < 1e-5


def test_a_start_that_is_too_small_guesses_and_the_planned_one_learns() -> None:
    defined = definitions(CASE)
    assert defined["reached"] < 0.2
    assert defined["reached_planned"] > 0.8
    assert defined["left"] < 1e-6
