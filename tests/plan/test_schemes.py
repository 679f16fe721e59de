"""Schemes of papers: the numbers that each paper gives, and what it says a network then does."""

from math import pi, sqrt

import pytest
import torch
from torch import Tensor, nn

import gainstage as gs
from gainstage import init
from gainstage.plan.schemes.tat import correlation, tailored_slope
from gainstage.theory import MeanField

X = torch.randn(64, 64, generator=torch.Generator().manual_seed(0))


class PostNorm(nn.Module):
    """norm(alpha x + f(x)), attention and MLP by turns."""

    def __init__(self, blocks: int, alpha: float, width: int = 32) -> None:
        super().__init__()
        self.alpha = alpha
        self.attention = nn.ModuleList(
            nn.MultiheadAttention(width, 2, bias=False, batch_first=True) for _ in range(blocks)
        )
        self.mlp = nn.ModuleList(
            nn.Sequential(nn.Linear(width, 2 * width), nn.ReLU(), nn.Linear(2 * width, width)) for _ in range(blocks)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2 * blocks))
        self.head = nn.Linear(width, 4)

    def forward(self, x: Tensor) -> Tensor:
        norms = iter(self.norms)
        for attention, mlp in zip(self.attention, self.mlp, strict=True):
            x = next(norms)(self.alpha * x + attention(x, x, x, need_weights=False)[0])
            x = next(norms)(self.alpha * x + mlp(x))
        return self.head(x)


class Siren(nn.Module):
    def __init__(self, depth: int, omega: float, width: int = 256) -> None:
        super().__init__()
        self.omega = omega
        self.layers = nn.ModuleList([nn.Linear(2, width), *(nn.Linear(width, width) for _ in range(depth - 1))])
        self.last = nn.Linear(width, 1)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = torch.sin(self.omega * layer(x))
        return self.last(x)


class Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q, self.k, self.v, self.o = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (layer(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for layer in (self.q, self.k, self.v))
        return self.o(nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


# --- DeepNorm --------------------------------------------------------------------------------------------------------

TOKENS = torch.randn(4, 6, 32, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("blocks", [1, 6, 18])
def test_deepnorm_has_the_papers_alpha_and_beta(blocks: int) -> None:
    plan = gs.plan(PostNorm(blocks, (2 * blocks) ** 0.25), TOKENS, scheme="deepnorm")
    beta = init.xavier_normal(float(f"{(8 * blocks) ** -0.25:.4g}"))
    assert plan["attention.0.in_proj_weight"].law == init.blocks((init.xavier_normal(), init.xavier_normal(), beta))
    assert {plan[f"{name}.weight"].law for name in ("attention.0.out_proj", "mlp.0.0", "mlp.0.2")} == {beta}
    assert plan["head.weight"].law == init.xavier_normal()
    assert "the paper keeps" not in plan["mlp.0.0.weight"].reason


def test_deepnorm_says_where_the_stream_is_kept_by_another_factor() -> None:
    reason = gs.plan(PostNorm(8, 1.0), TOKENS, scheme="deepnorm")["mlp.0.0.weight"].reason
    assert "the paper keeps 2 times the stream in front of a norm, this model 1 times" in reason


def test_deepnorm_of_an_encoder_and_a_decoder() -> None:
    model = nn.Transformer(16, 2, 3, 2, 32, batch_first=True)
    plan = gs.plan(model, (torch.randn(2, 5, 16), torch.randn(2, 4, 16)), scheme="deepnorm")
    encoder = init.xavier_normal(float(f"{0.87 * (3**4 * 2) ** (-1 / 16):.4g}"))
    decoder = init.xavier_normal(float(f"{(12 * 2) ** -0.25:.4g}"))
    assert {plan[f"encoder.layers.{i}.linear{j}.weight"].law for i in range(3) for j in (1, 2)} == {encoder}
    assert {plan[f"decoder.layers.{i}.linear{j}.weight"].law for i in range(2) for j in (1, 2)} == {decoder}
    crossed = plan["decoder.layers.1.multihead_attn.in_proj_weight"].law
    assert crossed == init.blocks((init.xavier_normal(), init.xavier_normal(), decoder))


def _update(blocks: int, alpha: float, scheme: str) -> float:
    """The change of the output, relative to it, after one step of gradient descent."""
    model = PostNorm(blocks, alpha)
    gs.initialize(model, TOKENS, scheme=scheme, seed=2)
    before = model(TOKENS)
    (before * torch.randn(before.shape, generator=torch.Generator().manual_seed(3))).mean().backward()
    with torch.no_grad():
        for p in model.parameters():
            if p.grad is not None:
                p.sub_(0.01 * p.grad)
        return float((model(TOKENS) - before).norm() / before.norm())


def test_an_update_grows_far_less_with_depth_than_without_deepnorm() -> None:
    deepnorm = [_update(blocks, (2 * blocks) ** 0.25, "deepnorm") for blocks in (2, 12)]
    plain = [_update(blocks, 1.0, "xavier_normal") for blocks in (2, 12)]
    assert deepnorm[1] < 4 * deepnorm[0]  # measured: 2.5 times
    assert plain[1] > 10 * plain[0]  # measured: 34 times


# --- SIREN -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("omega", [1.0, 30.0])
def test_siren_has_the_papers_bounds_with_the_models_own_frequency(omega: float) -> None:
    model = Siren(3, omega, 64)
    plan = gs.plan(model, torch.rand(32, 2), scheme="siren")
    bound = sqrt(6 / 64) / omega
    assert plan["layers.0.weight"].law == init.uniform(-1 / 2, 1 / 2)
    for name in ("layers.1.weight", "layers.2.weight", "last.weight"):
        assert plan[name].law == init.uniform(-bound, bound)


def test_behind_every_sine_of_a_siren_the_law_is_that_of_the_paper() -> None:
    depth, omega = 6, 30.0
    model, x = Siren(depth, omega), torch.rand(512, 2, generator=torch.Generator().manual_seed(0)) * 2 - 1
    gs.initialize(model, x, scheme="siren", seed=1)
    with torch.no_grad():
        for index, layer in enumerate(model.layers):
            layer.bias.zero_()
            read = omega * layer(x)
            x = torch.sin(read)
            if index > 1:  # in front of a sine a normal of one variance, v = 1 - exp(-2 v)
                assert float(read.var()) == pytest.approx(0.7968, rel=0.1)
                assert float((read.abs() < read.std()).float().mean()) == pytest.approx(0.6827, abs=0.02)


# --- mimetic ---------------------------------------------------------------------------------------------------------


def test_mimetic_products_are_those_of_the_paper() -> None:
    width = 128
    model = Attention(width, 1)
    plan = gs.initialize(model, torch.randn(2, 5, width), scheme="mimetic", seed=3)
    q, k, v, o = (layer.weight.detach() for layer in (model.q, model.k, model.v, model.o))
    for product, size, diagonal in ((q.T @ k, 0.7, 0.7), (o @ v, 0.4, -0.4)):
        rest = product - diagonal * torch.eye(width)
        assert float(product.diagonal().mean()) == pytest.approx(diagonal, abs=0.03)
        assert float(rest.square().mean()) == pytest.approx(size**2 / width, rel=0.05)
    assert plan["o.weight"].reason == "scheme 'mimetic', 1 heads"


def test_mimetic_attention_looks_at_itself_first() -> None:
    x = torch.nn.functional.normalize(torch.randn(2, 12, 64, generator=torch.Generator().manual_seed(4)), dim=-1) * 8
    for scheme, less in (("mimetic", False), ("torch", True)):
        model = Attention(64, 4)
        gs.initialize(model, x, scheme=scheme)
        q, k = (layer(x).unflatten(-1, (4, -1)).transpose(1, 2) for layer in (model.q, model.k))
        itself = (q @ k.transpose(-1, -2) / 4).softmax(-1).diagonal(dim1=-2, dim2=-1).mean()
        assert (float(itself.detach()) < 0.15) == less


def test_mimetic_leaves_projections_that_are_not_square_to_torch() -> None:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.q, self.k, self.v = nn.Linear(32, 32), nn.Linear(32, 16), nn.Linear(32, 16)

        def forward(self, x: Tensor) -> Tensor:
            q, k, v = (f(x).unflatten(-1, (-1, 16)).transpose(1, 2) for f in (self.q, self.k, self.v))
            return nn.functional.scaled_dot_product_attention(q, k, v, enable_gqa=True)

    plan = gs.plan(Shared(), torch.randn(2, 5, 32), scheme="mimetic")
    assert "mimetic" in str(plan["q.weight"].law)
    assert plan["k.weight"].law == init.torch_default()


# --- TAT -------------------------------------------------------------------------------------------------------------


def test_the_map_of_correlations_is_that_of_rectifiers() -> None:
    assert correlation(0.0, 0.0) == pytest.approx(1 / pi)  # Cho & Saul, NeurIPS 2009: the kernel of order 1
    assert correlation(0.3, 1.0) == pytest.approx(1.0)
    assert correlation(1.0, 0.4) == pytest.approx(0.4)  # linear
    field = MeanField(lambda z: torch.nn.functional.leaky_relu(z, 0.3), 2 / (1 + 0.3**2), 0.0)
    assert correlation(0.3, 0.5) == pytest.approx(field.correlation(0.5, 1.0), abs=1e-4)


@pytest.mark.parametrize("depth", [20, 50])
def test_a_tailored_network_makes_the_asked_correlation_of_none(depth: int) -> None:
    layers = [layer for _ in range(depth) for layer in (nn.Linear(256, 256), nn.PReLU())]
    model = nn.Sequential(*layers)
    x = torch.linalg.qr(torch.randn(256, 16, generator=torch.Generator().manual_seed(5))).Q.T * 16
    gs.initialize(model, x, scheme="tat", seed=6)
    assert float(model[1].weight.detach()) == pytest.approx(tailored_slope(depth), rel=1e-3)
    with torch.no_grad():
        y = model(x)
    level = y.square().mean(1)
    c = (y @ y.T / 256) / torch.outer(level, level).sqrt()
    assert float(c[~torch.eye(16, dtype=torch.bool)].mean()) == pytest.approx(0.9, abs=0.03)


# --- all -------------------------------------------------------------------------------------------------------------


def test_orthogonal_takes_the_gain_of_the_activation_behind() -> None:
    for module, gain in ((nn.ReLU, sqrt(2)), (nn.Tanh, 1.59254)):
        model = nn.Sequential(*[f for _ in range(20) for f in (nn.Linear(64, 64), module())], nn.Linear(64, 8))
        plan = gs.initialize(model, X, scheme="orthogonal")
        assert plan["0.weight"].law.gain == pytest.approx(gain, rel=1e-3)
        assert plan["40.weight"].law == init.orthogonal()
        with torch.no_grad():
            assert 0.2 < float(model[:-1](X).square().mean()) < 2


@pytest.mark.parametrize(
    ("scheme", "told"),
    [("deepnorm", "residual"), ("siren", "sines"), ("mimetic", "attention"), ("tat", "nn.PReLU")],
)
def test_a_scheme_for_another_kind_of_network_says_so(scheme: str, told: str) -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    before = [p.clone() for p in model.parameters()]
    with pytest.raises(gs.GainstageError, match=told):
        gs.initialize(model, torch.randn(3, 4), scheme=scheme)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_plans_of_papers_run_on_the_meta_device_and_as_files() -> None:
    with torch.device("meta"):
        model = Siren(3, 30.0, 64)
    plan = gs.plan(model, torch.rand(32, 2, device="meta"), scheme="siren")
    assert gs.Plan.from_json(plan.to_json()) == plan
    assert "uniform_" in plan.to_python()
