"""One kind of measurement over the reports, as an array: the rules of a watch look at all places at once."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec
import numpy as np

Array = np.ndarray[Any, Any]


class Stretch(NamedTuple):
    """Reports up to the last in which a place was beyond a limit.

    Attributes:
        name: of the place.
        place: its column.
        step: of the first such report.
        reports: how many measured it since.
    """

    name: str
    place: int
    step: int
    reports: int


@dataclass(frozen=True)
class Curves:
    """One quantity of every place.

    Attributes:
        steps: of the reports, shape (reports,).
        names: of the places.
        values: shape (reports, places); NaN where a report did not measure a place.

    Example:
        >>> curves = Curves(np.array([1, 2, 3]), ["a", "b"], np.array([[1.0, 1.0], [5.0, 1.0], [6.0, np.nan]]))
        >>> curves.stretches(curves.values > 4)
        [Stretch(name='a', place=0, step=2, reports=2)]
        >>> curves.first(2).max(0), curves.last
        (array([5., 1.]), array([6., 1.]))
    """

    steps: Array
    names: list[str]
    values: Array

    @property
    def counts(self) -> Array:
        """Reports that have measured each place."""
        found: Array = np.isfinite(self.values).sum(0)
        return found

    @property
    def last(self) -> Array:
        """What each place was last; NaN where it never was measured."""
        measured = np.isfinite(self.values)
        place = np.arange(len(self.names))
        row = len(self.steps) - 1 - measured[::-1].argmax(0) if len(self.steps) else np.zeros(0, int)
        found: Array = self.values[row, place]
        return found

    @property
    def started(self) -> Array:
        """Whether the tape of the start, which is step 0, has each place: it is the reference then."""
        taped = len(self.steps) > 0 and self.steps[0] == 0
        return np.isfinite(self.values[0]) if taped else np.zeros(len(self.names), bool)

    def first(self, reports: int = 3) -> Array:
        """What each place was at the start: on its tape, else in the first reports; NaN where there are fewer."""
        measured = np.isfinite(self.values)
        order = np.argsort(~measured, axis=0, kind="stable")[:reports]
        found: Array = np.take_along_axis(self.values, order, 0)
        known = self.started
        found[:, known] = self.values[:1, known]
        return found

    @property
    def settled(self) -> Array:
        """Whether each place has a reference: the tape of the start and two reports, or four reports."""
        known = self.started
        return self.counts >= np.where(known, 3, 4)

    def total(self) -> tuple[Array, Array]:
        """Steps and root of the sum of squares over all places, for each report."""
        with np.errstate(over="ignore"):
            return self.steps, np.sqrt(np.nansum(self.values**2, 1))

    def stretches(self, beyond: Array) -> list[Stretch]:
        """Where every measured value to the end is beyond, and since when.

        Args:
            beyond: booleans of the shape of `values`.
        """
        if not beyond.size:
            return []
        measured = np.isfinite(self.values)
        within = measured & ~beyond
        rows = np.arange(len(self.steps))[:, None]
        end = np.where(within.any(0), len(self.steps) - 1 - within[::-1].argmax(0), -1)
        counted = measured & (rows > end)
        found = counted.any(0) & measured[-1]
        starts, numbers = counted.argmax(0), counted.sum(0)
        return [
            Stretch(self.names[p], int(p), int(self.steps[starts[p]]), int(numbers[p])) for p in np.flatnonzero(found)
        ]


class Table:
    """All quantities of one kind of place, the first and the last reports.

    Args:
        quantities: in the order of the fields of what a report holds a place.
        kept: reports; of older ones the first few stay.
        first: how many.
    """

    def __init__(self, quantities: Iterable[str], kept: int, first: int) -> None:
        self.quantities = {name: place for place, name in enumerate(quantities)}
        self.kept, self.oldest = kept, first
        self.names: dict[str, int] = {}
        self._steps: list[int] = []
        self._values = np.full((kept + kept // 4, 0, len(self.quantities)), np.nan)

    def add(self, step: int, places: Mapping[str, msgspec.Struct]) -> None:
        """One report."""
        if new := [name for name in places if name not in self.names]:
            self.names |= {name: len(self.names) + number for number, name in enumerate(new)}
            rows, _, fields = self._values.shape
            self._values = np.concatenate([self._values, np.full((rows, len(new), fields), np.nan)], 1)
        if len(self._steps) == len(self._values):
            self._forget(len(self._values) - self.kept)
        row = self._values[len(self._steps)]
        row[:] = np.nan
        columns = [self.names[name] for name in places]
        row[columns] = np.array([msgspec.structs.astuple(place) for place in places.values()], dtype=float)
        self._steps.append(step)

    def curves(self, quantity: str) -> Curves:
        """One quantity over the reports."""
        values = self._values[: len(self._steps), :, self.quantities[quantity]]
        return Curves(np.array(self._steps, dtype=int), list(self.names), values)

    def _forget(self, number: int) -> None:
        """The oldest of the last reports."""
        begin, end = self.oldest, self.oldest + number
        self._values[begin : len(self._steps) - number] = self._values[end : len(self._steps)].copy()
        del self._steps[begin:end]
