"""LSUV in one pass: rescale each weight as its site is reached."""

from math import isfinite
from typing import Any

import torch
from torch import Tensor, nn

from gainstage.plan._plan import Plan
from gainstage.run import named_parameters, over_ranks, replicated_like, whole
from gainstage.signal import Graph, Site, measure, observe, plain_of


def calibrated(plan: Plan, graph: Graph, model: nn.Module, example: Any) -> Plan:
    """The plan with every weight's law scaled so that its output has the planned mean square on this example.

    One forward pass: when a weight's first site is reached, its output is measured, and the weight and that output are
    multiplied by one factor before anything reads the output; so every later weight sees what it will see in training.
    A shared weight is rescaled once. Under classical schemes every weight aims at 1, as in the paper; under `auto` at
    its planned level, and weights whose scale a normalization divides away keep theirs. So do embeddings, recurrent
    parameters and what the plan leaves as it is.

    Args:
        plan: already applied to `model`; `model` holds scratch values afterwards: apply the result.
        graph: structure of an earlier pass of the same model.

    References:
        Mishkin & Matas, *All you need is a good init*, ICLR 2016.
    """
    parameters = dict(named_parameters(model))
    factors: dict[str, float] = {}
    sites = {graph.sites[index].name: call for index, call in graph.weights.items()}
    tables = {graph.parameter_of(call.weight) for call in sites.values() if call.family == "embedding"}

    def rescale(site: Site, output: Tensor) -> None:
        call = sites.get(site.name)
        name = graph.parameter_of(call.weight) if call else None
        if call is None or name is None or name not in plan or name in factors or name in tables:
            return
        target = plan[name].level if plan.scheme == "auto" else 1.0
        if plan[name].law is None or not target or plain_of(output) is not output:
            return  # torch.func lets nobody write to what it wraps
        level = over_ranks(float(measure(output)[2]), model, parameters[name])
        if not (isfinite(level) and level > 0):
            return
        factor = factors[name] = (target / level) ** 0.5
        bias = parameters.get(graph.parameter_of(call.bias) or "") if call.bias else None
        with torch.no_grad():
            parameters[name].mul_(factor)
            output.mul_(factor)
            if bias is not None:
                shift = (1 - factor) * whole(bias)
                shift = shift.reshape(-1, *[1] * (parameters[name].dim() - 2)) if "conv" in call.family else shift
                output.add_(replicated_like(shift, output))

    observe(model, example, backward=False, visit=rescale)
    laws = {}
    for name, factor in factors.items():
        law = plan[name].law
        assert law is not None
        laws[name] = law.scaled(float(f"{factor:.6g}"))
    return plan.replace(laws, because="calibrated on one batch")
