"""The form of a lesson: what is not written as lessons are is said with file, line and what to write."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("marimo")

from gainstage.lab._numbers import show
from gainstage.lab.course.controls import chosen, controls, few
from gainstage.lab.course.grammar import LessonError, parse
from gainstage.lab.course.values import fill, pending

FILE = Path("l01_test.md")
FRONT = "---\nnumber: 1\ntitle: T\nrequires: R\n---\n"


def test_a_document_is_prose_and_blocks_in_order_with_their_lines() -> None:
    text = (
        FRONT
        + "Hello.\n\n## Code\nText.\n\n```{measure}\ndef f(a: (1, 2) = 1):\n    ...\n```\n## Questions\n### Q\nA.\n"
    )
    parts = parse(text, FILE).parts
    assert [(part.kind, part.line) for part in parts] == [
        ("prose", 6),
        ("prose", 8),
        ("measure", 12),
        ("questions", 15),
    ]


def test_a_fence_of_python_is_prose() -> None:
    (part,) = parse(FRONT + "```python\n{x}\n```\n", FILE).parts
    assert part.kind == "prose"
    assert fill(part.body, {}, FILE, 1) == part.body


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Hello.", "line 1: expected front matter"),
        ("---\nnumber: 1\ntitle: T\n---\n", "needs requires, of type str"),
        ("---\nnumber: one\ntitle: T\nrequires: R\n---\n", "needs number, of type int"),
        (FRONT + "a\n\n```{mesure}\n```\n", r"line 8: there is no block \{mesure\}; did you mean \{measure\}\?"),
        (FRONT + "```{setup}\nx = 1\n", r"line 6: the block \{setup\} is not closed"),
        (FRONT + "a\n" * 200, "line 201: a lesson has at most 200 lines"),
    ],
)
def test_what_is_written_wrong_is_said_with_its_line(text: str, said: str) -> None:
    with pytest.raises(LessonError, match=said):
        parse(text, FILE)


def test_values_stand_in_text_and_where_they_have_a_format_in_formulas() -> None:
    names = {"q": 0.123456, "by": {"a b": 0.5}, "n": 12, "tiny": 1.2e-7}
    assert fill('{q} {by["a b"]:.0%} {n} {n:,}', names, FILE, 1) == "0.123 50% 12 12"
    assert fill(r"$\frac{q}{n} = {q:.2f}$", names, FILE, 1) == r"$\frac{q}{n} = 0.12$"
    assert fill("{tiny:.1e} $x = {tiny:.1e}$", names, FILE, 1) == r"1.2·10⁻⁷ $x = 1.2 \cdot 10^{-7}$"
    assert fill("`{q}`", names, FILE, 1) == "`{q}`"
    assert pending("{q} of $a_{ij} = {q:.2f}$") == r"… of $a_{ij} = \ldots$"


def test_a_value_that_fails_names_its_line() -> None:
    with pytest.raises(LessonError, match=r"l01_test.md, line 12: \{nothing\} fails: NameError"):
        fill("a\n\n{nothing}", {}, FILE, 10)


PHI = ("relu", "tanh")


def levels(
    depth: (2, 6) = 4,  # type: ignore[valid-type]
    scale: (0.5, 1.5, 0.25) = 1.0,  # type: ignore[valid-type]
    rate: [0.1, 1] = 1,  # type: ignore[valid-type]
    phi: PHI = "relu",  # type: ignore[valid-type]
) -> None:
    """What it does.

    Depth (layers); Scale; Rate; Activation
    """


def test_a_signature_declares_its_controls() -> None:
    found = controls(levels, FILE, 1)
    assert [(c.label, c.values, c.start) for c in found] == [
        ("Depth (layers)", (2, 3, 4, 5, 6), 4),
        ("Scale", (0.5, 0.75, 1.0, 1.25, 1.5), 1.0),
        ("Rate", (0.1, 1), 1),
        ("Activation", PHI, "relu"),
    ]
    values, said = chosen(found, {"depth": "5", "scale": "banana", "phi": "gelu", "other": "1"})
    assert values == {"depth": 5, "scale": 1.0, "rate": 1, "phi": "relu"}
    assert said[0] == "Scale: the link says 'banana', expected 0.5 to 1.5: set to 1."
    assert "expected one of relu, tanh" in said[1]


def test_few_values_hold_the_ends_and_the_start() -> None:
    depth = controls(levels, FILE, 1)[0]
    assert few(depth, 3).values == (2, 4, 6)
    assert few(depth, 2).values in ((2, 4), (4, 6))
    assert few(depth, 9) is depth


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda a: a, "a has no value to start with"),
        (lambda a=1: a, "declares no control"),
    ],
)
def test_a_signature_that_declares_nothing_is_said(function: Callable[..., Any], said: str) -> None:
    with pytest.raises(LessonError, match=said):
        controls(function, FILE, 1)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.123456, "0.123"),
        (1234.5, "1,230"),
        (3.2e-7, "3.2·10⁻⁷"),
        (-0.00456, "-0.00456"),
        (99.96, "100"),
        (123456.0, "1.23·10⁵"),
        (12345, "12,345"),
        (float("nan"), "not a number"),
        (True, "yes"),
        (0.0, "0"),
    ],
)
def test_a_number_has_three_digits_and_no_e(value: Any, shown: str) -> None:
    assert show(value) == shown


def test_a_notebook_has_sliders() -> None:
    pytest.importorskip("ipywidgets")
    from gainstage.lab.course.widgets import live

    def measured(depth: (1, 3) = 2, phi: PHI = "relu") -> Any:  # type: ignore[valid-type]
        yield f"depth {depth}, {phi}"

    slider, choice, _ = live(measured).children
    assert (slider.value, [value for _, value in slider.options]) == (2, [1, 2, 3])
    assert (choice.value, tuple(choice.options)) == ("relu", ("relu", "tanh"))


def test_a_later_figure_takes_the_place_of_the_earlier_one_of_its_title() -> None:
    from gainstage.lab import by_layer
    from gainstage.lab.course.widgets import slots

    shown = list(slots(by_layer(says=says, signal=[1.0]) for says in ("A", "B", "A")))
    assert [slot for slot, _ in shown] == ["A", "B", "A"]
    assert list(dict(shown)) == ["A", "B"]
    assert dict(shown)["A"] is shown[2][1]
