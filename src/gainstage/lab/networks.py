"""Networks that several lessons share, and their training on the digits."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gainstage.init import Law, constant, fill_, lecun_normal, normal, zeros
from gainstage.lab._data import digits, draw
from gainstage.nn import Dropout
from gainstage.signal import Moments, record
from gainstage.train import accuracy, fit, minibatches

WIDTH = 64


def chain(
    sizes: Sequence[int], activation: Callable[[], nn.Module] = nn.ReLU, *, bias: bool = True, seed: int = 0
) -> nn.Sequential:
    """Linear layers with an activation between two of them, as PyTorch starts them.

    Args:
        sizes: units of the input and of every layer.
        activation: makes the module behind every layer but the last.
        bias: whether the layers have biases.
        seed: of PyTorch's start; the global random state is left alone.

    Example:
        >>> [type(layer).__name__ for layer in chain([4, 8, 2])]
        ['Linear', 'ReLU', 'Linear']
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers = [m for i, o in pairwise(sizes) for m in (nn.Linear(i, o, bias=bias), activation())]
    return nn.Sequential(*layers[:-1])


def filled(model: nn.Module, law: Law, *, seed: int = 0) -> nn.Module:
    """The model with every parameter filled by one law; the same numbers for the same seed on every machine."""
    for name, parameter in model.named_parameters():
        fill_(parameter, law, seed=seed, name=name)
    return model


def levels(model: nn.Module, x: Tensor | int, *, backward: bool = True) -> tuple[list[float], list[float], Moments]:
    """Root mean square of signal and gradient behind every linear layer, and the moments of the last one's output.

    Args:
        model: what is measured; the gradient is that of a random loss.
        x: samples, or how many normal numbers each of 256 samples holds.
        backward: whether the gradient is measured too.
    """
    tape = record(model, draw(normal(), 256, x) if isinstance(x, int) else x, backward=backward)
    sites = [site for site in tape if site.op == "linear"]
    behind = [site.backward.rms for site in sites if site.backward is not None]
    ahead = [site.forward for site in sites if site.forward is not None]
    return [moments.rms for moments in ahead], behind, ahead[-1]


class FoursOf(nn.Module):
    """One number for every four units: the largest (maxout) or the mean of them."""

    def __init__(self, *, largest: bool) -> None:
        super().__init__()
        self.largest = largest

    def forward(self, x: Tensor) -> Tensor:
        """A quarter as many units."""
        fours = x.reshape(*x.shape[:-1], -1, 4)
        found: Tensor = fours.amax(-1) if self.largest else fours.mean(-1)
        return found


def pooled_chain(depth: int, kind: str, normalized: bool = False) -> nn.Sequential:
    """A chain from the pixels of a digit to ten scores, without biases.

    Args:
        depth: weights.
        kind: behind every hidden weight: `"relu"`, `"tanh"`, `"largest of four"` or `"mean of four"`.
        normalized: whether a batch normalization stands between.
    """
    phi = {"relu": nn.ReLU, "tanh": nn.Tanh}.get(kind)
    layers: list[nn.Module] = []
    for fan_in in [64, *[WIDTH] * (depth - 2)]:
        made = WIDTH if phi else 4 * WIDTH
        layers += [nn.Linear(fan_in, made, bias=False), *([nn.BatchNorm1d(made)] if normalized else [])]
        layers += [phi() if phi else FoursOf(largest=kind == "largest of four")]
    return nn.Sequential(*layers, nn.Linear(WIDTH, 10, bias=False))


class Trained(NamedTuple):
    """What a training on the digits gave: the loss of every step and the share of the test digits that is read."""

    losses: Sequence[float]
    accuracy: float


def trained(
    model: nn.Module,
    rate: float,
    *,
    steps: int,
    batch_size: int = 64,
    seed: int = 0,
    optimizer: Callable[..., torch.optim.Optimizer] = torch.optim.SGD,
    on_step: Sequence[Callable[..., Any]] = (),
) -> Trained:
    """Train a model on the digits, in place; the same batches in the same order for the same seed."""
    data = digits()
    batches = minibatches(data.x, data.y, batch_size=batch_size, steps=steps, seed=seed)
    taken = optimizer(model.parameters(), lr=rate)
    run = fit(model, batches, loss=F.cross_entropy, optimizer=taken, on_step=list(on_step))
    return Trained(run.losses, accuracy(model, data.test_x, data.test_y))


EQUAL, TWO_WIDTH = 0.05, 32
EQUAL_STARTS = ("all 0", "all equal", "all equal, random head", "all equal, random biases", "all equal, with dropout",
                "random, head 0", "all random")  # fmt: skip


def two_hidden_layers(start: str, activation: str = "tanh", noise: float = 0.0, seed: int = 0) -> nn.Sequential:
    """Two hidden layers and a head for the ten digits, started with units that are equal in some way.

    Args:
        start: of `EQUAL_STARTS`; equal weights are `EQUAL`.
        activation: `"tanh"` or `"relu"`.
        noise: a random part that is added to every weight, 1 for LeCun's law.
        seed: of all that is random.
    """
    model, random = nn.Sequential(), lecun_normal()
    for fan_in in (64, TWO_WIDTH):
        drop = [Dropout(0.2, generator=torch.Generator().manual_seed(seed))] if "dropout" in start else []
        model.extend([nn.Linear(fan_in, TWO_WIDTH), {"tanh": nn.Tanh, "relu": nn.ReLU}[activation](), *drop])
    hidden = random if start in ("random, head 0", "all random") else constant(0 if start == "all 0" else EQUAL)
    head = random if "random head" in start else zeros() if "head 0" in start else hidden
    bias = normal(std=0.1) if "random biases" in start else zeros()
    for name, p in model.append(nn.Linear(TWO_WIDTH, 10)).named_parameters():
        fill_(p, bias if p.dim() == 1 else head if p is model[-1].weight else hidden, seed=seed, name=name)
        if noise and p.dim() == 2:
            p.data += noise * fill_(torch.empty_like(p), random, seed=seed + 1000, name=name)
    return model


DROP_WAYS = ("F.dropout(h, p)", "F.dropout(h, p, self.training)", "gs.nn.Dropout(p)(h)")


class Dropped(nn.Module):
    """Two hidden layers for the digits, each followed by a dropout that is written in one of three ways.

    Args:
        rate: the share that is dropped.
        way: of `DROP_WAYS`.
    """

    def __init__(self, rate: float, way: str) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Linear(64, 64), nn.Linear(64, 64), nn.Linear(64, 10)
        self.rate, self.way, self.layer = rate, way, Dropout(rate)

    def drop(self, h: Tensor) -> Tensor:
        """Drops, in the chosen way."""
        if self.way == "F.dropout(h, p)":
            return F.dropout(h, self.rate)
        made: Tensor = self.layer(h)
        return made if self.way == "gs.nn.Dropout(p)(h)" else F.dropout(h, self.rate, self.training)

    def forward(self, x: Tensor) -> Tensor:
        """Scores of the ten digits."""
        made: Tensor = self.head(self.drop(F.relu(self.second(self.drop(F.relu(self.first(x)))))))
        return made
