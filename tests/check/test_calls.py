"""Calls as people make them: understood where they can be, else answered with one sentence."""

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import gainstage as gs
from gainstage.errors import GainstageError

X, Y = torch.randn(32, 8, generator=torch.Generator().manual_seed(0)), torch.arange(32) % 4


def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))


def judged(*args: Any, **kwargs: Any) -> Any:
    report = gs.check(*args, select=["OUT501", "INI101"], **kwargs)
    return [f.to_json() for f in report.findings], report.judged


def test_arrays_loaders_names_and_subjects_are_the_same_check() -> None:
    plain = judged(model(), X, target=Y, loss=F.cross_entropy)
    assert plain[1] == ("INI101", "OUT501")
    assert judged(model(), X.double().numpy(), target=Y.numpy(), loss=F.cross_entropy) == plain
    assert judged(model(), X, target=Y, loss="cross_entropy") == plain
    assert judged(model(), DataLoader(TensorDataset(X, Y), 32), loss="cross_entropy") == plain
    assert judged(gs.Subject(model(), X, Y, F.cross_entropy)) == plain


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: gs.check(X, model()), "the model comes first"),
        (lambda: gs.check(nn.Identity, X), "is a class: give the model itself"),
        (lambda: gs.check(model()), "no example was given"),
        (lambda: gs.check("model.py", X), "expected an nn.Module, a gs.Subject or a trainer, got str"),
        (lambda: gs.check(model(), X, target=Y, loss="cros_entropy"), "did you mean 'cross_entropy'"),
        (lambda: gs.check(model(), X, target=Y, loss=nn.CrossEntropyLoss), "give an instance"),
        (lambda: gs.check(model(), X, loss=F.cross_entropy), "a loss was given and no target"),
        (lambda: gs.check(model(), X, steps=1), "give at least 2"),
    ],
)
def test_a_wrong_call_gets_one_sentence(call: Any, said: str) -> None:
    with pytest.raises(GainstageError, match=said):
        call()


def test_a_loss_that_needs_no_target_gets_none() -> None:
    assert gs.check(model(), X, loss=lambda output, _: output.square().mean(), select=["INI101"]).judged == ("INI101",)


def test_arrays_keep_whole_numbers_and_get_the_default_precision() -> None:
    from gainstage.check._given import tensors

    made = tensors({"ids": np.arange(3), "x": [np.ones(2), 3.0]})
    assert made["ids"].dtype == torch.int64
    assert made["x"][0].dtype == torch.float32
    assert made["x"][1] == 3.0
