"""Lesson 18: what is pasted or pointed at is checked, planned and traced, and a slip is told kindly."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from lesson_battery import BrowserBattery, Case, app_of, definitions

from gainstage import GainstageError, Subject
from gainstage.lab import Judgement
from gainstage.lab.lessons import l18_your_model as lesson

REPAIRED = lesson.SMALL_START.replace("nn.init.normal_(linear.weight, std=0.01)", "nn.init.kaiming_normal_(linear.weight, nonlinearity='relu')")  # fmt: skip  # noqa: E501

CASE = Case(
    "l18_your_model",
    slider="Updates of the training run",
    name="night",
    readout="it_pays_from_a_risk_of",
    right="Only the finding about the start is gone",
    wrong="Nothing: a good start repairs both",
    codes=frozenset({"INI104", "OUT503"}),
    fixed={"code": REPAIRED},
)


class TestLesson(BrowserBattery):
    case = CASE


def test_the_plan_agrees_with_the_formula_by_hand() -> None:
    for row in definitions(CASE)["hand_and_plan"]:
        assert row["planned"] == pytest.approx(row["by hand"], rel=1e-12)


def test_every_starter_is_looked_at_and_no_error_is_left_by_its_plan() -> None:
    found = {name: lesson.looked_at(code) for name, code in lesson.STARTERS.items()}
    small, convolutions, transformer = found.values()
    assert "INI104" in {f.code for f in small["report"].findings}
    assert convolutions["report"].ok
    assert "INI103" in {f.code for f in transformer["report"].findings}  # its layers are copies of one another
    for code, look in zip(lesson.STARTERS.values(), found.values(), strict=True):
        subject = lesson.subject_of(code)
        look["plan"].apply(subject.model)
        report = lesson.checked(subject)
        assert report.ok
        assert "INI103" not in {f.code for f in report.findings}
        assert 1 <= look["passes"] <= 20


def test_half_a_repair_is_not_enough() -> None:
    defined = definitions(CASE)
    for half in (lesson.SMALL_START, defined["TWO_FAULTS"].replace("std=0.01", "std=0.18")):
        graded = defined["fix"].grade(code=half)
        assert isinstance(graded, Judgement)
        assert not graded.ok


def test_the_emitted_code_fills_by_the_same_laws() -> None:
    look = definitions(CASE)["look"]
    model, scope = copy.deepcopy(look["subject"].model), {}
    exec(look["plan"].to_python(), scope)
    torch.manual_seed(0)
    scope["initialize"](model)
    # the std of 4096 normal numbers scatters by 1.1 %; 8 % is beyond 7 standard deviations
    assert float(model[2].weight.detach().std()) == pytest.approx((2 / 64) ** 0.5, rel=0.08)
    assert float(model[2].bias.detach().abs().max()) == 0


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("def build(:\n    pass", "not valid Python"),
        ("x = 1", "def build()"),
        ("def build():\n    pass", "is a return missing?"),
        ("def build():\n    return nn.Linear(2, 2)", "return model, torch.randn"),
        ("def build():\n    return gs.Subject(nn.Linear(2, 2))", "has no example"),
        ("def build():\n    return 3, 4", "Expected (model, example)"),
        ("def build():\n    return 1 / 0", "line 2 of your code"),
        ("raise SystemExit(1)", "SystemExit"),
        ("def build():\n    return nn.Linear(2, 2), torch.randn(4, 3)", "linear"),
    ],
)
def test_a_slip_is_told(code: str, said: str) -> None:
    look = lesson.looked_at(code)
    assert isinstance(look, GainstageError)
    assert said in str(look)


def test_a_page_with_a_slip_still_stands() -> None:
    given = type("Widget", (), {"value": {"code": "def build(): return 1 / 0", "target": ""}})
    outputs, defined = app_of(CASE).run(defs={"model_given": given})
    assert not defined["runs"]
    assert "ZeroDivisionError" in "".join(getattr(output, "text", "") for output in outputs)


def test_a_target_names_a_file_or_a_module(tmp_path: Path, monkeypatch: Any) -> None:
    file = tmp_path / "net_of_l18.py"
    file.write_text("from torch import nn, randn\ndef build():\n    return nn.Linear(8, 3), randn(64, 8)\n")
    monkeypatch.syspath_prepend(tmp_path)
    for target in (f"{file}:build", "net_of_l18:build"):
        subject = lesson.subject_of("", target)
        assert isinstance(subject, Subject)
        assert tuple(subject.example.shape) == (64, 8)
    file.write_text("from torch import nn, randn\ndef build():\n    return nn.Linear(5, 3), randn(64, 5)\n")
    assert tuple(lesson.subject_of("", f"{file}:build").example.shape) == (64, 5)
    for wrong, said in (
        (str(file), "package.module:factory"),
        (f"{file}:model", "It has: build"),
        ("no.py:f", "no file"),
    ):
        look = lesson.looked_at("", wrong)
        assert isinstance(look, GainstageError)
        assert said in str(look)
