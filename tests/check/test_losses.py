"""What the rules know of a loss: losses of guessing, what is compared with what."""

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from faulty_data import pixels
from faulty_output import dense
from torch import Tensor, nn

import gainstage as gs
from gainstage.check._registry import NotMeasured
from gainstage.check.evidence import Evidence
from gainstage.check.facts.losses import comparisons, swapped_comparisons

N = 32


def evidence(model: nn.Module, target: Any, loss: Any, features: int = 6) -> Evidence:
    return Evidence(model, torch.randn(N, features), target=target, loss=loss)


Y = torch.arange(N) % 4
WEIGHTS = torch.tensor([1.0, 2.0, 3.0, 4.0])
GUESSES: dict[str, tuple[Any, Tensor, float]] = {
    "mean": (F.cross_entropy, Y, math.log(4)),
    "weights": (nn.CrossEntropyLoss(weight=WEIGHTS), Y, math.log(4)),
    "sum": (nn.CrossEntropyLoss(reduction="sum"), Y, N * math.log(4)),
    "weighted sum": (nn.CrossEntropyLoss(weight=WEIGHTS, reduction="sum"), Y, N * 2.5 * math.log(4)),
    "smoothing": (nn.CrossEntropyLoss(label_smoothing=0.3), Y, math.log(4)),
    "ignored": (nn.CrossEntropyLoss(ignore_index=2), Y, math.log(4)),
    "soft": (F.cross_entropy, torch.rand(N, 4).softmax(1), math.log(4)),
    "nll": (lambda z, y: F.nll_loss(z.log_softmax(1), y), Y, math.log(4)),
    "bce": (lambda z, y: F.binary_cross_entropy(z.sigmoid(), y), torch.rand(N, 4), math.log(2)),
    "bce sum": (nn.BCEWithLogitsLoss(reduction="sum"), torch.rand(N, 4), 4 * N * math.log(2)),
    "positive weight": (nn.BCEWithLogitsLoss(pos_weight=torch.tensor(5.0)), torch.ones(N, 4), 5 * math.log(2)),
}


@pytest.mark.parametrize("name", GUESSES)
def test_the_loss_of_guessing_is_that_of_the_same_function(name: str) -> None:
    loss, target, expected = GUESSES[name]
    (comparison,) = comparisons(evidence(nn.Linear(6, 4), target, loss))
    assert comparison.guess == pytest.approx(expected, rel=1e-5)


def test_guessing_the_mean_costs_the_variance() -> None:
    target = 5 + 3 * torch.randn(N, 4)
    for loss in (F.mse_loss, lambda z, y: ((z - y) ** 2).mean(), lambda z, y: (y - z).pow(2).mean()):
        given = evidence(nn.Linear(6, 4), target, loss)
        (comparison,) = comparisons(given)
        assert comparison.guess == pytest.approx(float(target.var(correction=0)), rel=1e-4)
        assert comparison.measured == pytest.approx(given.tape.loss, rel=1e-4)


@pytest.mark.parametrize("name", ["mean", "weights", "sum", "ignored", "nll", "bce", "positive weight"])
def test_what_was_heard_is_what_the_tape_shows(name: str) -> None:
    loss, target, _ = GUESSES[name]
    given = evidence(nn.Linear(6, 4), target, loss)
    (comparison,) = comparisons(given)
    assert comparison.measured == pytest.approx(given.tape.loss, rel=1e-5)
    assert comparison.site.op == comparison.call.op
    assert torch.equal(comparison.call.target, target)


def test_labels_leave_out_what_is_ignored() -> None:
    (comparison,) = comparisons(evidence(nn.Linear(6, 4), Y, nn.CrossEntropyLoss(ignore_index=3)))
    assert comparison.labels is not None
    assert sorted(comparison.labels.unique().tolist()) == [0, 1, 2]
    assert comparison.entropy == pytest.approx(math.log(3))


def test_the_input_may_be_the_target_in_either_order() -> None:
    x = torch.randn(N, 6)
    for loss in (F.mse_loss, lambda y, x: F.mse_loss(x, y), lambda y, x: (x - y).square().mean()):
        model = nn.Linear(6, 6)
        given = Evidence(model, x, target=x, loss=loss)
        (comparison,) = comparisons(given)
        assert torch.equal(comparison.call.target, x)
        assert torch.equal(comparison.call.prediction, model(x).detach())
        assert not swapped_comparisons(given)


def test_a_learned_target_is_none() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(6, 4), nn.Linear(6, 4)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return self.a(x), self.b(x)

    given = evidence(Two(), None, lambda out, _: F.mse_loss(out[0], out[1].detach()))
    with pytest.raises(NotMeasured):
        comparisons(given)


def test_rules_of_the_loss_are_not_judged_without_one() -> None:
    report = gs.check(dense(6, 8, 4), torch.randn(N, 6), select=["OUT501", "OUT505", "DAT603"])
    assert report.judged == ()
    assert all("no loss" in why.why for why in report.not_judged)


def test_two_faults_are_two_findings() -> None:
    model = nn.Sequential(*dense(196, 128, 10), nn.ReLU())
    report = gs.check(model, pixels(196), target=torch.zeros(64, dtype=torch.long), loss=F.cross_entropy)
    assert {"DAT604", "OUT505"} <= {finding.code for finding in report.findings}


def run_along(model: nn.Module, x: Tensor, y: Tensor) -> gs.Report:
    return gs.check(model, x, target=y, loss=F.cross_entropy, select=["DAT607"])


def test_the_site_that_mixes_samples_is_named() -> None:
    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(6, 16), nn.Linear(16, 4)

        def forward(self, x: Tensor) -> Tensor:
            h = torch.relu(self.first(x))
            return self.second(h / (1 + h.amax(0)))

    report = run_along(Mixed(), torch.rand(N, 6), Y)
    assert [finding.where for finding in report.findings] == ["div#0"]


@pytest.mark.parametrize("reverse", [False, True])
def test_a_leak_in_one_direction_is_seen(reverse: bool) -> None:
    class Running(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Linear(6, 4)

        def forward(self, x: Tensor) -> Tensor:
            z = self.body(x)
            return z.flip(0).cumsum(0).flip(0) if reverse else z.cumsum(0)

    assert run_along(Running(), torch.randn(N, 6), Y).findings


def test_batch_normalization_is_no_leak() -> None:
    model = nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 4))
    assert model.training
    assert not run_along(model, torch.randn(N, 6), Y).findings
