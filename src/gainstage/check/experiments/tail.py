"""What lies behind the last weights of a network, run again on free numbers: which outputs can there be at all?"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import inf
from typing import Any

import torch
from torch import Tensor, nn

from gainstage.check.experiments._quiet import Quiet
from gainstage.check.experiments.free_output import Asked, asking, descend, lowest
from gainstage.run import Loss
from gainstage.signal import Graph, Ref, Site, ops, put

LARGEST = 2**18  # entries behind the last weights that are searched
STEPS = 40  # of descent, at a rate that moves a number by 20
RATE = 0.5
FALLING = 0.01  # part of the fall of a descent in ten of its last steps, from which on no end is in sight
SETTLED = 0.01  # part of the fall that a descent may still make in ten of its last steps, to count as ended
_HARMLESS = frozenset({"mul", "div", "add", "sub", "neg", "rsub"})


@dataclass(frozen=True)
class Floors:
    """How low a loss can get.

    Attributes:
        free: over all outputs.
        reached: over the outputs that what stands behind the last weights can make of any numbers.
        constant: the same, where every sample gets one answer.
        site: the last of these sites that is no view, no shift and no scale.
    """

    free: float
    reached: float
    constant: float
    site: Site

    @property
    def missed(self) -> float:
        """What is out of reach, of all that there is to gain over answering a constant."""
        gain = self.constant - self.free
        return (self.reached - self.free) / gain if gain > 0 else 0.0


@dataclass(frozen=True)
class Tail:
    """The sites between the last weights and the outputs.

    Attributes:
        sites: in execution order.
        ends: the outputs of the model, as `tensors_in` lists them.
        free: the outputs of the last weights, with their shapes.
        leaves: parameters and buffers that the sites read, by the index of their leaf.
        outputs: how many numbers the outputs hold: more than are free lie on a surface, and fit no noise.
    """

    sites: tuple[Site, ...]
    ends: tuple[Ref, ...]
    free: dict[Ref, tuple[int, ...]]
    leaves: dict[int, str]
    outputs: int

    def __call__(self, free: dict[Ref, Tensor], leaves: dict[int, Tensor]) -> list[Tensor]:
        """The outputs for these numbers."""
        made: dict[Ref, Tensor] = dict(free) | {Ref(index): value for index, value in leaves.items()}
        for site in self.sites:
            result = site.function(*put(site.args, made.__getitem__), **put(site.kwargs, made.__getitem__))
            results = (result,) if isinstance(result, Tensor) else tuple(r for r in result if isinstance(r, Tensor))
            made |= {Ref(site.index, number): value for number, value in enumerate(results)}
        return [made[ref] for ref in self.ends]

    @property
    def shapes_numbers(self) -> Site | None:
        """The last site that does more than move, shift and scale; None where the outputs are as free as can be."""
        found = [s for s in self.sites if s.kind != "view" and ops.of(s).name not in _HARMLESS]
        own = [
            s
            for s in self.sites
            if ops.of(s).name in _HARMLESS and len({r.site for r in s.inputs} - set(self.leaves)) > 1
        ]
        return max([*found, *own], key=lambda site: site.index, default=None)


def tail_of(graph: Graph) -> Tail | None:
    """The tail of a pass; None where what stands there reads inputs, or was not seen as a call."""
    ends = graph.tape.outputs
    free: dict[Ref, tuple[int, ...]] = {}
    leaves: dict[int, str] = {}
    inner: dict[int, Site] = {}
    todo = list(ends)
    while todo:
        ref = todo.pop()
        site = graph.sites[ref.site]
        call = graph.weights.get(ref.site)
        plain = call is not None and graph.parameter_of(call.weight) is not None
        if plain or ops.of(site).kind == "recurrent":
            if ref.output:
                return None
            free[ref] = site.shape
        elif site.kind in ("parameter", "buffer"):
            leaves[site.index] = site.path
        elif site.is_leaf or site.function is None:
            return None
        elif site.index not in inner:
            inner[site.index] = site
            todo += site.inputs
    if not free or not ends:
        return None
    outputs = sum(torch.Size(graph.sites[ref.site].shape).numel() for ref in ends if not ref.output)
    return Tail(tuple(inner[index] for index in sorted(inner)), tuple(ends), free, leaves, outputs)


def floors(
    model: nn.Module, tail: Tail, output: Any, target: Any, loss: Loss, *, batch: int, seed: int
) -> Floors | None:
    """Search the smallest loss behind the last weights, over all outputs, and over one answer for all samples.

    No pass of the model. None where the tail does not run on other numbers, or is too large to be searched.
    """
    site = tail.shapes_numbers
    free = sum(torch.Size(shape).numel() for shape in tail.free.values())
    if site is None or not tail.outputs <= free <= LARGEST:
        return None
    values = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    with asking(model, output, target, loss, seed) as asked, Quiet():
        try:
            search = _Search(tail, asked, values, batch)
            reached, constant = search.lowest(), search.lowest(alike=True)
            lowest_free = min(search.free(), reached)
        except (RuntimeError, ValueError, TypeError, KeyError, IndexError):
            return None
    certain = -inf < lowest_free <= reached <= constant + 0.01 * abs(constant) < inf  # a constant is among the answers
    return Floors(lowest_free, reached, constant, site) if certain else None


class _Search:
    """The loss as a function of what the last weights put out, and of the parameters behind them."""

    def __init__(self, tail: Tail, asked: Asked, values: dict[str, Tensor], batch: int) -> None:
        self.tail, self.asked, self.batch = tail, asked, batch
        self.values = {index: values[path].detach() for index, path in tail.leaves.items()}
        self.numbers = [n for n, y in enumerate(asked.tensors) if y.is_floating_point()]
        self.generator = torch.Generator().manual_seed(0)
        if len(asked.tensors) != len(tail.ends):
            raise ValueError("the output holds what no site made")

    def start(self, alike: bool) -> tuple[dict[Ref, Tensor], dict[int, Tensor]]:
        """Free numbers, one row a sample or one for all, and the parameters behind them."""
        free = {}
        for ref, shape in self.tail.free.items():
            size = (1, *shape[1:]) if alike and shape[:1] == (self.batch,) else shape
            free[ref] = torch.randn(size, generator=self.generator).requires_grad_()
        own = {i: v.clone().requires_grad_() if v.is_floating_point() else v.clone() for i, v in self.values.items()}
        return free, own

    def lowest(self, alike: bool = False) -> float:
        """The smallest loss on the way down from numbers of size 1."""
        free, own = self.start(alike)
        leaves = [*free.values(), *(v for v in own.values() if v.requires_grad)]

        def value() -> Tensor:
            wide = {ref: free[ref].expand(shape) for ref, shape in self.tail.free.items()}
            made = self.tail(wide, own)
            return self.asked.value({n: made[n] for n in self.numbers})

        losses = list(_settling(leaves, value))
        if len(losses) < STEPS or losses[-10] - losses[-1] > SETTLED * (max(losses) - losses[-1]):
            raise ValueError("the descent has not ended")
        return lowest(iter(losses))

    def free(self) -> float:
        """The smallest loss over all outputs, from those of the pass on; minus infinity where no end is in sight."""
        leaves = {n: self.asked.tensors[n].float().clone().requires_grad_() for n in self.numbers}
        losses = [*_settling([*leaves.values()], lambda: self.asked.value({n: y.clone() for n, y in leaves.items()}))]
        if len(losses) > STEPS and losses[-10] - losses[-1] > FALLING * (losses[0] - losses[-1]):
            return -inf
        return min(losses, default=inf)


def _settling(leaves: list[Tensor], value: Callable[[], Tensor]) -> Iterator[float]:
    """Down with large and with small steps, at first out of where there is no slope."""
    yield from descend(leaves, value, rate=RATE, steps=STEPS // 2, redrawn=True)
    yield from descend(leaves, value, rate=RATE / 5, steps=STEPS // 2, redrawn=True)
    yield from descend(leaves, value, rate=RATE / 5, steps=STEPS)
