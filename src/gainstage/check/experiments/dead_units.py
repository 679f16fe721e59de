"""Count dead units where the recorded moments have not: channels of 1-d convolutions, rectifiers written as clamps."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from gainstage.check.experiments._quiet import Quiet
from gainstage.signal import Site, observe


def dead_units(model: nn.Module, example: Any, axes: Mapping[str, int], seed: int) -> dict[str, int]:
    """How many units of these sites are 0 or less for every sample and position; one observed forward pass.

    Args:
        axes: for each site, by name, the axis of its units.
    """
    found: dict[str, Tensor] = {}

    def look(site: Site, x: Tensor) -> None:
        if site.name in axes:
            unit = axes[site.name] % x.dim()
            others = [axis for axis in range(x.dim()) if axis != unit]
            found[site.name] = ((x.amax(others) if others else x) <= 0).sum()

    with Quiet():
        observe(model, example, backward=False, visit=look, seed=seed)
    return {name: int(number) for name, number in found.items()}
