"""From a model and a batch to a plan, and from the plan to the weights."""

from dataclasses import replace
from typing import Any

from torch import nn

from gainstage.init import CannotFill, Law, zeros
from gainstage.init.fillable import check_fillable
from gainstage.plan._assignment import Assignment
from gainstage.plan._auto import auto
from gainstage.plan._calibrate import calibrated
from gainstage.plan._context import Context
from gainstage.plan._plan import Plan
from gainstage.plan._schemes import classical, law_of_scheme
from gainstage.run import all_or_nothing, entry, give_shapes, named_parameters, with_shapes
from gainstage.signal import Graph, record


@entry
def plan(model: nn.Module, example: Any, *, scheme: str | Law = "auto") -> Plan:
    """Decide how every parameter of `model` is to be filled, and why. Touches nothing.

    One forward pass shows how the parameters are used; the laws follow from that structure. `"auto"` aims at a signal
    of mean square 1 wherever it is carried, residual streams that at most double, attention logits of order 1, an
    initial loss at chance, and a start that trains at depth for plain chains. The other schemes give every weight one
    law: `"torch"`, `"xavier_normal"`, `"xavier_uniform"`, `"he_normal"`, `"he_uniform"`, `"lecun_normal"`,
    `"orthogonal"`, `"gpt2"`, `"normal"`, `"uniform"`, `"constant"`, `"zeros"`, or a law of `gainstage.init`.

    Args:
        model: any module that runs, also on the meta device.
        example: a tensor (one positional input), a tuple (positional inputs) or a dict (keyword inputs).
        scheme: name, or a law for all weights.

    Returns:
        The plan. Parameters that require no gradient or that are not understood are named in it and left as they are.

    Raises:
        GainstageError: unknown scheme, or the model does not run on the example.

    Example:
        >>> import torch, gainstage as gs
        >>> model = torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 10))
        >>> print(gs.plan(model, torch.randn(8, 64))["0.weight"].law)
        lecun_normal
    """
    if scheme != "auto":
        law_of_scheme(scheme)
    model = with_shapes(model, example)
    return plan_from(model, Graph(record(model, example, backward=False)), scheme)


def plan_from(model: nn.Module, graph: Graph, scheme: str | Law = "auto") -> Plan:
    """`plan`, for a pass that was observed already."""
    tape = graph.tape
    parameters = dict(named_parameters(model))
    frozen = frozenset(name for name, p in parameters.items() if not p.requires_grad)
    context = Context(graph, frozen)
    assignments = auto(context) if scheme == "auto" else classical(context, scheme)
    for name in tape.unused:
        assignments[name] = Assignment("unused", None, "no operation reads it on this example: left as it is")
    for name in [name for name in assignments if name not in parameters]:
        del assignments[name]  # made anew in every first pass: not there to be filled
    for name, assignment in assignments.items():
        if assignment.law is not None and (why := _refused(parameters[name], name)):
            assignments[name] = replace(assignment, law=None, reason=f"left as it is: {why}")
    shapes = {name: tuple(parameters[name].shape) for name in assignments}
    for name in [name for name, shape in shapes.items() if 0 in shape]:
        assignments[name] = replace(assignments[name], law=None, reason="has no elements")
    return Plan(tape.model, str(scheme), assignments, shapes, dict(tape.ties))


def _refused(parameter: nn.Parameter, name: str) -> str:
    """Why no law can fill a parameter, whatever its shape (complex, sparse, expanded, quantized); empty if one can."""
    try:
        check_fillable(parameter, zeros(), name=name)
    except CannotFill as error:
        return str(error)
    return ""


@entry
def initialize(
    model: nn.Module, example: Any, *, seed: int = 0, scheme: str | Law = "auto", calibrate: bool = False
) -> Plan:
    """Initialize every parameter of `model` in place, and return the plan with the reasons.

    Args:
        model: any module that runs.
        example: a tensor (one positional input), a tuple (positional inputs) or a dict (keyword inputs).
        seed: every weight is a function of (seed, parameter name, index) alone.
        scheme: as for `plan`.
        calibrate: afterwards rescale each weight, in execution order within one forward pass, so that the measured mean
            square behind it is the planned one (LSUV); the plan then holds the rescaled laws.

    Returns:
        The plan that was applied.

    Raises:
        GainstageError: as for `plan` and `Plan.apply`; the model is then as it was.

    Example:
        >>> import torch, gainstage as gs
        >>> model = torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 10))
        >>> plan = gs.initialize(model, torch.randn(8, 64), seed=1)
        >>> float(model[0].bias.abs().sum())
        0.0

    References:
        Mishkin & Matas, *All you need is a good init*, ICLR 2016 (`calibrate`).
    """
    if scheme != "auto":
        law_of_scheme(scheme)
    shaped = with_shapes(model, example)
    graph = Graph(record(shaped, example, backward=False))
    made = plan_from(shaped, graph, scheme)
    with all_or_nothing(model) as undo:
        give_shapes(model, example)
        if calibrate:
            undo.before_write(model.parameters())
        made.apply(model, seed=seed)
        if calibrate:
            made = calibrated(made, graph, model, example)
            made.apply(model, seed=seed)
    return made
