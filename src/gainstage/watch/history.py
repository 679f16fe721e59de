"""What the rules of a watch read: the reports so far, and every step between them."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import inf, isfinite, nan
from statistics import median

import msgspec

from gainstage.watch.reading import Attention, Group, Norm, Parameter, Place, Reading, Router, number
from gainstage.watch.table import Curves, Table

KEPT = 256  # reports; of older ones the first few stay
STEPS = 4096
FIRST = 8
_KINDS: dict[str, type[msgspec.Struct]] = {
    "parameters": Parameter,
    "sites": Place,
    "attentions": Attention,
    "routers": Router,
    "norms": Norm,
    "groups": Group,
}


@dataclass
class Step:
    """One step between reports: its loss, the level of its batch, whether that is the one before, the largest rate.

    A loss that was not seen is NaN; one that was NaN or infinite is infinite.
    """

    step: int
    loss: float
    level: float
    same: bool
    rate: float


@dataclass
class History:
    """The windows of a run.

    Attributes:
        readings: the first and the last reports.
        steps: the last steps, each with its loss.
    """

    readings: list[Reading] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    _tables: dict[str, Table] = field(default_factory=dict)

    def add(self, reading: Reading) -> None:
        """One more report."""
        self.readings.append(reading)
        if len(self.readings) > KEPT:
            del self.readings[FIRST]
        for kind, fields in _KINDS.items():
            if places := getattr(reading, kind):
                if kind not in self._tables:
                    self._tables[kind] = Table(fields.__struct_fields__, KEPT, FIRST)
                self._tables[kind].add(reading.step, places)
        count = len(reading.losses)
        for place, loss in enumerate(reading.losses):
            level = number(reading.levels[place]) if place < len(reading.levels) else nan
            same = reading.same[place] if place < len(reading.same) else False
            rate = reading.rates[place] if place < len(reading.rates) else nan
            step = reading.step - count + 1 + place
            value = inf if step in reading.nonfinite else number(loss)
            self.steps.append(Step(step, value, level, same, rate))
        del self.steps[:-STEPS]

    @property
    def now(self) -> Reading:
        """The last report."""
        return self.readings[-1]

    def curves(self, kind: str, quantity: str) -> Curves:
        """One quantity of all places of a kind over the reports that have measured any.

        Args:
            kind: `"parameters"`, `"sites"`, `"attentions"`, `"routers"`, `"norms"` or `"groups"`: see `Reading`.
            quantity: a field of what a report holds a place.
        """
        table = self._tables.get(kind)
        return table.curves(quantity) if table is not None else Table((quantity,), 0, 0).curves(quantity)


def usual(values: Iterable[float]) -> tuple[float, float]:
    """Median and robust standard deviation (1.4826 times the median absolute deviation)."""
    finite = [v for v in values if isfinite(v)]
    if not finite:
        return nan, nan
    middle = median(finite)
    return middle, 1.4826 * median(abs(v - middle) for v in finite)
