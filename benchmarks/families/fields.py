"""Networks on coordinates, and plain ones: MLPs, CNNs, SIREN, a radiance-like field, a PINN."""

import math
from collections.abc import Callable
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from families._family import Batch, Task, classify_digits, family, picked
from networks import mlp, plain_cnn


@family("3-layer ReLU MLP", tuned=True)
def relu_mlp_3() -> Task:
    return classify_digits(mlp(nn.ReLU, 3))


@family("30-layer GELU MLP", tuned=True, rates=(1e-4, 3e-4, 1e-3, 3e-3))
def gelu_mlp_30() -> Task:
    return classify_digits(mlp(nn.GELU, 30))


@family("50-layer tanh MLP", rates=(1e-4, 3e-4, 1e-3, 3e-3))
def tanh_mlp_50() -> Task:
    return classify_digits(mlp(nn.Tanh, 50))


@family("16-layer plain CNN", rates=(3e-4, 1e-3, 3e-3, 1e-2), steps=80)
def plain_cnn_16() -> Task:
    return classify_digits(plain_cnn(16, 16))


@family("4-layer CNN", tuned=True, steps=80)
def cnn_4() -> Task:
    return classify_digits(plain_cnn(4, 16))


def _image() -> tuple[Tensor, Tensor]:
    from sklearn.datasets import load_sample_image

    image = torch.tensor(load_sample_image("china.jpg")[100:148, 200:248].mean(-1)).float() / 127.5 - 1
    line = torch.linspace(-1, 1, 48)
    points = torch.stack(torch.meshgrid(line, line, indexing="ij"), -1).reshape(-1, 2)
    return points, image.reshape(-1, 1)


def _fit_image(model: nn.Module) -> Task:
    points, values = _image()
    return Task(model, picked(points, values, 512), F.mse_loss, ((points,), values), logarithm=True)


class Siren(nn.Module):
    """Sitzmann et al., NeurIPS 2020: bounds 1/n in front, sqrt(6/n)/30 behind, sin(30 x)."""

    def __init__(self, width: int = 64, layers: int = 3) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(2 if i == 0 else width, width) for i in range(layers))
        self.head = nn.Linear(width, 1)
        bound = math.sqrt(6 / width) / 30
        for i, layer in enumerate((*self.layers, self.head)):
            nn.init.uniform_(layer.weight, *((-0.5, 0.5) if i == 0 else (-bound, bound)))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = torch.sin(30 * layer(x))
        return self.head(x)


@family("SIREN fits an image", tuned=True, rates=(1e-4, 3e-4, 1e-3, 3e-3))
def siren() -> Task:
    return _fit_image(Siren())


@family("ReLU MLP on 2 coordinates", rates=(1e-3, 3e-3, 1e-2, 3e-2))
def relu_on_coordinates() -> Task:
    return _fit_image(mlp(nn.ReLU, 4, 64, 2, 1))


class Fourier(nn.Module):
    """An MLP on fixed sines and cosines of the coordinates, as in NeRF."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("frequencies", 2.0 ** torch.arange(5) * math.pi)
        self.net = mlp(nn.ReLU, 4, 64, 20, 1)

    def forward(self, x: Tensor) -> Tensor:
        phase = (x[..., None] * self.frequencies).flatten(1)
        return self.net(torch.cat([phase.sin(), phase.cos()], -1))


@family("ReLU MLP on Fourier features")
def fourier() -> Task:
    return _fit_image(Fourier())


class Pinn(nn.Module):
    """u'' = -9 sin(3 x + 1) on [-1, 1] with u = sin(3 x + 1) at the ends; returns u."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(*[m for i in range(4) for m in (nn.Linear(32 if i else 1, 32), nn.Tanh())])
        self.head = nn.Linear(32, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.net(x))


@family("PINN, Poisson in one dimension", tuned=True)
def pinn() -> Task:
    def truth(x: Tensor) -> Tensor:
        return torch.sin(3 * x + 1)

    def batch(step: int) -> Batch:
        return (torch.rand(64, 1, generator=torch.Generator().manual_seed(step)) * 2 - 1,), None

    def objective(model: nn.Module, at: Batch) -> Tensor:
        x = at[0][0].requires_grad_()
        first = torch.autograd.grad(model(x).sum(), x, create_graph=True)[0]
        second = torch.autograd.grad(first.sum(), x, create_graph=True)[0]
        ends = torch.tensor([[-1.0], [1.0]])
        return (second + 9 * truth(x)).square().mean() + 10 * (model(ends) - truth(ends)).square().mean()

    x = torch.linspace(-1, 1, 101)[:, None]
    return Task(Pinn(), batch, F.mse_loss, ((x,), truth(x)), logarithm=True, objective=objective)


class Kan(nn.Module):
    """Kolmogorov-Arnold layers: a sum of radial bumps of every input, with a SiLU path (Li, FastKAN, 2024)."""

    def __init__(self, sizes: tuple[int, ...]) -> None:
        super().__init__()
        self.register_buffer("grid", torch.linspace(-2, 2, 8))
        pairs = list(pairwise(sizes))
        self.norms = nn.ModuleList(nn.LayerNorm(a) for a, _ in pairs)
        self.splines = nn.ModuleList(nn.Linear(8 * a, b, bias=False) for a, b in pairs)
        self.bases = nn.ModuleList(nn.Linear(a, b) for a, b in pairs)
        for spline in self.splines:
            nn.init.trunc_normal_(spline.weight, std=0.1)

    def forward(self, x: Tensor) -> Tensor:
        for norm, spline, base in zip(self.norms, self.splines, self.bases, strict=True):
            bumps = torch.exp(-(((norm(x)[..., None] - self.grid) * 7 / 4) ** 2))
            x = spline(bumps.flatten(1)) + base(F.silu(x))
        return x


@family("KAN")
def kan() -> Task:
    return classify_digits(Kan((64, 32, 10)))


class HyperNetwork(nn.Module):
    """A small network writes the weights of the layer that classifies (Ha et al., ICLR 2017)."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.first = nn.Linear(64, width)
        self.code = nn.Parameter(torch.randn(width, 8))
        self.write = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, width))
        self.head = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.first(x))
        return self.head(F.relu(F.linear(x, self.write(self.code))))


@family("hypernetwork")
def hypernetwork() -> Task:
    return classify_digits(HyperNetwork())


class DeepSets(nn.Module):
    """rho(mean of phi(x)): Zaheer et al., NeurIPS 2017."""

    def __init__(self) -> None:
        super().__init__()
        self.phi, self.rho = mlp(nn.ReLU, 3, 48, 3, 48), mlp(nn.ReLU, 3, 48, 48, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.rho(self.phi(x.flatten(0, 1)).unflatten(0, x.shape[:2]).mean(1))


def cloud(x: Tensor) -> Tensor:
    """Digits as sets of 64 points (row, column, ink)."""
    line = torch.linspace(-1, 1, 8)
    where = torch.stack(torch.meshgrid(line, line, indexing="ij"), -1).reshape(64, 2)
    return torch.cat([where.expand(len(x), 64, 2), x[..., None]], -1)


@family("DeepSets", rates=(3e-4, 1e-3, 3e-3, 1e-2))
def deep_sets() -> Task:
    return _on_clouds(DeepSets())


def _on_clouds(model: nn.Module) -> Task:
    task = classify_digits(model, 32)
    fed: Callable[[int], Batch] = task.batch

    def batch(step: int) -> Batch:
        (x,), y = fed(step)
        return (cloud(x),), y

    (x,), y = task.held
    return Task(model, batch, F.cross_entropy, ((cloud(x),), y))
