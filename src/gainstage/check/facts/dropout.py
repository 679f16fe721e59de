"""Where a model drops, at which rate, and whether it also does so in evaluation mode."""

from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor, nn

from gainstage.check._fact import fact
from gainstage.check.evidence import Evidence
from gainstage.check.experiments.noisy import noisy
from gainstage.check.facts.modes import in_eval
from gainstage.signal import Ref, Site, ops

_LAYERS = frozenset(name for name in dir(nn) if "Dropout" in name)


@dataclass(frozen=True)
class Drop:
    """One active dropout of the observed pass.

    Attributes:
        site: on the tape, where it stands as a view of its input.
        rate: the probability of dropping.
        units: what one sample (one position of a sequence) has to drop from.
        functional: not called by a layer of `torch.nn`, which `model.eval()` would switch off.
    """

    site: Site
    rate: float
    units: int
    functional: bool


@fact
def drops(evidence: Evidence) -> list[Drop]:
    """Every dropout with a positive rate that is switched on."""
    found = []
    for site in evidence.tape.sites:
        op = ops.of(site)
        if site.op == "scaled_dot_product_attention":
            rate = ops.argument(site, "dropout_p", 0.0)
            if isinstance(rate, float | int) and rate > 0:
                found.append(Drop(site, float(rate), site.shape[-2], True))
            continue
        if op.kind != "dropout" or not site.inputs:
            continue
        rate = ops.argument(site, "p", 0.5)
        on = ops.argument(site, "train" if "train" in site.kwargs else "training", op.always)
        if on is True and isinstance(rate, float | int) and rate > 0:
            found.append(Drop(site, float(rate), _units(site), site.module not in _LAYERS))
    return found


def _units(site: Site) -> int:
    """Entries that are dropped independently of each other: of a sample, or of a position in a sequence."""
    shape = site.shape
    if ops.of(site).channels:
        return shape[1] if len(shape) > 1 else 1
    return prod(shape[1:]) if len(shape) >= 4 else shape[-1] if shape else 1


@dataclass(frozen=True)
class Unsteady:
    """Dropout that works in evaluation mode: where, and how much it changes the outputs.

    Attributes:
        drops: those that may be meant.
        change: RMS of the change of the outputs over that of their differences between samples.
    """

    drops: tuple[Drop, ...]
    change: float


@fact
def in_evaluation(evidence: Evidence) -> Unsteady | None:
    """Dropout that `model.eval()` does not switch off; None where all is off. One forward pass, if any is suspected.

    Where some is on, its outputs are compared with those of `in_eval`, which start from the same random state.
    """
    suspects = tuple(drop for drop in drops(evidence) if drop.functional)
    if not suspects:
        return None
    loud, rates = noisy(evidence.model, evidence.example, training=False, seed=evidence.seed)
    suspects = tuple(drop for drop in suspects if drop.rate in rates)
    if not suspects:
        return None
    quiet = in_eval(evidence)
    change = max((_change(a, b) for a, b in zip(quiet, loud, strict=False) if a.shape == b.shape), default=0.0)
    return Unsteady(suspects, change) if change > 0 else None


def _change(quiet: Tensor, loud: Tensor) -> float:
    quiet, loud = quiet.double(), loud.double()
    spread = quiet - quiet.mean(0) if len(quiet.shape) and len(quiet) > 1 else quiet
    size = torch.linalg.vector_norm(spread)
    moved = float(torch.linalg.vector_norm(loud - quiet) / size) if size > 0 else float("nan")
    return moved if moved == moved else 0.0


def ends_at_output(evidence: Evidence, drop: Drop) -> bool:
    """Whether a dropout works on what an output head made, and on nothing else, before it reaches the loss."""
    graph, index = evidence.graph, drop.site.index
    while not evidence.multiplies(index):
        reads = graph.data(index)
        if len(reads) != 1 or graph.normalizes(index):
            return False
        index = reads[0].site
    if index not in evidence.heads:
        return False
    todo, seen, judged = [drop.site.index], {drop.site.index}, False
    while todo:
        current = todo.pop()
        for reader in graph.consumers[current]:
            site = evidence.tape.sites[reader]
            if site.kind == "loss" or ops.of(site).kind == "loss" or site.op.endswith("_loss"):
                judged = True
            elif len({ref.site for ref in graph.data(reader)} - seen) or evidence.multiplies(reader):
                return False
            elif reader not in seen:
                seen.add(reader)
                todo.append(reader)
    return judged


def feeds_norm(evidence: Evidence, index: int) -> Drop | None:
    """The dropout right before this normalization, or before the one weight in front of it."""
    on = {drop.site.index: drop for drop in drops(evidence)}
    weights = 0
    ref = _first(evidence, index)
    while ref is not None:
        if ref.site in on:
            return on[ref.site]
        weights += evidence.multiplies(ref.site)
        if weights > 1 or len(evidence.graph.data(ref.site)) != 1 or evidence.graph.normalizes(ref.site):
            return None
        ref = _first(evidence, ref.site)
    return None


def _first(evidence: Evidence, index: int) -> Ref | None:
    reads = evidence.graph.data(index)
    return reads[0] if reads else None
