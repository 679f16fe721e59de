"""The cheat sheet: every number on it is measured while the page is built, or read from a committed result."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

import gainstage as gs
from files import put
from gainstage import nn as layers

RESULTS = Path(__file__).resolve().parents[2] / "studies" / "results"
ACTIVATIONS = {
    "relu": F.relu,
    "leaky_relu": F.leaky_relu,
    "elu": F.elu,
    "selu": F.selu,
    "gelu": F.gelu,
    "silu": F.silu,
    "mish": F.mish,
    "softplus": F.softplus,
    "hardswish": F.hardswish,
    "relu6": F.relu6,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "softsign": F.softsign,
}
DEPTH, WIDTH = 20, 512


def write(place: Path) -> None:
    put(place / "index.md", "\n\n".join([_HEAD, activations(), norms(), regularizers(), claims()]) + "\n")


_HEAD = """# Cheat sheet

One page to print. Every number is measured when the documentation is built, or comes from a result that is committed
with the command that made it."""


def activations() -> str:
    rows = [
        "## Activation: law, limits, calls",
        "",
        "A weight behind which a signal is to keep its mean square has entries of standard deviation $g/\\sqrt{n}$, $n$"
        " the fan-in and $g = 1/\\sqrt{\\mathrm{E}[\\varphi(z)^2]}$ the gain; drawn uniformly, between "
        "$\\pm g\\sqrt{3/n}$. *Behind 20 layers* is the mean square of the last pre-activation over that of the first, "
        f"width {WIDTH}, biases zero, 3 seeds: with $g$, and with `nn.Linear`'s own start.",
        "",
        "| activation | gain g | uniform limit | behind 20 layers: with g; default | PyTorch | Keras |",
        "|---|---|---|---|---|---|",
    ]
    for name, function in ACTIVATIONS.items():
        gain = gs.gain(name)
        ours, default = (_level(function, scale) for scale in (gain, 3**-0.5))
        torch_call = f"`normal_(w, 0, {gain:.4g} / fan_in**0.5)`"
        if name == "relu":
            torch_call = "`kaiming_normal_(w, nonlinearity='relu')`"
        keras = f"`VarianceScaling({gain**2:.4g}, 'fan_in', 'untruncated_normal')`"
        rows.append(
            f"| {name} | {gain:.4f} | {gain * 3**0.5:.3f}/√n | {ours:.2g}; {default:.1g} | {torch_call} | {keras} |"
        )
    rows += [
        "",
        "Where the level behind 20 layers is far from 1 although the gain is exact, the level is no stable fixed point:"
        " a layer that is a little too loud makes the next one louder still (SiLU, hardswish), and at this width"
        " chance is enough. `gs.initialize` draws mirrored or orthogonal weights there. "
        "[`gs.gain`](#gainstage.init.gain) gives the gain of any elementwise function, your own too.",
    ]
    return "\n".join(rows)


def _level(function: Callable[[Tensor], Tensor], scale: float) -> float:
    """The mean square in front of the last activation over that in front of the first, which is 1."""
    ratios = []
    for seed in range(3):
        h, weights = _drawn(seed)
        z = h @ weights[0]
        first = float(z.square().mean())
        for weight in weights[1:]:
            z = scale * function(z) @ weight
        ratios.append(float(z.square().mean()) / first)
    return sum(ratios) / len(ratios)


@cache
def _drawn(seed: int) -> tuple[Tensor, list[Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    h = torch.randn(64, WIDTH, generator=generator)
    return h, [torch.randn(WIDTH, WIDTH, generator=generator) / WIDTH**0.5 for _ in range(DEPTH)]


USE = {
    "BatchNorm2d": (
        "convolutional classifiers, batches of 16 and more",
        "batches of 1 to 8, other batches at evaluation",
    ),
    "GroupNorm": ("detection and segmentation, small batches", "few channels a group on tiny maps"),
    "LayerNorm": ("transformers, recurrent nets", "convolutions, where it mixes what channels mean"),
    "RMSNorm": ("large decoders; no mean to subtract", "signals whose mean is far from 0"),
    "InstanceNorm2d": (
        "style transfer, where contrast is no information",
        "classification: the level of a map is lost",
    ),
    "FilterResponseNorm": ("batch of 1; with its own thresholded activation", "maps of 1x1"),
    "EvoNormS0": ("a norm and its activation in one, any batch", "an activation behind it"),
}


def norms() -> str:
    rows = [
        "## Normalization: axes, use, avoid",
        "",
        "Which entries decide on one entry of the output is measured: one entry of a batch of 4 images of 6 channels "
        "and 5 by 5 positions is moved, in training mode, and the outputs that move are counted.",
        "",
        "| layer | other samples | other channels | other positions | use | avoid |",
        "|---|---|---|---|---|---|",
    ]
    made = {
        "BatchNorm2d": layers.BatchNorm2d(6),
        "GroupNorm": layers.GroupNorm(2, 6),
        "LayerNorm": layers.LayerNorm((6, 5, 5)),
        "RMSNorm": layers.RMSNorm((6, 5, 5)),
        "InstanceNorm2d": layers.InstanceNorm2d(6),
        "FilterResponseNorm": layers.FilterResponseNorm(6),
        "EvoNormS0": layers.EvoNormS0(6, groups=2),
    }
    for name, layer in made.items():
        reach = ["yes" if found else "no" for found in _reach(layer)]
        rows.append(f"| [`nn.{name}`](#gainstage.nn.{name}) | " + " | ".join([*reach, *USE[name]]) + " |")
    return "\n".join(rows)


def _reach(layer: torch.nn.Module) -> tuple[bool, bool, bool]:
    """Whether one entry moves outputs of other samples, of other channels of its sample, and at other positions."""
    x = torch.randn(4, 6, 5, 5, generator=torch.Generator().manual_seed(0))
    moved = x.clone()
    moved[0, 0, 2, 2] += 0.5
    with torch.no_grad():
        change = (layer(moved) - layer(x)).abs() > 1e-6
    return bool(change[1:].any()), bool(change[0, 1:].any()), int(change[0, 0].sum()) > 1


def regularizers() -> str:
    rows = [
        "## Regularizers: what they deliver",
        "",
        "Asked for 0.1 each, 1,000 samples of normal numbers with 8 channels of 14 by 14; the share of exact zeros, and"
        " mean and mean square against those of the input moved by 1.",
        "",
        "| layer | zeros | mean | mean square |",
        "|---|---|---|---|",
    ]
    x = torch.randn(1000, 8, 14, 14, generator=torch.Generator().manual_seed(1)) + 1
    for name, layer in {
        "Dropout": layers.Dropout(0.1),
        "SpatialDropout2d": layers.SpatialDropout2d(0.1),
        "DropBlock2d": layers.DropBlock2d(0.1, 7),
        "DropPath": layers.DropPath(0.1),
        "AlphaDropout": layers.AlphaDropout(0.1),
    }.items():
        torch.manual_seed(2)
        y = layer.train()(x)
        zeros, mean = float((y == 0).double().mean()), float(y.mean() / x.mean())
        power = float(y.square().mean() / x.square().mean())
        rows.append(f"| [`nn.{name}`](#gainstage.nn.{name}) | {zeros:.3f} | {mean:.2f} | {power:.2f} |")
    rows += ["", "AlphaDropout sets entries to a constant that is not 0 and keeps mean and variance of SELU's signal."]
    return "\n".join(rows)


def claims() -> str:
    text = (RESULTS / "textbook.txt").read_text(encoding="utf-8").split("What textbooks say\n")[1]
    table = text.split("Of 40 claims")[0].rstrip()
    total = "Of 40 claims" + text.split("Of 40 claims")[1].split("\n")[0]
    return f"## What textbooks say\n\nThe default comparison of `gainstage compare`. {total}\n\n```text\n{table}\n```"
