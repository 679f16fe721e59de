"""What share of its input a DropBlock really drops."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn

from gainstage.check._fact import fact
from gainstage.check.evidence import Evidence
from gainstage.run import named_modules, undisturbed
from gainstage.signal import Site

_RATES = ("drop_prob", "p", "drop_rate", "rate")
_ENTRIES = 200_000  # enough to know a rate of 0.1 to 0.01, blocks of 7 x 7 counted as one


@dataclass(frozen=True)
class Delivered:
    """One DropBlock on a map of the size that it sees in this model: asked rate, dropped share."""

    path: str
    asked: float
    dropped: float
    shape: tuple[int, ...]


@fact
def delivered(evidence: Evidence) -> list[Delivered]:
    """Every module whose class is called DropBlock, run alone in training mode on ones. Its cost is its own."""
    found = []
    for path, module in named_modules(evidence.model):
        asked = next((float(v) for n in _RATES if isinstance(v := getattr(module, n, None), float | int)), 0.0)
        if not type(module).__name__.lower().startswith("dropblock") or not 0 < asked < 1:
            continue
        if (shape := next(_seen(evidence, path), None)) is None:
            continue
        count = max(16, _ENTRIES // max(torch.Size(shape[1:]).numel(), 1))
        with undisturbed(module, seed=evidence.seed), torch.no_grad():
            out = module.train()(torch.ones(min(count, 4096), *shape[1:]))
        if isinstance(out, torch.Tensor):
            found.append(Delivered(path, asked, float((out == 0).double().mean()), shape))
    return found


def has_dropblock(model: nn.Module) -> bool:
    """Whether any module's class is called DropBlock."""
    return any(type(module).__name__.lower().startswith("dropblock") for module in model.modules())


def _seen(evidence: Evidence, path: str) -> Iterator[tuple[int, ...]]:
    """The shapes that this module reads from outside itself."""
    sites: tuple[Site, ...] = evidence.tape.sites
    for site in sites:
        if not site.is_leaf and (site.path == path or site.path.startswith(path + ".")):
            for ref in evidence.graph.data(site.index):
                if sites[ref.site].path != path and len(sites[ref.site].shape) >= 3:
                    yield sites[ref.site].shape
