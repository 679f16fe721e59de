"""Nets of two or three layers whose levels are known in closed form: planned = closed form = measured, within 2 %.

Every case states, for each of its weights, the level behind it that theory gives, computed here by a quadrature of our
own. The plan must state that level, and a wide network filled by the plan must show it. Inputs are standard normal
unless a case says otherwise. Measured levels are means over `SEEDS` fills with fixed seeds; widths are
such that the mean's standard deviation is at most 0.4 % (0.1 to 0.4 %, from 24 fills each), so 2 % are 5 of them: a
right plan fails a comparison in fewer than 1e-6 of all choices of seeds.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from math import cosh, log, pi, sinh, sqrt
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import gainstage as gs
from gainstage.signal import Graph

SEEDS = 12
W = 1024  # units of a hidden layer
N = 256  # samples
CHANCE = 0.05 * log(1000)  # level of a head of 1000 outputs
Elementwise = Callable[[Tensor], Tensor]


def mean(f: Elementwise) -> float:
    """E[f(z)] for a standard normal z: Simpson's rule on [-10, 10]."""
    z = torch.linspace(-10.0, 10.0, 40001, dtype=torch.float64)
    weight = torch.full_like(z, 2.0)
    weight[1::2], weight[0], weight[-1] = 4.0, 1.0, 1.0
    density = torch.exp(-z.square() / 2) / sqrt(2 * pi)
    return float((f(z) * density * weight).sum() * (z[1] - z[0]) / 3)


def square(f: Elementwise) -> float:
    return mean(lambda z: f(z).square())


@dataclass
class Case:
    """A network, its example, and by the name of a weight the level behind it; `None`: no level is planned there."""

    model: nn.Module
    example: Any
    levels: dict[str, float | None]
    variances: dict[str, float] = field(default_factory=dict)  # of a weight, times its fan in
    roles: dict[str, str] = field(default_factory=dict)  # how the role begins or ends
    seeds: int = SEEDS


CASES: dict[str, Callable[[], Case]] = {}


def case(build: Callable[[], Case]) -> Callable[[], Case]:
    CASES[build.__name__] = build
    return build


def normal(*shape: int, scale: float = 1.0) -> Tensor:
    """Standard normal numbers; the channels of every sample (of every place) have the same mean square."""
    x = torch.randn(*shape, generator=torch.Generator().manual_seed(len(shape)))
    return scale * x / x.square().mean(1, keepdim=True).sqrt()


class Net(nn.Module):
    """Modules by name, and a forward pass that is told."""

    def __init__(self, forward: Callable[..., Tensor], **modules: nn.Module | nn.Parameter) -> None:
        super().__init__()
        for name, module in modules.items():
            setattr(self, name, module)
        self.told = forward

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.told(self, *inputs)


def linear(*sizes: int) -> list[nn.Linear]:
    return [nn.Linear(a, b) for a, b in pairwise(sizes)]


# --- an activation between weights -----------------------------------------------------------------------------------

ACTIVATIONS: dict[str, Elementwise] = {
    "relu": torch.relu,
    "tanh": torch.tanh,
    "gelu": F.gelu,
    "silu": F.silu,
    "selu": F.selu,
    "elu": F.elu,
    "mish": F.mish,
    "softplus": F.softplus,
    "sigmoid": torch.sigmoid,
    "hardtanh": F.hardtanh,
    "relu6": F.relu6,
    "leaky_relu": F.leaky_relu,
    "softsign": F.softsign,
    "hardswish": F.hardswish,
    "sin": torch.sin,
}


def activated(phi: Elementwise, seeds: int = SEEDS) -> Case:
    a, head = linear(64, W, 1000)
    net = Net(lambda m, x: m.head(phi(m.a(x))), a=a, head=head)
    variances = {"a.weight": 1.0, "head.weight": CHANCE / square(phi)}
    roles = {"head.weight": "output head", "a.weight": "input weight into"}
    return Case(net, normal(N, 64), {"a.weight": 1.0, "head.weight": CHANCE}, variances, roles, seeds)


for name, phi in ACTIVATIONS.items():
    share = mean(phi) ** 2 / square(phi)  # of a constant in what the head reads: it makes the fills differ
    CASES[name] = lambda phi=phi, share=share: activated(phi, max(SEEDS, round(150 * share**2)))


def hidden(phi: Elementwise) -> Case:
    a, b, head = linear(64, W, W, 1000)
    net = Net(lambda m, x: m.head(phi(m.b(phi(m.a(x))))), a=a, b=b, head=head)
    levels = {"a.weight": 1.0, "b.weight": 1.0, "head.weight": CHANCE}
    variances = {"b.weight": 1 / square(phi), "head.weight": CHANCE / square(phi)}
    return Case(net, normal(N, 64), levels, variances, {"b.weight": "hidden weight"})


CASES["hidden_tanh"] = lambda: hidden(torch.tanh)
CASES["hidden_hardtanh"] = lambda: hidden(F.hardtanh)
CASES["no_activation"] = lambda: hidden(lambda z: z)


@case
def fast_sine() -> Case:
    """sin(a z) at level q multiplies the gradient by u coth(u), u = a^2 q: it is calm where that is 2."""
    phi, u = (lambda z: torch.sin(30 * z)), 1.9150080481545375
    assert u * cosh(u) / sinh(u) == pytest.approx(2)
    q = u / 900
    a, b, head = linear(64, W, W, 1000)
    net = Net(lambda m, x: m.head(phi(m.b(phi(m.a(x))))), a=a, b=b, head=head)
    return Case(net, normal(N, 64), {"a.weight": q, "b.weight": q, "head.weight": CHANCE})


@case
def input_of_twice_the_size() -> Case:
    """An input's level counts as the nearest power of 4."""
    a, head = linear(64, W, 1000)
    net = Net(lambda m, x: m.head(torch.relu(m.a(x))), a=a, head=head)
    return Case(net, normal(N, 64, scale=2.0), {"a.weight": 1.0, "head.weight": CHANCE}, {"a.weight": 0.25})


@case
def multiplied_by_a_number() -> Case:
    a, b, head = linear(64, W, W, 1000)
    net = Net(lambda m, x: m.head(torch.tanh(m.b(0.5 * m.a(x))) / 4), a=a, b=b, head=head)
    levels = {"a.weight": 1.0, "b.weight": 1.0, "head.weight": CHANCE}
    return Case(net, normal(N, 64), levels, {"b.weight": 4.0, "head.weight": 16 * CHANCE / square(torch.tanh)})


@case
def dropout() -> Case:
    a, head = linear(64, W, 1000)
    net = Net(lambda m, x: m.head(F.dropout(torch.relu(m.a(x)), 0.75)), a=a, head=head)
    return Case(net, normal(N, 64), {"a.weight": 1.0, "head.weight": CHANCE}, {"head.weight": CHANCE / 2})


@case
def two_outputs_and_one() -> Case:
    """Heads of one and of two outputs stay within 10 % of ln 2."""
    few = {"one.weight": 0.05 * log(2), "two.weight": 0.05 * log(2)}
    net = Net(lambda m, x: (m.one(x), m.two(x)), one=nn.Linear(64, 1), two=nn.Linear(64, 2))
    return Case(net, normal(N, 64), few, few, seeds=0)  # three units: too few to be measured


# --- sums, differences, products, joins ------------------------------------------------------------------------------


def joined(join: Callable[[Tensor, Tensor], Tensor], level: float, factor: int = 1) -> Case:
    a, b = linear(64, W), linear(64, W)
    net = Net(lambda m, x, y: m.head(join(m.a(x), m.b(y))), a=a[0], b=b[0], head=nn.Linear(factor * W, 1000))
    levels = {"a.weight": 1.0, "b.weight": 1.0, "head.weight": CHANCE}
    x, y = normal(2 * N, 64).chunk(2)
    return Case(net, (x, y), levels, {"head.weight": CHANCE / level})


HALF, SIDE = 0.5, 1 / sqrt(2 * pi)  # mean square and mean of relu(z)
relu, silu = torch.relu, F.silu
CASES["sum"] = lambda: joined(lambda a, b: a + b, 2.0)
CASES["sum_of_rectified"] = lambda: joined(lambda a, b: relu(a) + relu(b), 2 * (HALF - SIDE**2) + 4 * SIDE**2)
CASES["difference_of_rectified"] = lambda: joined(lambda a, b: relu(a) - relu(b), 2 * (HALF - SIDE**2))
CASES["product"] = lambda: joined(lambda a, b: a * b, 1.0)
CASES["joined_side_by_side"] = lambda: joined(lambda a, b: torch.cat([a, relu(b)], 1), 0.75, factor=2)
CASES["swiglu"] = lambda: joined(lambda a, b: a * silu(b), square(silu))
CASES["geglu"] = lambda: joined(lambda a, b: F.gelu(a) * b, square(F.gelu))
CASES["glu_by_sigmoid"] = lambda: joined(lambda a, b: a * b.sigmoid(), square(torch.sigmoid))


@case
def glu() -> Case:
    net = Net(lambda m, x: m.head(F.glu(m.a(x))), a=nn.Linear(64, 2 * W), head=nn.Linear(W, 1000))
    level = square(torch.sigmoid)
    return Case(net, normal(N, 64), {"a.weight": 1.0, "head.weight": CHANCE}, {"head.weight": CHANCE / level})


@case
def one_half_of_the_units() -> Case:
    net = Net(lambda m, x: m.head(m.a(x).chunk(2, 1)[0].tanh()), a=nn.Linear(64, 2 * W), head=nn.Linear(W, 1000))
    levels = {"a.weight": 1.0, "head.weight": CHANCE}
    return Case(net, normal(N, 64), levels, {"head.weight": CHANCE / square(torch.tanh)})


@case
def bilinear() -> Case:
    net = Net(lambda m, x, y: m.head(m.a(x, y).tanh()), a=nn.Bilinear(48, 48, W), head=nn.Linear(W, 1000))
    x, y = normal(2 * N, 48).chunk(2)
    return Case(net, (x, y), {"a.weight": 1.0, "head.weight": CHANCE}, {"head.weight": CHANCE / square(torch.tanh)})


# --- convolutions ----------------------------------------------------------------------------------------------------


@case
def convolution_with_padding() -> Case:
    """Of 3 x 3 taps over 4 x 4 places, (10 / 12)^2 lie inside the image."""
    net = nn.Sequential(nn.Conv2d(32, 256, 3, padding=1), nn.ReLU(), nn.Conv2d(256, 512, 3), nn.ReLU())
    net = nn.Sequential(*net, nn.Flatten(), nn.Linear(512 * 4, 1000))
    levels = {"0.weight": 1.0, "2.weight": None, "5.weight": None}  # the inner places are louder: no closed form
    return Case(net, normal(64, 32, 4, 4), levels, {"0.weight": 1.44, "2.weight": 2.0})


@case
def convolution_with_little_padding() -> Case:
    """Over 64 places 1 tap in 96 hangs over: that is left alone."""
    net = nn.Sequential(nn.Conv1d(32, 512, 3, padding=1), nn.Flatten(), nn.Linear(512 * 64, 10))
    return Case(net, normal(64, 32, 64), {"0.weight": 1 - 1 / 96}, {"0.weight": 1.0})


@case
def strided_dilated_grouped_convolution() -> Case:
    first = nn.Conv1d(64, W, 5, stride=2, dilation=2, groups=2)
    net = nn.Sequential(first, nn.SiLU(), nn.Conv1d(W, 256, 3), nn.Tanh(), nn.Flatten(), nn.Linear(256 * 10, 1000))
    levels = {"0.weight": 1.0, "2.weight": 1.0, "5.weight": CHANCE}
    variances = {"0.weight": 1.0, "2.weight": 1 / square(F.silu), "5.weight": CHANCE / square(torch.tanh)}
    return Case(net, normal(64, 64, 31), levels, variances)


@case
def depthwise_convolution() -> Case:
    net = nn.Sequential(nn.Conv2d(16, W, 1), nn.Tanh(), nn.Conv2d(W, W, 3, groups=W), nn.Tanh(), nn.Flatten())
    net = nn.Sequential(*net, nn.Linear(4 * W, 1000))
    levels = {"0.weight": 1.0, "2.weight": 1.0, "5.weight": None}  # 9 taps make no normal distribution: 3 % below
    return Case(net, normal(32, 16, 4, 4), levels, {"2.weight": 1 / square(torch.tanh)})


@case
def volume_convolution() -> Case:
    net = nn.Sequential(nn.Conv3d(8, 512, 2), nn.ReLU(), nn.Flatten(), nn.Linear(512 * 8, 1000))
    return Case(net, normal(64, 8, 3, 3, 3), {"0.weight": 1.0, "3.weight": CHANCE}, {"3.weight": 2 * CHANCE})


@case
def transposed_convolution_side_by_side() -> Case:
    """Kernel = stride: every place reads one tap of every channel."""
    net = nn.Sequential(nn.ConvTranspose2d(64, 512, 2, 2), nn.Tanh(), nn.ConvTranspose2d(512, 128, 2, 2), nn.Tanh())
    net = nn.Sequential(*net, nn.Flatten(), nn.Linear(128 * 64, 1000))
    levels = {"0.weight": 1.0, "2.weight": 1.0, "5.weight": CHANCE}
    return Case(net, normal(64, 64, 2, 2), levels, {"2.weight": 1 / square(torch.tanh)})


@case
def transposed_convolution_that_overlaps() -> Case:
    """Kernel 4, stride 2: every place but the first and the last reads two taps."""
    net = nn.Sequential(nn.ConvTranspose1d(64, 256, 4, 2, padding=1), nn.Flatten(), nn.Linear(256 * 256, 10))
    return Case(net, normal(32, 64, 128), {"0.weight": 1 - 1 / 256})


@case
def pooled_where_all_places_are_alike() -> Case:
    net = nn.Sequential(nn.Conv2d(64, W, 1), nn.Tanh(), nn.AvgPool2d(2), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    net = nn.Sequential(*net, nn.Linear(W, 1000))
    x = normal(N, 64)[:, :, None, None].expand(-1, -1, 4, 4)
    return Case(net, x, {"0.weight": 1.0, "5.weight": CHANCE}, {"5.weight": CHANCE / square(torch.tanh)})


# --- tables ----------------------------------------------------------------------------------------------------------

WORDS = torch.arange(N).reshape(32, 8)


@case
def embedding() -> Case:
    net = Net(
        lambda m, i: m.head(m.a(m.e(i)).tanh()), e=nn.Embedding(N, 256), a=nn.Linear(256, W), head=nn.Linear(W, 1000)
    )
    variances = {"e.weight": 1.0, "a.weight": 1.0, "head.weight": CHANCE / square(torch.tanh)}
    return Case(net, WORDS, {"e.weight": 1.0, "a.weight": 1.0, "head.weight": CHANCE}, variances)


@case
def embeddings_that_add_up() -> Case:
    """Of three tables each has a third of the level; the stream that reads them has 1."""
    tables = {name: nn.Embedding(N, W) for name in "efg"}
    net = Net(lambda m, i: m.head(m.e(i) + m.f(i.flip(1)) + m.g(i.flip(0))), **tables, head=nn.Linear(W, 1000))
    thirds = dict.fromkeys(("e.weight", "f.weight", "g.weight"), 1 / 3)
    return Case(net, WORDS, {**thirds, "head.weight": CHANCE}, {**thirds, "head.weight": CHANCE})


@case
def embedding_tied_with_the_head() -> Case:
    """No logit stands out: std = 0.5 ln C / width where that is the smallest bound, sqrt(0.05 ln C / width) else."""
    net = Net(lambda m, i: F.linear(m.a(m.e(i)).tanh(), m.e.weight), e=nn.Embedding(1000, 64), a=nn.Linear(64, 64))
    std = min(0.5 * log(1000) / 64, sqrt(CHANCE / 64))
    return Case(net, WORDS, {"e.weight": std**2}, {"e.weight": std**2}, {"e.weight": "embedding tied with"})


@case
def embedding_into_a_norm() -> Case:
    net = Net(
        lambda m, i: m.head(m.n(m.e(i))), e=nn.Embedding(N, W), n=nn.LayerNorm(W, eps=1e-9), head=nn.Linear(W, 1000)
    )
    return Case(net, WORDS, {"e.weight": 4e-4, "head.weight": CHANCE}, {"e.weight": 4e-4, "head.weight": CHANCE})


# --- normalizations --------------------------------------------------------------------------------------------------


def normalized(norm: Callable[[Tensor], Tensor] | nn.Module) -> Case:
    a, b, head = linear(64, W, W, 1000)
    net = Net(lambda m, x: m.head(torch.tanh(m.b(m.norm(3 * m.a(x))))), a=a, b=b, head=head)
    net.norm = norm
    levels = {"a.weight": None, "b.weight": 1.0, "head.weight": CHANCE}
    return Case(net, normal(N, 64), levels, {"b.weight": 1.0}, {"a.weight": "weight into"})


NORMS: dict[str, Callable[[], Any]] = {
    "layer_norm": lambda: nn.LayerNorm(W),
    "batch_norm": lambda: nn.BatchNorm1d(W),
    "rms_norm": lambda: nn.RMSNorm(W),
    "group_norm": lambda: nn.GroupNorm(8, W),
    "rms_norm_by_hand": lambda: lambda x: x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6),
}
for name, norm in NORMS.items():
    CASES[f"{name}_between_weights"] = lambda norm=norm: normalized(norm())


# --- residual streams ------------------------------------------------------------------------------------------------


class Residual(nn.Module):
    """`h = join(h, down(tanh(up(norm(h)))))`, four times."""

    def __init__(self, join: Callable[[Tensor, Tensor], Tensor], norm: str = "", blocks: int = 4) -> None:
        super().__init__()
        self.stem, self.head, self.join, self.norm = nn.Linear(64, W), nn.Linear(W, 1000), join, norm
        self.up, self.down = (nn.ModuleList(linear(*[W] * (blocks + 1))) for _ in range(2))
        self.norms = nn.ModuleList(nn.LayerNorm(W) for _ in range(blocks)) if norm else [nn.Identity()] * blocks

    def forward(self, x: Tensor) -> Tensor:
        h = self.stem(x)
        for up, down, norm in zip(self.up, self.down, self.norms, strict=True):
            branch = down(torch.tanh(up(norm(h) if self.norm == "first" else h)))
            h = self.join(h, norm(branch) if self.norm == "last" else branch)
        return self.head(h)


def residual(join: Callable[[Tensor, Tensor], Tensor], scale: float = 1.0, norm: str = "") -> Case:
    """Four branches that each add a quarter of the stream's first level: it reads 1, 5/4, 6/4, 7/4 and ends at 2."""
    streams = [(4 + k) / 4 for k in range(4)]
    levels: dict[str, float | None] = {"stem.weight": 1.0, "head.weight": CHANCE}
    variances, roles = {"head.weight": CHANCE / 2}, {}
    for k, level in enumerate(streams):
        levels |= {f"up.{k}.weight": 1.0, f"down.{k}.weight": None if norm == "last" else 0.25 / scale**2}
        variances[f"up.{k}.weight"] = 1.0 if norm == "first" else 1 / level
        if norm != "last":
            variances[f"down.{k}.weight"] = 0.25 / scale**2 / square(torch.tanh)
            roles[f"down.{k}.weight"] = f"last weight of residual branch {k + 1} of 4"
    return Case(Residual(join, norm), normal(N, 64), levels, variances, roles)


CASES["residual"] = lambda: residual(lambda h, b: h + b)
CASES["residual_with_norm_first"] = lambda: residual(lambda h, b: h + b, norm="first")
CASES["residual_with_norm_last"] = lambda: residual(lambda h, b: h + b, norm="last")
CASES["residual_difference"] = lambda: residual(lambda h, b: h - b)
CASES["residual_of_a_tenth"] = lambda: residual(lambda h, b: h + 0.1 * b, scale=0.1)
CASES["residual_of_three_times"] = lambda: residual(lambda h, b: torch.add(h, b, alpha=3.0), scale=3.0)


# --- attention -------------------------------------------------------------------------------------------------------


class Attention(nn.Module):
    def __init__(self, scale: float) -> None:
        super().__init__()
        self.q, self.k, self.v, self.o = linear(*[W] * 5)
        self.head, self.scale = nn.Linear(W, 1000), scale

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (f(x).unflatten(-1, (16, W // 16)).transpose(1, 2) for f in (self.q, self.k, self.v))
        mixed = ((q @ k.transpose(-1, -2)) * self.scale).softmax(-1) @ v
        return self.head(self.o(mixed.transpose(1, 2).flatten(2)).tanh())


def attended(scale: float, query: float) -> Case:
    """Positions are alike, so that their average has the level of one; elsewhere an average is lower."""
    levels = {"q.weight": query, "k.weight": 1.0, "v.weight": 1.0, "o.weight": 1.0}
    roles = {"q.weight": "query weight", "k.weight": "key weight", "v.weight": "value weight"}
    roles["o.weight"] = "attention output weight"
    x = normal(N // 4, W)[:, None, :].expand(-1, 4, -1)
    return Case(Attention(scale), x, levels | {"head.weight": CHANCE}, {"q.weight": query}, roles)


CASES["attention"] = lambda: attended((W // 16) ** -0.5, 1.0)
CASES["attention_without_a_scale"] = lambda: attended(1.0, 1 / (W // 16))


# --- recurrence ------------------------------------------------------------------------------------------------------


def recurrent(cell: type[nn.Module]) -> Case:
    """The level of h where it has settled, for inputs that are alike at no two steps."""
    net = Net(lambda m, x: m.head(m.rnn(x)[0][:, 24:]), rnn=cell(64, 512, batch_first=True), head=nn.Linear(512, 1000))
    return Case(net, normal(32, 32, 64), {"head.weight": CHANCE}, seeds=4)


CASES["lstm"] = lambda: recurrent(nn.LSTM)
CASES["gru"] = lambda: recurrent(nn.GRU)
CASES["rnn_of_tanh"] = lambda: recurrent(nn.RNN)

# What does not hold today: each must leave this table with the change that mends it.
KNOWN = {
    "lstm": "the level of a settled state is a stored 0.06, measured 0.053",
    "gru": "the level of a settled state is a stored 0.1, 0.103 by its formula",
    "rnn_of_tanh": "the level of a settled state is a stored 0.4, measured 0.46",
}


# --- the comparison --------------------------------------------------------------------------------------------------


def measured(case: Case, plan: gs.Plan, model: nn.Module) -> dict[str, float]:
    """The mean square behind every weight, a mean over fills."""
    sums: dict[str, float] = {}
    for seed in range(case.seeds):
        plan.apply(model, seed=seed)
        graph = Graph(gs.record(model, case.example, backward=False))
        found = {}
        for site, call in graph.weights.items():
            found.setdefault(graph.parameter_of(call.weight), graph.sites[site].forward.mean_square)
        for name, level in found.items():
            sums[name] = sums.get(name, 0.0) + level / case.seeds
    return sums


def variance(plan: gs.Plan, name: str) -> float:
    """Of a weight, times its fan in."""
    given = plan[name]
    return given.law.concrete(plan.shapes[name], given.fans).std ** 2 * given.fans.fan_in


def marked(name: str) -> Any:
    marks = [pytest.mark.xfail(strict=True, reason=KNOWN[name])] if name in KNOWN else []
    return pytest.param(name, marks=marks)


@pytest.mark.parametrize("name", [marked(name) for name in CASES])
def test_planned_and_measured_are_the_closed_form(name: str) -> None:
    torch.manual_seed(0)
    case = CASES[name]()
    plan = gs.plan(case.model, case.example, scheme="theory")
    for weight, wanted in case.variances.items():
        assert variance(plan, weight) == pytest.approx(wanted, rel=0.02), f"variance of {weight}"
    for weight, wanted in case.roles.items():
        assert plan[weight].role.startswith(wanted), plan[weight].role
    tables = {weight for weight in case.levels if plan[weight].role.startswith("embedding")}
    for weight, wanted in case.levels.items():
        if weight not in tables and wanted is not None:
            assert plan[weight].level == pytest.approx(wanted, rel=0.02), f"planned level behind {weight}"
    found = measured(case, plan, case.model)
    for weight, wanted in case.levels.items():
        if case.seeds and wanted is not None:
            assert found[weight] == pytest.approx(wanted, rel=0.02), f"measured level behind {weight}"


@pytest.mark.parametrize("name", ["lstm", "gru", "rnn_of_tanh"])
def test_the_level_of_a_recurrent_state_is_known_to_a_fifth(name: str) -> None:
    torch.manual_seed(0)
    case = CASES[name]()
    plan = gs.plan(case.model, case.example, scheme="theory")
    assert measured(case, plan, case.model)["head.weight"] == pytest.approx(CHANCE, rel=0.2)


AVERAGES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "over_root_2": lambda h, b: (h + b) / 2**0.5,
    "half_of_each": lambda h, b: 0.5 * h + 0.5 * b,
    "lerp": lambda h, b: torch.lerp(h, b, 0.5),
}


@pytest.mark.parametrize("name", AVERAGES)
def test_a_stream_keeps_its_level_where_every_sum_is_scaled(name: str) -> None:
    """`out = a h + b f(h)`: the branch's level is (growth s - a^2 s) / b^2, and the stream at most doubles."""
    torch.manual_seed(0)
    model, x = Residual(AVERAGES[name]), normal(N, 64)
    gs.initialize(model, x)
    graph = Graph(gs.record(model, x, backward=False))
    head = max(graph.weights)
    stream = graph.sites[graph.weights[head].data.site].forward.mean_square
    assert 0.9 < stream < 2.2


ODD: dict[str, Elementwise] = {"tanh": torch.tanh, "erf": torch.erf, "softsign": F.softsign}


def through(layers: nn.ModuleList, phi: Elementwise, x: Tensor) -> Tensor:
    for layer in layers[:-1]:
        x = phi(layer(x))
    return layers[-1](x)


@pytest.mark.parametrize("depth", [8, 30])
@pytest.mark.parametrize("name", ODD)
def test_the_gradient_keeps_its_size_over_a_deep_odd_chain(name: str, depth: int) -> None:
    """The product over the layers of g^2 E[phi'^2] is 1 at the gain that the plan chose; slopes by autograd."""
    phi = ODD[name]
    net = Net(lambda m, x: through(m.layers, phi, x), layers=nn.ModuleList(linear(*[64] * (depth + 1))))
    gain = gs.plan(net, normal(N, 64))["layers.1.weight"].law.gain
    q, product = 1.0, 1.0
    for _ in range(depth):
        product *= gain**2 * square(lambda z, q=q: slope(phi, q**0.5 * z))
        q = gain**2 * square(lambda z, q=q: phi(q**0.5 * z))
    assert abs(log(product)) < 0.01 * depth  # the gain has three digits


def slope(phi: Elementwise, z: Tensor) -> Tensor:
    z = z.requires_grad_()
    return torch.autograd.grad(phi(z).sum(), z)[0]


@pytest.mark.parametrize(("name", "steepness"), [("relu", 1.0), ("gelu", 1.0), ("silu", 1.0), ("leaky_relu", 1.01)])
def test_pairs_of_a_deep_rectified_chain_pass_on_exactly_what_they_read(name: str, steepness: float) -> None:
    """phi(z) - phi(-z) = c z: the gain is 1 / c, and every level is the first."""
    layers = nn.ModuleList(linear(64, *[128] * 9, 10))
    model, x = Net(lambda m, x: through(m.layers, ACTIVATIONS[name], x), layers=layers), normal(N, 64)
    plan = gs.initialize(model, x)
    assert plan["layers.1.weight"].law.gain == pytest.approx(1 / steepness, rel=0.005)
    graph = Graph(gs.record(model, x, backward=False))
    levels = [graph.sites[site].forward.mean_square for site in graph.weights]
    assert levels[1:-1] == pytest.approx([levels[0]] * 8, rel=0.02)
    planned = [plan[graph.parameter_of(call.weight)].level for call in graph.weights.values()]
    assert planned[:-1] == pytest.approx([1.0] * 9, rel=0.02)
    assert planned[-1] == pytest.approx(0.05 * log(10), rel=0.02)
    assert levels[-1] == pytest.approx(planned[-1], rel=0.7)  # ten units
