"""What the entries of a parameter look like: in words, and as moments."""

from dataclasses import dataclass
from math import prod, sqrt

from torch import Tensor

SIGMAS = 6.0  # of the sampling error of a standard deviation; beyond by chance once in 1e9
ALIKE = ("a constant", "equal rows")
FLAT = 2.3  # kurtosis: a uniform draw has 1.8, a normal one 3, one cut off at two standard deviations 2.36
_STDS = (1.0, 0.02, 0.01, 0.05)  # of a normal that ignores the shape: embeddings; GPT-2 and BERT; AlexNet; Keras
MANY = 2**16  # entries that are looked at of a draw: its standard deviation is then known to 2 %


@dataclass(frozen=True)
class Look:
    """What the entries of one parameter look like.

    Attributes:
        what: in words; empty where they are a draw around 0.
        std: standard deviation.
        kurtosis: fourth moment over the squared second; 1.8 of a uniform draw, 3 of a normal one.
        largest: largest absolute value.
        defaults: standard deviations that it may stand for, where a class drew it.
    """

    what: str
    std: float
    kurtosis: float
    largest: float
    defaults: tuple[float, ...] = ()


def look(values: Tensor) -> Look:
    """What a parameter's entries look like; of many, a part is looked at."""
    flat = values.flatten()
    flat = flat[:: max(flat.numel() // MANY, 1)].cpu()
    std, mean, largest = (float(v) for v in (flat.std(correction=0), flat.mean(), flat.abs().max()))
    kurtosis = float((flat - mean).pow(4).mean()) / std**4 if std else 1.0
    return Look(_words(values, flat, mean, std), std, kurtosis, largest)


def _words(values: Tensor, flat: Tensor, mean: float, std: float) -> str:
    first = flat[0]
    if bool((flat == first).all()) and bool((values == first.to(values.device)).all()):
        return "zeros" if first == 0 else f"{ALIKE[0]} {float(first):.3g}"
    rows = values.reshape(-1, values.shape[-1])[:64] if values.dim() > 1 else values.reshape(1, -1)
    if values.dim() > 1 and len(rows) > 1:
        if bool((rows == rows[:1]).all()):
            return ALIKE[1]
        taken = values[:64].flatten(1) != 0
        if taken.shape[1] > 1 and bool((taken.sum(1) == 1).all()):
            return "an identity or a permutation"
    steps = rows.diff(dim=-1)
    if rows.shape[-1] >= 4 and bool(((steps >= 0).all(-1) | (steps <= 0).all(-1)).all()):
        return "numbers in order"
    if abs(mean) <= SIGMAS * std / sqrt(flat.numel()):
        return ""
    return f"numbers around {mean:.3g}"


def defaults_of(shape: tuple[int, ...]) -> list[float]:
    r"""Standard deviations that libraries give a tensor of this shape, whichever of its axes is the input.

    $\sqrt{c / n}$ with $c \in \{1/3, 1, 2\}$ and $n$ fan in, fan out or their mean, and those that ignore the shape.
    """
    if len(shape) < 2 or not prod(shape):
        return []
    taps = prod(shape[2:])
    fans = (shape[0] * taps, shape[1] * taps, (shape[0] + shape[1]) * taps / 2)
    return [*(sqrt(c / n) for n in fans for c in (1 / 3, 1.0, 2.0)), *_STDS]
