"""Every exercise: its solution passes, its starter earns nothing, and what learners get wrong is named.

`wrong/NAME.md` holds well-known wrong answers as changes of the solution; each heading is what the grade must say.
"""

import re
from functools import cache
from pathlib import Path

import pytest

from gainstage.lab import LabError, exercises
from gainstage.lab._lessons import ALL

WRONG = Path(__file__).parent / "wrong"
HUNK = re.compile(r"((?:^-.*\n)+)((?:^\+.*\n)*)", re.MULTILINE)


def wrong_answers(name: str) -> list[tuple[str, str]]:
    """What the grade must say, and the code."""
    solution, found = exercises.load(name).solution, []
    for part in (WRONG / f"{name}.md").read_text(encoding="utf-8").split("### ")[1:]:
        says, change = part.split("\n", 1)
        code = solution
        for hunk in HUNK.finditer(change):
            old, new = (re.sub(r"^.", "", text, flags=re.MULTILINE) for text in hunk.groups())
            assert code.count(old) == 1, f"{name}, {says!r}: the solution does not hold once:\n{old}"
            code = code.replace(old, new)
        found.append((says, code))
    return found


@pytest.mark.parametrize("name", exercises.names())
def test_the_solution_passes_and_the_starter_earns_nothing(name: str) -> None:
    exercise = exercises.load(name)
    for seed in (1, 2):
        grade = exercises.grade(name, exercise.solution, seed=seed)
        assert grade.passed, str(grade)
        assert grade.points == exercise.points == len(exercise.lines)
    assert exercises.grade(name, exercise.starter, seed=1).points == 0


@cache
def graded(name: str) -> list[tuple[str, exercises.Grade]]:
    """What the grade must say, and the grade, of every wrong answer."""
    return [(says, exercises.grade(name, code, seed=1)) for says, code in wrong_answers(name)]


@pytest.mark.parametrize("name", exercises.names())
def test_what_learners_get_wrong_is_named(name: str) -> None:
    assert len(graded(name)) >= 3
    for says, grade in graded(name):
        assert not grade.passed, f"{says!r} passes"
        told = [part for line in grade.lines if not line.passed for part in (line.says, line.message)]
        assert says in " ".join([grade.error, *told]), f"expected {says!r} in:\n{grade}"


@pytest.mark.parametrize("name", exercises.names())
def test_every_test_of_an_exercise_fails_for_a_wrong_answer(name: str) -> None:
    for number, says in enumerate(exercises.load(name).lines):
        assert any(not grade.lines[number].passed for _, grade in graded(name)), says


def test_every_lesson_has_an_exercise() -> None:
    assert all(exercises.of_lesson(lesson.number) for lesson in ALL)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("while True:\n    pass", "Stopped after 0.5 seconds. Does a loop never end?"),
        ("def rectify(x):\n    while True: pass", "Does a loop never end? (your line 2: while True: pass)"),
        ("def rectify(x)\n    return x", "line 1 is not Python"),
        ("x = 1\ny = x / 0", "ZeroDivisionError: division by zero (your line 2: y = x / 0)"),
        ("def other(x):\n    return x", "your code defines no rectify"),
        ("x = [0] * 10**9", "more memory than the 1 GiB"),
        ("x = torch.zeros(10**10)", "more memory than the 1 GiB"),
        ("import socket\nsocket.create_connection(('127.0.0.1', 80))", "tried to open a network connection"),
        ("import os\nos.system('true')", "tried to start another program"),
        ("open('../elsewhere', 'w')", "tried to write a file"),
        ("import os\nos._exit(0)", "ended the process"),
        ("rectify = torch.nn.functional.relu", "is to be written without relu (your line 1)"),
    ],
)
def test_what_goes_wrong_is_said_with_the_learners_own_line(source: str, says: str) -> None:
    grade = exercises.grade("relu", source, seconds=0.5, memory=1 << 30, seed=1)
    assert (grade.passed, grade.points) == (False, 0)
    assert says in " ".join([grade.error, *(line.message for line in grade.lines)])


def test_what_passed_before_an_endless_loop_still_counts() -> None:
    solution = exercises.load("relu").solution
    endless = solution.replace("return gradient * (x > 0)", "while True: pass")
    grade = exercises.grade("relu", endless, seconds=1, seed=1)
    assert [line.passed for line in grade.lines] == [True, True, False]
    assert "(your line 9: while True: pass)" in grade.error


def test_the_first_wrong_value_stands_beside_the_right_one() -> None:
    source = "def rectify(x):\n    print('seen')\n    return x.abs()\ndef rectify_backward(g, x):\n    return g"
    grade = exercises.grade("relu", source, seed=7)
    line = grade.lines[0]
    assert line.at is not None
    assert (float(line.yours) > 0, line.right) == (True, "0")
    assert line.mistake == "the absolute value is taken"
    assert grade.printed.startswith("seen\n")
    assert grade == exercises.grade("relu", source, seed=7)  # the same seed, the same numbers
    assert exercises.grade("relu", source, seed=8).lines[0].yours != line.yours


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("no head", "it must begin with its settings"),
        ("---\ntitle: A\nlesson: 1\nminutes: 5\n---\n", "missing required field `points`"),
        ("---\ntitle: A\nlesson: 1\nminutes: 5\npoints: 1\n---\n```{test}\n```\n", "line 7: there is no block {test}"),
        ("---\ntitle: A\nlesson: 1\nminutes: 5\npoints: 1\n---\n", "expected one block ```{starter}, found 0"),
    ],
)
def test_a_file_that_is_not_written_as_it_should_be_is_told_so(text: str, says: str) -> None:
    with pytest.raises(LabError, match=re.escape(says)):
        exercises.parse(text, "mine")
