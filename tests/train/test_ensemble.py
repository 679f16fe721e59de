import builtins
import copy
import math
import pickle
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from gainstage.train import (
    EarlyStopping,
    Ensemble,
    Stacking,
    TrainError,
    WeightAverage,
    accuracy,
    combine,
    cyclic_cosine,
    disagreement,
    fit,
    greedy_soup,
    minibatches,
    negative_log_likelihood,
    snapshots,
    uniform_soup,
    vote,
)

OPTIONS: dict[str, Any] = {"loss": F.cross_entropy, "lr": 0.02, "steps": 60, "batch_size": 16}


@pytest.fixture(scope="module")
def data() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(240, 4, generator=generator)
    return x, (x[:, 0] * x[:, 1] > 0).long() + (x[:, 2] > 1)


def mlp(seed: int = 0) -> nn.Module:
    return nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3))


def weights(model: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


# What members say together


@settings(deadline=None)
@given(st.integers(0, 10_000), st.lists(st.floats(0, 5), min_size=3, max_size=3).filter(lambda w: sum(w) > 0.01))
def test_averages_are_their_formulas(seed: int, w: list[float]) -> None:
    z = 2 * torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.double)
    share = torch.tensor(w, dtype=torch.double)[:, None, None] / sum(w)
    assert torch.allclose(combine(z, weights=w).exp(), (share * z.softmax(2)).sum(0), atol=1e-12)
    assert torch.allclose(combine(z, weights=w, average="logits"), (share * z).sum(0).log_softmax(1), atol=1e-12)
    assert torch.allclose(combine(z, weights=w, average="outputs"), (share * z).sum(0), atol=1e-12)


def test_probabilities_too_small_for_the_format_are_not_lost() -> None:
    z = torch.tensor([[[0.0, -500.0]], [[0.0, -300.0]]])
    assert combine(z)[0, 1].item() == pytest.approx(-300 - math.log(2))
    assert combine(torch.full((2, 1, 2), 1e4)).tolist() == [[pytest.approx(-math.log(2))] * 2]
    assert combine(z.bfloat16()).dtype == torch.float32


def test_cross_entropy_of_an_ensemble_is_that_of_its_mean_probability(data) -> None:
    x, y = data
    ensemble = Ensemble.make(mlp, 3)
    mean = torch.stack([member(x).softmax(1) for member in ensemble.members]).mean(0)
    expected = float(F.nll_loss(mean.log(), y).detach())
    assert float(F.cross_entropy(ensemble(x), y).detach()) == pytest.approx(expected, abs=1e-6)
    assert negative_log_likelihood(ensemble.predict(x), y) == pytest.approx(expected, abs=1e-6)


def test_a_vote_counts_heads_and_then_probabilities() -> None:
    sure, unsure = [0.98, 0.01, 0.01], [0.3, 0.4, 0.3]
    third = [0.1, 0.2, 0.7]
    assert vote(torch.tensor([[sure], [unsure], [unsure]]).log()).item() == 1
    assert vote(torch.tensor([[sure], [unsure]]).log()).item() == 0
    assert vote(torch.tensor([[sure], [unsure], [third]]).log()).item() == 0  # all tied
    assert vote(torch.tensor([[sure], [unsure]]).log(), weights=[0.4, 0.6]).item() == 1
    broken = torch.full((1, 3), math.nan)
    assert vote(torch.stack([broken, torch.tensor([unsure]).log(), broken])).item() == 1


@pytest.mark.parametrize("bad", [[1.0], [1.0, -1.0], [0.0, 0.0], [math.nan, 1.0]])
def test_weights_that_make_no_sense_are_refused(bad: list[float]) -> None:
    with pytest.raises(TrainError, match="weights"):
        combine(torch.zeros(2, 1, 2), weights=bad)


# The members


def test_members_differ_and_are_the_same_each_time() -> None:
    state = torch.get_rng_state()
    first, again = Ensemble.make(mlp, 4, seed=7), Ensemble.make(mlp, 4, seed=7)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(weights(first), weights(again))
    assert torch.equal(weights(first.members[1]), weights(Ensemble.make(mlp, 1, seed=8)))


@pytest.mark.parametrize(
    "members",
    [
        lambda m: [m, copy.deepcopy(m)],
        lambda m: [m, m],
        lambda m: [mlp(), m, copy.deepcopy(m)],
    ],
)
def test_identical_members_are_refused(members) -> None:
    with pytest.raises(TrainError, match=r"equal parameters.*Ensemble\.make"):
        Ensemble(members(mlp()))


def test_a_factory_that_always_makes_the_same_is_refused() -> None:
    def same(seed: int) -> nn.Module:
        torch.manual_seed(0)
        return mlp()

    with pytest.raises(TrainError, match="equal parameters"):
        Ensemble.make(same, 2)


def test_no_members_and_unknown_averages_are_refused() -> None:
    with pytest.raises(TrainError, match="at least one member"):
        Ensemble([])
    with pytest.raises(TrainError, match="'probabilities', 'logits' or 'outputs'"):
        Ensemble([mlp()], average="mean")  # type: ignore[arg-type]


def test_training_as_one_and_one_by_one_give_the_same_ensemble(data) -> None:
    one, other = Ensemble.make(mlp, 3), Ensemble.make(mlp, 3)
    one.fit(*data, together=True, **OPTIONS)
    other.fit(*data, together=False, **OPTIONS)
    assert torch.allclose(weights(one), weights(other), atol=1e-4)
    assert torch.allclose(one.predict(data[0]), other.predict(data[0], together=False), atol=1e-4)
    assert torch.allclose(one.predict(data[0], batch_size=7), one(data[0]), atol=1e-5)


def test_members_may_be_of_different_architectures(data) -> None:
    ensemble = Ensemble([mlp(), nn.Linear(4, 3), nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))])
    ensemble.fit(*data, **OPTIONS)
    assert ensemble.outputs(data[0]).shape == (3, 240, 3)
    assert accuracy(ensemble, *data) > 0.5


def test_an_ensemble_has_a_smaller_loss_than_its_members_on_average(data) -> None:
    ensemble = Ensemble.make(mlp, 5)
    ensemble.fit(*data, **OPTIONS)
    outputs = ensemble.outputs(data[0])
    alone = sum(negative_log_likelihood(own, data[1]) for own in outputs) / 5
    assert disagreement(outputs).sum() > 0
    assert negative_log_likelihood(ensemble.predict(data[0]), data[1]) < alone  # Jensen, for members that differ


def test_bagging_trains_each_member_on_its_own_bootstrap_sample(data) -> None:
    x, y = data
    bagged = Ensemble.make(mlp, 2)
    reference = copy.deepcopy(bagged)
    bagged.fit(x, y, bootstrap=True, seed=3, **OPTIONS)
    for k, member in enumerate(reference.members):
        rows = torch.randint(240, (240,), generator=torch.Generator().manual_seed(3 + k))
        assert len(rows.unique()) < 200
        batches = minibatches(x[rows], y[rows], batch_size=16, steps=60, seed=3 + k)
        fit(member, batches, loss=F.cross_entropy, optimizer=torch.optim.Adam(member.parameters(), lr=0.02))
        assert torch.allclose(weights(member), weights(bagged.members[k]), atol=1e-4)


def test_a_regression_averages_outputs() -> None:
    x = torch.randn(100, 4, generator=torch.Generator().manual_seed(0))
    ensemble = Ensemble.make(lambda seed: nn.Linear(4, 1), 3, average="outputs")
    ensemble.fit(x, x[:, :1] * 2, loss=F.mse_loss, lr=0.05, steps=200, batch_size=32)
    assert F.mse_loss(ensemble.predict(x), x[:, :1] * 2) < 1e-3


def test_an_ensemble_survives_copy_and_state_dict(data) -> None:
    ensemble = Ensemble.make(mlp, 2, weights=[1, 3])
    other = Ensemble.make(mlp, 2, seed=9)
    other.load_state_dict(ensemble.state_dict())
    assert torch.equal(other.predict(data[0]), ensemble.predict(data[0]))
    assert torch.equal(copy.deepcopy(ensemble).predict(data[0]), ensemble.predict(data[0]))


# Stacking


def test_stacking_learns_from_out_of_fold_answers_which_member_to_trust(data) -> None:
    class Guess(nn.Module):
        """Sees nothing but a constant: of no use, however well it fits."""

        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(torch.zeros_like(x))

    x, y = data
    stacking = Stacking(lambda seed: mlp() if seed == 0 else Guess(), 2, folds=4).fit(x, y, **OPTIONS)
    coefficients = torch.as_tensor(stacking.meta.coef_).abs()
    assert coefficients[:, :3].sum() > 3 * coefficients[:, 3:].sum()
    scores = stacking.predict(x)
    assert torch.allclose(scores.exp().sum(1), torch.ones(240, dtype=torch.double))
    assert (scores.argmax(1) == y).float().mean() > 0.7


def test_what_the_learner_sees_comes_from_members_that_did_not() -> None:
    seen: dict[str, Any] = {}

    class Meta:
        classes_ = (0, 1, 2)

        def get_params(self, deep: bool = False) -> dict[str, Any]:
            return {}

        def fit(self, features: Any, y: Any) -> None:
            seen["features"] = torch.as_tensor(features)

    x = torch.randn(40, 4, generator=torch.Generator().manual_seed(0))
    y = torch.randint(0, 2, (40,), generator=torch.Generator().manual_seed(1))  # nothing to learn but by heart
    big = lambda seed: nn.Sequential(nn.Linear(4, 100), nn.ReLU(), nn.Linear(100, 3))  # noqa: E731
    stacking = Stacking(big, 1, folds=4, meta=Meta()).fit(x, y, **OPTIONS | {"steps": 200})
    assert seen["features"].shape == (40, 3)
    assert accuracy(stacking.ensemble, x, y) == 1
    assert (seen["features"].argmax(1) == y).float().mean() < 0.8


def test_every_fold_has_each_class_in_its_share_and_every_sample_once() -> None:
    y = torch.tensor([0] * 40 + [1] * 20 + [2] * 8)[torch.randperm(68, generator=torch.Generator().manual_seed(0))]
    stacking = Stacking(mlp, 1, folds=4)
    fold = stacking._dealt(y)
    assert torch.equal(torch.bincount(fold * 3 + y), torch.tensor([10, 5, 2] * 4))
    assert not torch.equal(fold, Stacking(mlp, 1, folds=4, seed=1)._dealt(y))
    assert torch.equal(torch.bincount(stacking._dealt(y.double())), torch.tensor([17] * 4))


@pytest.mark.parametrize("labels", [[1, 2, 3], [-5, 7, 100]])
def test_labels_that_are_no_indices_are_numbered_in_their_order(data, labels) -> None:
    x, y = data
    plain = Stacking(mlp, 2, folds=3).fit(x, y, **OPTIONS)
    named = Stacking(mlp, 2, folds=3).fit(x, torch.tensor(labels)[y], **OPTIONS)
    assert named.classes.tolist() == labels
    assert plain.classes.tolist() == [0, 1, 2]
    torch.testing.assert_close(named.predict(x), plain.predict(x))
    with pytest.raises(TrainError, match="4 classes and a member 3 outputs"):
        Stacking(mlp, 2, folds=3).fit(x, torch.arange(240) % 4, **OPTIONS)


@pytest.mark.parametrize("average", ["probabilities", "logits", "outputs"])
def test_a_member_of_weight_0_may_say_what_it_likes(average) -> None:
    good = torch.randn(2, 5, 3, requires_grad=True)
    both = torch.cat([good, torch.full((1, 5, 3), float("nan"))])
    got, expected = combine(both, average=average, weights=[1, 3, 0]), combine(good, average=average, weights=[1, 3])
    torch.testing.assert_close(got, expected)
    assert torch.autograd.grad(got.sum(), good)[0].isfinite().all()
    assert torch.equal(vote(both.detach(), weights=[1, 3, 0]), vote(good.detach(), weights=[1, 3]))


def test_stacking_a_regression_and_its_errors(data, monkeypatch) -> None:
    x, _ = data
    target = x @ torch.tensor([1.0, -2.0, 0.0, 0.5])
    stacking = Stacking(lambda seed: nn.Linear(4, 1), 2, folds=3)
    options = {"lr": 0.05, "steps": 150, "batch_size": 16, "loss": lambda output, y: F.mse_loss(output[:, 0], y)}
    with pytest.raises(TrainError, match="call fit"):
        stacking.predict(x)
    stacking.fit(x, target, **options)
    assert F.mse_loss(stacking.predict(x).float(), target) < 1e-2
    with pytest.raises(TrainError, match="folds is 1"):
        Stacking(mlp, 2, folds=1)
    with pytest.raises(TrainError, match="diverged"):
        Stacking(mlp, 2, folds=2).fit(*data, **OPTIONS | {"lr": 1e38})
    importing = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("sklearn"):
            raise ImportError(name)
        return importing(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(TrainError, match=r"gainstage\[study\]"):
        Stacking(mlp, 2).fit(*data, **OPTIONS)


# Snapshots, soups, averages


@settings(deadline=None)
@given(st.integers(1, 50), st.integers(1, 50))
def test_the_cyclic_schedule_restarts(cycles: int, length: int) -> None:
    factor = cyclic_cosine(cycles * length, cycles)
    values = [factor(step) for step in range(cycles * length)]
    assert [step for step, value in enumerate(values) if value == 1] == list(range(0, cycles * length, length))
    assert all(0 < value <= 1 for value in values)


def test_snapshots_are_the_states_at_the_ends_of_the_cycles(data) -> None:
    model, reference = mlp(), mlp()
    reference.load_state_dict(model.state_dict())
    sgd = torch.optim.SGD(model.parameters(), lr=0.3)
    batches = list(minibatches(*data, batch_size=16, steps=50))
    ensemble = snapshots(model, batches, loss=F.cross_entropy, optimizer=sgd, steps=50, cycles=3)
    assert len(ensemble) == 3  # 17 + 17 + 16 steps
    assert torch.equal(weights(ensemble.members[2]), weights(model))
    theirs = torch.optim.SGD(reference.parameters(), lr=0.3)
    fit(reference, batches, loss=F.cross_entropy, optimizer=theirs, steps=17, schedule=cyclic_cosine(51, 3))
    assert torch.allclose(weights(reference), weights(ensemble.members[0]), atol=1e-6)
    wild = torch.optim.SGD(model.parameters(), lr=1e30)
    with pytest.raises(TrainError, match="diverged"):
        snapshots(model, batches, loss=F.cross_entropy, optimizer=wild, steps=50, cycles=3)
    with pytest.raises(TrainError, match="cycles is 4, expected 1 to 3"):
        cyclic_cosine(3, 4)


def normalized(seed: int = 0) -> nn.Module:
    return nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 3))


def test_a_soup_renews_the_statistics_of_batch_normalization(data) -> None:
    x, _ = data
    models = [normalized() for _ in range(3)]
    for model in models:
        model[1].running_mean.fill_(100.0)
    before = [copy.deepcopy(model.state_dict()) for model in models]
    soup = uniform_soup(models, loader=x.split(50)).model
    assert torch.allclose(soup[0].weight, sum(model[0].weight for model in models) / 3)
    assert torch.allclose(soup[1].running_mean, soup[0](x).mean(0), atol=1e-5)
    assert torch.allclose(soup[1].running_var, soup[0](x).var(0), rtol=1e-4)
    assert all(
        torch.equal(t, b[name]) for m, b in zip(models, before, strict=True) for name, t in m.state_dict().items()
    )
    with pytest.raises(TrainError, match="loader="):
        uniform_soup(models)


def test_the_greedy_soup_is_never_worse_than_its_best_model(data) -> None:
    x, y = data
    start = mlp()
    models = [copy.deepcopy(start) for _ in range(5)]
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for spread, model in enumerate(models):
            for p in model.parameters():
                p += 0.1 * spread * torch.randn(p.shape, generator=generator)
        models[4][0].weight.fill_(math.nan)

    def score(model: nn.Module) -> float:
        return -float(F.cross_entropy(model(x), y).detach())

    soup = greedy_soup(models, score)
    best = max(score(model) for model in models[:4])
    assert soup.score == score(soup.model)
    assert soup.score >= best
    assert 4 not in soup.members
    expected = sum(weights(models[k]) for k in soup.members) / len(soup.members)
    assert torch.allclose(weights(soup.model), expected, atol=1e-6)


def test_half_precision_soups_are_averaged_in_double() -> None:
    models = [nn.Linear(1, 1, bias=False, dtype=torch.bfloat16) for _ in range(256)]
    for model in models:
        nn.init.constant_(model.weight, 1.0)
    assert uniform_soup(models).model.weight.item() == 1.0


def test_soups_of_unlike_models_are_refused() -> None:
    with pytest.raises(TrainError, match="model 1 has other names or shapes"):
        uniform_soup([mlp(), nn.Linear(4, 3)])
    with pytest.raises(TrainError, match="at least one"):
        greedy_soup([], lambda model: 0.0)
    with pytest.raises(TrainError, match="no model has a score"):
        greedy_soup([mlp()], lambda model: math.nan)


@pytest.mark.parametrize("decay", [None, 0.8])
def test_the_running_average_follows_its_formula(decay: float | None, data) -> None:
    model = mlp()
    average = WeightAverage(model, decay=decay, start=4, every=3)
    states: list[Tensor] = []
    sgd = torch.optim.SGD(model.parameters(), lr=0.1)
    batches = minibatches(*data, batch_size=16, steps=20)
    fit(model, batches, loss=F.cross_entropy, optimizer=sgd, on_step=[average, lambda _: states.append(weights(model))])
    counted = states[4::3]
    assert average.count == len(counted) == 6
    expected = counted[0]
    for m, state in enumerate(counted[1:], 2):
        share = 1 / m if decay is None else 1 - decay
        expected = expected + share * (state - expected)
    assert torch.allclose(weights(average.model()), expected, atol=1e-6)
    assert torch.equal(weights(model), states[-1])


def test_an_average_asks_for_data_where_there_is_batch_normalization(data) -> None:
    model = normalized()
    average = WeightAverage(model)
    with pytest.raises(TrainError, match="no step was counted"):
        average.model()
    average.update()
    with pytest.raises(TrainError, match=r"average\.model\(loader\)"):
        average.model()
    averaged = average.model(data[0].split(60))
    assert torch.allclose(averaged[1].running_mean, averaged[0](data[0]).mean(0), atol=1e-5)
    with pytest.raises(TrainError, match="decay is 1"):
        WeightAverage(model, decay=1)


@pytest.mark.parametrize("decay", [None, 0.9])
@pytest.mark.parametrize("way", ["state", "pickle", "copy"])
def test_an_average_goes_on_where_it_was_stored(decay, way) -> None:
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    average = WeightAverage(model, decay=decay)
    stay = copy.deepcopy(model)

    def go_on(average: WeightAverage, model: nn.Module) -> dict[str, Tensor]:
        for value in (1.0, 5.0, -2.0):
            nn.init.constant_(model.weight, value)
            average.update()
        return average.model().state_dict()

    for value in (3.0, 4.0):
        nn.init.constant_(model.weight, value)
        average.update()
    if way == "state":
        other = WeightAverage(stay, decay=decay)
        other.load_state_dict(copy.deepcopy(average.state_dict()))
        trained = stay
    else:
        other = pickle.loads(pickle.dumps(average)) if way == "pickle" else copy.deepcopy(average)
        trained = other._trained
    assert other.count == 2
    expected = go_on(average, model)
    for name, tensor in go_on(other, trained).items():
        torch.testing.assert_close(tensor, expected[name])


def test_early_stopping_puts_an_average_back_to_the_best_epoch(tmp_path) -> None:
    for path in (None, tmp_path / "best.safetensors"):
        model = nn.Linear(2, 1, bias=False)
        average = WeightAverage(model, decay=0.5)
        stopper = EarlyStopping("val_loss", keep={"model": model, "averaged": average}, path=path)
        for value, loss in ((1.0, 3.0), (2.0, 1.0), (9.0, 2.0)):
            nn.init.constant_(model.weight, value)
            average.update()
            stopper.step(loss)
        stopper.restore()
        assert (average.count, average.model().weight.tolist()) == (2, [[1.5, 1.5]])


def test_the_state_of_another_average_is_refused_and_changes_nothing() -> None:
    average = WeightAverage(nn.Linear(2, 1))
    average.update()
    before = average.model().state_dict()
    with pytest.raises(TrainError, match=r"'module\.weight' does not fit"):
        average.load_state_dict(WeightAverage(nn.Linear(3, 1)).state_dict())
    assert all(torch.equal(tensor, before[name]) for name, tensor in average.model().state_dict().items())
