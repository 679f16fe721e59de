"""What a family of networks is to the benchmark of starts: how it is built, fed and judged."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Batch = tuple[tuple[Any, ...], Any]  # what the model reads, and what the loss compares its output with
Loss = Callable[[Any, Any], Tensor]


@dataclass(frozen=True)
class Task:
    """One network of a family with its author's start, its data and its loss.

    Attributes:
        model: as its author starts it.
        batch: the training batch of a step.
        loss: of an output and a target.
        held: a batch that is not trained on.
        logarithm: the score is the decimal logarithm of the held-out loss; of losses that span decades.
        objective: what is minimized where it is more than `loss(model(*inputs), target)`; no start is told of it.
    """

    model: nn.Module
    batch: Callable[[int], Batch]
    loss: Loss
    held: Batch
    logarithm: bool = False
    objective: Callable[[nn.Module, Batch], Tensor] | None = None

    def loss_of(self, batch: Batch) -> Tensor:
        """The training loss on a batch."""
        if self.objective:
            return self.objective(self.model, batch)
        inputs, target = batch
        return self.loss(self.model(*inputs), target)

    def score(self) -> float:
        """Of the held-out batch; lower is better, infinite where it is not finite."""
        self.model.eval()
        with torch.no_grad():
            inputs, target = self.held
            value = float(self.loss(self.model(*inputs), target))
        if not math.isfinite(value):
            return math.inf
        return math.log10(max(value, 1e-12)) if self.logarithm else value


@dataclass(frozen=True)
class Family:
    """A row of the table. `tuned` families were looked at while rules were chosen; the others judge them."""

    title: str
    build: Callable[[], Task]
    tuned: bool
    steps: int
    rates: tuple[float, ...]
    clip: float | None


FAMILIES: dict[str, Family] = {}
Build = Callable[[], Task]


def family(
    title: str,
    *,
    tuned: bool = False,
    steps: int = 100,
    rates: tuple[float, ...] = (1e-3, 3e-3, 1e-2, 3e-2),
    clip: float | None = None,
) -> Callable[[Build], Build]:
    """Enter a family under the name of the function that builds it."""

    def enter(build: Build) -> Build:
        FAMILIES[build.__name__.replace("_", "-")] = Family(title, build, tuned, steps, rates, clip)
        return build

    return enter


def picked(inputs: Tensor, target: Tensor, size: int) -> Callable[[int], Batch]:
    """Batches by the number of the step alone."""

    def batch(step: int) -> Batch:
        rows = torch.randint(len(inputs), (size,), generator=torch.Generator().manual_seed(step))
        return (inputs[rows],), target[rows]

    return batch


@cache
def digits() -> tuple[Tensor, Tensor]:
    """scikit-learn's digits, standardized as a whole: (1797, 64) and labels; the last 500 are held out."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    x = torch.tensor(x, dtype=torch.float32)
    return (x - x[:1297].mean()) / x[:1297].std(), torch.tensor(y)


def classify_digits(model: nn.Module, size: int = 64) -> Task:
    """Cross-entropy on digits."""
    x, y = digits()
    return Task(model, picked(x[:1297], y[:1297], size), F.cross_entropy, ((x[1297:],), y[1297:]))


@cache
def _text() -> Tensor:
    from pydoc_data.topics import topics

    return torch.tensor(list("\n".join(topics[name] for name in sorted(topics)).encode()), dtype=torch.long)


def read_text(model: nn.Module, length: int = 32, size: int = 16) -> Task:
    """Next-byte prediction on the topics of Python's own help; every tenth passage is held out."""
    text = _text()
    passages = text[: len(text) // (length + 1) * (length + 1)].view(-1, length + 1)
    held = torch.arange(len(passages)) % 10 == 0
    train, other = passages[~held], passages[held][:128]

    def loss(output: Any, target: Tensor) -> Tensor:
        logits = output.logits if hasattr(output, "logits") else output
        return F.cross_entropy(logits.flatten(0, 1), target.flatten())

    return Task(model, picked(train[:, :-1], train[:, 1:], size), loss, ((other[:, :-1],), other[:, 1:]))
