"""A wrong loss, label or input: the error says what to write instead."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import gainstage as gs
from gainstage.errors import ForwardError


class Swaps(nn.Linear):
    def __init__(self) -> None:
        super().__init__(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        w = self.weight * 1
        torch.utils.swap_tensors(w, self.weight.detach() * 0.9)
        return x @ w


X = torch.randn(8, 4, generator=torch.Generator().manual_seed(0))
CASES: dict[str, tuple[nn.Module, Tensor, Any, Callable[[Tensor, Tensor], Tensor], str]] = {
    "labels from 1": (nn.Linear(4, 3), X, torch.arange(8) % 3 + 1, F.cross_entropy, "0 to C - 1"),
    "logits": (nn.Linear(4, 1), 9 * X, torch.ones(8, 1), F.binary_cross_entropy, "with_logits"),
    "labels of 255": (
        nn.Sequential(nn.Linear(4, 1), nn.Sigmoid()),
        X,
        255 * torch.ones(8, 1),
        F.binary_cross_entropy,
        "divide labels",
    ),
    "a flat target": (nn.Linear(4, 1), X, torch.ones(8), F.binary_cross_entropy_with_logits, "unsqueeze"),
    "labels as floats": (nn.Linear(4, 3), X, torch.ones(8), F.cross_entropy, "target.long"),
    "labels in a column": (nn.Linear(4, 3), X, torch.ones(8, 1).long(), F.cross_entropy, "squeeze"),
    "whole numbers": (nn.Linear(4, 1), X, torch.ones(8, 1).long(), F.binary_cross_entropy_with_logits, "target.float"),
    "doubles": (nn.Linear(4, 3), X.double(), torch.zeros(8).long(), F.cross_entropy, "x.float"),
    "swapped tensors": (Swaps(), X, None, lambda y, t: y.mean(), "assign to .data"),
    "channels last": (nn.Conv2d(1, 3, 3), torch.randn(8, 9, 9, 1), None, lambda y, t: y.mean(), "movedim"),
}


@pytest.mark.parametrize("name", CASES)
def test_the_error_says_what_to_write(name: str) -> None:
    model, x, target, loss, advice = CASES[name]
    with pytest.raises(ForwardError, match=r"raised at .*\. Perhaps ") as caught:
        gs.check(model, x, target=target, loss=loss)
    assert advice in str(caught.value)
