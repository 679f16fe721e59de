"""The scheme `auto` gives every parameter the role and law that its place asks for."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import gainstage as gs
from gainstage import init


def mlp(act: type[nn.Module], depth: int, width: int = 64) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Linear(64, width), act()]
    for _ in range(depth - 2):
        layers += [nn.Linear(width, width), act()]
    return nn.Sequential(*layers, nn.Linear(width, 10))


X = torch.randn(128, 64, generator=torch.Generator().manual_seed(0))


def level(model: nn.Module, name: str, x=X) -> float:
    return gs.record(model, x, backward=False)[name].forward.mean_square


@pytest.mark.parametrize(
    ("act", "gain"), [(nn.ReLU, 2**0.5), (nn.GELU, 1.5335), (nn.SiLU, 1.6765), (nn.Tanh, 1.5925), (nn.SELU, 1.0)]
)
def test_shallow_weights_have_the_exact_gain_of_what_they_read(act: type[nn.Module], gain: float) -> None:
    model = mlp(act, 4)
    plan = gs.plan(model, X)
    std = plan["2.weight"].law.concrete((64, 64)).std
    assert std == pytest.approx(gain / 8, rel=0.02)
    assert plan["0.weight"].law == init.lecun_normal()
    assert plan["2.weight"].role == f"hidden weight into {act.__name__.lower()}"
    plan.apply(model)
    for name in ("0", "2", "4"):
        assert 0.5 < level(model, name) < 2


@pytest.mark.parametrize("act", [nn.ReLU, nn.GELU, nn.SiLU, nn.LeakyReLU])
@pytest.mark.parametrize("depth", [10, 60])
def test_deep_plain_rectifier_nets_start_as_linear_isometries(act: type[nn.Module], depth: int) -> None:
    model = mlp(act, depth)
    plan = gs.initialize(model, X)
    assert isinstance(plan["2.weight"].law, type(init.mirrored()))
    tape = gs.record(model, X)
    levels = [tape[str(2 * i)].forward for i in range(depth - 1)]
    assert max(m.mean_square for m in levels) / min(m.mean_square for m in levels) < 1.02
    assert levels[-1].variance_between / levels[-1].mean_square > 0.9
    with torch.no_grad():  # linear: f(x) + f(-x) = 0
        assert float((model(X) + model(-X)).abs().max()) < 1e-3 * float(model(X).abs().max())


def test_deep_plain_convolutions_start_as_linear_isometries() -> None:
    layers = [nn.Conv2d(3, 16, 3, padding=1), nn.ReLU()]
    for _ in range(20):
        layers += [nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(inplace=True)]
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10))
    x = torch.randn(16, 3, 8, 8)
    plan = gs.initialize(model, x)
    assert plan["2.weight"].law == init.mirrored()
    assert plan["44.weight"].role == "output head"
    tape = gs.record(model, x)
    assert tape["40"].forward.mean_square == pytest.approx(tape["0"].forward.mean_square, rel=0.01)


def test_deep_tanh_nets_start_orthogonal_at_the_edge_of_chaos() -> None:
    model = mlp(nn.Tanh, 50)
    plan = gs.initialize(model, X)
    assert plan["2.weight"].law.name == "orthogonal"
    tape = gs.record(model, X)
    gradients = [tape[str(2 * i)].backward.mean_square for i in range(49)]
    assert max(gradients) / min(gradients) < 10
    assert tape["96"].forward.variance_between / tape["96"].forward.mean_square > 0.5


def test_deep_sigmoid_nets_start_as_pairs_that_act_like_tanh() -> None:
    model = mlp(nn.Sigmoid, 30)
    plan = gs.initialize(model, X)
    assert plan["2.weight"].law.name == "mirrored"
    tape = gs.record(model, X)
    assert tape["56"].forward.variance_between / tape["56"].forward.mean_square > 0.5
    gradients = [tape[str(2 * i)].backward.mean_square for i in range(29)]
    assert max(gradients) / min(gradients) < 10


def test_an_odd_width_falls_back_to_a_random_start() -> None:
    plan = gs.plan(mlp(nn.ReLU, 12, width=63), X)
    assert plan["2.weight"].law == init.he_normal()


@pytest.mark.parametrize("classes", [2, 10, 1000])
def test_the_initial_loss_is_within_ten_per_cent_of_chance(classes: int) -> None:
    model = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, classes))
    gs.initialize(model, X)
    y = torch.arange(128) % classes
    loss = gs.record(model, X, target=y, loss=F.cross_entropy).loss
    assert loss == pytest.approx(torch.tensor(classes).log().item(), rel=0.1)


class Block(nn.Module):
    def __init__(self, width: int, norm: type[nn.Module] | None, last_norm: bool) -> None:
        super().__init__()
        self.norm = norm(width) if norm and not last_norm else nn.Identity()
        self.a, self.b = nn.Linear(width, width), nn.Linear(width, width)
        self.last = norm(width) if norm and last_norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return x + self.last(self.b(F.relu(self.a(self.norm(x)))))


@pytest.mark.parametrize(("norm", "last"), [(None, False), (nn.LayerNorm, False), (nn.LayerNorm, True)])
@pytest.mark.parametrize("depth", [4, 40])
def test_residual_streams_at_most_double(norm: type[nn.Module] | None, last: bool, depth: int) -> None:
    blocks = [Block(64, norm, last) for _ in range(depth)]
    model = nn.Sequential(nn.Linear(64, 64), *blocks, nn.Linear(64, 10))
    plan = gs.initialize(model, X)
    ending = f"{depth}.last.weight" if last else f"{depth}.b.weight"
    assert f"residual branch {depth} of {depth}" in plan[ending].role
    tape = gs.record(model, X)
    first, final = tape["0"].forward.mean_square, tape[f"{depth}/add#0"].forward.mean_square
    assert 0.8 < final / first < 2.6


def test_learned_branch_scales_are_left_alone() -> None:
    class ReZero(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.alpha = nn.Linear(64, 64), nn.Parameter(torch.zeros(()))

        def forward(self, x: Tensor) -> Tensor:
            return x + self.alpha * F.relu(self.fc(x))

    model = nn.Sequential(nn.Linear(64, 64), ReZero(), ReZero(), nn.Linear(64, 2))
    plan = gs.initialize(model, X)
    assert plan["1.alpha"].law is None
    assert "left at its value" in plan["1.alpha"].reason
    assert float(model[1].alpha) == 0


def test_recurrent_weights_are_orthogonal_with_forget_bias_one() -> None:
    lstm = nn.LSTM(8, 16, num_layers=2, bidirectional=True, batch_first=True)
    gs.initialize(lstm, torch.randn(4, 6, 8))
    for name, parameter in lstm.named_parameters():
        if name.startswith("weight_hh"):
            for gate in parameter.chunk(4):
                assert torch.allclose(gate @ gate.T, torch.eye(16), atol=1e-5)
        elif name.startswith("bias_ih"):
            assert [float(gate.mean()) for gate in parameter.chunk(4)] == [0, 1, 0, 0]
        elif name.startswith("bias_hh"):
            assert not parameter.any()


def test_the_gate_that_keeps_the_state_of_a_gru_starts_at_one() -> None:
    gru = nn.GRU(8, 16, batch_first=True)
    gs.initialize(gru, torch.randn(4, 6, 8))
    assert [float(gate.mean()) for gate in gru.bias_ih_l0.detach().chunk(3)] == [0, 1, 0]  # reset, update, new
    assert not gru.bias_hh_l0.any()


def test_weights_before_a_normalization_are_marked_scale_free() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(288, 2))
    plan = gs.plan(model, torch.randn(4, 3, 8, 8))
    assert plan["0.weight"].role == "weight into batch_norm"
    assert "scale-free" in plan["0.weight"].reason
    assert plan["1.weight"].law == init.ones()


@pytest.mark.parametrize("scaled", [True, False])
def test_attention_logits_are_of_order_one(scaled: bool) -> None:
    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.q, self.k, self.v = (nn.Linear(64, 64) for _ in range(3))

        def forward(self, x: Tensor) -> Tensor:
            logits = self.q(x) @ self.k(x).transpose(-1, -2)
            return ((logits / 8 if scaled else logits).softmax(-1)) @ self.v(x)

    model = Attention()
    x = torch.randn(8, 16, 64)
    gs.initialize(model, x)
    q, k = model.q(x), model.k(x)
    logits = q @ k.transpose(-1, -2) / (8 if scaled else 1)
    assert 0.5 < float(logits.square().mean()) < 2


def test_frozen_unused_and_unknown_parameters_are_named_and_left() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.idle, self.frozen = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)
            self.frozen.requires_grad_(False)
            self.power = nn.Parameter(torch.full((4,), 2.0))

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(self.frozen(x)).abs() ** self.power

    model = Odd()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    plan = gs.initialize(model, torch.randn(3, 4))
    assert plan["idle.weight"].role == "unused"
    assert plan["power"].role == "unknown"
    assert "gradient" in plan["frozen.weight"].reason
    for name in ("idle.weight", "power", "frozen.weight", "frozen.bias"):
        assert plan[name].law is None
        assert torch.equal(before[name], dict(model.named_parameters())[name])


def test_every_parameter_is_in_the_plan_with_role_and_reason() -> None:
    model = nn.Transformer(16, 2, 2, 2, 32, batch_first=True)
    plan = gs.plan(model, (torch.randn(2, 5, 16), torch.randn(2, 4, 16)))
    assert set(plan) == {name for name, _ in model.named_parameters()}
    assert all(a.role and a.reason and a.role != "unknown" for a in plan.values())


SCHEMES = ("torch", "xavier_normal", "xavier_uniform", "he_normal", "he_uniform", "lecun_normal", "orthogonal", "gpt2")


@pytest.mark.parametrize("scheme", [*SCHEMES, "zeros", "constant", "normal", "uniform"])
def test_classical_schemes_treat_every_weight_alike(scheme: str) -> None:
    model = nn.Sequential(nn.Linear(64, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 10))
    plan = gs.initialize(model, X, scheme=scheme)
    assert plan["0.weight"].law == plan["3.weight"].law
    assert bool((model[1].weight == 1).all())
    if scheme == "torch":
        torch_std = nn.Linear(64, 32).weight.std()
        assert float(model[0].weight.std()) == pytest.approx(float(torch_std), rel=0.1)
        assert model[0].bias.abs().max() <= 1 / 8
    else:
        assert not model[0].bias.any()


def test_packed_attention_weights_get_the_fans_of_each_part() -> None:
    attention = nn.MultiheadAttention(64, 4, batch_first=True)
    x = torch.randn(2, 5, 64)
    gs.initialize(attention, (x, x, x), scheme="xavier_normal")
    assert float(attention.in_proj_weight.detach().std()) == pytest.approx((2 / 128) ** 0.5, rel=0.05)


def test_an_unknown_scheme_is_refused_with_the_nearest() -> None:
    with pytest.raises(gs.GainstageError, match="did you mean 'he_normal'"):
        gs.plan(mlp(nn.ReLU, 3), X, scheme="he_norml")


def test_structured_laws_follow_the_use_of_a_weight_whatever_way_it_is_stored() -> None:
    class Deep(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            shapes = [(64, 32), *[(32, 32)] * 10]
            self.turned = nn.ParameterList(nn.Parameter(torch.randn(shape)) for shape in shapes)  # (in, out)
            self.plain = nn.ParameterList(nn.Parameter(torch.randn(b, a)) for a, b in [(32, 32)] * 3)  # (out, in)
            self.head = nn.Linear(32, 4)

        def forward(self, x: Tensor) -> Tensor:
            for weight in self.turned:
                x = torch.relu(x @ weight)
            for weight in self.plain:
                x = torch.relu(x @ weight.t())
            return self.head(x)

    model = Deep()
    plan = gs.initialize(model, X)
    assert plan["turned.1"].transposed
    assert not plan["plain.0"].transposed
    with torch.no_grad():
        assert float((model(X) + model(-X)).abs().max()) < 1e-3 * float(model(X).abs().max())


def test_a_chain_with_a_frozen_weight_has_no_structured_start() -> None:
    layers = [layer for _ in range(9) for layer in (nn.Linear(32, 32), nn.ReLU())]
    body, head = nn.Sequential(*layers), nn.Linear(32, 10)
    gs.initialize(body, torch.randn(64, 32))
    body.requires_grad_(False)
    law = gs.plan(nn.Sequential(body, head), torch.randn(64, 32))["1.weight"].law
    assert "mirrored" not in str(law)


@pytest.mark.parametrize("name", ["renorm", "switchable", "evo_b0", "evo_s0", "frn", "cross", "grn"])
def test_a_normalization_written_out_by_hand_can_be_planned(name: str) -> None:
    from gainstage.nn import norm

    layer = norm(name, 32)
    model = nn.Sequential(nn.Conv2d(3, 32, 3), layer, nn.ReLU(), nn.Conv2d(32, 32, 3), nn.Flatten(), nn.LazyLinear(10))
    x = torch.randn(16, 3, 8, 8)
    model(x)
    plan = gs.initialize(model, x)
    assert plan["3.weight"].law is not None
    assert all(bool(p.isfinite().all()) for p in model.parameters())
    shifts = [p for n, p in layer.named_parameters() if n.endswith("bias")]
    assert not any(bool(p.any()) for p in shifts)
    assert float(model(x).square().mean()) < 4
