"""What a study of rates found: where every size is best, and what the base's best rate costs it."""

import json
from dataclasses import asdict, dataclass
from functools import cached_property
from math import inf, isfinite, log2, sqrt
from statistics import mean, stdev
from textwrap import fill
from typing import TYPE_CHECKING, Any

from gainstage._columns import columns
from gainstage._visible import visible
from gainstage.transfer._slopes import t_quantile

if TYPE_CHECKING:
    from matplotlib.axes import Axes


_LITTLE = 0.05  # of the least loss: a difference of costs below it is none


@dataclass(frozen=True)
class Interval:
    """A mean over seeds with its 95 % t interval."""

    mean: float
    half: float
    n: int

    @classmethod
    def of(cls, values: list[float]) -> "Interval":
        """Of one value a seed; of a single one the interval is infinite."""
        if len(values) < 2:
            return cls(values[0] if values else float("nan"), inf, len(values))
        return cls(mean(values), t_quantile(len(values) - 1) * stdev(values) / sqrt(len(values)), len(values))

    def __str__(self) -> str:
        return f"{self.mean:.3g} ± {self.half:.2g}"


@dataclass(frozen=True)
class Curve:
    """Final losses of one size of one arm.

    Attributes:
        axis: `width` or `depth`.
        arm: the rule.
        label: the size in words.
        ratio: how many times the base it is.
        rates: of the base, from small to large.
        losses: `[seeds][rates]`; infinite where a run diverged.
    """

    axis: str
    arm: str
    label: str
    ratio: float
    rates: tuple[float, ...]
    losses: tuple[tuple[float, ...], ...]

    @cached_property
    def means(self) -> tuple[float, ...]:
        """The mean over seeds at every rate."""
        return tuple(sum(row[i] for row in self.losses) / len(self.losses) for i in range(len(self.rates)))

    @cached_property
    def best(self) -> Interval:
        """The best rate in octaves, log2, with the interval over seeds: the bottom of a parabola of three points."""
        return Interval.of([_bottom(self.rates, row)[0] for row in self.losses if any(map(isfinite, row))])

    @cached_property
    def curvature(self) -> float:
        """How sharp the bottom is: second derivative of the mean loss in octaves of the rate; nan at an end."""
        return _bottom(self.rates, self.means)[1]

    @property
    def at_edge(self) -> bool:
        """Whether the best rate is the smallest or the largest that was tried."""
        place = self.means.index(min(self.means))
        return place in (0, len(self.rates) - 1)

    def excess(self, octaves: float) -> Interval:
        """What the rate 2^octaves costs: its loss, between the rates that were tried, over the least, a seed each."""
        found = [_at(self.rates, row, octaves) - min(row) for row in self.losses if any(map(isfinite, row))]
        return Interval.of(found)


@dataclass(frozen=True)
class Rates:
    """Final losses over sizes and rates, and the numbers of the literature.

    Attributes:
        optimizer: that trained.
        curves: of every arm and size.
        seeds, steps: of each.
    """

    optimizer: str
    curves: tuple[Curve, ...]
    seeds: int
    steps: int

    def of(self, arm: str, axis: str = "width") -> tuple[Curve, ...]:
        """The curves of one arm, from the base up."""
        return tuple(c for c in self.curves if (c.arm, c.axis) == (arm, axis))

    @property
    def arms(self) -> tuple[str, ...]:
        """Every arm once."""
        return tuple(dict.fromkeys(c.arm for c in self.curves))

    @property
    def axes(self) -> tuple[str, ...]:
        """`width`, `depth` or both."""
        return tuple(dict.fromkeys(c.axis for c in self.curves))

    def drift(self, arm: str, axis: str = "width") -> Interval:
        """How many octaves the best rate moves for every doubling of the size, a slope for each seed."""
        curves = self.of(arm, axis)
        xs = [log2(c.ratio) for c in curves]
        centre = mean(xs)
        slopes = []
        for seed in range(self.seeds):
            rows = [c.losses[seed] for c in curves]
            if all(any(map(isfinite, row)) for row in rows):
                ys = [_bottom(c.rates, row)[0] for c, row in zip(curves, rows, strict=True)]
                square = sum((x - centre) ** 2 for x in xs)
                slopes.append(sum((x - centre) * y for x, y in zip(xs, ys, strict=True)) / square)
        return Interval.of(slopes)

    def excess(self, arm: str, axis: str = "width") -> Interval:
        """What the base's best rate costs at the largest size."""
        curves = self.of(arm, axis)
        return curves[-1].excess(curves[0].best.mean)

    def sentences(self) -> list[str]:
        """What can be said of the arms, beside each other."""
        said = []
        for axis in self.axes:
            for arm in self.arms:
                curves, drift, cost = self.of(arm, axis), self.drift(arm, axis), self.excess(arm, axis)
                edge = "; a best rate lies at the edge of the grid" if any(c.at_edge for c in curves) else ""
                said.append(
                    f"{arm}: the best rate moves by {drift} octaves a doubling of the {axis}; the base's best costs "
                    f"{cost} at {axis} {curves[-1].label} (n = {cost.n} seeds){edge}"
                )
            said += self._compared(axis)
        return said

    def _compared(self, axis: str) -> list[str]:
        first, rest = self.arms[0], self.arms[1:]
        said = []
        for arm in rest:
            mine, other = self.excess(first, axis), self.excess(arm, axis)
            worse, chance = other.mean - mine.mean, sqrt(mine.half**2 + other.half**2)
            most = _LITTLE * min(self.of(first, axis)[-1].means)
            if worse + chance <= most:
                alone = "only the rate of embeddings matters" if arm == "embedding" else f"{arm} transfers as well"
                said.append(f"on this task {alone}: it costs at most {most:.2g} more than {first}")
            elif worse <= chance:
                said.append(f"whether {arm} costs more than {first} cannot be told with {mine.n} seeds")
        return said

    def table(self, width: int | None = 80) -> str:
        """A row a size: the best rate, its loss, how sharp it is, and what the base's best rate costs."""
        rows = []
        for axis in self.axes:
            for arm in self.arms:
                curves = self.of(arm, axis)
                for c in curves:
                    rows.append(
                        (
                            arm, axis, c.label, f"{2**c.best.mean:.2g}" + (" !" if c.at_edge else ""),
                            f"± {c.best.half:.2g}", f"{min(c.means):.4g}", f"{c.curvature:.2g}",
                            str(c.excess(curves[0].best.mean)),
                        )
                    )  # fmt: skip
        heads = ("arm", "along", "size", "best rate", "octaves", "loss", "curvature", "cost of base's")
        text = columns(heads, rows, numbers=(2, 3, 4, 5, 6, 7), width=width)
        said = self.sentences()
        lines = said if width is None else [fill(line, width, subsequent_indent="  ") for line in said]
        return visible("\n".join([text, *lines]), keep="\n")

    def to_json(self) -> str:
        """All of it as JSON text; infinite losses are null."""
        return json.dumps(_plain(asdict(self) | {"said": self.sentences()}), indent=2, allow_nan=False)

    def plot(self, arm: str, ax: "Axes | None" = None, *, axis: str = "width") -> "Axes":
        """Loss against the base's rate, a line a size, with matplotlib (extra `plot`)."""
        if ax is None:
            from matplotlib import pyplot as plt

            ax = plt.figure().add_subplot()
        for place, c in enumerate(self.of(arm, axis)):
            pairs = [(r, m) for r, m in zip(c.rates, c.means, strict=True) if isfinite(m)]
            ax.plot(*zip(*pairs, strict=True), marker="os^Dv"[place % 5], label=f"{axis} {c.label}")
        ax.set_xscale("log", base=2)
        ax.set_xlabel("learning rate of the base")
        ax.set_ylabel("training loss")
        ax.set_title(arm)
        ax.legend(frameon=False)
        return ax

    def __str__(self) -> str:
        return self.table()


def _bottom(rates: tuple[float, ...], losses: tuple[float, ...]) -> tuple[float, float]:
    """Place in octaves, and second derivative, of the parabola through the least loss and its neighbours."""
    place = losses.index(min(losses))
    x = [log2(rate) for rate in rates]
    if place in (0, len(losses) - 1) or not isfinite(losses[place + 1]) or not isfinite(losses[place - 1]):
        return x[place], float("nan")
    (a, b, c), (u, v, w) = x[place - 1 : place + 2], losses[place - 1 : place + 2]
    left, right = (v - u) / (b - a), (w - v) / (c - b)
    second = 2 * (right - left) / (c - a)
    if second <= 0:
        return b, second
    at = (a + b) / 2 - left / second
    return min(max(at, a), c), second


def _at(rates: tuple[float, ...], losses: tuple[float, ...], octaves: float) -> float:
    """The loss between two rates, on a line in octaves."""
    x = [log2(rate) for rate in rates]
    octaves = min(max(octaves, x[0]), x[-1])
    for i in range(len(x) - 1):
        if x[i] <= octaves <= x[i + 1]:
            share = (octaves - x[i]) / (x[i + 1] - x[i])
            return (
                losses[i]
                if share == 0
                else losses[i + 1]
                if share == 1
                else ((1 - share) * losses[i] + share * losses[i + 1])
            )
    return losses[-1]


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return None if isinstance(value, float) and not isfinite(value) else value
