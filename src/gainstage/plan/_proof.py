"""The measurements before and after a start, on which it is kept or taken back."""

from dataclasses import dataclass
from math import isfinite, log10
from typing import Any

import torch
from torch import Tensor, nn

from gainstage.errors import GainstageError
from gainstage.run import call, map_tensors, tensors_in, undisturbed
from gainstage.signal import Graph, Moments, Tape

_HIGHER = 1.25  # of the first loss, and the same on its logarithm's scale of an output without a loss
_LEVELS = 1.0  # decades by which the largest level may move further from 1
_APART = 0.1  # share of the samples' distance that must be left
_DEAD = 1e-6  # share that varies between samples: what such a start hands back is no measure of a better one
_RATIO = 2.0  # decades by which smallest and largest gradient may part further


@dataclass(frozen=True)
class Start:
    """What one pass forward and backward says of a start.

    Attributes:
        loss: the first loss; None where only the surrogate ran.
        output: largest root mean square of an output.
        highest, lowest: root mean square behind the weights.
        apart: share of an output's mean square that varies between samples, the largest; NaN for one sample.
        gradients: smallest over largest root mean square of the weights' gradients; 0 where one gets none.
        finite: nothing was NaN or infinite.
        lost: no entry of an output was a finite number.
    """

    loss: float | None
    output: float
    highest: float
    lowest: float
    apart: float
    gradients: float
    finite: bool
    lost: bool = False


@dataclass(frozen=True)
class Proof:
    """A start before and after, and why something was taken back.

    Attributes:
        before, after: of the found weights and of those that the model has now.
        undone: what was taken back, with the numbers that spoke against it; empty where all was kept.
        text: in words, where nothing could be measured.
    """

    before: Start | None = None
    after: Start | None = None
    undone: str = ""
    text: str = ""

    def lines(self) -> list[str]:
        """Four lines, before and after."""
        if self.before is None or self.after is None:
            return [f"proof: {self.text}"] if self.text else []
        pairs = [
            ("first loss", self.before.loss, self.after.loss),
            ("output rms", self.before.output, self.after.output),
            ("samples apart", self.before.apart, self.after.apart),
            ("gradients, smallest / largest", self.before.gradients, self.after.gradients),
        ]
        told = [f"{what:<30} {_shown(a):>9} -> {_shown(b)}" for what, a, b in pairs]
        return [*told, *([f"taken back: {self.undone}"] if self.undone else [])]


def start_of(tape: Tape) -> Start:
    """Read a start off the tape of one pass."""
    graph = Graph(tape)
    levels = [m.rms for index in graph.weights if (m := tape.sites[index].forward) and m.count]
    outputs = [m for r in tape.outputs if tape.sites[r.site].shape and (m := _moments(tape, r.site)) and m.count]
    gradients = [
        m.rms for site in tape.sites if site.kind == "parameter" and len(site.shape) > 1 and (m := site.backward)
    ]
    inner = (tape.sites[index].forward for index in graph.weights)  # elsewhere a mask may be infinite
    ends = (site.backward for site in tape.sites if site.kind == "parameter")
    broken = any(m.nonfinite for m in (*inner, *ends, *outputs) if m)
    apart = [m.variance_between / m.mean_square for m in outputs if m.mean_square > 0 and isfinite(m.variance_between)]
    finite = not broken and (tape.loss is None or isfinite(tape.loss))
    return Start(
        loss=None if tape.surrogate else tape.loss,
        output=max((m.rms for m in outputs), default=float("nan")),
        highest=max(levels, default=1.0),
        lowest=min(levels, default=1.0),
        apart=max(apart, default=float("nan")),
        gradients=min(gradients) / max(gradients) if gradients and max(gradients) > 0 else 0.0,
        finite=finite,
        lost=bool(outputs) and all(m.nonfinite == m.count for m in outputs),
    )


def worse(before: Start, after: Start) -> str:
    """What speaks against the second of two starts; empty for nothing."""
    if before.finite and not after.finite:
        return "NaN or infinite on the example"
    if not before.finite:
        return ""
    if before.loss is not None and after.loss is not None and isfinite(before.loss):
        most = before.loss + (_HIGHER - 1) * max(abs(before.loss), 0.1)
        if not after.loss <= most:
            return f"the first loss went from {_shown(before.loss)} to {_shown(after.loss)}"
    elif after.output > 1 and _far(after.output) > max(_far(before.output), 0.5) + _LEVELS:
        return f"the outputs went from {_shown(before.output)} to {_shown(after.output)}"
    if _far(after.highest) > max(_far(before.highest), 0.5) + _LEVELS and after.highest > 1:
        return f"the highest level went from {_shown(before.highest)} to {_shown(after.highest)}"
    if after.apart < _APART * before.apart and after.apart < 0.01:
        return f"samples came together, from {_shown(before.apart)} to {_shown(after.apart)}"
    if not before.apart < _DEAD and 0 < after.gradients < before.gradients * 10**-_RATIO:
        return f"gradients part, from {_shown(before.gradients)} to {_shown(after.gradients)}"
    return ""


def _far(level: float) -> float:
    """Decades from 1."""
    return abs(log10(level)) if 0 < level < float("inf") else 1e3 if level else 0.0


def _moments(tape: Tape, index: int) -> Moments | None:
    site = tape.sites[index]
    while site.forward is None and site.kind == "view" and site.inputs:
        site = tape.sites[site.inputs[0].site]
    return site.forward


def bears(model: nn.Module, example: Any, seed: int) -> bool:
    """Whether outputs stay finite where every number comes from another sample, twice as large."""
    generator = torch.Generator().manual_seed(seed)

    def stirred(tensor: Tensor) -> Tensor:
        if not tensor.is_floating_point() or tensor.dim() < 2 or len(tensor) < 2 or tensor.layout is not torch.strided:
            return tensor
        rows = torch.randint(len(tensor), tensor.shape, generator=generator).to(tensor.device)
        return 2 * tensor.detach().gather(0, rows)

    try:
        with undisturbed(model, seed=seed), torch.no_grad():
            output = call(model, map_tensors(example, stirred))
            return all(bool(t.isfinite().all()) for t in tensors_in(output) if t.is_floating_point())
    except GainstageError:  # rows belong together (graphs, masks): it says nothing
        return True


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"
