"""What the rules of a watch read: the reports so far, and every step between them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from math import inf, isfinite, nan
from statistics import median

from gainstage.watch.reading import Number, Reading, number

KEPT = 512  # reports; of older ones the first few stay
STEPS = 4096
FIRST = 8


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

    def add(self, reading: Reading) -> None:
        """One more report."""
        self.readings.append(reading)
        if len(self.readings) > KEPT:
            del self.readings[FIRST]
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

    def series(self, of: Callable[[Reading], Number]) -> list[tuple[int, float]]:
        """A quantity over the reports, where it is finite, with the step of each."""
        pairs = ((reading.step, number(of(reading))) for reading in self.readings)
        return [(step, value) for step, value in pairs if isfinite(value)]

    def names(self, of: Callable[[Reading], Iterable[str]]) -> list[str]:
        """The places in the last report."""
        return list(of(self.now))


def usual(values: Iterable[float]) -> tuple[float, float]:
    """Median and robust standard deviation (1.4826 times the median absolute deviation)."""
    finite = [v for v in values if isfinite(v)]
    if not finite:
        return nan, nan
    middle = median(finite)
    return middle, 1.4826 * median(abs(v - middle) for v in finite)


def began(series: list[tuple[int, float]], beyond: Callable[[float], bool]) -> int | None:
    """The step from which on every value to the end is beyond; None where the last is not."""
    start = None
    for step, value in reversed(series):
        if not beyond(value):
            break
        start = step
    return start
