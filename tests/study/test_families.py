"""The families of networks: what an arm's fields make of them, and what they refuse."""

import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import gainstage as gs
from gainstage.study._arm import Arm
from gainstage.study._build import build
from gainstage.study._data import load, loss_of
from gainstage.study._errors import StudyError
from gainstage.study.families._cnn import halvings
from gainstage.study.families._parts import Residual, activation
from gainstage.study.families._resnet import Block
from gainstage.train import fit_many

FAMILIES = ("mlp", "cnn", "resnet", "transformer", "rnn")
NORMS = (None, "batch", "layer", "group", "rms")
KINDS = {
    "mlp": ("dropout", "alpha", "connect"),
    "cnn": ("dropout", "alpha", "spatial", "block"),
    "resnet": ("dropout", "alpha", "spatial", "block", "path"),
    "transformer": ("dropout", "path"),
    "rnn": ("dropout",),
}
PLACES = [(family, norm) for family in FAMILIES for norm in NORMS if norm is None or family != "rnn"]


def arm(family: str, **values: object) -> Arm:
    return Arm(**{"model": family, "depth": 3, "width": 16} | values)  # type: ignore[arg-type]


def weights(model: nn.Module) -> int:
    """Linear layers and convolutions."""
    return sum(isinstance(m, nn.Linear | nn.Conv1d | nn.Conv2d) for m in model.modules())


# --- shapes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", ["digits", "mnist1d", "wine", "diabetes"])
@pytest.mark.parametrize(("family", "norm"), PLACES)
def test_every_norm_and_kind_of_dropout_answers_and_learns(family: str, norm: str | None, data: str) -> None:
    found = load(data)
    if len(found.shape) == 1 and family in ("cnn", "resnet", "rnn"):
        with pytest.raises(StudyError, match=rf"{family} needs signals .* of '{data}' have shape .*: use mlp"):
            build(arm(family, norm=norm), found)
        return
    for kind in KINDS[family]:
        model = build(arm(family, norm=norm, dropout=0.2, dropout_kind=kind), found)
        x, y = found.train.x[:8], found.train.y[:8]
        answer = model(x)
        assert answer.shape == (8, found.outputs)
        loss_of(found)(answer, y).backward()
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name


@settings(max_examples=25, deadline=None)
@given(
    family=st.sampled_from(FAMILIES),
    depth=st.integers(1, 6),
    width=st.integers(1, 40),
    shape=st.sampled_from([(7,), (2, 9), (3, 5, 6), (1, 1), (1, 3, 20)]),
    outputs=st.integers(1, 3),
)
def test_any_depth_width_and_shape(family: str, depth: int, width: int, shape: tuple[int, ...], outputs: int) -> None:
    if len(shape) == 1 and family not in ("mlp", "transformer"):
        return
    draw = torch.Generator().manual_seed(0)
    x, y = torch.randn(20, *shape, generator=draw), torch.randn(20, outputs, generator=draw)
    model = build(arm(family, depth=depth, width=width), load((x, y)))
    assert model(x).shape == (20, outputs)
    counts = {"mlp": depth + 1, "cnn": depth + 1, "resnet": 2 * depth + 2, "transformer": 6 * depth + 2, "rnn": 1}
    assert weights(model) == counts[family]
    if isinstance(lstm := getattr(model, "lstm", None), nn.LSTM):
        assert (lstm.num_layers, lstm.hidden_size) == (depth, width)


@settings(max_examples=50, deadline=None)
@given(edge=st.integers(1, 300), depth=st.integers(1, 40))
def test_maps_are_halved_evenly_and_stay_at_four_or_more(edge: int, depth: int) -> None:
    halved = sorted(halvings((edge, 300), depth))
    left = edge
    for _ in halved:
        left = -(-left // 2)
    assert left >= min(edge, 4)
    assert all(0 < layer < depth for layer in halved)
    assert -(-left // 2) < 4 or len(halved) == depth - 1
    gaps = {b - a for a, b in zip([0, *halved], [*halved, depth], strict=True)}
    assert max(gaps) - min(gaps) <= 1


def test_residual_mlp_has_the_weights_and_norms_of_the_plain_one() -> None:
    data = load("wine")
    for norm in NORMS[1:]:
        plain, bypassed = (build(arm("mlp", norm=norm, residual=residual), data) for residual in (False, True))
        sizes = [sorted(tuple(p.shape) for p in model.parameters() if p.dim() > 1) for model in (plain, bypassed)]
        assert sizes[0] == sizes[1]
        norms = [sum("norm" in type(m).__name__.lower() for m in model.modules()) for model in (plain, bypassed)]
        assert norms == [3, 3]


# --- what the formulas say -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["mlp", "resnet", "transformer"])
@pytest.mark.parametrize("norm", NORMS)
def test_a_block_whose_branch_answers_zeros_is_the_identity(family: str, norm: str | None) -> None:
    model = build(arm(family, norm=norm, residual=True), load("digits"))
    blocks = [m for m in model.modules() if isinstance(m, Residual) or (isinstance(m, Block) and m.stride == 1)]
    assert len(blocks) == {"mlp": 2, "resnet": 2, "transformer": 6}[family]
    x = torch.randn({"mlp": (4, 16), "resnet": (4, 16, 8, 8), "transformer": (4, 8, 16)}[family])
    for block in blocks:
        assert not torch.equal(block(x), x)
        last = [m for m in block.modules() if isinstance(m, nn.Linear | nn.Conv2d)][-1]
        nn.init.zeros_(last.weight)
        if last.bias is not None:
            nn.init.zeros_(last.bias)
        assert torch.equal(block(x), x)


def test_a_block_that_halves_takes_every_second_position() -> None:
    for dims, shape in ((1, (2, 16, 9)), (2, (2, 16, 9, 6))):
        block, x = Block(arm("resnet"), dims, 2, 0.0), torch.randn(shape)
        nn.init.zeros_(block.branch.conv2.weight)  # type: ignore[arg-type]
        nn.init.zeros_(block.branch.conv2.bias)  # type: ignore[arg-type]
        assert torch.equal(block(x), x[..., ::2] if dims == 1 else x[..., ::2, ::2])


def test_mlp_is_its_formula() -> None:
    data = load("wine")
    model, x = build(arm("mlp", depth=2, activation="tanh"), data), data.test.x
    first, second, head = (m for m in model.modules() if isinstance(m, nn.Linear))
    torch.testing.assert_close(model(x), head(second(first(x).tanh()).tanh()))
    model = build(arm("mlp", depth=2, activation="tanh", residual=True, norm="layer"), data)
    first, second, head = (m for m in model.modules() if isinstance(m, nn.Linear))
    y = first(x)
    y = y + second(F.layer_norm(y, (16,)).tanh())
    torch.testing.assert_close(model(x), head(F.layer_norm(y, (16,)).tanh()))


def test_attention_is_that_of_torch() -> None:
    model = build(arm("transformer", width=32), load("digits"))
    own = model.blocks[0].attention.branch.attention  # type: ignore[index, union-attr]
    other = nn.MultiheadAttention(32, 2, batch_first=True)
    with torch.no_grad():
        other.in_proj_weight.copy_(torch.cat([own.query.weight, own.key.weight, own.value.weight]))
        other.in_proj_bias.copy_(torch.cat([own.query.bias, torch.zeros(32), own.value.bias]))
        other.out_proj.weight.copy_(own.out.weight)
        other.out_proj.bias.copy_(own.out.bias)
    x = torch.randn(3, 5, 32)
    torch.testing.assert_close(own(x), other(x, x, x)[0])


def test_tokens_are_rows_pieces_and_features() -> None:
    image, signal, vector = (build(arm("transformer"), load(name)).tokens for name in ("digits", "mnist1d", "wine"))
    x = torch.randn(2, 1, 8, 8)
    assert torch.equal(image(x), x[:, 0])  # type: ignore[operator]
    x = torch.randn(2, 1, 40)
    assert torch.equal(signal(x)[:, 3], x[:, 0, 15:20])  # type: ignore[operator]
    assert signal(x).shape == (2, 8, 5)  # type: ignore[operator]
    x = torch.randn(2, 13)
    assert torch.equal(vector(x), x[..., None])  # type: ignore[operator]


def test_the_last_step_is_what_an_lstm_answers_from() -> None:
    data = load("mnist1d")
    model, x = build(arm("rnn"), data), data.test.x[:4]
    _, (hidden, _) = model.lstm(x.transpose(1, 2))  # type: ignore[operator]
    torch.testing.assert_close(model(x), model.head(hidden[-1]))  # type: ignore[operator]


@pytest.mark.parametrize("family", ["cnn", "resnet"])
def test_a_norm_over_the_last_axis_acts_on_the_channels_of_each_position(family: str) -> None:
    model = build(arm(family, norm="layer"), load("digits"))
    layer = next(m for m in model.modules() if type(m).__name__ == "ChannelsLast")
    y = layer(torch.randn(2, 16, 4, 4) * 3 + 1)
    torch.testing.assert_close(y.mean(1), torch.zeros(2, 4, 4), atol=1e-5, rtol=0)
    torch.testing.assert_close(y.var(1, unbiased=False), torch.ones(2, 4, 4), atol=1e-3, rtol=0)


def test_batch_norm_of_tokens_is_over_all_of_them() -> None:
    model = build(arm("transformer", norm="batch"), load("digits"))
    y = model.norm(torch.randn(6, 8, 16) * 3 + 1)  # type: ignore[operator]
    torch.testing.assert_close(y.mean((0, 1)), torch.zeros(16), atol=1e-5, rtol=0)
    torch.testing.assert_close(y.var((0, 1), unbiased=False), torch.ones(16), atol=1e-3, rtol=0)


@pytest.mark.parametrize("width", [16, 20, 24, 64, 13])
def test_groups_have_eight_features_or_more(width: int) -> None:
    for family in ("mlp", "cnn", "transformer"):
        model = build(arm(family, norm="group", width=width), load("digits"))
        for layer in model.modules():
            if isinstance(layer, nn.GroupNorm):
                assert layer.num_groups == {16: 2, 20: 2, 24: 3, 64: 8, 13: 1}[width]


@pytest.mark.parametrize("family", ["resnet", "transformer", "mlp"])
def test_path_rates_rise_with_depth(family: str) -> None:
    values = {"dropout": 0.3, "dropout_kind": "path", "residual": True, "depth": 4 if family == "mlp" else 3}
    model = build(arm(family, **values), load("digits"))
    rates = [m.p for m in model.modules() if isinstance(m, gs.nn.DropPath)]
    each = 2 if family == "transformer" else 1
    assert rates == pytest.approx([rate for rate in (0.1, 0.2, 0.3) for _ in range(each)])


NAMES = [*"celu elu gelu gelu_tanh hardshrink hardsigmoid hardswish hardtanh leaky_relu logistic".split()]
NAMES += "logsigmoid mish prelu relu relu6 selu sigmoid silu swish softplus softshrink softsign tanh".split()
NAMES += "tanhshrink linear identity conv2d sin cos square abs Leaky-ReLU".split()


@pytest.mark.parametrize("name", NAMES)
def test_activations_are_those_of_gain(name: str) -> None:
    x = torch.linspace(-4, 4, 101)
    before = x.clone()
    torch.testing.assert_close(activation(name)(x), gs.init.activation(name)(x))
    assert torch.equal(x, before)


# --- plan, check, and training as one ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("family", "norm", "data"),
    [(*place, "digits") for place in PLACES] + [(family, None, "mnist1d") for family in FAMILIES],
)
def test_the_plan_knows_every_parameter_and_check_is_silent(family: str, norm: str | None, data: str) -> None:
    found = load(data)
    for residual in (False, True) if family == "mlp" else (False,):
        model = build(arm(family, norm=norm, width=32, depth=4, residual=residual), found)
        plan = gs.initialize(model, found.train.x[:256])
        assert set(plan) == {name for name, _ in model.named_parameters()}
        assert [name for name in plan if "unknown" in plan[name].role] == []
        report = gs.check(model, found.train.x[:128], target=found.train.y[:128], loss=loss_of(found))
        assert report.findings == ()


@pytest.mark.parametrize(("family", "norm"), [place for place in PLACES if place[0] != "rnn"])
def test_members_trained_as_one_are_those_trained_alone(family: str, norm: str | None) -> None:
    # SGD: Adam makes full steps of rounding where a gradient is 0, as of pixels that never vary in front of BatchNorm
    data = load("digits")
    for kind in KINDS[family]:
        config = arm(family, norm=norm, dropout=0.2, dropout_kind=kind, depth=2)
        ends = []
        for together in (True, False):
            models = [build(config, data, seed=seed) for seed in range(2)]
            fits = fit_many(
                models,
                data.train.x,
                data.train.y,
                loss=loss_of(data),
                lr=[0.01, 0.02],
                steps=2,
                batch_size=16,
                optimizer=torch.optim.SGD,
                together=together,
            )
            ends.append([t for model in models for t in model.state_dict().values()])
            ends[-1].append(torch.tensor([fit.losses for fit in fits]))
        for one, alone in zip(*ends, strict=True):
            torch.testing.assert_close(one, alone, rtol=1e-5, atol=1e-5)


# --- building ------------------------------------------------------------------------------------------------------


def test_building_disturbs_no_random_state_and_is_decided_by_the_seed() -> None:
    data = load("digits")
    states = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()
    for family in FAMILIES:
        first, again, other = (build(arm(family, dropout=0.1), data, seed=seed) for seed in (1, 1, 2))
        assert list(first.state_dict()) == list(again.state_dict())
        assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
        assert not torch.equal(first.head.weight, other.head.weight)  # type: ignore[arg-type, union-attr]
        assert all(module.training for module in first.modules())
    assert random.getstate() == states[0]
    assert np.array_equal(np.random.get_state()[1], states[1])
    assert torch.equal(torch.get_rng_state(), states[2])


def test_parameters_keep_their_names() -> None:
    data = load("digits")
    names = {family: list(dict(build(arm(family, depth=1), data).named_parameters())) for family in FAMILIES}
    assert names["mlp"] == ["layers.0.linear.weight", "layers.0.linear.bias", "head.weight", "head.bias"]
    assert names["cnn"][0] == "layers.0.conv.weight"
    assert names["resnet"][:3] == ["stem.weight", "stem.bias", "blocks.0.branch.conv1.weight"]
    assert "blocks.0.attention.branch.attention.query.weight" in names["transformer"]
    assert "blocks.0.mlp.branch.linear2.bias" in names["transformer"]
    assert names["rnn"][0] == "lstm.weight_ih_l0"


def test_biases_that_batch_norm_would_take_away_are_left_out() -> None:
    data = load("digits")
    for family in ("mlp", "cnn", "resnet"):
        biased = {
            norm: sum(m.bias is not None for m in build(arm(family, norm=norm), data).modules() if _weighs(m))
            for norm in ("batch", "layer", None)
        }
        assert biased["batch"] == 1  # the head
        assert biased["layer"] == biased[None] > 1


def _weighs(module: nn.Module) -> bool:
    return isinstance(module, nn.Linear | nn.Conv2d)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"model": "mlp", "dropout_kind": "block"}, "'block' needs maps: use cnn or resnet"),
        ({"model": "mlp", "dropout_kind": "spatial", "dropout": 0.1}, "'spatial' needs maps: use cnn or resnet"),
        ({"model": "mlp", "dropout_kind": "path"}, "use resnet or transformer or mlp with residual=True"),
        ({"model": "cnn", "dropout_kind": "path"}, "has no place in cnn, which takes dropout, alpha, spatial, block"),
        ({"model": "cnn", "dropout_kind": "connect"}, "drops weights of fully connected layers: use mlp"),
        ({"model": "resnet", "dropout_kind": "connect"}, "use mlp"),
        ({"model": "transformer", "dropout_kind": "alpha"}, "use mlp or cnn or resnet"),
        ({"model": "transformer", "dropout_kind": "block"}, "use cnn or resnet"),
        ({"model": "rnn", "dropout_kind": "path"}, "has no place in rnn, which takes dropout"),
        ({"model": "cnn", "residual": True}, "residual=True has no place in cnn: use resnet"),
        ({"model": "rnn", "residual": True}, "residual=True has no place in rnn"),
        ({"model": "rnn", "norm": "layer"}, "norm='layer' has no place in rnn"),
        ({"model": "rnn", "activation": "tanh"}, "activation='tanh' has no place in rnn"),
        ({"model": "mlp", "norm": "instance"}, "norm='instance' needs maps: use cnn or resnet"),
        ({"model": "transformer", "norm": "switchable"}, "needs maps"),
        ({"model": "mlp", "norm": "adaln"}, "missing 1 required .* 'cond_features'.* Every family but rnn takes"),
        ({"model": "cnn", "norm": "evo_s0"}, "holds an activation of its own"),
        ({"model": "mlp", "norm": "accumulated"}, "Every family but rnn takes"),
        ({"model": "mlp", "norm": "bach"}, "Did you mean 'batch'"),
        ({"model": "mlp", "activation": "rellu"}, "no activation is called 'rellu'. Did you mean 'relu'"),
    ],
)
def test_what_a_family_cannot_use_is_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(StudyError, match=f"^the arm \\(model='{values['model']}'.* cannot be built: .*{message}"):
        build(Arm(**values), load("digits"))  # type: ignore[arg-type]


class _Own(nn.Module):
    def __init__(self, answer: object) -> None:
        super().__init__()
        self.layer, self.answer = nn.LazyLinear(10), answer

    def forward(self, x: Tensor) -> object:
        y = self.layer(x.flatten(1))
        return {"logits": y} if self.answer == "dict" else y[:, : self.answer]


def test_a_model_of_ones_own() -> None:
    model = build(Arm(model=_Own, options={"answer": 10}), load("digits"))
    assert tuple(model.layer.weight.shape) == (10, 64)  # type: ignore[union-attr]
    assert model.training
    again = build(Arm(model=_Own, options={"answer": 10}), load("digits"))
    assert torch.equal(model.layer.weight, again.layer.weight)  # type: ignore[arg-type, union-attr]


@pytest.mark.parametrize(
    ("function", "options", "message"),
    [
        (
            _Own,
            {"answer": 3},
            "'mine' does not fit the data 'digits' of shape \\[1, 8, 8\\].*shape \\[2, 3\\], .*\\[2, 10\\]",
        ),
        (_Own, {"answer": "dict"}, "it answered a dict"),
        (_Own, {}, "'mine' cannot be built: TypeError: .*answer"),
        (lambda: 3, {}, "returned int, expected an nn.Module"),
        (lambda: nn.Linear(5, 10), {}, "'mine' cannot answer the data 'digits'.*RuntimeError"),
    ],
)
def test_a_model_that_does_not_fit(function: object, options: dict[str, object], message: str) -> None:
    with pytest.raises(StudyError, match=f"(?s){message}"):
        build(Arm(model=function, options=options, name="mine"), load("digits"))  # type: ignore[arg-type]


def test_a_function_that_returns_one_module_for_all_trials() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    shared = Arm(model=lambda: model, name="mine")
    assert build(shared, load("digits")) is model
    with pytest.raises(StudyError, match="of the arm 'mine' returned the same module twice: expected a new one"):
        build(shared, load("digits"))
