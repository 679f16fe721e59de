"""Text of a model or a file reaches nobody's terminal, spreadsheet or program as anything but text."""

import ast
import unicodedata
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import gainstage as gs
from gainstage._foreign import json_of, toml_of
from gainstage._visible import cell, shown, visible
from gainstage.check import Finding, Fix, NotJudged, Report
from gainstage.init._pointwise import Normal
from gainstage.plan import Assignment, Plan
from gainstage.report import FORMATS, chart, write

EVIL = "a\x1b]0;title\x07\x1b[31m\x9b2J\u202eevil\u2066\u200b\u200f\ufeff\u3164\r\n\0\ud800"
TEXTS = st.text(st.characters(), max_size=20) | st.sampled_from(
    [EVIL, '"""', "'''", "\\", "#", "\n    import os", "coding: utf-7", "{model}", "%s", "\x0c\n", "\u2028x", "]"]
)


def harmless(page: str) -> bool:
    """Whether each character of a page prints, or ends a line."""
    return (
        all(c == "\n" or (c.isprintable() and unicodedata.category(c)[0] != "C") for c in page) and "\u3164" not in page
    )


@given(TEXTS)
def test_what_is_visible_prints_and_says_the_same_again(text: str) -> None:
    assert harmless(visible(text))
    assert visible(visible(text)) == visible(text)
    assert visible("plain 層 é ±") == "plain 層 é ±"
    assert visible("a\nb\x1b", keep="\n") == "a\nb\\x1b"


def test_every_mark_that_hides_or_turns_text_is_shown() -> None:
    marks = [*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200B, 0x200C, 0x200D, 0x200E, 0x200F, 0xFEFF, 0x61C]
    for number in (*marks, *range(0x20), *range(0x7F, 0xA1), 0xE0001, 0xE0100, 0xFE0F, 0x2028, 0x115F):
        assert visible(chr(number)).startswith("\\"), hex(number)


def test_any_value_is_shown_in_a_few_words() -> None:
    for value in (16**5000, [[[[[[1]]]]]], "x" * 10_000, dict.fromkeys(range(99), EVIL), EVIL, object()):
        assert harmless(shown(value))
        assert len(shown(value)) < 1500


def test_a_cell_that_a_spreadsheet_would_run_is_a_text_and_numbers_stay_numbers() -> None:
    for text in ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1"):
        assert cell(text) == f"'{text}"
    assert [cell(value) for value in (-1, -1.5, float("-inf"), True, None, "", "a-1", "'=1")] == [
        -1, -1.5, float("-inf"), True, None, "", "a-1", "'=1",
    ]  # fmt: skip


def test_json_and_toml_are_data_or_one_error() -> None:
    assert json_of('{"a": [1, 2.5, null]}', "x") == {"a": [1, 2.5, None]}
    for text in ("", "{", "[NaN]", "1e999", "9" * 30, "[" * 100_000, '{"a": 1, "a": 2}', "\0"):
        with pytest.raises(gs.GainstageError, match="expected x, which is JSON"):
            json_of(text, "x")
    for text in ("a = ", "a = " + "9" * 5000, "a = " + "[" * 5000, ".".join("a" * 200) + " = 1", "#" * 1_000_001):
        with pytest.raises(gs.GainstageError, match="x is not TOML"):
            toml_of(text, "x")


# --- what is printed ----------------------------------------------------------------------------------------------


NAME = EVIL.replace("\ud800", "").replace("\0", "")  # as far as Python takes it for a name


class Evil(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.add_module(NAME, nn.Linear(4, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return next(self.children())(x)


Evil.__name__ = NAME


def test_tables_of_a_plan_and_of_a_tape_print() -> None:
    x = torch.randn(8, 4)
    plan, tape = gs.plan(Evil(), x), gs.record(Evil(), x)
    name = next(iter(plan))
    odd = replace(plan.assignments[name], role=EVIL, reason=EVIL)
    plan = Plan(EVIL, EVIL, plan.assignments | {name: odd}, plan.shapes)
    for page in (str(plan), plan.table(), tape.table(), plan.describe(name)):
        assert harmless(page)
    assert max(map(len, plan.table().splitlines())) <= 80


def test_the_title_of_a_plot_is_text() -> None:
    pytest.importorskip("matplotlib")
    Evil.__name__ = "$\\frac{" + NAME
    axes = gs.record(Evil(), torch.randn(8, 4)).plot()
    assert harmless(axes.get_title())
    axes.figure.savefig("/dev/null", format="svg")


def test_reports_print_in_every_format() -> None:
    found = Finding(EVIL, EVIL, "error", EVIL, EVIL, EVIL, EVIL, Fix(EVIL), symptoms=(EVIL,))
    report = Report(
        EVIL, 1, 1, (found, replace(found, where="b")), (NotJudged("X", EVIL, EVIL),), ("INI101",), (found,)
    )
    for page in (str(report), str(found.fix), *(write(report, style) for style in FORMATS)):
        assert harmless(page)
    assert harmless(chart({EVIL: [1.0, 2.0]}))


# --- what is emitted as code --------------------------------------------------------------------------------------


def plan_of(*texts: str) -> Plan:
    model, scheme, role, reason, first, second = texts
    rows = {
        f"p{first}": Assignment(role, Normal(0.0, 0.5), reason),
        f"q{second}": Assignment(role, None, reason),
        f"r{first}": Assignment(role, gs.init.orthogonal(2.0), reason, transposed=True),
    }
    return Plan(model, scheme, rows, dict.fromkeys(rows, (4, 4)))


class Named:
    """A stub of a model: it has the parameters of a plan, whatever they are called."""

    def __init__(self, plan: Plan) -> None:
        self.parameters = {name: torch.zeros(4, 4) for name in plan}

    def named_parameters(self, remove_duplicate: bool) -> dict[str, torch.Tensor]:
        return self.parameters


PLAIN = plan_of(*"abcdef")


def shape_of(code: str) -> str:
    """The tree of a program, its text constants left out."""
    tree = ast.parse(code)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            node.value = ""
    return ast.dump(tree)


@settings(max_examples=150, deadline=None)
@given(st.tuples(*[TEXTS] * 6))
def test_any_text_in_a_plan_gives_code_that_is_the_fills_and_nothing_else(texts: tuple[str, ...]) -> None:
    plan = plan_of(*texts)
    code = plan.to_python()
    assert shape_of(code) == shape_of(PLAIN.to_python())
    namespace: dict = {}
    exec(compile(code.encode(), "emitted.py", "exec"), namespace)
    model = Named(plan)
    namespace["initialize"](model)
    filled, left, whole = model.parameters.values()
    assert bool(filled.any())
    assert not bool(left.any())
    assert torch.allclose(whole @ whole.T, 4 * torch.eye(4), atol=1e-4)


def test_a_module_whose_name_holds_a_line_break_is_filled_by_the_emitted_code() -> None:
    model = nn.Sequential()
    model.add_module('a\n"""; import os #', nn.Linear(4, 3))
    namespace: dict = {}
    exec(gs.plan(model, torch.randn(8, 4)).to_python(), namespace)
    before = model[0].weight.detach().clone()
    namespace["initialize"](model)
    assert not torch.equal(before, model[0].weight)


@pytest.mark.parametrize("value", ["__import__('os')", float("nan"), None, 1j])
def test_only_numbers_of_a_law_are_written_as_code(value: object) -> None:
    law = Normal(0.0, 1.0)
    object.__setattr__(law, "std", value)
    plan = Plan("m", "s", {"w": Assignment("r", law, "why")}, {"w": (4, 4)})
    with pytest.raises(gs.GainstageError, match="numbers are whole or real"):
        plan.to_python()


def test_infinite_bounds_are_code_too() -> None:
    law = gs.init.trunc_normal(a=-float("inf"), b=float("inf"))
    plan = Plan("m", "s", {"w": Assignment("r", law, "why")}, {"w": (4, 4)})
    assert "a=float('-inf'), b=float('inf')" in plan.to_python()
    compile(plan.to_python(), "emitted.py", "exec")
