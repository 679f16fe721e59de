"""Found values: decisions that no layer class would have drawn by default, or draws of a law that is recognized."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from math import prod, sqrt

import torch
from torch import Tensor, nn

from gainstage import init
from gainstage.init import Law
from gainstage.plan._asked import drawn_by_class
from gainstage.plan._look import FLAT, MANY, SIGMAS, Look, defaults_of, look
from gainstage.run import dense, named_parameters, real

_SLACK = 0.02  # of a standard deviation: what cutting off the tails and rounding change
_FEW = 8  # entries; fewer could be a draw of any law
_ODDS, _LIKELY = 20.0, 5.0  # 2e-9 that a default is called a decision; 0.7 % that its law is not recognized
_NEAR = 0.05  # of a standard deviation: which default it is
_SOME = 48  # entries, by which a uniform draw is known from its fourth moment
_ROWS, _MOST_ROWS = 16, 512  # that are compared
_UNEVEN = 5.0  # times the variance by sampling: of 16 rows below 1e-9 by chance (chi squared)
DRAWN = "drawn with a standard deviation of"


@dataclass(frozen=True)
class Found:
    """What was found in the parameters of a model.

    Attributes:
        decisions: what the value looks like, of those that their author decided on.
        laws: of those that were drawn, or reset, the law that draws them; of neither, no law is known.
    """

    decisions: dict[str, str] = field(default_factory=dict)
    laws: dict[str, Law] = field(default_factory=dict)

    def without(self, names: Collection[str]) -> "Found":
        """The same, of all others."""
        decisions = {name: what for name, what in self.decisions.items() if name not in names}
        return Found(decisions, {name: law for name, law in self.laws.items() if name not in names})


def found_in(model: nn.Module, names: Iterable[str]) -> Found:
    r"""The parameters among `names` whose value is a decision of the model's author, and the laws of the others.

    Some are no draw around 0: zeros and constants where the class that holds them draws numbers, identities and
    permutations, numbers in order, vectors of chosen numbers (time steps, decay rates, frequencies). The others are
    draws around 0 whose standard deviation no library gives a tensor of this shape: not what `reset_parameters` of the
    class draws, not $\sqrt{c / n}$ with $c \in \{1/3, 1, 2\}$ and fan in, fan out or their mean for $n$, not a fixed 1,
    0.05, 0.02 or 0.01, within six sampling errors. Where all draws of a model are off by one factor, that is a scale of
    the whole and no decision about any of them. Vectors of 0 or of 1 are none either: biases and scales that somebody
    reset.

    A draw that is a default has a law: normal or uniform by its fourth moment, orthogonal where its rows are, with the
    standard deviation of the default that it is. Of a class it is the law of what the class draws, whatever was found.

    No name is recognized: a class is asked what it draws, by drawing.

    Args:
        model: it holds values; nothing is run.
        names: of parameters.
    """
    parameters = dict(named_parameters(model))
    usual = drawn_by_class(model)
    found, factors = Found(), {}
    for name in names:
        values = real(dense(parameters[name].detach()))
        shape, seen, drawn = tuple(values.shape), look(values), usual.get(name)
        if drawn and not drawn.what:
            found.laws[name] = _law(drawn.std, drawn.kurtosis, drawn.defaults)
        if seen.what:
            if not (_reset(seen, values) or (drawn and _could_be(seen, drawn, values))):
                found.decisions[name] = seen.what
            elif seen.std == 0 and (values.numel() > 1 or not seen.largest or not drawn or drawn.what):  # no draw is
                found.laws[name] = init.constant(float(values.flatten()[0]))
            continue
        if values.numel() < _FEW:
            continue
        factors[name] = factor = _factor(seen, drawn, shape)
        if factor != 1:
            found.decisions[name] = f"{DRAWN} {seen.std:.2g}, no default of this shape"
        elif _orthogonal(values):
            found.laws[name] = init.orthogonal(float(f"{seen.std * sqrt(max(values.flatten(1).shape)):.2g}"))
        elif not (name in found.laws and drawn and _is(seen, drawn.std, shape, _LIKELY, measured=True)):
            found.laws.pop(name, None)
            if any(abs(seen.std / std - 1) < _NEAR for std in defaults_of(shape)):
                found.laws[name] = _law(seen.std, seen.kurtosis, defaults_of(shape))
    spread = sorted(factor for name, factor in factors.items() if parameters[name].dim() > 1)
    if len(spread) > 1 and spread[-1] < 1.1 * spread[0]:  # a scale of the whole
        return Found({name: what for name, what in found.decisions.items() if name not in factors}, found.laws)
    return Found(found.decisions, {name: law for name, law in found.laws.items() if name not in found.decisions})


def laws_of_classes(model: nn.Module, names: Iterable[str]) -> Found:
    """What the classes of a model without values would draw: constants, and laws around 0."""
    found = Found()
    for name, drawn in drawn_by_class(model).items():
        if not drawn.what:
            found.laws[name] = _law(drawn.std, drawn.kurtosis, drawn.defaults)
        elif drawn.std == 0:
            found.laws[name] = init.constant(drawn.largest)
    return Found(laws={name: found.laws[name] for name in names if name in found.laws})


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


def _reset(seen: Look, values: Tensor) -> bool:
    return values.dim() < 2 and seen.std == 0 and seen.largest in (0.0, 1.0)


def _could_be(seen: Look, drawn: Look, values: Tensor) -> bool:
    """Whether a class draws something like it itself; of a few numbers only their size tells."""
    few = values.numel() < _FEW and drawn.largest > 0 and drawn.what != seen.what
    return seen.what == drawn.what or (few and (values.numel() == 1 or seen.largest <= 2 * drawn.largest))


def _error(kurtosis: float, entries: int) -> float:
    """The relative error of a measured standard deviation, six times, and what cutting off the tails changes."""
    return SIGMAS * sqrt(max(kurtosis - 1, 0.5) / (4 * min(entries, MANY))) + _SLACK


def _is(seen: Look, std: float, shape: tuple[int, ...], odds: float = _ODDS, *, measured: bool = False) -> bool:
    r"""Whether a draw may have this standard deviation, which was known or `measured` as well.

    Of a uniform draw the largest of $n$ entries says more: below $1 - a/n$ of the bound with odds of $e^{-a}$.
    """
    entries = prod(shape)
    off = min(abs(seen.std / std - 1), abs(std / seen.std - 1)) if std > 0 and seen.std > 0 else 1.0
    if off > (sqrt(2) if measured else 1.0) * _error(seen.kurtosis, entries):
        return False
    reach = seen.largest / (sqrt(3) * std)
    return seen.kurtosis > FLAT or entries < _SOME or 1 - _SLACK - odds / entries <= reach <= 1 + _SLACK


def _factor(seen: Look, drawn: Look | None, shape: tuple[int, ...]) -> float:
    """The factor that a draw is off by from what its class draws, or from 1/sqrt(fan in); 1 where it is a default."""
    own = _near(drawn.std, drawn.defaults) if drawn and drawn.std > 0 else 0.0
    if (own and drawn and _is(seen, own, shape, measured=own not in drawn.defaults)) or any(
        _is(seen, std, shape) for std in defaults_of(shape)
    ):
        return 1.0
    return seen.std / (own or (prod(shape[1:]) or 1) ** -0.5)


def _near(std: float, defaults: Iterable[float]) -> float:
    """The default that a measured standard deviation stands for."""
    near = min(defaults, key=lambda known: abs(std / known - 1), default=std)
    return near if abs(std / near - 1) < _NEAR else std


def _law(std: float, kurtosis: float, defaults: Iterable[float]) -> Law:
    """Normal or uniform, with the nearest default for a standard deviation."""
    std, flat = _near(std, defaults), kurtosis < FLAT
    number = float(f"{std * sqrt(3 if flat else 1):.4g}")
    return init.uniform(-number, number) if flat else init.normal(0.0, number)


def _orthogonal(values: Tensor) -> bool:
    """Whether the rows, or the columns, are orthogonal and of one length."""
    if values.dim() != 2 or min(values.shape) < 2 or max(values.shape) > _MOST_ROWS:
        return False
    side = values.float() if values.shape[0] <= values.shape[1] else values.float().T
    products = side @ side.T
    length = float(products.diagonal().mean())
    return float((products / length - torch.eye(len(side)).to(products)).abs().max()) < 1e-3
