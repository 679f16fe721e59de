"""How far the stated probabilities can be believed, and how much members differ.

Every function takes *scores*: logits or log-probabilities, whose softmax is the stated distribution. Probabilities
enter as their logarithm; a softmax of probabilities, a frequent mistake, is refused.
"""

from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from gainstage.train._errors import TrainError


def negative_log_likelihood(scores: Tensor, y: Tensor) -> float:
    r"""Mean negative log-probability of the true classes, in nats.

    $$ -\frac1n \sum_i \log p_{i, y_i} $$

    Args:
        scores: logits or log-probabilities, `[n, classes]`.
        y: classes, `[n]`.

    Returns:
        0 or more; `log(classes)` for a uniform guess.

    Raises:
        TrainError: sizes that do not fit, or probabilities in place of scores.

    Example:
        >>> round(negative_log_likelihood(torch.zeros(3, 10), torch.tensor([0, 4, 9])), 4)
        2.3026
    """
    logs = _log_probabilities(scores, y)
    return float(-logs.gather(1, y[:, None]).mean())


def brier_score(scores: Tensor, y: Tensor) -> float:
    r"""Mean squared distance between the stated distribution and the class that came.

    $$ \frac1n \sum_i \sum_c (p_{ic} - [y_i = c])^2 $$

    The sum runs over all classes (Brier's own form); for two classes this is twice the form with one probability.

    Args:
        scores: logits or log-probabilities, `[n, classes]`.
        y: classes, `[n]`.

    Returns:
        From 0 to 2.

    Raises:
        TrainError: sizes that do not fit, or probabilities in place of scores.

    Example:
        >>> round(brier_score(torch.zeros(1, 2), torch.tensor([0])), 6)
        0.5

    References:
        Brier, *Verification of forecasts expressed in terms of probability*, 1950.
    """
    logs = _log_probabilities(scores, y)
    return float((logs.exp() - one_hot(y, logs.shape[1])).square().sum(1).mean())


def calibration_error(scores: Tensor, y: Tensor, *, bins: int = 15, equal: Literal["width", "mass"] = "width") -> float:
    r"""Expected calibration error of the predicted class.

    $$ \text{ECE} = \sum_b \frac{n_b}{n} \left| \text{accuracy}_b - \text{confidence}_b \right| $$

    Samples are sorted into bins by confidence, the largest probability. With `equal="width"` bin `b` holds the
    confidences in `(b / bins, (b + 1) / bins]`; with `"mass"` every bin holds as many samples, up to one, and equal
    confidences stay in the order of the samples. Empty bins count nothing. The estimate is biased upwards where bins
    hold few samples: compare models on the same samples and bins.

    Args:
        scores: logits or log-probabilities, `[n, classes]`.
        y: classes, `[n]`.
        bins: their number, 1 or more.
        equal: what is equal between bins.

    Returns:
        From 0 to 1.

    Raises:
        TrainError: sizes that do not fit, probabilities in place of scores, or an unknown `equal`.

    Example:
        >>> sure = torch.tensor([[9.0, -9.0]]).expand(4, 2)
        >>> round(calibration_error(sure, torch.tensor([0, 0, 0, 1])), 4)
        0.25

    References:
        Naeini, Cooper & Hauskrecht, *Obtaining well calibrated probabilities using Bayesian binning*, AAAI 2015.
        Guo, Pleiss, Sun & Weinberger, *On calibration of modern neural networks*, ICML 2017.
    """
    if bins < 1:
        raise TrainError(f"bins is {bins}, expected 1 or more")
    confidence, predicted = _log_probabilities(scores, y).exp().max(1)
    n = len(y)
    if equal == "width":
        place = ((confidence * bins).ceil().long() - 1).clamp(0, bins - 1)
    elif equal == "mass":
        place = torch.empty(n, dtype=torch.long, device=y.device)
        place[confidence.argsort(stable=True)] = torch.arange(n, device=y.device) * bins // n
    else:
        raise TrainError(f"equal is {equal!r}, expected 'width' or 'mass'")
    excess = (predicted == y).double() - confidence
    gaps = torch.zeros(bins, dtype=torch.double, device=y.device).index_add_(0, place, excess)
    return float(gaps.abs().sum() / n)


def disagreement(scores: Tensor) -> Tensor:
    r"""For every pair of members the fraction of samples on which they predict different classes.

    $$ d_{jk} = \frac1n \sum_i [\hat y_{ji} \ne \hat y_{ki}] $$

    Args:
        scores: of every member, `[members, n, classes]`, for instance `ensemble.outputs(x)`.

    Returns:
        `[members, members]`, symmetric, 0 on the diagonal; `disagreement(s).sum() / (k * (k - 1))` is the mean over
        pairs.

    Raises:
        TrainError: another number of axes.

    Example:
        >>> disagreement(torch.tensor([[[1.0, 0.0], [1.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]]])).tolist()
        [[0.0, 0.5], [0.5, 0.0]]

    References:
        Kuncheva & Whitaker, *Measures of diversity in classifier ensembles*, Machine Learning 2003.
    """
    if scores.dim() != 3 or scores.shape[1] == 0:
        raise TrainError(f"scores has shape {tuple(scores.shape)}, expected [members, n, classes]")
    classes = scores.argmax(2)
    return torch.stack([(classes != own).double().mean(1) for own in classes])


def _log_probabilities(scores: Tensor, y: Tensor) -> Tensor:
    """Checked, and normalized in float64."""
    if scores.dim() != 2 or y.shape != scores.shape[:1] or len(y) == 0 or y.is_floating_point():
        raise TrainError(
            f"scores has shape {tuple(scores.shape)} and y {tuple(y.shape)} of {y.dtype}: expected [n, classes] and "
            "[n] of integer classes, with at least one sample"
        )
    if int(y.min()) < 0 or int(y.max()) >= scores.shape[1]:
        raise TrainError(f"y goes from {int(y.min())} to {int(y.max())}, and there are {scores.shape[1]} classes")
    wide = scores.detach().double()
    if scores.shape[1] > 1 and bool((wide >= 0).all()) and bool(((wide.sum(1) - 1).abs() < 1e-3).all()):
        raise TrainError("the scores are probabilities: give their logarithm, probabilities.log()")
    return wide.log_softmax(1)
