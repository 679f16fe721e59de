import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import cross_entropy

from gainstage.train import TrainError, brier_score, calibration_error, disagreement, negative_log_likelihood


def scores_of(seed: int, n: int, classes: int = 4) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    scores = 3 * torch.randn(n, classes, generator=generator)
    return scores, torch.randint(classes, (n,), generator=generator)


@settings(deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 60))
def test_nll_and_brier_are_their_formulas(seed: int, n: int) -> None:
    scores, y = scores_of(seed, n)
    assert negative_log_likelihood(scores, y) == pytest.approx(float(cross_entropy(scores, y)), abs=1e-5)
    p = scores.double().softmax(1)
    by_hand = sum(sum((float(p[i, c]) - (int(y[i]) == c)) ** 2 for c in range(4)) for i in range(n)) / n
    assert brier_score(scores, y) == pytest.approx(by_hand, abs=1e-9)


@settings(deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 60), st.integers(1, 20))
def test_the_calibration_error_is_its_definition(seed: int, n: int, bins: int) -> None:
    scores, y = scores_of(seed, n)
    confidence, predicted = scores.double().softmax(1).max(1)
    wide = 0.0
    for b in range(bins):
        inside = (confidence > b / bins) & (confidence <= (b + 1) / bins)
        if inside.any():
            gap = (predicted == y)[inside].double().mean() - confidence[inside].mean()
            wide += float(inside.double().mean() * gap.abs())
    assert calibration_error(scores, y, bins=bins) == pytest.approx(wide, abs=1e-9)
    order = confidence.argsort(stable=True)
    gaps = ((predicted == y).double() - confidence)[order]
    parts = [gaps[[i for i in range(n) if i * bins // n == b]] for b in range(bins)]
    assert {len(part) for part in parts} <= {n // bins, n // bins + 1}
    mass = sum(abs(float(part.sum())) for part in parts) / n
    assert calibration_error(scores, y, bins=bins, equal="mass") == pytest.approx(mass, abs=1e-9)


@pytest.mark.parametrize("metric", [negative_log_likelihood, brier_score, calibration_error])
def test_log_probabilities_and_logits_are_the_same_scores(metric) -> None:
    scores, y = scores_of(0, 50)
    assert metric(scores.log_softmax(1), y) == pytest.approx(metric(scores, y), abs=1e-6)
    assert metric(scores + 100, y) == pytest.approx(metric(scores, y), abs=1e-5)


def test_labels_drawn_from_the_stated_probabilities_are_calibrated() -> None:
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(200_000, 3, generator=generator)
    y = scores.softmax(1).multinomial(1, generator=generator)[:, 0]
    # Each of 10 gaps is a mean of 20,000 values of deviation at most 1/2: 5 deviations are 0.018 (below 1e-6 each).
    assert calibration_error(scores, y, bins=10, equal="mass") < 0.018
    assert calibration_error(4 * scores, y, bins=10, equal="mass") > 0.1
    assert negative_log_likelihood(scores, y) < negative_log_likelihood(4 * scores, y)


def test_a_sure_and_wrong_answer_costs_infinitely_much_only_if_it_is_infinitely_sure() -> None:
    y = torch.tensor([1])
    assert negative_log_likelihood(torch.tensor([[0.0, -math.inf]]), y) == math.inf
    assert negative_log_likelihood(torch.tensor([[0.0, -500.0]]), y) == pytest.approx(500)
    assert brier_score(torch.tensor([[0.0, -math.inf]]), y) == 2


def test_disagreement_counts_pairs() -> None:
    scores = torch.eye(3)[torch.tensor([[0, 1, 2, 0], [0, 1, 1, 1], [2, 2, 2, 2]])]
    expected = torch.tensor([[0, 0.5, 0.75], [0.5, 0, 1], [0.75, 1, 0]], dtype=torch.double)
    assert torch.equal(disagreement(scores), expected)
    with pytest.raises(TrainError, match=r"\[members, n, classes\]"):
        disagreement(scores[0])


@pytest.mark.parametrize(
    ("scores", "y", "match"),
    [
        (torch.tensor([[0.2, 0.8]]), torch.tensor([1]), r"probabilities\.log\(\)"),
        (torch.zeros(2, 3), torch.tensor([0, 3]), "0 to 3, and there are 3 classes"),
        (torch.zeros(2, 3), torch.tensor([0]), r"\[n, classes\]"),
        (torch.zeros(0, 3), torch.zeros(0).long(), "at least one sample"),
        (torch.zeros(2, 3), torch.zeros(2), "integer classes"),
    ],
)
def test_bad_scores_are_refused(scores: Tensor, y: Tensor, match: str) -> None:
    for metric in (negative_log_likelihood, brier_score, calibration_error):
        with pytest.raises(TrainError, match=match):
            metric(scores, y)
    with pytest.raises(TrainError, match="'width' or 'mass'"):
        calibration_error(torch.zeros(1, 2), torch.tensor([0]), equal="weight")  # type: ignore[arg-type]
    with pytest.raises(TrainError, match="bins is 0"):
        calibration_error(torch.zeros(1, 2), torch.tensor([0]), bins=0)
