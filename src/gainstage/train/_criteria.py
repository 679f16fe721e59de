"""When to stop, and how to smooth: pure functions of the values seen so far."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from gainstage.train._errors import TrainError

Values = Sequence[float]
Smooth = Callable[[Values], float]
Criterion = Callable[[Values, Sequence[float | None]], str | None]


@dataclass(frozen=True)
class GL:
    r"""Stop when the validation error is `alpha` per cent above the lowest so far.

    $$ \mathrm{GL}(t) = 100 \left( \frac{E_{va}(t)}{\min_{t' \le t} E_{va}(t')} - 1 \right) > \alpha $$

    Args:
        alpha: per cent, at least 0. The paper uses 1 to 5.

    Example:
        >>> GL(5.0)([1.0, 0.5, 0.52], [None] * 3) is None
        True
        >>> GL(5.0)([1.0, 0.5, 0.53], [None] * 3)
        'the generalization loss GL is 6 %, above 5 %'

    References:
        Prechelt, *Early stopping — but when?*, 1998.
    """

    alpha: float

    def __post_init__(self) -> None:
        _at_least("GL(alpha)", self.alpha, 0)

    def __call__(self, validation: Values, training: Sequence[float | None]) -> str | None:
        loss = generalization_loss(validation)
        return f"the generalization loss GL is {loss:.3g} %, above {self.alpha:g} %" if loss > self.alpha else None


@dataclass(frozen=True)
class PQ:
    r"""Stop when the generalization loss is large beside the progress that training still makes.

    $$ P_k(t) = 1000 \left( \frac{\sum_{t'=t-k+1}^{t} E_{tr}(t')}{k \min_{t'=t-k+1}^{t} E_{tr}(t')} - 1 \right), \qquad
       \mathrm{GL}(t) / P_k(t) > \alpha $$

    It is looked at after every `strip` of epochs, and needs the training error: `stopper.step(value, train=error)`.

    Args:
        alpha: at least 0. The paper uses 0.5 to 3.
        strip: epochs a strip, $k$.

    Example:
        >>> rising, flat = [1.0, 1.1, 1.2, 1.3, 1.4], [0.5, 0.5, 0.5, 0.5, 0.4]
        >>> PQ(0.1)(rising, flat)
        'the generalization loss is 0.2 times the progress in training, above 0.1'

    References:
        Prechelt, *Early stopping — but when?*, 1998.
    """

    alpha: float
    strip: int = 5

    def __post_init__(self) -> None:
        _at_least("PQ(alpha)", self.alpha, 0)
        _at_least("PQ(strip)", self.strip, 1)

    def __call__(self, validation: Values, training: Sequence[float | None]) -> str | None:
        if not validation or len(validation) % self.strip:
            return None
        loss, progress = generalization_loss(validation), training_progress(training, self.strip)
        if not loss > self.alpha * progress:
            return None
        ratio = f"{loss / progress:.3g} times" if progress else "infinitely many times"
        return f"the generalization loss is {ratio} the progress in training, above {self.alpha:g}"


@dataclass(frozen=True)
class UP:
    r"""Stop when the validation error has risen over `s` strips in a row.

    $$ E_{va}(t - i k) > E_{va}(t - (i + 1) k), \qquad i = 0, \dots, s - 1 $$

    Args:
        s: strips in a row.
        strip: epochs a strip, $k$.

    Example:
        >>> UP(2, strip=1)([1.0, 0.5, 0.6, 0.7], [None] * 4)
        'the validation error rose over 2 strips of 1 in a row'

    References:
        Prechelt, *Early stopping — but when?*, 1998.
    """

    s: int
    strip: int = 5

    def __post_init__(self) -> None:
        _at_least("UP(s)", self.s, 1)
        _at_least("UP(strip)", self.strip, 1)

    def __call__(self, validation: Values, training: Sequence[float | None]) -> str | None:
        ends = validation[self.strip - 1 :: self.strip][-self.s - 1 :]
        if len(validation) % self.strip or len(ends) <= self.s:
            return None
        if any(later <= earlier for earlier, later in pairwise(ends)):
            return None
        return f"the validation error rose over {self.s} strips of {self.strip} in a row"


def generalization_loss(validation: Values) -> float:
    """How far the last error is above the lowest, in per cent.

    Raises:
        TrainError: an error is negative, so that a ratio says nothing.

    Example:
        >>> generalization_loss([2.0, 1.0, 1.5])
        50.0
    """
    lowest = min(validation)
    if lowest < 0:
        raise TrainError(
            f"Prechelt's criteria take ratios of errors, which must not be negative; got {lowest:g}. Use patience, or "
            "an error that starts at 0, for instance 1 - accuracy"
        )
    if lowest == 0:
        return 0.0 if validation[-1] == 0 else float("inf")
    return 100 * (validation[-1] / lowest - 1)


def training_progress(training: Sequence[float | None], strip: int) -> float:
    """How far the mean training error of the last strip is above its lowest, in parts per thousand.

    Raises:
        TrainError: a training error is missing or negative.

    Example:
        >>> training_progress([9.0, 1.5, 1.0, 0.5], strip=3)
        1000.0
    """
    last = [error for error in training[-strip:] if error is not None]
    if len(last) < min(strip, len(training)):
        raise TrainError("PQ compares with the training error: call step(value, train=error) in every epoch")
    lowest = min(last)
    if lowest < 0:
        raise TrainError(f"PQ takes ratios of training errors, which must not be negative; got {lowest:g}")
    mean = sum(last) / len(last)
    if lowest == 0:
        return 0.0 if mean == 0 else float("inf")
    return max(0.0, 1000 * (mean / lowest - 1))


def moving_average(decay: float) -> Smooth:
    r"""Smoothing by an exponential moving average, corrected for its start.

    $$ m_t = \frac{\sum_{i \le t} \beta^{t-i} x_i}{\sum_{i \le t} \beta^{t-i}} $$

    Args:
        decay: $\beta$, from 0 (the last value alone) to below 1.

    Example:
        >>> moving_average(0.5)([1.0, 4.0])
        3.0
    """
    if not 0 <= decay < 1:
        raise TrainError(f"moving_average(decay) must be at least 0 and below 1; got {decay!r}")

    def smooth(values: Values) -> float:
        total = weight = 0.0
        for value in values:
            total, weight = decay * total + value, decay * weight + 1
        return total / weight

    return smooth


def moving_median(window: int) -> Smooth:
    """Smoothing by the median of the last `window` values (of those there are, at the start).

    Args:
        window: at least 1.

    Example:
        >>> moving_median(3)([0.5, 9.0, 0.4])
        0.5
    """
    _at_least("moving_median(window)", window, 1)
    return lambda values: float(median(values[-window:]))


def _at_least(what: str, value: float, low: float) -> None:
    if not value >= low or value == float("inf"):
        raise TrainError(f"{what} must be at least {low:g}; got {value!r}")
