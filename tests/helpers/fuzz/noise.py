"""Own random numbers: of torch, Python and NumPy, and of generators that a module holds."""

import random
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fuzz.functional import Weighted, calls
from fuzz.layers import plain
from fuzz.registry import part

for _name, _make in {
    "dropout": lambda w: nn.Sequential(nn.Linear(w, w), nn.Dropout(0.3)),
    "dropout_inplace": lambda w: nn.Sequential(nn.Linear(w, w), nn.Dropout(0.3, inplace=True)),
    "alpha_dropout": lambda w: nn.Sequential(nn.Linear(w, w), nn.AlphaDropout(0.2)),
    "feature_alpha_dropout": lambda w: nn.Sequential(nn.Linear(w, w), nn.FeatureAlphaDropout(0.2)),
    "rrelu": lambda w: nn.Sequential(nn.Linear(w, w), nn.RReLU()),
    "rrelu_inplace": lambda w: nn.Sequential(nn.Linear(w, w), nn.RReLU(inplace=True)),
}.items():
    plain("noise", _name, _make)


def _reseeds(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
    torch.manual_seed(int(x.shape[0]))
    return x @ w + torch.randn(len(b))


def _depth(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
    return x + F.linear(x, w, b) if random.random() < 0.7 else x + b


def _fork(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
    with torch.random.fork_rng():
        return x @ w + torch.randn_like(x)


for _name, _run in {
    "rand_like": lambda x, w, b: (x @ w) * torch.rand_like(x),
    "normal_": lambda x, w, b: x @ w + torch.empty_like(x).normal_(),
    "bernoulli": lambda x, w, b: (x @ w) * torch.bernoulli(torch.full_like(x, 0.7)),
    "randperm": lambda x, w, b: F.linear(x, w, b)[:, torch.randperm(len(b))],
    "multinomial": lambda x, w, b: x @ w[:, torch.multinomial(b.detach().float().exp(), len(b))],
    "gumbel": lambda x, w, b: F.gumbel_softmax(x @ w) + x,
    "distribution": lambda x, w, b: torch.distributions.Normal(x @ w, b.exp()).rsample(),
    "python": lambda x, w, b: F.linear(x, w, b) * random.uniform(0.5, 1.5),
    "numpy_state": lambda x, w, b: F.linear(x, w, b) * float(np.random.rand()) + b,
    "reseeds": _reseeds,
    "depth": _depth,
    "fork": _fork,
}.items():
    calls("noise", _name, _run)


class OwnRandom(Weighted):
    """Holds a generator of its own, which its forward advances."""

    make: Any
    number: Any

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.generator = type(self).make()

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.w, self.b) + type(self).number(self.generator)


def own_random(name: str, make: Any, number: Any) -> None:
    members = {"make": staticmethod(make), "number": staticmethod(number), "__module__": __name__}
    part("noise")(type(name, (OwnRandom,), members))


own_random("own_torch", lambda: torch.Generator().manual_seed(3), lambda g: torch.randn((), generator=g).item())
own_random("own_numpy", lambda: np.random.default_rng(3), lambda g: float(g.normal()))
own_random("own_numpy_old", lambda: np.random.RandomState(3), lambda g: float(g.normal()))
own_random("own_python", lambda: random.Random(3), lambda g: g.gauss(0, 1))
own_random("own_in_list", lambda: [torch.Generator().manual_seed(3)], lambda g: torch.rand((), generator=g[0]).item())


@part("noise")
class sobol(Weighted):
    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.engine = torch.quasirandom.SobolEngine(width, scramble=True, seed=1)

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.w + self.engine.draw(1).to(x.dtype)
