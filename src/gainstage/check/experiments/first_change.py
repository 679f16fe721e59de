"""Where in a model do samples first depend on the other samples?"""

from typing import Any

import torch
from torch import Tensor, nn

from gainstage.check.experiments._quiet import Quiet
from gainstage.check.experiments.others_changed import exchanged
from gainstage.run import undisturbed
from gainstage.signal import Site, observe, sample_axis

_ROUNDING = 1e-4


def first_change(model: nn.Module, example: Any, *, batch: int, seed: int = 0) -> Site | None:
    """The first site, in evaluation mode, at which samples 0, 2, 4, ... change with the others.

    Two observed forward passes; run only once a leak is known.
    """
    before, after = (_every_second(model, given, batch, seed) for given in (example, exchanged(example, batch)))
    for (site, a), (_, b) in zip(before, after, strict=False):
        if a.shape == b.shape and float((a - b).norm()) > _ROUNDING * float(a.norm()):
            return site
    return None


def _every_second(model: nn.Module, example: Any, batch: int, seed: int) -> list[tuple[Site, Tensor]]:
    """For every site with an axis of samples, one number for each of samples 0, 2, 4, ..."""
    seen: list[tuple[Site, Tensor]] = []

    def visit(site: Site, x: Tensor) -> None:
        axis = sample_axis(tuple(x.shape), batch)
        if axis is not None and x.shape[axis] == batch and site.kind == "op" and not x.is_complex():
            rows = x.detach().movedim(axis, 0).unsqueeze(-1)[::2].flatten(1).double()
            seen.append((site, (rows * torch.linspace(1, 2, rows.shape[1], device=rows.device)).sum(1)))

    with undisturbed(model, seed=seed), Quiet():
        model.eval()
        observe(model, example, backward=False, visit=visit, seed=seed)
    return seen
