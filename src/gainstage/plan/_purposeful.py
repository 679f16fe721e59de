"""Found values that are decisions: no layer class would have drawn them by default."""

import copy
from collections.abc import Iterable
from dataclasses import dataclass
from math import prod, sqrt

import torch
from torch import Tensor, nn

from gainstage.run import dense, has_data, named_modules, named_parameters, real, undisturbed

_SIGMAS = 6.0  # of the sampling error of a standard deviation; beyond by chance once in 1e9
_SLACK = 0.02  # of a standard deviation: what cutting off the tails and rounding change
_STDS = (1.0, 0.02, 0.01, 0.05)  # of a normal that ignores the shape: embeddings; GPT-2 and BERT; AlexNet; Keras
_FEW = 8  # entries; fewer could be a draw of any law
_ROWS, _MOST_ROWS = 16, 512  # that are compared
_UNEVEN = 5.0  # times the variance by sampling: of 16 rows below 1e-9 by chance (chi squared)
ALIKE = ("a constant", "equal rows")
DRAWN = "drawn with a standard deviation of"
_MANY = 2**16  # entries that are looked at of a draw: its standard deviation is then known to 2 %


@dataclass(frozen=True)
class Look:
    """What the entries of one parameter look like.

    Attributes:
        what: in words; empty where they are a draw around 0.
        std: standard deviation.
        kurtosis: fourth moment over the squared second; 1.8 of a uniform draw, 3 of a normal one.
        largest: largest absolute value.
    """

    what: str
    std: float
    kurtosis: float
    largest: float


def decisions(model: nn.Module, names: Iterable[str]) -> dict[str, str]:
    r"""The parameters among `names` whose value is a decision of the model's author, with what it looks like.

    Some are no draw around 0: zeros and constants where the class that holds them draws numbers, identities and
    permutations, numbers in order, vectors of chosen numbers (time steps, decay rates, frequencies). The others are
    draws around 0 whose standard deviation no library gives a tensor of this shape: not what `reset_parameters` of the
    class draws, not $\sqrt{c / n}$ with $c \in \{1/3, 1, 2\}$ and fan in, fan out or their mean for $n$, not a fixed 1,
    0.05, 0.02 or 0.01, within six sampling errors. Where all draws of a model are off by one factor, that is a scale of
    the whole and no decision about any of them. Vectors of 0 or of 1 are none either: biases and scales that somebody
    reset.

    No name is recognized: a class is asked what it draws, by drawing.

    Args:
        model: it holds values; nothing is run.
        names: of parameters.
    """
    parameters = dict(named_parameters(model))
    usual = _drawn_by_class(model)
    found: dict[str, str] = {}
    factors: dict[str, float] = {}  # of what is a draw
    for name in names:
        values = real(dense(parameters[name].detach()))
        seen, drawn = look(values), usual.get(name)
        if seen.what:
            if not (_reset(seen, values) or (drawn and _could_be(seen, drawn, values))):
                found[name] = seen.what
        elif values.numel() >= _FEW:
            factors[name] = factor = _factor(seen, drawn, tuple(values.shape))
            if factor != 1:
                found[name] = f"{DRAWN} {seen.std:.2g}, no default of this shape"
    spread = sorted(factor for name, factor in factors.items() if parameters[name].dim() > 1)
    if len(spread) > 1 and spread[-1] < 1.1 * spread[0]:
        return {name: what for name, what in found.items() if name not in factors}
    return found


def trained(model: nn.Module, names: Iterable[str]) -> bool:
    r"""Whether the weights among `names` are no draw of any law: more than half of their entries have been trained.

    The rows of a draw have mean squares that differ by sampling alone, with variance $(k - 1) / n$ relative to their
    mean for $n$ entries of kurtosis $k$; and so have its columns. Training makes some matter more than others.
    """
    parameters = dict(named_parameters(model))
    uneven = total = 0
    for name in names:
        if parameters[name].dim() > 1 and min(parameters[name].shape[:2]) >= _ROWS:
            total += parameters[name].numel()
            uneven += parameters[name].numel() * _is_uneven(real(dense(parameters[name].detach())))
    return uneven > total / 2


def _is_uneven(values: Tensor) -> bool:
    for side in (values.flatten(1)[:_MOST_ROWS], values.transpose(0, 1).flatten(1)[:_MOST_ROWS]):
        squares = side.square()
        rows = squares.mean(1)
        rows = rows[rows > 0]  # a row of padding is none of them
        expected = float(squares.var() / squares.shape[1])
        if len(rows) >= _ROWS and expected > 0 and float(rows.var()) > _UNEVEN * expected:
            return True
    return False


def look(values: Tensor) -> Look:
    """What a parameter's entries look like; of many, a part is looked at."""
    flat = values.flatten()
    flat = flat[:: max(flat.numel() // _MANY, 1)].cpu()
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
        if bool((taken.sum(1) == 1).all()):
            return "an identity or a permutation"
    steps = rows.diff(dim=-1)
    if rows.shape[-1] >= 4 and bool(((steps >= 0).all(-1) | (steps <= 0).all(-1)).all()):
        return "numbers in order"
    if abs(mean) <= _SIGMAS * std / sqrt(flat.numel()):
        return ""
    return f"numbers around {mean:.3g}"


def _reset(seen: Look, values: Tensor) -> bool:
    return values.dim() < 2 and seen.std == 0 and seen.largest in (0.0, 1.0)


def _could_be(seen: Look, drawn: Look, values: Tensor) -> bool:
    """Whether a class draws something like it itself; of a few numbers only their size tells."""
    few = values.numel() < _FEW and drawn.largest > 0 and drawn.what != seen.what
    return seen.what == drawn.what or (few and (values.numel() == 1 or seen.largest <= 2 * drawn.largest))


def _factor(seen: Look, drawn: Look | None, shape: tuple[int, ...]) -> float:
    """The factor that a draw is off by from what its class draws, or from 1/sqrt(fan in); 1 where it is a default."""
    error = _SIGMAS * sqrt(max(seen.kurtosis - 1, 0.5) / (4 * min(prod(shape), _MANY))) + _SLACK
    own = drawn.std if drawn and drawn.std > 0 else 0.0
    if own and min(abs(seen.std / own - 1), abs(own / seen.std - 1)) <= sqrt(2) * error:  # both were drawn
        return 1.0
    if any(abs(seen.std / std - 1) <= error for std in _defaults(shape)):
        return 1.0
    return seen.std / (own or (prod(shape[1:]) or 1) ** -0.5)


def _defaults(shape: tuple[int, ...]) -> list[float]:
    """Standard deviations that libraries give a tensor of this shape, whichever of its axes is the input."""
    if len(shape) < 2:
        return []
    taps = prod(shape[2:])
    fans = (shape[0] * taps, shape[1] * taps, (shape[0] + shape[1]) * taps / 2)
    return [*(sqrt(c / n) for n in fans for c in (1 / 3, 1.0, 2.0)), *_STDS]


def _drawn_by_class(model: nn.Module) -> dict[str, Look]:
    """For every parameter, what the class of the module that holds it draws when it is asked to."""
    drawn: dict[str, Look] = {}
    alike: dict[object, dict[str, Look]] = {}
    with undisturbed(model), torch.no_grad():  # a class may write to what its copy shares with the module
        for path, module in named_modules(model):
            own = {n: p for n, p in module._parameters.items() if p is not None and has_data(p)}
            reset = next((n for n in ("reset_parameters", "_reset_parameters") if hasattr(module, n)), "")
            if not own or not reset:
                continue
            key = type(module), tuple((name, tuple(p.shape)) for name, p in own.items())
            if key not in alike:
                alike[key] = _ask(module, reset)
            drawn |= {f"{path}.{name}" if path else name: seen for name, seen in alike[key].items()}
    return drawn


def _ask(module: nn.Module, reset: str) -> dict[str, Look]:
    """What a module draws, read off a copy; nothing where it cannot draw again."""
    fresh: nn.Module = object.__new__(type(module))  # FSDP2 makes the inner module of a new one
    try:
        fresh.__dict__ = {n: v.clone() if isinstance(v, Tensor) else v for n, v in module.__dict__.items()}
        fresh._buffers = {name: None if b is None else b.clone() for name, b in module._buffers.items()}
        fresh._modules = {name: copy.deepcopy(m) for name, m in module._modules.items()}
        fresh._parameters = {
            name: None if p is None else nn.Parameter(torch.zeros(p.shape), requires_grad=False)
            for name, p in module._parameters.items()
        }
        getattr(fresh, reset)()
    except Exception:
        return {}
    return {name: look(p) for name, p in fresh._parameters.items() if p is not None and p.numel()}
