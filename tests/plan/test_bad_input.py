"""Models and examples that nothing can be done for: one clear message, and everything as it was."""

import math
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

import gainstage as gs

X = torch.randn(16, 8, generator=torch.Generator().manual_seed(0))


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.fc, self.head = nn.Linear(8, 8), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.fc(x)))


class Once(Net):
    """Raises from its second pass on, whatever its weights."""

    passes: ClassVar[list[int]] = []

    def __init__(self) -> None:
        super().__init__()
        self.passes.clear()

    def forward(self, x: Tensor) -> Tensor:
        self.passes.append(1)
        if len(self.passes) > 1:
            raise ValueError("one pass only")
        return super().forward(x)


class Drifts(Net):
    """Writes to a weight whenever it is run."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            self.fc.weight.add_(0.1)
        return super().forward(x)


class Loses(Net):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * math.nan


class Roots(Net):
    def forward(self, x: Tensor) -> Tensor:
        return torch.sqrt(-1 - super().forward(x).square())


class Whole(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.steps = nn.Parameter(torch.ones(8, dtype=torch.long), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.steps


class Huge(Net):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + torch.empty(2**48)[0]


class Greedy(Net):
    """Runs out of memory under weights that are not the found ones."""

    def __init__(self) -> None:
        super().__init__()
        self.start = float(self.fc.weight.detach().sum())

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + torch.empty(1 if float(self.fc.weight.sum()) == self.start else 2**48)[0]


@pytest.mark.parametrize(
    ("build", "example", "told"),
    [
        (Loses, X, "no output is a finite number"),
        (Roots, X, "no output is a finite number"),
        (Net, torch.full((4, 8), math.nan), "no output is a finite number"),
        (Whole, X, "nothing to start"),
        (nn.Flatten, X, "nothing to start"),
        (lambda: Net().requires_grad_(False), X, "unfreeze"),
        (Huge, X, "allocate"),
        (Net, torch.randn(4, 9), "4x9"),
        (Net, "text", "a forward pass on str raised"),
    ],
    ids=["NaN", "roots", "NaN in the example", "whole numbers", "no parameters", "frozen", "memory", "shape", "text"],
)
def test_one_message_and_everything_as_it_was(build: Callable[[], nn.Module], example: Any, told: str) -> None:
    model = build()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    with pytest.raises(gs.GainstageError, match=told) as raised:
        gs.initialize(model, example)
    assert len(str(raised.value)) < 800
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())


@pytest.mark.parametrize(("build", "told"), [(Once, "one pass only"), (Greedy, "allocate")])
def test_a_model_that_raises_under_new_weights_keeps_its_own(build: type[Net], told: str) -> None:
    model, untouched = build(), build()
    plan = gs.initialize(model, X)
    assert plan.proof is not None
    assert told in plan.proof.undone
    assert plan["fc.weight"].law is None
    assert torch.equal(model.fc.weight, untouched.fc.weight)


def test_a_weight_that_the_forward_pass_writes_to_is_named_and_left() -> None:
    model, untouched = Drifts(), Drifts()
    plan = gs.initialize(model, X)
    assert plan["fc.weight"].law is None
    assert torch.equal(model.fc.weight, untouched.fc.weight)
    assert plan["head.weight"].law is not None


def test_what_has_no_backward_pass_is_planned_and_not_proved() -> None:
    class Overwrites(Net):
        def forward(self, x: Tensor) -> Tensor:
            h = torch.tanh(self.fc(x))
            y = self.head(h)
            h.zero_()  # tanh needs its own output to go back
            return y

    model = Overwrites()
    plan = gs.initialize(model, X)
    assert plan["fc.weight"].law is not None
    assert "modified by an inplace operation" in plan.proof.text
    with pytest.raises(gs.GainstageError, match="inplace"):
        gs.initialize(model, X, target=X[:, :4], loss=nn.functional.mse_loss)


def test_a_start_that_is_broken_is_mended() -> None:
    model = Net()
    nn.init.constant_(model.fc.weight, math.inf)
    plan = gs.initialize(model, X)
    assert plan.proof is not None
    assert not plan.proof.before.finite
    assert bool(model(X).isfinite().all())
