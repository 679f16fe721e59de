"""Facts about recurrent layers."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from gainstage.check.evidence import Evidence
from gainstage.signal import Ref, Site, ops


@dataclass(frozen=True)
class ForgetGate:
    """The forget gates of one LSTM: path, mean of their biases, and steps (the mean length if packed)."""

    path: str
    bias: float
    steps: int
    names: tuple[str, ...]


def forget_gates(evidence: Evidence) -> Iterator[ForgetGate]:
    """Every trainable `nn.LSTM` of the pass."""
    for site in evidence.tape.sites:
        if site.op != "lstm" or not site.inputs:
            continue
        shape = evidence.graph.shapes[site.inputs[0].site]
        leaves = [evidence.tape.sites[ref.site] for ref in site.inputs]
        names = [leaf.path for leaf in leaves if leaf.kind == "parameter" and ".bias_" in f".{leaf.path}"]
        names = [name for name in names if name in evidence.trainable]
        if not names or len(shape) < 2:
            continue
        packed = isinstance(ops.argument(site, "hx"), Ref)  # its place is taken by the sizes of the batches
        steps = shape[0] // max(evidence.tape.batch or 1, 1) if packed else shape[_time(site, shape)]
        hidden = [evidence.values[name].chunk(4)[1] for name in names]
        layers = max(1, sum(".bias_ih" in f".{name}" for name in names))
        yield ForgetGate(site.path, float(torch.stack([h.mean() for h in hidden]).sum()) / layers, steps, tuple(names))


def _time(site: Site, shape: tuple[int, ...]) -> int:
    """The axis of the steps."""
    return int(len(shape) == 3 and ops.argument(site, "batch_first", False) is True)
