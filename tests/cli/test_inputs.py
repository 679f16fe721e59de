"""The grammar of --input."""

from pathlib import Path

import pytest
import torch
from torch import nn

from gainstage.cli._errors import CannotRun
from gainstage.cli._inputs import Shape, example_from, parse
from gainstage.cli._objective import with_objective
from gainstage.cli._target import load
from gainstage.run import LOSSES

MODEL = nn.Linear(2, 2)


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("8x3x64x64", Shape((8, 3, 64, 64))),
        ("16", Shape((16,))),
        ("ids:8x128:50257", Shape((8, 128), below=50257)),
        ("mask=8x16", Shape((8, 16), name="mask")),
        ("tokens=ids:4x8:100", Shape((4, 8), name="tokens", below=100)),
        (" 8x3 ", Shape((8, 3))),
        ("ids=8x3", Shape((8, 3), name="ids")),
    ],
)
def test_a_shape_is_read(text: str, shape: Shape) -> None:
    assert parse(text) == shape


@pytest.mark.parametrize(
    "text",
    ["", "8x", "x8", "8x0", "-8x3", "8x3.5", "ids:8x3", "8x3:100", "a b=8x3", "1=8x3", "=8x3", "float:8x3", "8x3x"],
)
def test_what_is_no_shape_is_refused_with_the_forms(text: str) -> None:
    with pytest.raises(CannotRun, match="ids:8x128:50257"):
        parse(text)


@pytest.mark.parametrize("text", ["8,3,64", "8X3X64", "8*3*64", "8, 3, 64"])
def test_another_spelling_is_answered_with_the_right_one(text: str) -> None:
    with pytest.raises(CannotRun, match="Did you mean 8x3x64"):
        parse(text)


def test_one_input_is_a_tensor_several_a_tuple_named_ones_a_dict() -> None:
    assert example_from(["8x3"], MODEL, 0).shape == (8, 3)
    two = example_from(["8x3", "ids:8x5:10"], MODEL, 0)
    assert isinstance(two, tuple)
    assert [t.shape for t in two] == [(8, 3), (8, 5)]
    named = example_from(["x=8x3", "mask=8x5"], MODEL, 0)
    assert {name: t.shape for name, t in named.items()} == {"x": (8, 3), "mask": (8, 5)}


def test_numbers_are_standard_normal_and_integers_stay_below_the_bound() -> None:
    x, ids = example_from(["100x100", "ids:100x100:7"], MODEL, 0)
    assert abs(x.mean()) < 0.05
    assert abs(x.std() - 1) < 0.05
    assert ids.dtype == torch.long
    assert ids.unique().tolist() == list(range(7))


def test_inputs_come_in_the_dtype_of_the_model() -> None:
    x, ids = example_from(["2x2", "ids:2x2:7"], nn.Linear(2, 2).bfloat16(), 0)
    assert (x.dtype, ids.dtype) == (torch.bfloat16, torch.long)


def test_drawing_leaves_the_global_generator_alone() -> None:
    state = torch.get_rng_state()
    example_from(["8x3"], MODEL, 0)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("texts", "says"),
    [
        (["x=8x3", "8x3"], "both keyword and positional"),
        (["x=8x3", "x=8x4"], "names 'x' twice"),
        (["9999999x9999999x9999999"], "too much memory"),
    ],
)
def test_inputs_that_cannot_be_are_refused(texts: list[str], says: str) -> None:
    with pytest.raises(CannotRun, match=says):
        example_from(texts, MODEL, 0)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_loss_by_name_has_a_target_that_it_takes(room: Path, loss: str) -> None:
    subject = with_objective(load("nets.py:with_example", [], seed=0), loss, None, seed=0)
    output = subject.model(subject.example)
    if loss == "binary_cross_entropy":
        output = output.sigmoid()
    if loss == "kl_div":
        output = output.log_softmax(-1)
    value = subject.loss(output, subject.target)
    assert value.isfinite()
    assert value.dim() == 0


def test_labels_are_below_the_number_of_classes_and_an_unknown_loss_is_told(room: Path) -> None:
    bare = load("nets.py:with_example", [], seed=0)
    assert set(with_objective(bare, "cross_entropy", 2, seed=0).target.tolist()) == {0, 1}
    assert set(with_objective(bare, "cross_entropy", None, seed=0).target.tolist()) == {0, 1, 2}
    for loss, classes, said in [("cross_entrpy", None, "did you mean 'cross_entropy'"), (None, 3, "add --loss")]:
        with pytest.raises(CannotRun, match=said):
            with_objective(bare, loss, classes, seed=0)
