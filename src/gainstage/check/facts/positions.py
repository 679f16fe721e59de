"""Sequences of tokens: which token each output position is judged by, and which tokens it can see."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gainstage.check._fact import fact
from gainstage.check._registry import NotMeasured
from gainstage.check.evidence import Evidence
from gainstage.check.experiments import rerun
from gainstage.check.facts.modes import in_eval
from gainstage.check.facts.oracle import free
from gainstage.run import map_tensors, tensors_in

LAGS = range(-2, 5)
FEWEST = 64  # positions, and different tokens among them
_MATCH = 0.999


@dataclass(frozen=True)
class Judged:
    """One output with a class axis last, over the positions of an input of token numbers.

    Attributes:
        number: which of the output's tensors.
        ids: the input.
        lag: how far behind a position the token lies that it is judged by: 1 for a language model.
    """

    number: int
    ids: Tensor
    lag: int


@fact
def judged(evidence: Evidence) -> list[Judged]:
    """The outputs whose label at every position is the input at one lag.

    The label is the entry that the loss wants to rise, whatever its code looks like.

    Raises:
        NotMeasured: there is no input of token numbers, or no output over its positions, or it is judged by something
            else.
    """
    inputs = [t for t in tensors_in(evidence.example) if t.dim() == 2 and t.dtype in (torch.int64, torch.int32)]
    if not inputs:
        raise NotMeasured("no input holds numbers of tokens")
    found = []
    for part in free(evidence):
        if part.values.dim() != 3 or not part.gradients:
            continue
        pull = part.gradients[0]
        asked, wanted = pull.flatten(2).abs().sum(2) > 0, pull.argmin(2)
        for ids in inputs:
            if ids.shape == asked.shape and (lag := _lag(ids, asked, wanted)) is not None:
                found.append(Judged(part.number, ids, lag))
    if not found:
        raise NotMeasured("no output is judged by the tokens of an input")
    return found


def _lag(ids: Tensor, asked: Tensor, wanted: Tensor) -> int | None:
    length = ids.shape[1]
    share: dict[int, float] = {}
    for lag in LAGS:
        here, there = (slice(max(0, -lag), length - max(0, lag)), slice(max(0, lag), length - max(0, -lag)))
        use = asked[:, here]
        if int(use.sum()) >= FEWEST and len(torch.unique(ids[:, there][use])) > 4:
            share[lag] = float((wanted[:, here] == ids[:, there])[use].double().mean())
    best = max(share, key=lambda lag: share[lag], default=None)
    others = [share[lag] for lag in share if lag != best]
    return best if best is not None and share[best] >= _MATCH and max(others, default=0.0) < 0.9 else None


@dataclass(frozen=True)
class Sight:
    """What earlier positions know of later tokens.

    Attributes:
        label: change of the outputs whose label was replaced, and no token up to themselves, in standard deviations
            between samples.
        later: the same of all positions before the tokens that were replaced.
    """

    label: float
    later: float


@fact
def sights(evidence: Evidence) -> dict[int, Sight]:
    """What happens to earlier outputs when later tokens are another sample's: one forward pass in evaluation mode."""
    found = {}
    for each in judged(evidence):
        start = each.ids.shape[1] // 2

        def change(tensor: Tensor, ids: Tensor = each.ids, start: int = start) -> Tensor:
            if tensor is not ids:
                return tensor
            return torch.cat([tensor[:, :start], tensor.roll(1, 0)[:, start:]], 1)

        given: Any = map_tensors(evidence.example, change)
        after = rerun(evidence.model, given, training=False, seed=evidence.seed)
        before = in_eval(evidence)
        number = sum(t.is_floating_point() for t in list(tensors_in(evidence.heard.output))[: each.number])
        if number >= len(before) or len(before) != len(after) or before[number].shape != after[number].shape:
            continue
        a, b = before[number].double(), after[number].double()
        spread = float((a - a.mean(0)).square().mean() ** 0.5)
        moved = (a - b).square().mean((0, 2)).sqrt() / max(spread, 1e-30)
        near = moved[max(0, start - max(each.lag, 0)) : start]
        found[each.number] = Sight(float(near.max()) if len(near) else 0.0, float(moved[:start].max()))
    return found
