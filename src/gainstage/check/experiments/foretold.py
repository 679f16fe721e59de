"""A model without values: theory in place of a measurement."""

from math import nan, prod, sqrt
from typing import Any

from torch import nn

from gainstage.plan import foresee, plan_from
from gainstage.run import Loss
from gainstage.signal import Moments, Tape

# Rules that read levels, and the variance between samples, and nothing else that a forecast does not have.
FORETOLD = ("FWD201", "FWD202", "FWD203")


def foretell(tape: Tape, model: nn.Module, example: Any, target: Any, loss: Loss | None) -> bool:
    """Give the sites of a tape the moments that theory foresees of the start of the model's own classes.

    A site that rests on an operation that theory does not know stays without moments.

    Args:
        tape: of a model without values; its sites are filled.
        model, example, target, loss: as given to `check`.

    Returns:
        Whether there is a forecast at all.
    """
    try:
        forecast = foresee(model, example, plan_from(model, example, tape, "own"), target=target, loss=loss)
    except Exception:  # a model that theory cannot follow is as before: without numbers
        return False
    sites = {site.name: site for site in tape}
    for seen in forecast.sites:
        site = sites.get(seen.site.name)
        if site is not None and site.forward is None and seen.covered:
            square = seen.rms**2
            between = (1.0 - min(seen.alike, 1.0)) * max(square - seen.mean**2, 0.0)
            reach = 4.0 * sqrt(square)
            site.forward = Moments(prod(site.shape), seen.mean, square, between, nan, nan, -reach, reach, 0, nan, 0)
    return True
