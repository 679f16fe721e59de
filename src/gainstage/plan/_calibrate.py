"""LSUV in one pass: rescale each weight as its site is reached."""

from math import isfinite
from typing import Any

import torch
from torch import Tensor, nn

from gainstage.plan._plan import AUTO, Plan
from gainstage.run import named_parameters, over_ranks, replicated_like, whole
from gainstage.signal import Graph, Site, measure, observe, ops, plain_of

_MOST = 30.0  # times what theory gives a weight: made larger still, it would hardly learn
_FEW = 64  # entries behind a weight; of fewer a mean square says little


def calibrated(plan: Plan, graph: Graph, model: nn.Module, example: Any, *, beyond: float = 1.0) -> Plan:
    """The plan with every weight's law scaled so that its output has the planned mean square on this example.

    One forward pass: when a weight's first site is reached, its output is measured, and the weight and that output are
    multiplied by one factor before anything reads the output; so every later weight sees what it will see in training.
    A weight whose uses do not depend on one another gets one more factor, for the mean over all of them. Under
    classical schemes every weight aims at 1, as in the paper; under `auto` at its planned level, and weights whose
    scale a normalization divides away keep theirs. So do embeddings, recurrent parameters and what the plan leaves as
    it is.

    Args:
        plan: already applied to `model`; `model` holds scratch values afterwards: apply the result.
        graph: structure of an earlier pass of the same model.
        beyond: rescale only what is further from its level than this many times, up or down. What reads an average
            (attention, pooling) is then not made larger: theory counts an average as its input on purpose, as what is
            averaged grows alike in training. Nor is what reads the inputs: against weights that are large for their
            fan in, the first updates are small, and the layer stays as it was drawn.

    References:
        Mishkin & Matas, *All you need is a good init*, ICLR 2016.
    """
    parameters = dict(named_parameters(model))
    factors: dict[str, float] = {}
    levels: dict[str, list[float]] = {}  # behind every use, with the factor
    sites = {graph.sites[index].name: call for index, call in graph.weights.items()}
    aims = _Aims(plan, graph, beyond)

    def rescale(site: Site, output: Tensor) -> None:
        call = sites.get(site.name)
        name = graph.parameter_of(call.weight) if call else None
        target = aims.of(name)
        if call is None or name is None or not target or plain_of(output) is not output:
            return  # torch.func lets nobody write to what it wraps
        level = over_ranks(float(measure(output)[2]), model, parameters[name])
        if name in levels:
            levels[name].append(level)
            return
        if not (isfinite(level) and level > 0):
            return
        factor = (target / level) ** 0.5 if aims.missed(name, level, output.numel()) else 1.0
        factor = min(factor, _MOST) if beyond > 1 else factor
        factors[name], levels[name] = factor, [level * factor**2]
        if factor == 1:
            return
        bias = parameters.get(graph.parameter_of(call.bias) or "") if call.bias else None
        unseen = torch.autograd.grad_mode._unsafe_preserve_version_counter((parameters[name], output))
        with torch.no_grad(), unseen:  # a gradient within the forward pass may have kept them: it sees the new ones
            parameters[name].mul_(factor)
            output.mul_(factor)
            if bias is not None:
                shift = (1 - factor) * whole(bias)
                shift = shift.reshape(-1, *[1] * (parameters[name].dim() - 2)) if "conv" in call.family else shift
                output.add_(replicated_like(shift, output))

    observe(model, example, backward=False, visit=rescale)
    laws = {}
    for name, factor in factors.items():
        law, target, mean = plan[name].law, aims.of(name), sum(levels[name]) / len(levels[name])
        assert law is not None
        assert target
        if (
            len(levels[name]) > 1
            and not _in_a_row(graph, name)
            and isfinite(mean)
            and mean > 0
            and aims.off(mean, target, _FEW)
        ):
            factor *= (target / mean) ** 0.5
        factor = min(factor, _MOST) if beyond > 1 else factor
        if factor != 1:
            laws[name] = law.scaled(float(f"{factor:.6g}" if beyond == 1 else f"{factor:.3g}"))
    return plan.replace(laws, because="calibrated on one batch" if beyond == 1 else "rescaled by the level measured")


def settled(plan: Plan, graph: Graph, model: nn.Module, *, beyond: float) -> bool:
    """Whether `calibrated` would leave every law as it is: the graph is of a pass of the model under this plan."""
    parameters = dict(named_parameters(model))
    aims = _Aims(plan, graph, beyond)
    levels: dict[str, list[float]] = {}
    fine = True  # every level is asked for: ranks answer together
    for index, call in graph.weights.items():
        name, measured = graph.parameter_of(call.weight), graph.sites[index].forward
        if name is None or not aims.of(name):
            continue
        if measured is None or not measured.count:
            return False
        level = over_ranks(measured.mean_square, model, parameters[name])
        if name not in levels and isfinite(level) and level > 0:
            fine = fine and not aims.missed(name, level, measured.count)
        levels.setdefault(name, []).append(level)
    for name, found in levels.items():
        mean = sum(found) / len(found)
        fine = fine and not (
            len(found) > 1 and isfinite(mean) and mean > 0 and aims.off(mean, aims.of(name) or 1.0, _FEW)
        )
    return fine


class _Aims:
    """Which levels weights aim at, and when one has missed its own."""

    def __init__(self, plan: Plan, graph: Graph, beyond: float) -> None:
        self.plan, self.beyond = plan, beyond
        self.lowered = _behind_averages(graph) | behind_inputs(graph) if beyond > 1 else frozenset()
        calls = graph.weights.values()
        self.tables = {graph.parameter_of(call.weight) for call in calls if call.family == "embedding"}

    def of(self, name: str | None) -> float | None:
        if name is None or name not in self.plan or name in self.tables or self.plan[name].law is None:
            return None
        return self.plan[name].level if self.plan.scheme in AUTO else 1.0

    def off(self, level: float, target: float, entries: int) -> bool:
        limit = self.beyond if entries >= _FEW else 4 * self.beyond
        return self.beyond == 1 or not 1 / limit <= level / target <= limit

    def missed(self, name: str, level: float, entries: int) -> bool:
        target = self.of(name) or level
        return self.off(level, target, entries) and not (level < target and name in self.lowered)


def _behind_averages(graph: Graph) -> frozenset[str | None]:
    """The weights that read an average over positions, with no other weight between."""
    averages: set[int] = set()
    for site in graph.sites:
        behind = any(ref.site in averages for ref in graph.data(site.index)) and site.index not in graph.weights
        if behind or ops.of(site).kind in ("average", "attention", "softmax"):
            averages.add(site.index)
    calls = graph.weights.values()
    return frozenset(graph.parameter_of(c.weight) for c in calls if c.data and c.data.site in averages)


def behind_inputs(graph: Graph) -> frozenset[str | None]:
    """The weights that read an input of the model as it is."""
    calls = graph.weights.values()
    return frozenset(
        graph.parameter_of(c.weight) for c in calls if c.data and graph.sites[graph.source(c.data)].kind == "input"
    )


def _in_a_row(graph: Graph, name: str) -> bool:
    """Whether the last use of a weight reads what the first one writes."""
    uses = [index for index, call in graph.weights.items() if graph.parameter_of(call.weight) == name]
    return graph.depends(uses[-1], uses[0])
