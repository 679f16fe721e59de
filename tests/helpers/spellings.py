"""The same network in other words: families of spellings that must get one plan and one verdict.

A family is one small network with a part that can be written in several ways; the first spelling is the reference.
All spellings of a family have the same parameters with the same values (a turned weight: their transposes), so plans
are compared name by name, and verdicts on one start that is healthy and on one that is broken.
"""

import operator
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from itertools import pairwise
from math import sqrt
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import gainstage as gs

N, CLASSES = 64, 4
X = torch.randn(N, 8, generator=torch.Generator().manual_seed(1))
Y = torch.arange(N) % CLASSES
Spelling = Callable[..., Any]
Plan = dict[str, tuple[str, str | float, float | None]]


@dataclass(frozen=True)
class Family:
    """One network in several words.

    Attributes:
        make: the network, given a spelling; seeded by the caller.
        spell: by name, the reference first.
        harm: changes a model so that a check must speak.
        example, target, loss: of the check.
        losses: the spellings are of the loss: the model is the same, and so is its plan.
    """

    make: Callable[[Spelling], nn.Module]
    spell: Mapping[str, Spelling]
    harm: Callable[[nn.Module], object]
    example: Any = X
    target: Any = Y
    loss: Spelling = F.cross_entropy
    losses: bool = False

    def model(self, spelling: str, *, broken: bool = False) -> nn.Module:
        torch.manual_seed(0)
        model = self.make(self.spell[next(iter(self.spell))] if self.losses else self.spell[spelling])
        if broken:
            with torch.no_grad():
                self.harm(model)
        return model

    def verdict(self, spelling: str, *, broken: bool) -> list[tuple[str, str]]:
        """Code and severity of what a check says above a note."""
        loss = self.spell[spelling] if self.losses else self.loss
        report = gs.check(self.model(spelling, broken=broken), self.example, target=self.target, loss=loss)
        return sorted((f.code, f.severity) for f in report.findings if f.severity != "note")

    def plan(self, spelling: str) -> Plan:
        """By parameter: the role without the name of what follows, the law, and the planned level."""
        plan = gs.plan(self.model(spelling), self.example)
        return {name: (_role(a.role), _law(plan, name), a.level) for name, a in plan.items()}


def _role(role: str) -> str:
    return re.sub(r" into .*", " into", role)


def _law(plan: gs.Plan, name: str) -> str | float:
    """A random law by its standard deviation, whatever it is called; another by its text."""
    law, given = plan[name].law, plan[name]
    std = getattr(law.concrete(plan.shapes[name], given.fans), "std", None) if law is not None else None
    return std if isinstance(std, float) else str(law)


class Stack(nn.Module):
    """Three linear maps of 64 units with a function between them."""

    def __init__(self, phi: Spelling, width: int = 64, wide: int = 1) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(8, wide * width), nn.Linear(width, wide * width)
        self.head, self.phi = nn.Linear(width, CLASSES), phi

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.phi(self.second(self.phi(self.first(x)))))


def times(factor: float, *names: str) -> Callable[[nn.Module], None]:
    """Harm: every weight whose name holds one of these (all, where none is given) is multiplied."""

    def harm(model: nn.Module) -> None:
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1 and (not names or any(part in name for part in names)):
                parameter.mul_(factor)

    return harm


def shift_first(model: nn.Module) -> None:
    model.first.bias.fill_(-10.0)


# --- residual blocks -------------------------------------------------------------------------------------------------


class Residual(nn.Module):
    """`h = join(h, down(relu(up(h))))`, four times; a join that takes three arguments gets `down` itself."""

    def __init__(self, join: Spelling, blocks: int = 4, width: int = 32) -> None:
        super().__init__()
        self.stem, self.head, self.join = nn.Linear(8, width), nn.Linear(width, CLASSES), join
        self.up = nn.ModuleList(nn.Linear(width, width) for _ in range(blocks))
        self.down = nn.ModuleList(nn.Linear(width, width) for _ in range(blocks))

    def forward(self, x: Tensor) -> Tensor:
        h = self.stem(x)
        for up, down in zip(self.up, self.down, strict=True):
            b = torch.relu(up(h))
            h = self.join(h, b, down) if self.join.__code__.co_argcount == 3 else self.join(h, down(b))
        return self.head(h)


ONE = torch.ones(())
SUMS: dict[str, Spelling] = {
    "h + b": lambda h, b: h + b,
    "b + h": lambda h, b: b + h,
    "torch.add": lambda h, b: torch.add(h, b),
    "add by keywords": lambda h, b: torch.add(input=h, other=b),
    "h.add(b, alpha=1)": lambda h, b: h.add(b, alpha=1),
    "add_": lambda h, b: h.clone().add_(b),
    "+=": lambda h, b: operator.iadd(h.clone(), b),
    "1.0 * h + b": lambda h, b: 1.0 * h + b,
    "sum([h, b])": lambda h, b: sum([h, b]),
    "reduce": lambda h, b: reduce(operator.add, (b, h)),
    "stack.sum(0)": lambda h, b: torch.stack([h, b]).sum(0),
    "stack.sum(-1)": lambda h, b: torch.stack([h, b], -1).sum(-1),
    "torch.sum(stack)": lambda h, b: torch.sum(torch.stack((h, b), 1), dim=1),
    "2 * stack.mean(0)": lambda h, b: 2 * torch.stack([h, b]).mean(0),
    "cat, unflatten, sum": lambda h, b: torch.cat([h, b], -1).unflatten(-1, (2, -1)).sum(-2),
    "einsum of a stack": lambda h, b: torch.einsum("sni->ni", torch.stack([h, b])),
    "h - b": lambda h, b: h - b,
    "h - (-b)": lambda h, b: h - (-b),
    "sub(alpha=-1)": lambda h, b: torch.sub(h, b, alpha=-1),
    "rsub": lambda h, b: torch.rsub(-b, h),
    "addcmul": lambda h, b: torch.addcmul(h, b, ONE),
    "addcdiv": lambda h, b: torch.addcdiv(h, b, ONE),
    "lerp to the sum": lambda h, b: torch.lerp(h, h + b, 1.0),
    "addmm": lambda h, b, down: torch.addmm(h, b, down.weight.T) + down.bias,
    "baddbmm": lambda h, b, down: torch.baddbmm(h[None], b[None], down.weight.T[None])[0] + down.bias,
    "dropout of 0": lambda h, b: h + F.dropout(b, 0.0),
    "in float64": lambda h, b: (h.double() + b.double()).float(),
    "index_add": lambda h, b: h.index_add(0, torch.arange(N), b),
}
TENTHS: dict[str, Spelling] = {
    "h + 0.1 * b": lambda h, b: h + 0.1 * b,
    "b * 0.1 + h": lambda h, b: b * 0.1 + h,
    "h + b / 10": lambda h, b: h + b / 10,
    "add(alpha=0.1)": lambda h, b: torch.add(h, b, alpha=0.1),
    "sub(alpha=-0.1)": lambda h, b: torch.sub(h, b, alpha=-0.1),
    "addcmul(value=0.1)": lambda h, b: torch.addcmul(h, b, ONE, value=0.1),
    "lerp(h, h + b, 0.1)": lambda h, b: torch.lerp(h, h + b, 0.1),
    "by a tensor": lambda h, b: h + torch.tensor(0.1) * b,
}
TRIPLES: dict[str, Spelling] = {
    "h + 3 * b": lambda h, b: h + 3 * b,
    "add(alpha=3)": lambda h, b: torch.add(h, b, alpha=3.0),
    "h - (-3) * b": lambda h, b: h - (-3) * b,
    "addcmul(value=3)": lambda h, b: torch.addcmul(h, b, ONE, value=3.0),
    "h + b + b + b": lambda h, b: h + b + b + b,
    "h + (b + b + b)": lambda h, b: h + (b + b + b),
}
HALVES: dict[str, Spelling] = {
    "(h + b) / 2": lambda h, b: (h + b) / 2,
    "0.5 * (h + b)": lambda h, b: 0.5 * (h + b),
    "0.5 * h + 0.5 * b": lambda h, b: 0.5 * h + 0.5 * b,
    "lerp": lambda h, b: torch.lerp(h, b, 0.5),
    "stack.mean(0)": lambda h, b: torch.stack([h, b]).mean(0),
    "add(0.5 * h, b, alpha=0.5)": lambda h, b: torch.add(0.5 * h, b, alpha=0.5),
}
ROOTS: dict[str, Spelling] = {
    "(h + b) / 2**0.5": lambda h, b: (h + b) / 2**0.5,
    "(h + b) * 2**-0.5": lambda h, b: (h + b) * 2**-0.5,
    "each by itself": lambda h, b: 2**-0.5 * h + 2**-0.5 * b,
    "div": lambda h, b: torch.add(h, b).div(2**0.5),
    "by the root of a tensor": lambda h, b: (h + b) / torch.tensor(2.0).sqrt(),
    "stack.sum(0)": lambda h, b: torch.stack([h, b]).sum(0) / 2**0.5,
}

# --- activations -----------------------------------------------------------------------------------------------------

ZERO = torch.zeros(())
RELU: dict[str, Spelling] = {
    "torch.relu": torch.relu,
    "F.relu": F.relu,
    "relu_": lambda z: z.relu_(),
    "clamp(min=0)": lambda z: z.clamp(min=0),
    "clamp_min": lambda z: torch.clamp_min(z, 0),
    "clip": lambda z: torch.clip(z, 0),
    "maximum": lambda z: torch.maximum(z, ZERO),
    "max of two": lambda z: torch.max(z, ZERO),
    "-minimum": lambda z: -torch.minimum(-z, ZERO),
    "where": lambda z: torch.where(z > 0, z, ZERO),
    "z * (z > 0)": lambda z: z * (z > 0),
    "masked_fill": lambda z: z.masked_fill(z < 0, 0.0),
    "threshold": lambda z: F.threshold(z, 0.0, 0.0),
    "(z + |z|) / 2": lambda z: (z + z.abs()) / 2,
    "leaky_relu of 0": lambda z: F.leaky_relu(z, 0.0),
    "hardtanh": lambda z: F.hardtanh(z, 0.0, 1e9),
    "z * (z >= 0).float()": lambda z: z * (z >= 0).float(),
}
TANH: dict[str, Spelling] = {
    "torch.tanh": torch.tanh,
    "2 * sigmoid(2 z) - 1": lambda z: 2 * torch.sigmoid(2 * z) - 1,
    "1 - 2 / (exp(2 z) + 1)": lambda z: 1 - 2 / (torch.exp(2 * z.clamp(-40, 40)) + 1),
    "sinh / cosh": lambda z: torch.sinh(z.clamp(-40, 40)) / torch.cosh(z.clamp(-40, 40)),
    "-tanh(-z)": lambda z: -torch.tanh(-z),
}
SIGMOID: dict[str, Spelling] = {
    "torch.sigmoid": torch.sigmoid,
    "special.expit": torch.special.expit,
    "1 / (1 + exp(-z))": lambda z: 1 / (1 + torch.exp(-z)),
    "reciprocal": lambda z: (1 + (-z).exp()).reciprocal(),
    "0.5 * (1 + tanh(z / 2))": lambda z: 0.5 * (1 + torch.tanh(z / 2)),
    "exp(logsigmoid)": lambda z: F.logsigmoid(z).exp(),
}
SILU: dict[str, Spelling] = {
    "F.silu": F.silu,
    "z * sigmoid(z)": lambda z: z * torch.sigmoid(z),
    "sigmoid(z).mul(z)": lambda z: torch.sigmoid(z).mul(z),
    "z / (1 + exp(-z))": lambda z: z / (1 + torch.exp(-z)),
    "glu of itself twice": lambda z: F.glu(torch.cat([z, z], -1)),
    "z * 0.5 * (1 + tanh(z / 2))": lambda z: z * 0.5 * (1 + torch.tanh(z / 2)),
}
GELU: dict[str, Spelling] = {
    "F.gelu": F.gelu,
    "by erf": lambda z: 0.5 * z * (1 + torch.erf(z / sqrt(2))),
    "by ndtr": lambda z: z * torch.special.ndtr(z),
    "by erfc": lambda z: 0.5 * z * torch.erfc(-z * 2**-0.5),
}
HARDTANH: dict[str, Spelling] = {
    "F.hardtanh": F.hardtanh,
    "clamp(-1, 1)": lambda z: z.clamp(-1, 1),
    "clip": lambda z: torch.clip(z, min=-1, max=1),
    "minimum of maximum": lambda z: torch.minimum(torch.maximum(z, -ONE), ONE),
    "two clamps": lambda z: z.clamp(min=-1).clamp(max=1),
    "where": lambda z: torch.where(z.abs() < 1, z, z.sign()),
}
SOFTPLUS: dict[str, Spelling] = {
    "F.softplus": F.softplus,
    "log1p(exp)": lambda z: torch.log1p(torch.exp(z)),
    "log(1 + exp)": lambda z: torch.log(1 + torch.exp(z)),
    "-logsigmoid(-z)": lambda z: -F.logsigmoid(-z),
    "logaddexp": lambda z: torch.logaddexp(z, ZERO),
}
LEAKY: dict[str, Spelling] = {
    "F.leaky_relu": lambda z: F.leaky_relu(z, 0.1),
    "maximum": lambda z: torch.maximum(z, 0.1 * z),
    "where": lambda z: torch.where(z > 0, z, 0.1 * z),
    "relu(z) - 0.1 * relu(-z)": lambda z: torch.relu(z) - 0.1 * torch.relu(-z),
    "0.9 * relu(z) + 0.1 * z": lambda z: 0.9 * torch.relu(z) + 0.1 * z,
}
SQUARED: dict[str, Spelling] = {
    "relu(z)**2": lambda z: torch.relu(z) ** 2,
    "square": lambda z: torch.square(torch.relu(z)),
    "relu * relu": lambda z: torch.relu(z) * torch.relu(z),
    "z * relu(z)": lambda z: z * torch.relu(z),
    "pow": lambda z: torch.pow(z.clamp(min=0), 2.0),
}
GLU: dict[str, Spelling] = {
    "F.glu": F.glu,
    "chunk": lambda z: (lambda a, b: a * b.sigmoid())(*z.chunk(2, -1)),
    "split": lambda z: (lambda a, b: torch.sigmoid(b) * a)(*z.split(z.shape[-1] // 2, -1)),
    "slices": lambda z: z[:, : z.shape[-1] // 2] * torch.sigmoid(z[:, z.shape[-1] // 2 :]),
    "unflatten, unbind": lambda z: (lambda a, b: a * b.sigmoid())(*z.unflatten(-1, (2, -1)).unbind(-2)),
    "narrow": lambda z: z.narrow(-1, 0, z.shape[-1] // 2) * z.narrow(-1, z.shape[-1] // 2, z.shape[-1] // 2).sigmoid(),
}
SOFTMAX: dict[str, Spelling] = {
    "softmax": lambda z: z.softmax(-1),
    "F.softmax": lambda z: F.softmax(z, dim=-1),
    "exp / sum": lambda z: z.exp() / z.exp().sum(-1, keepdim=True),
    "exp(z - max) / sum": lambda z: _over_sum((z - z.amax(-1, keepdim=True)).exp()),
    "log_softmax.exp": lambda z: z.log_softmax(-1).exp(),
    "exp(z - logsumexp)": lambda z: (z - z.logsumexp(-1, keepdim=True)).exp(),
    "F.normalize(exp, p=1)": lambda z: F.normalize(z.exp(), p=1, dim=-1),
}


def _over_sum(e: Tensor) -> Tensor:
    return e / e.sum(-1, keepdim=True)


# --- normalizations --------------------------------------------------------------------------------------------------


class Normed(nn.Module):
    def __init__(self, norm: Spelling) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Linear(8, 64), nn.Linear(64, 64), nn.Linear(64, CLASSES)
        self.scale, self.shift = nn.Parameter(torch.ones(64)), nn.Parameter(torch.zeros(64))
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm(self.first(x), self.scale, self.shift)
        return self.head(torch.relu(self.second(torch.tanh(h))))


def scale_of(value: float) -> Callable[[nn.Module], object]:
    return lambda model: model.scale.fill_(value)


EPS = 1e-5


def centred(z: Tensor, axis: int = -1) -> Tensor:
    return z - z.mean(axis, keepdim=True)


def spread(z: Tensor, axis: int = -1) -> Tensor:
    return z.var(axis, unbiased=False, keepdim=True)


LAYER_NORM: dict[str, Spelling] = {
    "F.layer_norm": lambda z, w, b: F.layer_norm(z, (64,), w, b, EPS),
    "without affine, then affine": lambda z, w, b: F.layer_norm(z, (64,), eps=EPS) * w + b,
    "group_norm of one group": lambda z, w, b: F.group_norm(z, 1, w, b, EPS),
    "mean and var": lambda z, w, b: centred(z) / torch.sqrt(spread(z) + EPS) * w + b,
    "mean and rsqrt": lambda z, w, b: w * (centred(z) * torch.rsqrt(spread(z) + EPS)) + b,
    "mean of squares": lambda z, w, b: centred(z) * (centred(z).square().mean(-1, True) + EPS).rsqrt() * w + b,
    "var_mean": lambda z, w, b: (lambda v, m: (z - m) / (v + EPS).sqrt() * w + b)(
        *torch.var_mean(z, -1, correction=0, keepdim=True)
    ),
    "std": lambda z, w, b: centred(z) / (z.std(-1, unbiased=False, keepdim=True) + EPS) * w + b,
    "F.normalize": lambda z, w, b: F.normalize(centred(z), dim=-1) * 8 * w + b,
    "addcmul": lambda z, w, b: torch.addcmul(b, centred(z) * (spread(z) + EPS) ** -0.5, w),
}
RMS_NORM: dict[str, Spelling] = {
    "F.rms_norm": lambda z, w, _: F.rms_norm(z, (64,), w, EPS),
    "rsqrt of the mean": lambda z, w, _: z * torch.rsqrt(z.square().mean(-1, keepdim=True) + EPS) * w,
    "w first": lambda z, w, _: w * (z * (z.pow(2).mean(-1, keepdim=True) + EPS).rsqrt()),
    "over the root": lambda z, w, _: z / torch.sqrt((z * z).mean(-1, keepdim=True) + EPS) * w,
    "power of -0.5": lambda z, w, _: z * ((z**2).mean(-1, keepdim=True) + EPS) ** -0.5 * w,
    "sum over 64": lambda z, w, _: z * torch.rsqrt(z.square().sum(-1, keepdim=True) / 64 + EPS) * w,
    "F.normalize": lambda z, w, _: F.normalize(z, dim=-1) * 8 * w,
    "over the norm": lambda z, w, _: 8 * z / z.norm(dim=-1, keepdim=True) * w,
    "linalg.vector_norm": lambda z, w, _: z / torch.linalg.vector_norm(z, dim=-1, keepdim=True) * 8 * w,
    "einsum": lambda z, w, _: z * torch.rsqrt(torch.einsum("ni,ni->n", z, z)[:, None] / 64 + EPS) * w,
}
BATCH_NORM: dict[str, Spelling] = {
    "F.batch_norm": lambda z, w, b: F.batch_norm(z, None, None, w, b, True, 0.1, EPS),
    "mean and var": lambda z, w, b: centred(z, 0) / torch.sqrt(spread(z, 0) + EPS) * w + b,
    "rsqrt": lambda z, w, b: w * centred(z, 0) * torch.rsqrt(spread(z, 0) + EPS) + b,
    "layer_norm of the transpose": lambda z, w, b: F.layer_norm(z.T, (N,), eps=EPS).T * w + b,
    "mean of squares": lambda z, w, b: centred(z, 0) * (centred(z, 0).square().mean(0) + EPS).rsqrt() * w + b,
}

# --- attention -------------------------------------------------------------------------------------------------------

D, HEADS, LENGTH = 32, 4, 12
DIM = D // HEADS
TOKENS = torch.randn(N, LENGTH, D, generator=torch.Generator().manual_seed(2))


class Attention(nn.Module):
    """One pre-norm block; the spelling gets queries, keys and values as `[N, heads, length, size of a head]`."""

    def __init__(self, attend: Spelling) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(D)
        self.query, self.key, self.value, self.out = (nn.Linear(D, D) for _ in range(4))
        self.head, self.attend = nn.Linear(D, CLASSES), attend

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm(x)
        q, k, v = (f(h).view(*h.shape[:2], HEADS, DIM).transpose(1, 2) for f in (self.query, self.key, self.value))
        return self.head((x + self.out(self.attend(q, k, v).transpose(1, 2).reshape(x.shape))).flatten(0, 1))


def _by_head(attend: Spelling) -> Spelling:
    def attended(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return attend(*(t.reshape(-1, LENGTH, DIM) for t in (q, k, v))).view(q.shape)

    return attended


ATTENTION: dict[str, Spelling] = {
    "scaled_dot_product_attention": F.scaled_dot_product_attention,
    "written out": lambda q, k, v: (q @ k.transpose(-1, -2) / DIM**0.5).softmax(-1) @ v,
    "mT": lambda q, k, v: torch.softmax((q @ k.mT) * DIM**-0.5, -1) @ v,
    "queries scaled first": lambda q, k, v: ((q / DIM**0.5) @ k.transpose(-1, -2)).softmax(-1) @ v,
    "both scaled": lambda q, k, v: ((q * DIM**-0.25) @ (k * DIM**-0.25).mT).softmax(-1) @ v,
    "einsum": lambda q, k, v: torch.einsum(
        "nhij,nhjd->nhid", (torch.einsum("nhid,nhjd->nhij", q, k) / DIM**0.5).softmax(-1), v
    ),
    "matmul": lambda q, k, v: torch.matmul(F.softmax(torch.matmul(q, k.swapdims(-1, -2)) / DIM**0.5, -1), v),
    "bmm": _by_head(lambda q, k, v: torch.bmm((torch.bmm(q, k.transpose(1, 2)) / DIM**0.5).softmax(-1), v)),
    "baddbmm": _by_head(
        lambda q, k, v: torch.baddbmm(q.new_zeros(1), q, k.mT, beta=0, alpha=DIM**-0.5).softmax(-1) @ v
    ),
    "exp over sum": lambda q, k, v: _over_sum((q @ k.mT / DIM**0.5).exp()) @ v,
    "keys first": lambda q, k, v: ((k @ q.mT).mT / DIM**0.5).softmax(-1) @ v,
    "scale given": lambda q, k, v: F.scaled_dot_product_attention(q * DIM**-0.5, k, v, scale=1.0),
    "softmax over the other axis": lambda q, k, v: (k @ q.mT / DIM**0.5).softmax(-2).mT @ v,
    "products and sums": lambda q, k, v: (
        (q[..., :, None, :] * k[..., None, :, :]).sum(-1).div(DIM**0.5).softmax(-1)[..., None] * v[..., None, :, :]
    ).sum(-2),
}

# --- linear maps -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Map:
    """`call(x, weight, bias)`; a turned weight is stored as (in, out)."""

    call: Spelling
    turned: bool = False


class Linear(nn.Module):
    def __init__(self, spelling: Map) -> None:
        super().__init__()
        layers = [nn.Linear(a, b) for a, b in pairwise((8, 64, 64, CLASSES))]
        turn = (lambda w: w.detach().T.contiguous()) if spelling.turned else (lambda w: w.detach())
        self.weight = nn.ParameterList(nn.Parameter(turn(layer.weight)) for layer in layers)
        self.bias = nn.ParameterList(layer.bias for layer in layers)
        self.spelling = spelling

    def forward(self, x: Tensor) -> Tensor:
        for i, (weight, bias) in enumerate(zip(self.weight, self.bias, strict=True)):
            x = self.spelling.call(torch.relu(x) if i else x, weight, bias)
        return x


def equal_units(model: Linear) -> None:
    """All units of the first map, and what reads them."""
    first, second = (w.T if model.spelling.turned else w for w in list(model.weight)[:2])
    first.copy_(first[:1].expand_as(first).clone())
    second.copy_(second[:, :1].expand_as(second).clone())
    model.bias[0].zero_()


LINEAR: dict[str, Spelling] = {
    "F.linear": Map(F.linear),
    "F.linear, then + b": Map(lambda x, w, b: F.linear(x, w) + b),
    "x @ w.T": Map(lambda x, w, b: x @ w.T + b),
    "w.t()": Map(lambda x, w, b: x.matmul(w.t()) + b),
    "w.mT": Map(lambda x, w, b: x @ w.mT + b),
    "w.H": Map(lambda x, w, b: x @ w.H + b),
    "w.mH": Map(lambda x, w, b: x @ w.mH + b),
    "w.adjoint()": Map(lambda x, w, b: x @ w.adjoint() + b),
    "transpose": Map(lambda x, w, b: x @ w.transpose(0, 1) + b),
    "swapdims": Map(lambda x, w, b: x @ w.swapdims(0, 1) + b),
    "swapaxes": Map(lambda x, w, b: x @ w.swapaxes(0, 1) + b),
    "movedim": Map(lambda x, w, b: x @ w.movedim(0, 1) + b),
    "permute": Map(lambda x, w, b: x @ w.permute(1, 0) + b),
    "torch.mm": Map(lambda x, w, b: torch.mm(x, w.T).add(b)),
    "torch.addmm": Map(lambda x, w, b: torch.addmm(b, x, w.T)),
    "(w @ x.T).T": Map(lambda x, w, b: (w @ x.T).T + b),
    "inner": Map(lambda x, w, b: torch.inner(x, w) + b),
    "tensordot": Map(lambda x, w, b: torch.tensordot(x, w, ([1], [1])) + b),
    "einsum ni,oi->no": Map(lambda x, w, b: torch.einsum("ni,oi->no", x, w) + b),
    "einsum oi,ni->no": Map(lambda x, w, b: torch.einsum("oi,ni->no", w, x) + b),
    "einsum ...i,oi->...o": Map(lambda x, w, b: torch.einsum("...i,oi->...o", x, w) + b),
    "einsum without an arrow": Map(lambda x, w, b: torch.einsum("ab,cb", x, w) + b),
    "products and sums": Map(lambda x, w, b: (x[:, None, :] * w).sum(-1) + b),
    "conv1d of size 1": Map(lambda x, w, b: F.conv1d(x[:, :, None], w[:, :, None], b)[:, :, 0]),
    "bmm": Map(lambda x, w, b: torch.bmm(x[None], w.T[None])[0] + b),
    "baddbmm": Map(lambda x, w, b: torch.baddbmm(b, x[None], w.T[None])[0]),
    "vmap of mv": Map(lambda x, w, b: torch.vmap(lambda row: torch.mv(w, row))(x) + b),
    "turned: x @ w": Map(lambda x, w, b: x @ w + b, turned=True),
    "turned: F.linear of w.T": Map(lambda x, w, b: F.linear(x, w.T, b), turned=True),
    "turned: F.linear of w.mH": Map(lambda x, w, b: F.linear(x, w.mH, b), turned=True),
    "turned: F.linear of swapdims": Map(lambda x, w, b: F.linear(x, w.swapdims(0, 1), b), turned=True),
    "turned: addmm": Map(lambda x, w, b: torch.addmm(b, x, w), turned=True),
    "turned: einsum": Map(lambda x, w, b: torch.einsum("ni,io->no", x, w) + b, turned=True),
    "turned: baddbmm": Map(lambda x, w, b: torch.baddbmm(b, x[None], w[None])[0], turned=True),
}
EMBEDDING: dict[str, Spelling] = {
    "F.embedding": lambda i, w: F.embedding(i, w),
    "w[i]": lambda i, w: w[i],
    "index_select": lambda i, w: w.index_select(0, i.flatten()).view(*i.shape, -1),
    "one-hot @ w": lambda i, w: F.one_hot(i, len(w)).float() @ w,
    "take_along_dim": lambda i, w: torch.take_along_dim(w, i.reshape(-1, 1), 0).view(*i.shape, -1),
}


class Words(nn.Module):
    def __init__(self, look_up: Spelling) -> None:
        super().__init__()
        self.table, self.body, self.head = nn.Parameter(torch.randn(50, 32)), nn.Linear(32, 64), nn.Linear(64, CLASSES)
        self.look_up = look_up

    def forward(self, words: Tensor) -> Tensor:
        return self.head(torch.tanh(self.body(self.look_up(words, self.table))).flatten(0, 1))


# --- losses ----------------------------------------------------------------------------------------------------------

CROSS_ENTROPY: dict[str, Spelling] = {
    "F.cross_entropy": F.cross_entropy,
    "nn.CrossEntropyLoss": nn.CrossEntropyLoss(),
    "log_softmax, nll_loss": lambda o, t: F.nll_loss(o.log_softmax(1), t),
    "gather": lambda o, t: -o.log_softmax(1).gather(1, t[:, None]).mean(),
    "index": lambda o, t: -o.log_softmax(1)[torch.arange(N), t].mean(),
    "one-hot": lambda o, t: -(F.one_hot(t, CLASSES) * o.log_softmax(1)).sum(1).mean(),
    "soft targets": lambda o, t: F.cross_entropy(o, F.one_hot(t, CLASSES).float()),
    "logsumexp": lambda o, t: (o.logsumexp(1) - o[torch.arange(N), t]).mean(),
    "log of softmax": lambda o, t: F.nll_loss(o.softmax(1).log(), t),
    "sum over N": lambda o, t: F.cross_entropy(o, t, reduction="sum") / N,
    "mean of none": lambda o, t: F.cross_entropy(o, t, reduction="none").mean(),
}
SQUARED_ERROR: dict[str, Spelling] = {
    "F.mse_loss": F.mse_loss,
    "nn.MSELoss": nn.MSELoss(),
    "(o - t)**2": lambda o, t: ((o - t) ** 2).mean(),
    "square": lambda o, t: (t - o).square().mean(),
    "pow": lambda o, t: torch.mean(torch.pow(o - t, 2)),
    "product": lambda o, t: ((o - t) * (o - t)).mean(),
    "norm": lambda o, t: (o - t).norm() ** 2 / N,
    "sum over N": lambda o, t: F.mse_loss(o, t, reduction="sum") / N,
}
BINARY: dict[str, Spelling] = {
    "with_logits": F.binary_cross_entropy_with_logits,
    "sigmoid, then bce": lambda o, t: F.binary_cross_entropy(o.sigmoid(), t),
    "softplus": lambda o, t: (F.softplus(o) - t * o).mean(),
    "logsigmoid": lambda o, t: -(t * F.logsigmoid(o) + (1 - t) * F.logsigmoid(-o)).mean(),
    "log of sigmoid": lambda o, t: -(t * o.sigmoid().log() + (1 - t) * (1 - o.sigmoid()).log()).mean(),
}


def three(outputs: int) -> Callable[[Spelling], nn.Module]:
    return lambda _: nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, outputs), nn.Identity())


def ends_in(module: nn.Module) -> Callable[[nn.Module], None]:
    return lambda model: setattr(model, "3", module)


def offset(value: float) -> Callable[[nn.Module], object]:
    return lambda model: model[2].bias.fill_(value)


# --- all of them -----------------------------------------------------------------------------------------------------

WORD_IDS = torch.randint(50, (N, LENGTH), generator=torch.Generator().manual_seed(3))
PER_TOKEN = (torch.arange(N * LENGTH) * 7) % CLASSES
FAMILIES: dict[str, Family] = {
    "residual": Family(Residual, SUMS, times(12, "up", "down")),
    "residual, a tenth": Family(Residual, TENTHS, times(30, "up", "down")),
    "residual, three times": Family(Residual, TRIPLES, times(8, "up", "down")),
    "residual, mean": Family(Residual, HALVES, times(16, "up", "down")),
    "residual, over root 2": Family(Residual, ROOTS, times(16, "up", "down")),
    "relu": Family(Stack, RELU, shift_first),
    "tanh": Family(Stack, TANH, times(25)),
    "sigmoid": Family(Stack, SIGMOID, times(25)),
    "silu": Family(Stack, SILU, times(8)),
    "gelu": Family(Stack, GELU, times(8)),
    "hardtanh": Family(Stack, HARDTANH, times(25)),
    "softplus": Family(Stack, SOFTPLUS, times(8)),
    "leaky relu": Family(Stack, LEAKY, times(8)),
    "squared relu": Family(Stack, SQUARED, times(10)),
    "glu": Family(lambda phi: Stack(phi, wide=2), GLU, times(8)),
    "hidden softmax": Family(Stack, SOFTMAX, times(1)),
    "layer norm": Family(Normed, LAYER_NORM, scale_of(50.0)),
    "rms norm": Family(Normed, RMS_NORM, scale_of(50.0)),
    "batch norm": Family(Normed, BATCH_NORM, scale_of(50.0)),
    "attention": Family(Attention, ATTENTION, times(12, "query", "key"), TOKENS, PER_TOKEN),
    "attention, its softmax": Family(
        lambda softmax: Attention(lambda q, k, v: softmax(q @ k.mT / DIM**0.5) @ v),
        SOFTMAX, times(12, "query", "key"), TOKENS, PER_TOKEN,
    ),
    "linear": Family(Linear, LINEAR, equal_units),
    "embedding": Family(Words, EMBEDDING, lambda model: model.table.fill_(0.1), WORD_IDS, PER_TOKEN),
    "cross entropy": Family(three(CLASSES), CROSS_ENTROPY, ends_in(nn.Softmax(1)), losses=True),
    "squared error": Family(three(1), SQUARED_ERROR, offset(40.0), X, X[:, :1].sin(), losses=True),
    "binary cross entropy": Family(three(1), BINARY, ends_in(nn.Sigmoid()), X, (Y[:, None] % 2).float(), losses=True),
}  # fmt: skip
HAVE_NO_HEALTHY = {"hidden softmax"}

# What differs today: by family, and by what is compared. Whoever mends a spelling takes it out of here.
KNOWN: dict[str, dict[str, tuple[str, ...]]] = {
    "residual": {
        "plan": ("cat, unflatten, sum", "einsum of a stack", "addmm", "baddbmm", "index_add"),
    },
    "relu": {
        "plan": (
            "maximum", "max of two", "-minimum", "where", "z * (z > 0)", "masked_fill", "threshold",
            "z * (z >= 0).float()",
        ),
        "broken": (
            "max of two", "-minimum", "where", "z * (z > 0)", "masked_fill", "threshold", "(z + |z|) / 2",
            "leaky_relu of 0", "z * (z >= 0).float()",
        ),
    },
    "tanh": {
        "plan": ("sinh / cosh",),
        "broken": ("2 * sigmoid(2 z) - 1", "1 - 2 / (exp(2 z) + 1)", "sinh / cosh"),
    },
    "sigmoid": {
        "broken": ("special.expit", "1 / (1 + exp(-z))", "reciprocal", "0.5 * (1 + tanh(z / 2))", "exp(logsigmoid)"),
    },
    "silu": {
        "plan": ("glu of itself twice",),
    },
    "gelu": {
        "plan": ("by ndtr",),
    },
    "hardtanh": {
        "plan": ("minimum of maximum",),
    },
    "softplus": {
        "plan": ("logaddexp",),
    },
    "leaky relu": {
        "plan": ("where",),
    },
    "glu": {
        "plan": ("chunk", "split", "slices", "unflatten, unbind", "narrow"),
    },
    "hidden softmax": {
        "plan": ("exp / sum", "exp(z - max) / sum", "log_softmax.exp", "exp(z - logsumexp)", "F.normalize(exp, p=1)"),
        "broken": (
            "exp / sum", "exp(z - max) / sum", "log_softmax.exp", "exp(z - logsumexp)", "F.normalize(exp, p=1)",
        ),
    },
    "layer norm": {
        "plan": ("without affine, then affine", "var_mean", "F.normalize", "addcmul"),
    },
    "rms norm": {
        "plan": ("sum over 64", "F.normalize", "linalg.vector_norm", "einsum"),
    },
    "batch norm": {
        "plan": ("rsqrt", "layer_norm of the transpose"),
        "healthy": ("mean and var", "rsqrt", "layer_norm of the transpose", "mean of squares"),
        "broken": ("mean and var", "rsqrt", "layer_norm of the transpose", "mean of squares"),
    },
    "attention": {
        "plan": (
            "baddbmm", "exp over sum", "keys first", "scale given", "softmax over the other axis",
            "products and sums",
        ),
        "broken": ("exp over sum", "products and sums"),
    },
    "attention, its softmax": {
        "plan": ("exp / sum", "exp(z - max) / sum", "log_softmax.exp", "exp(z - logsumexp)", "F.normalize(exp, p=1)"),
        "broken": (
            "exp / sum", "exp(z - max) / sum", "log_softmax.exp", "exp(z - logsumexp)", "F.normalize(exp, p=1)",
        ),
    },
    "linear": {
        "plan": (
            "inner", "tensordot", "einsum ...i,oi->...o", "einsum without an arrow", "products and sums",
            "conv1d of size 1", "bmm", "baddbmm", "vmap of mv", "turned: baddbmm",
        ),
        "broken": (
            "inner", "tensordot", "einsum ...i,oi->...o", "einsum without an arrow", "products and sums",
            "vmap of mv",
        ),
    },
    "embedding": {
        "plan": ("w[i]", "index_select", "one-hot @ w", "take_along_dim"),
    },
    "cross entropy": {
        "broken": ("logsumexp",),
    },
    "squared error": {
        "broken": ("product", "norm"),
    },
    "binary cross entropy": {
        "broken": ("sigmoid, then bce", "softplus", "logsigmoid", "log of sigmoid"),
    },
}  # fmt: skip


def known(kind: str, family: str, spelling: str) -> bool:
    """Whether a spelling is told to differ from its reference."""
    return spelling in KNOWN.get(family, {}).get(kind, ())


def others(kind: str) -> Iterator[tuple[str, str]]:
    """Family and spelling of everything that is compared with its reference: `kind` is one of the three above."""
    for name, family in FAMILIES.items():
        if (kind == "plan" and family.losses) or (kind == "healthy" and name in HAVE_NO_HEALTHY):
            continue
        yield from ((name, spelling) for spelling in list(family.spell)[1:])
