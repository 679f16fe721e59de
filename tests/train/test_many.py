"""Members trained as one come out as members trained alone."""

import copy
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from gainstage.nn import drop
from gainstage.train import CannotStack, Moment, TrainError, fit_many, minibatches, predict_many, warmup
from gainstage.train.many._draws import Draws, Numbers

STEPS, BATCH, CLASSES = 12, 8, 3


class Block(nn.Module):
    """A transformer block over 4 tokens of 6, with dropout in attention and behind it."""

    def __init__(self, dropout: float = 0.1) -> None:
        super().__init__()
        self.embed = nn.Linear(6, 8)
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, dropout, batch_first=True)
        self.head = nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layer(self.embed(x.unflatten(1, (4, 6)))).mean(1))


class Conv(nn.Module):
    """BatchNorm, a functional dropout, a shared weight, and a buffer that is replaced, not written into."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(1, 4, 3, padding=1)
        self.norm = nn.BatchNorm1d(4)
        self.twice = nn.Linear(24, 24)
        self.head = nn.Linear(24 * 4, CLASSES)
        self.register_buffer("level", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm(self.conv(x[:, None])))
        y = self.twice(self.twice(y))
        if self.training:
            self.level = 0.9 * self.level + 0.1 * y.detach().mean()
        return self.head(F.dropout1d(y, 0.25, self.training).flatten(1) - self.level)


def mlp(*between: Callable[[], nn.Module]) -> nn.Module:
    return nn.Sequential(nn.Linear(24, 16), *(make() for make in between), nn.ReLU(), nn.Linear(16, CLASSES))


MODELS: dict[str, Callable[[], nn.Module]] = {
    "mlp": mlp,
    "dropout": lambda: mlp(nn.Dropout),
    "alpha": lambda: mlp(lambda: nn.AlphaDropout(0.2)),
    "batch norm": lambda: mlp(lambda: nn.BatchNorm1d(16)),
    "conv": Conv,
    "transformer": Block,
}


# A bias before a normalization, and that of a key, have no effect: their gradient is rounding noise, and Adam takes
# noise for a direction. Models with such parameters are compared under SGD.
SGD = {"optimizer": torch.optim.SGD, "options": {"momentum": 0.9}}
EXACT = {"transformer": SGD, "conv": SGD, "batch norm": SGD}


@pytest.fixture(scope="module")
def data() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(50, 24, generator=generator)
    return x, x[:, :CLASSES].argmax(1)


def made(make: Callable[[], nn.Module], count: int = 3) -> list[nn.Module]:
    torch.manual_seed(1)
    return [make() for _ in range(count)]


def train(models: list[nn.Module], data: tuple[Tensor, Tensor], **options: Any) -> Any:
    options = {"loss": F.cross_entropy, "lr": 0.01, "steps": STEPS, "batch_size": BATCH} | options
    return fit_many(models, *data, **options)


def distance(ours: nn.Module, theirs: nn.Module) -> float:
    pairs = zip(ours.state_dict().values(), theirs.state_dict().values(), strict=True)
    return max((float((a.double() - b.double())[a != b].abs().max()) for a, b in pairs if (a != b).any()), default=0.0)


def plainly(model: nn.Module, data: tuple[Tensor, Tensor], seed: int, optimizer: torch.optim.Optimizer) -> None:
    """The loop that everybody writes."""
    for x, y in minibatches(*data, batch_size=BATCH, steps=STEPS, seed=seed):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()


@pytest.mark.parametrize("name", MODELS)
def test_as_one_equals_one_by_one(name: str, data) -> None:
    models = made(MODELS[name])
    alone = copy.deepcopy(models)
    options = {"lr": [0.003, 0.01, 0.03], "seeds": [5, 6, 5], "clip": [0.5, 1e9, 1.0], "schedule": warmup(4, total=20)}
    options |= EXACT.get(name, {})
    runs = train(models, data, together=True, **options)
    runs_alone = train(alone, data, together=False, **options)
    for a, b, run, run_alone in zip(models, alone, runs, runs_alone, strict=True):
        assert distance(a, b) < 1e-5
        assert torch.allclose(torch.tensor(run.losses), torch.tensor(run_alone.losses), atol=1e-5)
    assert torch.allclose(predict_many(models, data[0]), predict_many(alone, data[0], together=False), atol=1e-5)


@pytest.mark.parametrize(("name", "kind"), [("mlp", torch.optim.AdamW), ("batch norm", torch.optim.SGD)])
def test_without_random_layers_it_is_the_plain_loop(name: str, kind: type[torch.optim.Optimizer], data) -> None:
    models = made(MODELS[name])
    reference = copy.deepcopy(models)
    train(models, data, optimizer=kind, seeds=[3, 4, 5], together=True)
    for seed, model, theirs in zip([3, 4, 5], models, reference, strict=True):
        plainly(theirs, data, seed, kind(theirs.parameters(), lr=0.01))
        assert distance(model, theirs) < 1e-5


rates = st.floats(1e-4, 0.05)
share = st.floats(0, 0.95)
decay = st.sampled_from([0.0, 1e-3, 0.1])
OPTIMIZERS = st.one_of(
    st.tuples(st.just(torch.optim.Adam), st.fixed_dictionaries({"weight_decay": decay})),
    st.tuples(
        st.just(torch.optim.AdamW),
        st.fixed_dictionaries({"betas": st.tuples(share, st.floats(0.5, 0.99)), "weight_decay": decay}),
    ),
    st.tuples(
        st.just(torch.optim.SGD),
        st.fixed_dictionaries({"momentum": st.just(0.0) | share, "weight_decay": decay, "dampening": share}),
    ),
    st.tuples(
        st.just(torch.optim.SGD), st.fixed_dictionaries({"momentum": st.floats(0.1, 0.9), "nesterov": st.just(True)})
    ),
    # near alpha = 0 a step is the sign of the gradient, and the sign of rounding noise is nobody's
    st.tuples(st.just(torch.optim.RMSprop), st.fixed_dictionaries({"alpha": st.floats(0.5, 0.99), "momentum": share})),
)


class Random(nn.Module):
    """Draws in many ways, some of them in place."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.norm, self.head = nn.Linear(24, 16), nn.LayerNorm(16), nn.Linear(16, CLASSES)
        self.attention = nn.MultiheadAttention(4, 2, dropout=0.2, batch_first=True)
        self.register_buffer("mask", torch.full((4, 4), -math.inf).triu(1))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.fc(x))
        if self.training:
            y = y + 0.1 * torch.randn_like(y) + 0.1 * torch.rand(y.shape) + 0.1 * torch.randn(16)
            y = y * torch.bernoulli(torch.full_like(y, 0.9)) / 0.9
            y = y * y.new_empty(len(y), 1).bernoulli_(0.9) / 0.9 + torch.empty(len(y), 1).uniform_(-0.1, 0.1)
            y = y + 0.1 * torch.empty_like(y).normal_()
        tokens = y.unflatten(1, (4, 4))
        tokens = self.attention(tokens, tokens, tokens, attn_mask=self.mask)[0]
        tokens = F.scaled_dot_product_attention(tokens, tokens, tokens, is_causal=True, dropout_p=0.3 * self.training)
        return self.head(F.feature_alpha_dropout(tokens, 0.1, self.training).flatten(1))


LAYERS = {
    "random": Random,
    "DropConnect": lambda: nn.Sequential(
        drop.DropConnect(nn.Linear(24, 8), 0.4, activation=torch.tanh), nn.Linear(8, 3)
    ),
    "DropPath": lambda: mlp(lambda: drop.DropPath(0.3)),
    "AlphaDropout": lambda: mlp(lambda: drop.AlphaDropout(0.3)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_whatever_draws_draws_from_the_members_seed(name: str, data) -> None:
    models = made(LAYERS[name])
    alone, otherwise = copy.deepcopy(models), copy.deepcopy(models)
    runs = train(models, data, seeds=[5, 6, 5], together=True, **SGD)
    train(alone, data, seeds=[5, 6, 5], together=False, **SGD)
    assert max(distance(a, b) for a, b in zip(models, alone, strict=True)) < 1e-5
    assert [run.steps for run in runs] == [STEPS] * 3  # a buffer of -inf is not a divergence
    train(otherwise, data, seeds=[9, 6, 5], together=True, **SGD)
    assert distance(otherwise[0], models[0]) > 1e-4


@pytest.mark.parametrize("function", [F.alpha_dropout, F.feature_alpha_dropout, F.dropout, F.dropout2d])
@pytest.mark.parametrize("p", [0.3, 1.0])
def test_replaced_functions_give_the_values_that_torchs_give(function, p: float) -> None:
    x = torch.ones(20, 50, 1, 1)
    with Draws().given(Numbers(torch.rand(2000), torch.empty(0))):
        ours = function(x, p, True)
        inside = function(x.clone(), p, True, True) if p == 1 else ours
    theirs = function(x, p, True)
    assert torch.allclose(ours.unique(), theirs.unique(), atol=1e-6)
    assert torch.equal(inside, ours)


def test_a_layer_with_a_generator_of_its_own_keeps_it(data) -> None:
    def noisy() -> nn.Module:
        return mlp(lambda: drop.Dropout(0.5, generator=torch.Generator().manual_seed(0)))

    with pytest.raises(CannotStack, match="generator of its own"):
        train(made(noisy), data, together=True)
    models, again, other = made(noisy), made(noisy), made(noisy)
    other[0][1].generator.manual_seed(1)
    for some in (models, again, other):
        train(some, data)
    assert distance(models[0], again[0]) == 0
    assert distance(models[0], other[0]) > 1e-3


def test_what_draws_in_an_unknown_way_is_refused_as_one_and_reproducible_alone(data) -> None:
    class Gumbel(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(24, CLASSES)

        def forward(self, x: Tensor) -> Tensor:
            return F.gumbel_softmax(self.fc(x))

    with pytest.raises(CannotStack, match="random"):
        train(made(Gumbel), data, together=True)
    models, again = made(Gumbel), made(Gumbel)
    state = torch.get_rng_state()
    train(models, data)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(1)
    train(again, data)
    assert max(distance(a, b) for a, b in zip(models, again, strict=True)) == 0


@settings(max_examples=25, deadline=None)
@given(OPTIMIZERS, st.tuples(rates, rates))
def test_every_optimizer_is_torchs(data, drawn, lr) -> None:
    kind, options = drawn
    models = made(lambda: nn.Linear(24, CLASSES), 2)
    reference = copy.deepcopy(models)
    train(models, data, optimizer=kind, lr=list(lr), options=options, together=True)
    for seed, rate in enumerate(lr):
        plainly(reference[seed], data, seed, kind(reference[seed].parameters(), lr=rate, **options))
        assert distance(models[seed], reference[seed]) < 1e-5


def test_options_may_differ_from_member_to_member(data) -> None:
    models = made(mlp)
    reference = copy.deepcopy(models)
    options = {"momentum": [0.0, 0.5, 0.9], "weight_decay": [0.1, 0.0, 0.01], "dampening": 0.5}
    train(models, data, optimizer=torch.optim.SGD, options=options, together=True)
    for k, model in enumerate(reference):
        own = {"momentum": options["momentum"][k], "weight_decay": options["weight_decay"][k], "dampening": 0.5}
        plainly(model, data, k, torch.optim.SGD(model.parameters(), lr=0.01, **own))
        assert distance(models[k], model) < 1e-5


@pytest.mark.parametrize("name", ["dropout", "transformer"])
def test_a_member_does_not_depend_on_its_company(name: str, data) -> None:
    many, few = made(MODELS[name], 4), made(MODELS[name], 4)[2:3]
    train(many, data, seeds=[0, 1, 7, 3], together=True, **EXACT.get(name, {}))
    train(few, data, seeds=[7], together=True, **EXACT.get(name, {}))
    assert distance(many[2], few[0]) < 1e-5


def test_dropout_differs_between_seeds_and_steps_and_keeps_its_rate() -> None:
    seen: list[Tensor] = []

    class Looks(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.ones(1000))

        def forward(self, x: Tensor) -> Tensor:
            return F.dropout(self.w * x, 0.3)

    def look(output: Tensor, y: Tensor) -> Tensor:
        seen.append(output.detach())
        return output.sum()

    x, y = torch.ones(20, 1), torch.zeros(20)
    for seed in (0, 1):
        fit_many([Looks()], x, y, loss=look, lr=0.0, steps=2, batch_size=10, seeds=[seed], together=False)
    masks = torch.stack(seen).ne(0)[[1, 2, 4, 5]]  # 0 and 3 counted the numbers
    # 10,000 entries: five standard deviations of the rate are 0.023 (false failure below 1e-6)
    assert torch.allclose(masks.float().mean((1, 2)), torch.tensor(0.7), atol=0.023)
    agree = (masks[:, None] == masks).float().mean((2, 3))  # independent masks agree in 0.7 ** 2 + 0.3 ** 2
    assert torch.allclose(agree[~torch.eye(4, dtype=torch.bool)], torch.tensor(0.58), atol=0.025)


def test_a_member_that_diverges_stops_at_its_last_finite_state_and_touches_nobody(data) -> None:
    models = made(MODELS["batch norm"], 3)
    others = copy.deepcopy(models)
    start = copy.deepcopy(models[1])
    runs = train(models, data, lr=(0.01, 1e38, 0.01), optimizer=torch.optim.SGD, together=True)
    assert [run.diverged for run in runs] == [False, True, False]
    assert runs[1].steps < 5
    assert all(t.isfinite().all() for t in models[1].state_dict().values())
    alone = train([start], data, lr=1e38, optimizer=torch.optim.SGD, seeds=[1], together=False)
    assert alone[0].steps == runs[1].steps
    assert distance(start, models[1]) <= 1e-5 * max(float(t.abs().max()) for t in start.state_dict().values())
    train(others[::2], data, seeds=[0, 2], optimizer=torch.optim.SGD, together=True)
    assert max(distance(a, b) for a, b in zip(models[::2], others[::2], strict=True)) < 1e-6


@pytest.mark.parametrize("together", [True, False])
def test_a_callback_looks_at_members_and_stops_them(together: bool, data) -> None:
    models = made(MODELS["dropout"])
    reference = copy.deepcopy(models)
    kept: dict[int, dict[str, Tensor]] = {}

    def look(moment: Moment) -> None:
        assert moment.outputs(data[0]).shape == (len(moment.members), 50, CLASSES)
        if moment.number == 4 and 1 in moment.members:
            kept[1] = moment.state(1)
            moment.stop(1)

    runs = train(models, data, on_step=[look], together=together)
    assert [run.steps for run in runs] == [STEPS, 5, STEPS]
    assert runs[1].stopped
    assert all(torch.equal(kept[1][name], value) for name, value in models[1].state_dict().items())
    train(reference, data, together=True)
    assert distance(models[2], reference[2]) < 1e-5
    assert distance(models[1], reference[1]) > 1e-3


def test_rows_give_every_member_its_own_samples(data) -> None:
    x, y = data
    rows = [torch.arange(20), torch.arange(30, 50), torch.randint(0, 50, (33,))]
    models = made(mlp)
    reference = copy.deepcopy(models)
    train(models, data, rows=rows, together=True)
    for k, model in enumerate(reference):
        plainly(model, (x[rows[k]], y[rows[k]]), k, torch.optim.Adam(model.parameters(), lr=0.01))
        assert distance(models[k], model) < 1e-5


def test_augment_changes_each_members_batch_by_its_own_numbers(data) -> None:
    def noisy(x: Tensor, y: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        return x + torch.randn(x.shape, generator=generator), F.one_hot(y, CLASSES).float()

    models = made(mlp)
    alone = copy.deepcopy(models)
    train(models, data, augment=noisy, seeds=[4, 4, 5], together=True)
    train(alone, data, augment=noisy, seeds=[4, 4, 5], together=False)
    assert max(distance(a, b) for a, b in zip(models, alone, strict=True)) < 1e-5
    assert distance(alone[0], made(mlp)[0]) > 1e-3


def test_frozen_and_unused_parameters_stay(data) -> None:
    class Half(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.frozen, self.unused, self.head = nn.Linear(24, 8), nn.Linear(8, 8), nn.Linear(8, CLASSES)
            self.frozen.requires_grad_(False)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.frozen(x))

    models = made(Half)
    before = copy.deepcopy(models)
    train(models, data, optimizer=torch.optim.AdamW, options={"weight_decay": 0.5}, together=True)
    for model, start in zip(models, before, strict=True):
        assert torch.equal(model.unused.weight, start.unused.weight)
        assert torch.equal(model.frozen.weight, start.frozen.weight)
        assert not torch.equal(model.head.weight, start.head.weight)
        assert not model.frozen.weight.requires_grad


def test_no_trace_beside_the_training(data) -> None:
    models = made(MODELS["dropout"])
    models[0].eval()
    state, threads = torch.get_rng_state(), torch.backends.mha.get_fastpath_enabled()
    attributes = set(models[0].__dict__)
    train(models, data, together=True)
    assert torch.equal(torch.get_rng_state(), state)
    assert [model.training for model in models] == [False, True, True]
    assert torch.backends.mha.get_fastpath_enabled() == threads
    assert set(models[0].__dict__) == attributes
    assert all(p.grad is None for model in models for p in model.parameters())
    copy.deepcopy(models[0])


class Recurrent(nn.Module):
    """`vmap` knows no LSTM."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.head = nn.LSTM(6, 5, batch_first=True), nn.Linear(5, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.lstm(x.unflatten(1, (4, 6)))[0][:, -1])


def test_what_vmap_cannot_run_is_said_and_runs_one_by_one(data) -> None:
    models = made(Recurrent, 2)
    before = copy.deepcopy(models)
    with pytest.raises(CannotStack, match=r"lstm.*\n?.*together=False"):
        train(models, data, together=True)
    assert max(distance(a, b) for a, b in zip(models, before, strict=True)) == 0
    runs = train(models, data)
    assert [run.steps for run in runs] == [STEPS, STEPS]
    assert predict_many(models, data[0]).shape == (2, 50, CLASSES)


def test_unlike_models_are_refused_by_name() -> None:
    x, y = torch.zeros(8, 4), torch.zeros(8, dtype=torch.long)
    a, b = nn.Sequential(nn.Linear(4, 3), nn.Dropout(0.1)), nn.Sequential(nn.Linear(4, 3), nn.Dropout(0.2))
    options = {"loss": F.cross_entropy, "lr": 0.1, "steps": 1, "batch_size": 4, "together": True}
    with pytest.raises(CannotStack, match=r"p=0\.1.* p=0\.2"):
        fit_many([a, b], x, y, **options)
    with pytest.raises(CannotStack, match="in_features"):
        fit_many([nn.Linear(4, 3), nn.Linear(5, 3)], x, y, **options)
    with pytest.raises(CannotStack, match=r"Linear.*Bilinear"):
        fit_many([nn.Linear(4, 3), nn.Bilinear(4, 4, 3)], x, y, **options)
    tied = nn.Linear(4, 3)
    other = nn.Linear(4, 3)
    other.weight = tied.weight
    with pytest.raises(CannotStack, match="share 'weight'"):
        fit_many([tied, other], x, y, **options)
    with pytest.raises(CannotStack, match="Adagrad"):
        fit_many([nn.Linear(4, 3)], x, y, optimizer=torch.optim.Adagrad, **options)
    with pytest.raises(CannotStack, match="amsgrad"):
        fit_many([nn.Linear(4, 3)], x, y, options={"amsgrad": True}, **options)


def test_functions_of_one_origin_are_alike(data) -> None:
    class Scaled(nn.Module):
        def __init__(self, act: Callable[[Tensor], Tensor]) -> None:
            super().__init__()
            self.fc, self.act = nn.Linear(24, CLASSES), act

        def forward(self, x: Tensor) -> Tensor:
            return self.act(self.fc(x))

    def scaled(factor: float) -> nn.Module:
        return Scaled(lambda x: factor * x)

    train([Scaled(lambda x: 2 * x) for _ in range(2)], data, together=True)
    same = 0.5
    train([scaled(same), scaled(same)], data, together=True)
    with pytest.raises(CannotStack, match="act="):
        train([scaled(0.5), scaled(0.25)], data, together=True)
    with pytest.raises(CannotStack, match="act="):
        train([Scaled(torch.tanh), Scaled(torch.relu)], data, together=True)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"lr": [0.1, 0.1]}, "lr has 2 values for 1 models"),
        ({"batch_size": 9}, "batch_size is 9, expected 1 to 8"),
        ({"loss": lambda output, y: output}, "one number"),
        ({"loss": lambda output, y: output.detach().sum()}, "no gradient"),
        ({"lr": -1.0}, "Invalid learning rate"),
        ({"y": torch.zeros(7)}, "x has 8 samples and y has 7"),
        ({"seeds": [1, 2]}, "seeds has 2 values"),
    ],
)
def test_bad_input_is_said_before_anything_changes(change: dict[str, Any], match: str) -> None:
    model = nn.Linear(4, 3)
    before = copy.deepcopy(model)
    given = {"x": torch.zeros(8, 4), "y": torch.zeros(8).long(), "loss": F.cross_entropy, "lr": 0.1}
    given |= {"steps": 2, "batch_size": 4} | change
    with pytest.raises(TrainError, match=match):
        fit_many([model], **given)
    assert distance(model, before) == 0


def test_an_error_of_the_model_passes_through_as_it_is() -> None:
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        fit_many(
            [nn.Linear(5, 3)],
            torch.zeros(8, 4),
            torch.zeros(8).long(),
            loss=F.cross_entropy,
            lr=0.1,
            steps=1,
            batch_size=4,
        )


def test_bfloat16_and_mixed_dtypes(data) -> None:
    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(24, 8, dtype=torch.bfloat16)
            self.second = nn.Linear(8, CLASSES, dtype=torch.float64)

        def forward(self, x: Tensor) -> Tensor:
            return self.second(self.first(x.bfloat16()).relu().double())

    models = made(Mixed)
    alone = copy.deepcopy(models)
    options = {"lr": [1e-3, 1e-2, 1e-2], "options": {"weight_decay": [0.0, 0.1, 0.0]}, "clip": 0.5}
    train(models, data, optimizer=torch.optim.SGD, together=True, **options)
    train(alone, data, optimizer=torch.optim.SGD, together=False, **options)
    for a, b in zip(models, alone, strict=True):
        assert a.first.weight.dtype == torch.bfloat16
        assert torch.allclose(a.first.weight.float(), b.first.weight.float(), atol=4e-3)  # a unit in the last place
        assert torch.allclose(a.second.weight, b.second.weight, atol=2e-3)


def test_inputs_may_be_tuples_and_dicts(data) -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(24, CLASSES)

        def forward(self, a: Tensor, b: Tensor) -> Tensor:
            return self.fc(torch.cat([a, b], 1))

    x, y = data
    whole, pair, named = made(Two, 1), made(Two, 1), made(Two, 1)
    halves = (x[:, :10], x[:, 10:])
    train(whole, (halves, y), together=False)
    train(pair, (halves, y), together=True)
    train(named, ({"b": halves[1], "a": halves[0]}, y), together=True)
    assert max(distance(whole[0], pair[0]), distance(whole[0], named[0])) < 1e-5
    assert predict_many(pair, halves).shape == (1, 50, CLASSES)


def test_interrupted_training_keeps_what_was_done(data) -> None:
    def interrupt(moment: Moment) -> None:
        if moment.number == 2:
            raise KeyboardInterrupt

    models, reference = made(mlp), made(mlp)
    with pytest.raises(KeyboardInterrupt):
        train(models, data, on_step=[interrupt], together=True)
    train(reference, data, steps=3, together=True)
    assert max(distance(a, b) for a, b in zip(models, reference, strict=True)) == 0


def test_no_steps_and_nothing_finite_to_begin_with(data) -> None:
    models = made(mlp, 2)
    with torch.no_grad():
        models[1][0].weight.fill_(math.inf)
    runs = train(models, data, together=True)
    assert [run.diverged for run in runs] == [False, True]
    assert runs[1].steps == 0
    assert [run.steps for run in train(models[:1], data, steps=0, together=True)] == [0]


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.AdamW])
def test_factors_by_parameter_are_the_same_together_and_alone(optimizer: type[torch.optim.Optimizer]) -> None:
    torch.manual_seed(0)
    x, y = torch.randn(32, 4), torch.randn(32, 1)
    first = [nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1)) for _ in range(2)]
    scales = {"2.weight": {"lr": 0.25, "weight_decay": 4.0}, "0.bias": {"lr": 0.0}}
    given: dict[str, Any] = {"lr": [1e-2, 1e-3], "steps": 5, "batch_size": 8, "options": {"weight_decay": 0.1}}
    one, other = copy.deepcopy(first), copy.deepcopy(first)
    for models, together in ((one, True), (other, False)):
        fit_many(models, x, y, loss=F.mse_loss, optimizer=optimizer, scales=scales, together=together, **given)
    for a, b, start in zip(one, other, first, strict=True):
        for p, q in zip(a.parameters(), b.parameters(), strict=True):
            assert torch.allclose(p, q, atol=1e-6)
        assert torch.equal(a[0].bias, start[0].bias)
    with pytest.raises(TrainError, match="names of parameters"):
        fit_many(one, x, y, loss=F.mse_loss, scales={"3.weight": {"lr": 1.0}}, **given)
