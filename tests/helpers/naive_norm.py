"""The formula of every normalization layer, written naively: what the battery compares with, in float64."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gainstage.nn.norm import EvoNormS1

C = 6


def c(vector: Tensor, x: Tensor) -> Tensor:
    return vector.reshape(1, -1, *[1] * (x.dim() - 2))


def moments(x: Tensor, axes: list[int]) -> tuple[Tensor, Tensor]:
    mean = x.mean(axes, keepdim=True)
    return mean, (x - mean).square().mean(axes, keepdim=True)


def positions(x: Tensor) -> list[int]:
    return list(range(2, x.dim()))


def batch(layer: nn.Module, x: Tensor) -> Tensor:
    axes = [0, *positions(x)]
    mean, var = moments(x, axes) if layer.training else (c(layer.running_mean, x), c(layer.running_var, x))
    return (x - mean) / (var + layer.eps).sqrt() * c(layer.weight, x) + c(layer.bias, x)


def ghost(layer: nn.Module, x: Tensor) -> Tensor:
    if not layer.training:
        return batch(layer, x)
    assert len(x) in (2, 3, 5)
    sizes = {2: [2], 3: [2, 1], 5: [2, 2, 1]}[len(x)]
    return torch.cat([batch(layer, part) for part in x.split(sizes)])


def renorm(layer: nn.Module, x: Tensor) -> Tensor:
    running_std = (layer.running_var + layer.eps).sqrt()
    if not layer.training:
        y = (x - c(layer.running_mean, x)) / c(running_std, x)
    else:
        mean, var = moments(x, [0, *positions(x)])
        std = (var + layer.eps).sqrt()
        r = (std.detach() / c(running_std, x)).clamp(1 / 1.5, 1.5)
        d = ((mean.detach() - c(layer.running_mean, x)) / c(running_std, x)).clamp(-0.2, 0.2)
        y = (x - mean) / std * r + d
    return y * c(layer.weight, x) + c(layer.bias, x)


def instance(layer: nn.Module, x: Tensor) -> Tensor:
    mean, var = moments(x, positions(x))
    return (x - mean) / (var + layer.eps).sqrt() * c(layer.weight, x) + c(layer.bias, x)


def group(layer: nn.Module, x: Tensor) -> Tensor:
    parts = []
    for part in x.chunk(layer.num_groups, 1):
        mean, var = moments(part, list(range(1, x.dim())))
        parts.append((part - mean) / (var + layer.eps).sqrt())
    return torch.cat(parts, 1) * c(layer.weight, x) + c(layer.bias, x)


def over_features(layer: nn.Module, x: Tensor) -> Tensor:
    mean, var = moments(x, [-1])
    y = (x - mean) / (var + layer.eps).sqrt()
    return y if getattr(layer, "weight", None) is None else y * layer.weight + layer.bias


def ada(layer: nn.Module, x: Tensor) -> Tensor:
    y = over_features(layer, x)
    return layer.scale * (1 - layer.k * y).detach() * y


def rms(layer: nn.Module, x: Tensor) -> Tensor:
    return x / (x.square().mean(-1, keepdim=True) + 1e-3).sqrt() * layer.weight


def evo_s0(layer: nn.Module, x: Tensor) -> Tensor:
    stds = [
        (moments(part, list(range(1, x.dim())))[1] + layer.eps).sqrt().expand_as(part)
        for part in x.chunk(layer.groups, 1)
    ]
    y = x / (1 + torch.exp(-c(layer.v, x) * x)) / torch.cat(stds, 1)
    return y * c(layer.weight, x) + c(layer.bias, x)


def evo_b0(layer: nn.Module, x: Tensor) -> Tensor:
    var = moments(x, [0, *positions(x)])[1] if layer.training else c(layer.running_var, x)
    line = c(layer.v, x) * x + (moments(x, positions(x))[1] + layer.eps).sqrt()
    y = x / torch.maximum((var + layer.eps).sqrt(), line)
    return y * c(layer.weight, x) + c(layer.bias, x)


def frn(layer: nn.Module, x: Tensor) -> Tensor:
    square = x.square().mean(positions(x), keepdim=True) if x.dim() > 2 else x.square()
    eps = layer.eps if layer.learned_eps is None else layer.eps + c(layer.learned_eps.abs(), x)
    y = x / (square + eps).sqrt() * c(layer.weight, x) + c(layer.bias, x)
    return y if layer.threshold is None else torch.maximum(y, c(layer.threshold, x))


def grn(layer: nn.Module, x: Tensor) -> Tensor:
    norm = x.square().sum(positions(x), keepdim=True).sqrt() if x.dim() > 2 else x.square().sqrt()
    return c(layer.weight, x) * (x * norm / (norm.mean(1, keepdim=True) + layer.eps)) + c(layer.bias, x) + x


def switchable(layer: nn.Module, x: Tensor) -> Tensor:
    found = [moments(x, positions(x)), moments(x, [1, *positions(x)]), moments(x, [0, *positions(x)])]
    if not layer.training:
        found[2] = c(layer.running_mean, x), c(layer.running_var, x)
    mean = sum(w * each[0] for w, each in zip(layer.mean_weight.softmax(0), found, strict=True))
    var = sum(w * each[1] for w, each in zip(layer.var_weight.softmax(0), found, strict=True))
    return (x - mean) / (var + layer.eps).sqrt() * c(layer.weight, x) + c(layer.bias, x)


def self_norm(layer: nn.Module, x: Tensor) -> Tensor:
    mean, var = moments(x, positions(x))
    std = (var + layer.eps).sqrt()
    gates = []
    for part in (slice(0, C), slice(C, 2 * C)):
        w = layer.weight[part]
        z = c(w[:, 0], x) * mean + c(w[:, 1], x) * std
        at = c(layer.gate.running_mean[part], x), c(layer.gate.running_var[part], x)
        m, v = moments(z, [0]) if layer.training else at
        z = (z - m) / (v + layer.gate.eps).sqrt() * c(layer.gate.weight[part], x) + c(layer.gate.bias[part], x)
        gates.append(1 / (1 + torch.exp(-z)))
    return std * gates[0] * (x - mean) / std + mean * gates[1]


def adaln(layer: nn.Module, x: Tensor, condition: Tensor) -> Tensor:
    vectors = (condition / (1 + torch.exp(-condition))) @ layer.modulation.weight.T + layer.modulation.bias
    while vectors.dim() < x.dim():
        vectors = vectors[:, None]
    shift, scale, *gate = vectors.split(C, -1)
    y = over_features(layer, x) * (1 + scale) + shift
    return torch.cat([y, gate[0] + 0 * y], -1) if gate else y


def evo_b1(layer: nn.Module, x: Tensor) -> Tensor:
    return evo_b(layer, x, (x + 1) * (x.square().mean(positions(x), keepdim=True) + layer.eps).sqrt())


def evo_b2(layer: nn.Module, x: Tensor) -> Tensor:
    return evo_b(layer, x, (x.square().mean(positions(x), keepdim=True) + layer.eps).sqrt() - x)


def evo_b(layer: nn.Module, x: Tensor, other: Tensor) -> Tensor:
    var = moments(x, [0, *positions(x)])[1] if layer.training else c(layer.running_var, x)
    y = x / torch.maximum((var + layer.eps).sqrt(), other)
    return y * c(layer.weight, x) + c(layer.bias, x)


def evo_s(layer: nn.Module, x: Tensor) -> Tensor:
    parts = []
    for part in x.chunk(layer.groups, 1):
        of = part - part.mean(list(range(1, x.dim())), keepdim=True) if isinstance(layer, EvoNormS1) else part
        square = of.square().mean(list(range(1, x.dim())), keepdim=True)
        parts.append(part / (1 + torch.exp(-part)) / (square + layer.eps).sqrt())
    return torch.cat(parts, 1) * c(layer.weight, x) + c(layer.bias, x)


def layer_2d(layer: nn.Module, x: Tensor) -> Tensor:
    mean, var = moments(x, [1])
    return (x - mean) / (var + layer.eps).sqrt() * c(layer.weight, x) + c(layer.bias, x)


def local(layer: nn.Module, x: Tensor) -> Tensor:
    padded = torch.cat([torch.zeros_like(x[:, :1]), x, torch.zeros_like(x[:, :1])], 1).square()  # for size 3
    energy = (padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]) / 3
    return x / (layer.k + layer.alpha * energy) ** layer.beta


def qk(layer: nn.Module, q: Tensor, k: Tensor) -> Tensor:
    return torch.cat(
        [
            x / (x.square().mean(-1, keepdim=True) + 1e-3).sqrt() * w
            for x, w in ((q, layer.q.weight), (k, layer.k.weight))
        ],
        -1,
    )


def standardized(weight: Tensor, eps: float) -> Tensor:
    """For `[out, in, ...]`."""
    mean, var = moments(weight, list(range(1, weight.dim())))
    return (weight - mean) / (var + eps).sqrt()


def conv(layer: nn.Module, x: Tensor) -> Tensor:
    return F.conv2d(x, standardized(layer.layer.weight, layer.eps), layer.layer.bias, groups=2)


def scaled_std(layer: nn.Module, x: Tensor) -> Tensor:
    weight = layer.layer.weight
    rows = standardized(weight, layer.eps).flatten(1) * 1.7 * layer.gain[:, None] / weight[0].numel() ** 0.5
    return F.conv2d(x, rows.view_as(weight), layer.layer.bias, groups=2)


def spectral(layer: nn.Module, x: Tensor) -> Tensor:
    """As training begins with iterations, so does this, on the copy that it is given."""
    weight, u, v = layer.layer.weight, layer.u, layer.v
    for _ in range(layer.training):
        u = F.normalize(weight.detach() @ v, dim=0)
        v = F.normalize(weight.detach().T @ u, dim=0)
    return x @ (weight / (u @ weight @ v)).T + layer.layer.bias


def weight_norm(layer: nn.Module, x: Tensor) -> Tensor:
    weight = layer.layer.weight
    length = weight.square().sum((1, 2, 3), keepdim=True).sqrt()
    return F.conv2d(x, weight / length * layer.g, layer.layer.bias)


def linear(layer: nn.Module, x: Tensor) -> Tensor:
    return F.linear(x, standardized(layer.layer.weight, layer.eps), layer.layer.bias)


def transposed(layer: nn.Module, x: Tensor) -> Tensor:
    """A group at a time: its weight `[in, out, ...]`, standardized over the inputs of each output."""
    outputs = []
    bias = layer.layer.bias.chunk(2)
    for k, (part, weight) in enumerate(zip(x.chunk(2, 1), layer.layer.weight.chunk(2), strict=True)):
        weight = standardized(weight.transpose(0, 1), layer.eps).transpose(0, 1)
        outputs.append(F.conv_transpose2d(part, weight, bias[k], stride=2))
    return torch.cat(outputs, 1)
