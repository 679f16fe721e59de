"""What an operation does to the mean square of a signal, and to that of its gradient on the way back.

Rows of `ops` carry these functions. `forward(call)` is the mean square of what a call writes, `back(call)` the factor
on the gradient's that reaches `call.reads[call.to]`. None means that nothing is known: the measured ratio is then kept.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import isfinite, prod
from typing import Any

from gainstage.signal._spread import Bins, Spread, uniform


@dataclass(frozen=True)
class Call:
    """One call of an operation, between the mean squares of theory.

    Attributes:
        op: name of the operation.
        argument: an argument by name, and what it is where it was not given.
        level: the mean square of an argument.
        reads: mean squares of the signals that it reads.
        averages: which of these signals are the weights of a softmax.
        read, written: what was measured of what it reads and writes.
        to: which of the signals the gradient goes to.
        spread: entries of what is written, for each entry of that signal.
        spreads, shapes: in a forecast, what is known of the signals that it reads, and their shapes.
        gradient: on the way back, what is known of the gradient of what it writes.
        bins: of the positions of a causal sequence.
        enlarged: entries of what is written, for each entry that is read.
        gathered: how many entries it averages, or how many keys a query sees.
        places: how many positions there are.
        over_units: it averages over units and not over positions.
        causal: a query sees the keys up to its own position.
        scale: factor on the products of queries and keys.
        depth: how many products are added up.
        used: how many entries each entry of the signal is multiplied into.
    """

    op: str
    argument: Callable[..., Any]
    level: Callable[[Any], float]
    reads: tuple[float, ...]
    averages: tuple[bool, ...] = ()
    read: tuple[float, ...] = ()
    written: float | None = None
    to: int = 0
    spread: float = 1.0
    spreads: tuple[Spread, ...] = ()
    shapes: tuple[tuple[int, ...], ...] = ()
    gradient: Spread = field(default_factory=lambda: uniform(0.0))
    bins: Bins = field(default_factory=lambda: Bins((1,)))
    enlarged: float = 1.0
    gathered: int = 1
    places: int = 1
    over_units: bool = False
    causal: bool = False
    scale: float = 1.0
    depth: int = 1
    used: float = 1.0


Formula = Callable[[Call], float | None]


def measured_ratio(call: Call) -> float:
    r"""$q' = \bar q\, m' / \bar m$: the ratio of the measured mean squares, where no formula is known."""
    return sum(call.reads) / len(call.reads) * _ratio(call.written, sum(call.read) / max(len(call.read), 1))


def measured(call: Call) -> float | None:
    """$q' = m'$: what was measured stays, for a softmax, whose level hangs on how many entries it has."""
    return call.written


def normalized(call: Call) -> float:
    """$q' = 1$: what is divided by its own root mean square (Ba et al. 2016; Zhang and Sennrich 2019)."""
    return 1.0


def state(level: float) -> Formula:
    r"""Stationary mean square of a recurrent state: gates and candidates at level 1, a bias of 1 where it is kept.

    With independent steps, s a sigmoid and z a standard normal: LSTM $\mathbb{E}[s^2]\, \mathbb{E}[\tanh(c)^2]$ with
    $\mathbb{E}[c^2] = \mathbb{E}[s^2]\, \mathbb{E}[\tanh^2] / (1 - \mathbb{E}[s(1 + z)^2])$; GRU
    $\mathbb{E}[(1 - s(1 + z))^2]\, \mathbb{E}[\tanh^2] / (1 - \mathbb{E}[s(1 + z)^2])$; plain $\mathbb{E}[\tanh^2]$.
    """
    return lambda call: level


def averaged(call: Call) -> float:
    """$q' = q$, an upper bound reached by equal entries: how alike the averaged positions are hangs on the data."""
    return call.reads[0]


def averaged_back(call: Call) -> float:
    r"""Each of n entries gets $1/n$ of the gradient of their average: $g' = g\, s / n$ for n entries and s readers."""
    size = call.argument("kernel_size")
    if size is None:
        return call.spread**2  # a mean, or an adaptive pooling: each entry is read once
    axes = int(call.op[-2])
    sizes = (size,) if isinstance(size, int) else size
    return call.spread / float(sizes[0] ** axes if len(sizes) == 1 else prod(sizes))


def dropped(call: Call) -> float:
    r"""$q' = q / (1 - p)$, since $\mathbb{E}[(m / (1 - p))^2] = 1 / (1 - p)$ (Srivastava et al. 2014, section 10)."""
    rate, on = call.argument("p", 0.5), call.argument("training", True)
    return call.reads[0] / (1 - rate) if on and isinstance(rate, float) and rate < 1 else call.reads[0]


def dropped_back(call: Call) -> float | None:
    """The same mask and factor as forward."""
    return dropped(call) / call.reads[0] if call.reads[0] else None


def multiplied(call: Call) -> float | None:
    r"""$q' = q_a q_b$: $\mathbb{E}[a^2 b^2] = \mathbb{E}[a^2]\, \mathbb{E}[b^2]$ of independent signals."""
    return prod(call.reads) if len(call.reads) == 2 else None


def multiplied_back(call: Call) -> float | None:
    r"""$\partial (ab) / \partial a = b$: times the mean square of the other factor."""
    return call.spread * call.reads[1 - call.to] if len(call.reads) == 2 else None


def contracted(call: Call) -> float | None:
    r"""$q' = q_a q_b\, m' / (m_a m_b)$: the terms of $\sum_k a_k b_k$ and how alike they are, measured.

    Behind a softmax it is an average of b, with the level of b.
    """
    if len(call.reads) != 2:
        return None
    if any(call.averages):
        return call.reads[call.averages.index(False)] if False in call.averages else call.reads[0]
    return prod(call.reads) * _ratio(call.written, prod(call.read) if len(call.read) == 2 else sum(call.read))


def attended(call: Call) -> float:
    """$q' = q_v$: attention averages its values."""
    return call.level(call.argument("value"))


def spread_back(call: Call) -> float:
    """Every entry of a signal gets the gradients of all entries that hold it, of which there are `spread`."""
    return call.spread


def _ratio(after: float | None, before: float) -> float:
    ratio = after / before if after is not None and before > 0 else 1.0
    return ratio if isfinite(ratio) else 1.0
