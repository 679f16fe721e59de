"""The tape: one pass as it is recorded, printed and drawn."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gainstage._notebook import folded
from gainstage.signal._plot import plot
from gainstage.signal._sites import Sites
from gainstage.signal._table import table

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class Tape(Sites):
    """The sites of one pass in execution order.

    Attributes: those of `Sites`.
    """

    def table(self, width: int | None = 80) -> str:
        """One row a layer: forward and backward level by depth, the worst marked; without a width, a row is a line."""
        return table(self, width=width)

    def _repr_html_(self) -> str:
        """In a notebook: how many sites, and folded the levels by layer."""
        return folded(f"{self.model}: {len(self.sites)} sites", [("levels by layer", self.table(width=None))])

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draw forward and backward RMS against depth with matplotlib (extra `plot`) and return the axes."""
        return plot(self, ax)
