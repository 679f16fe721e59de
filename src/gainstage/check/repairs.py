"""What a fix would change, made for as long as its symptoms are measured again: counterfactuals of a finding.

Each is a context: inside, the evidence is that of the repaired subject; afterwards all is as it was.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from gainstage.check._fact import NotMeasured
from gainstage.check.evidence import Evidence
from gainstage.check.facts.sites import site_of
from gainstage.init import Law
from gainstage.run import map_tensors, tensors_among, undisturbed
from gainstage.signal import Graph, op_name


@contextmanager
def drawn(evidence: Evidence, laws: Mapping[str, Law]) -> Iterator[Evidence]:
    """The named parameters are drawn from these laws; one observed pass, as for each of the following."""
    plan = evidence.planner()
    if plan is None:
        raise NotMeasured("the model cannot be planned")
    with undisturbed(evidence.model, seed=evidence.seed):
        plan.replace(laws).only(laws).apply(evidence.model, seed=evidence.seed)
        yield _again(evidence)


@contextmanager
def without(evidence: Evidence, names: Sequence[str]) -> Iterator[Evidence]:
    """The activations that end at these sites, one call or written out, are left out: they hand on what they read."""
    left_out = {index for name in names for index in _written(evidence.graph, site_of(evidence, name))}
    calls, count = set(), Counter[str]()
    for site in evidence.tape.sites:
        if site.function is not None:
            op = op_name(site.function)
            if site.index in left_out:
                calls.add((op, count[op]))
            count[op] += 1
    mode = _Without(calls)
    with undisturbed(evidence.model, seed=evidence.seed), mode:
        evidence.model.register_forward_pre_hook(lambda module, given: mode.count.clear())
        yield _again(evidence)


@contextmanager
def plain_loop(evidence: Evidence) -> Iterator[Evidence]:
    """The optimizer makes its step in a plain loop on the example, in place of `train_step`."""
    if evidence.train_step is None or evidence.optimizer is None:
        raise NotMeasured("there is no loop to leave out")
    yield _again(evidence, train_step=None)


@contextmanager
def plain_training(evidence: Evidence) -> Iterator[Evidence]:
    """The same, with every module in training mode."""
    with undisturbed(evidence.model, seed=evidence.seed), plain_loop(evidence) as plain:
        evidence.model.train()
        yield _again(plain)


@contextmanager
def standard_inputs(evidence: Evidence) -> Iterator[Evidence]:
    """Every column of the example's numbers has mean 0 and standard deviation 1; `train_step` has data of its own."""
    yield _again(evidence, example=map_tensors(evidence.example, _standardized), train_step=None)


@contextmanager
def standard_targets(evidence: Evidence) -> Iterator[Evidence]:
    """The targets have mean 0 and standard deviation 1."""
    yield _again(evidence, target=map_tensors(evidence.target, _standardized), train_step=None)


@contextmanager
def training_mode(evidence: Evidence) -> Iterator[Evidence]:
    """Every module is in training mode: batch normalizations use the statistics of the batch."""
    with undisturbed(evidence.model, seed=evidence.seed):
        evidence.model.train()
        yield _again(evidence)


@contextmanager
def small_epsilons(evidence: Evidence) -> Iterator[Evidence]:
    """The epsilon of every module is 1e-5."""
    with undisturbed(evidence.model, seed=evidence.seed):
        for module in evidence.model.modules():
            if isinstance(getattr(module, "eps", None), float):
                setattr(module, "eps", 1e-5)  # noqa: B010
        yield _again(evidence)


def _again(evidence: Evidence, **changed: Any) -> Evidence:
    names = "model", "example", "target", "loss", "optimizer", "train_step", "train", "steps", "seed"
    return Evidence(**{name: getattr(evidence, name) for name in names} | changed)


def _written(graph: Graph, index: int | None) -> Iterator[int]:
    """This site and what stands before it, up to the last weight or normalization: a chain of one shape."""
    while index is not None and index not in graph.weights and not graph.normalizes(index):
        site = graph.sites[index]
        if site.is_leaf or site.function is None:
            return
        yield index
        before = {ref.site for ref in graph.data(index) if graph.shapes[ref.site] == site.shape}
        index = before.pop() if len(before) == 1 else None


def _standardized(tensor: Tensor) -> Tensor:
    """By column where these are columns, else as a whole; what is no number or is one number everywhere stays."""
    if not tensor.is_floating_point() or len(tensor) < 2:
        return tensor
    axes = tuple(range(tensor.dim() - 1)) if tensor.dim() < 4 else tuple(range(tensor.dim()))
    mean, std = tensor.mean(axes, keepdim=True), tensor.std(axes, keepdim=True)
    return torch.where(std > 0, (tensor - mean) / std, tensor)


class _Without(TorchFunctionMode):
    """Leaves out some calls of a pass, told by operation and how often it has run before."""

    def __init__(self, calls: set[tuple[str, int]]) -> None:
        super().__init__()
        self.calls, self.count = calls, Counter[str]()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs, op = kwargs or {}, op_name(func)
        number, self.count[op] = self.count[op], self.count[op] + 1
        if (op, number) in self.calls:
            return next(tensors_among((args, kwargs)))
        return func(*args, **kwargs)
