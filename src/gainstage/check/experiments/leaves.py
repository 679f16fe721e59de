"""What a gradient would arrive at that no module knows: leaves of the autograd graph that are no parameters."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from gainstage.check.experiments._quiet import Quiet
from gainstage.run import call, tensors_in, undisturbed


def leaves(model: nn.Module, example: Any, found: Sequence[Tensor] | None, *, seed: int = 0) -> list[Tensor]:
    """The tensors that require a gradient, are used in forward, outlast it, and belong to no registered module.

    Args:
        found: the leaves behind the outputs of a pass; None costs a forward pass. One more is made where there are any
            that are not known: what a pass makes for itself (points that a derivative is taken at) is another tensor in
            each.
    """
    known = {id(t) for t in (*model.parameters(), *model.buffers(), *tensors_in(example))}
    with undisturbed(model, example, seed=seed), Quiet(), torch.enable_grad():
        once = leaves_behind(call(model, example)) if found is None else found
        first = {id(t): t for t in once if id(t) not in known}
        return [t for t in leaves_behind(call(model, example)) if id(t) in first] if first else []


def leaves_behind(output: Any) -> Iterator[Tensor]:
    """The leaves behind all tensors of an output."""
    todo = [t.grad_fn for t in tensors_in(output) if t.grad_fn is not None]
    seen = set(todo)
    while todo:
        node = todo.pop()
        if (leaf := getattr(node, "variable", None)) is not None and type(node).__name__ == "AccumulateGrad":
            yield leaf
        for child, _ in node.next_functions:
            if child is not None and child not in seen:
                seen.add(child)
                todo.append(child)


def place(model: nn.Module, tensor: Tensor) -> str:
    """Where a model keeps a tensor that it has not registered: a path of attributes and indices; empty if unknown."""
    for path, module in model.named_modules():
        for name, value in vars(module).items():
            if not name.startswith("_") and (found := _within(value, tensor, 0)) is not None:
                return ".".join(filter(None, (path, name))) + found
    return ""


def _within(value: Any, tensor: Tensor, depth: int) -> str | None:
    if value is tensor:
        return ""
    if depth > 3:
        return None
    if isinstance(value, nn.Module):
        return next((f".{name}" for name, p in value.named_parameters() if p is tensor), None)
    items: Any = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else ()
    )
    for key, item in items:
        if (found := _within(item, tensor, depth + 1)) is not None:
            return f"[{key!r}]{found}"
    return None
