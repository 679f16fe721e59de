"""The verdict of a coordinate check: pass, fail or cannot tell, for every row and for the whole."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import exp, log
from textwrap import fill
from typing import TYPE_CHECKING, Any

from gainstage._columns import columns
from gainstage._visible import visible
from gainstage.transfer._slopes import Slope, more_seeds, slope
from gainstage.transfer.plots import slopes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PASS, FAIL, UNSURE = "pass", "fail", "cannot tell"
_TELLS = {  # of a quantity, what it is, and which rule is broken where it grows, or shrinks
    "own": ("what it learns", "its rate is not divided", "its rate is too small: divided, or not multiplied"),
    "passed": ("what it passes on", "its start is not divided", "its start is divided too much"),
    "logits": ("attention logits", "the 1/d of attention is missing", "they are divided too much"),
    "change": ("its output", "", ""),
    "output": ("the output", "", ""),
}


@dataclass(frozen=True)
class Row:
    """One quantity over the sizes.

    Attributes:
        axis: `width` or `depth`.
        quantity: `own`, `passed`, `change`, `logits` or `output`.
        name: of a parameter, the first of `members`; of logits and outputs, what they are.
        members: parameters that do the same, over which it is averaged.
        kind: of the parameter.
        values: geometric means over the seeds, one a size, in units of the first.
        slope: with its interval.
        expected: the exponent that the rule promises.
        verdict: `pass`, `fail` or `cannot tell`.
        broken: which rule, where it fails for a reason of its own; empty where it may follow from others.
        more: seeds that would tell, about, beyond those there are.
    """

    axis: str
    quantity: str
    name: str
    members: tuple[str, ...]
    kind: str
    values: tuple[float, ...]
    slope: Slope
    expected: float
    verdict: str
    broken: str
    more: int = 0

    @property
    def label(self) -> str:
        """The name with how many more it stands for."""
        others = len(self.members) - 1
        return self.name + (f" and {others} alike" if others > 0 else "")

    def __str__(self) -> str:
        what, grows = _TELLS[self.quantity][0], "grows" if self.slope.slope > self.expected else "shrinks"
        said = f"{what} {grows} like {self.axis}^{self.slope.slope:.2f}"
        said += f", expected {self.axis}^{self.expected:g}" if self.expected else ""
        why = f": {self.broken}" if self.broken else ""
        return f"{self.label}: {said}{why}" if self.members else f"{said}{why}"


def judge(
    axis: str,
    key: tuple[str, str, str],
    members: Sequence[str],
    kind: str,
    x: Sequence[float],
    measured: Sequence[Sequence[float]],
    expected: float,
    margin: float,
) -> Row:
    """A row with its verdict: pass where the whole interval is within the margin, fail where none of it is.

    What a parameter learns is held to its exponent from both sides. What passes through a start, and with it the whole
    change, is held from above only: of what does not line up with it, a readout that starts at 1 / width passes on less
    the wider it is, and so do logits divided by d.
    """
    found = slope(x, measured)
    low, high = found.low - expected, found.high - expected
    quantity, name, operation = key
    one_sided = quantity != "own"
    if low > margin or (high < -margin and not one_sided):
        verdict = FAIL
    elif high <= margin and (low >= -margin or one_sided):
        verdict = PASS
    else:
        verdict = UNSURE
    grew = found.slope > expected
    broken = _TELLS[quantity][1 if grew else 2] if verdict == FAIL else ""
    if axis == "depth" and broken and quantity == "own":
        broken = "the multiplier of its branch, or its rate, does not follow the depth"
    if kind == "tied" and operation not in ("embedding", "") and broken:
        broken = "the readout that is tied to it needs a multiplier 1 / width"
    means = [exp(sum(log(row[i]) for row in measured) / len(measured)) for i in range(len(x))]
    told = name if kind != "tied" or operation == "embedding" else f"{name} as readout"
    needed = 0
    if verdict == UNSURE:
        room = margin - abs(found.slope - expected)
        needed = more_seeds(found, x, max(abs(room), 0.02))
    return Row(
        axis, quantity, told, tuple(members), kind, tuple(mean / means[0] for mean in means), found, expected, verdict,
        broken, needed,
    )  # fmt: skip


def verdict_of(rows: Iterable[Row]) -> str:
    """`fail` where a row fails, `pass` where all pass, else `cannot tell`."""
    found = {row.verdict for row in rows}
    return FAIL if FAIL in found else UNSURE if UNSURE in found else PASS


@dataclass(frozen=True)
class Coordinates:
    """What a coordinate check found.

    Attributes:
        rule, optimizer: that were checked.
        rows: every quantity, in execution order.
        sizes: the sizes along each axis, in words.
        seeds, steps: how many; seeds beyond those asked for were added where fewer could not tell.
        lr: the base's rate.
        margin: how far a slope may be from its rule.
    """

    rule: str
    optimizer: str
    rows: tuple[Row, ...]
    sizes: Mapping[str, tuple[str, ...]]
    seeds: int
    steps: int
    lr: float
    margin: float

    @property
    def verdict(self) -> str:
        """`fail` where a row fails, `pass` where all pass, else `cannot tell`."""
        return verdict_of(self.rows)

    @property
    def ok(self) -> bool:
        """Whether nothing fails."""
        return self.verdict != FAIL

    @property
    def causes(self) -> tuple[Row, ...]:
        """The rows that fail for a reason of their own; where there is none, all that fail."""
        failed = tuple(row for row in self.rows if row.verdict == FAIL)
        return tuple(row for row in failed if row.broken) or failed

    @property
    def more(self) -> int:
        """How many more seeds would tell, about; 0 where the verdict stands."""
        return max((row.more for row in self.rows), default=0) if self.verdict == UNSURE else 0

    def worst(self, axis: str = "width") -> Row:
        """The row that is furthest from its rule."""
        return max(
            (row for row in self.rows if row.axis == axis),
            key=lambda row: (
                abs(row.slope.slope - row.expected) if row.quantity == "own" else row.slope.slope - row.expected
            ),
        )

    def summary(self) -> str:
        """The verdict in a sentence or two."""
        over = "; ".join(f"{axis} {', '.join(labels)}" for axis, labels in self.sizes.items())
        n = f"{self.seeds} seed{'s' * (self.seeds != 1)}, {self.steps} steps at a rate of {self.lr:g}"
        said = f"{self.verdict}: {self.rule} with {self.optimizer}, {over} ({n}, {len(self.rows)} slopes)"
        if self.verdict == UNSURE:
            said += f"; about {self.more} more seeds would tell"
        return said

    def table(self, width: int | None = 80, *, every: bool = False) -> str:
        """The verdict, what is broken, and a row a quantity; without `every`, those that do not pass."""
        shown = [row for row in self.rows if every or row.verdict != PASS]
        cells = [(row.label, row.quantity, row.axis, str(row.slope), f"{row.expected:g}", row.verdict) for row in shown]
        heads = ("parameter", "what", "along", "slope", "rule", "verdict")
        said = [self.summary(), *(f"  {row}" for row in self.causes)]
        lines = said if width is None else [fill(line, width, subsequent_indent="    ") for line in said]
        if cells:
            lines.append(columns(heads, cells, numbers=(3, 4), width=width))
        return visible("\n".join(lines), keep="\n")

    def plot(self, axis: str = "width", ax: "Axes | None" = None) -> "Axes":
        """What every parameter learns against the size, with matplotlib (extra `plot`)."""
        return slopes(self.rows, self.sizes, axis, ax)

    def to_json(self) -> str:
        """All of it as JSON text."""
        data: dict[str, Any] = asdict(self) | {"verdict": self.verdict, "causes": [str(row) for row in self.causes]}
        data["sizes"] = {axis: list(labels) for axis, labels in self.sizes.items()}
        return json.dumps(_plain(data), indent=2, allow_nan=False)

    def __str__(self) -> str:
        return self.table()


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return str(value) if isinstance(value, float) and value - value != 0 else value
