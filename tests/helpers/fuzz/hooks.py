"""Hooks that a module installs, in `__init__` or in its first forward."""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from fuzz.attributes import stateful
from fuzz.registry import part


def _keep(store: dict[str, Any], module: nn.Module, inputs: Any, output: Any) -> None:
    store["last"] = output.detach()
    store["count"] = store.get("count", 0) + 1


def _scale(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
    return output * 0.9


def _before(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (inputs[0] + 0.1, *inputs[1:])


def _full(module: nn.Module, grads: Any, outs: Any) -> None:
    module.__dict__["backward_calls"] = module.__dict__.get("backward_calls", 0) + 1


def _store(self: nn.Module, width: int) -> None:
    self.store = {}
    self.handle = self.linear.register_forward_hook(partial(_keep, self.store))


def _parameter(self: nn.Module, width: int) -> None:
    self.handle = self.linear.weight.register_hook(lambda g: g * 0.5)
    self.linear.bias.register_post_accumulate_grad_hook(lambda p: None)


def _once(self: nn.Module, width: int) -> None:
    def hook(module: nn.Module, inputs: Any, output: Any) -> None:
        handle.remove()

    handle = self.linear.register_forward_hook(hook)


def _first(self: nn.Module, x: Tensor) -> None:
    if not self.installed:
        self.linear.register_forward_hook(_scale)
        self.linear.register_forward_pre_hook(_before)
        self.installed = True


def _every(self: nn.Module, x: Tensor) -> None:
    self.linear.register_forward_pre_hook(_before, with_kwargs=False)


def _nothing(self: nn.Module, x: Tensor) -> None:
    return None


def _does(work: Any) -> Any:
    """`make` that runs `work(self.linear)` and keeps nothing."""
    return lambda self, width: (work(self.linear), None)[1]


for _name, _make, _change in (
    ("stores", _store, _nothing),
    ("scales", _does(lambda m: m.register_forward_hook(_scale)), _nothing),
    ("always", _does(lambda m: m.register_forward_hook(_scale, always_call=True, prepend=True)), _nothing),
    ("before", _does(lambda m: m.register_forward_pre_hook(_before)), _nothing),
    ("backward", _does(lambda m: m.register_full_backward_hook(_full)), _nothing),
    ("backward_before", _does(lambda m: m.register_full_backward_pre_hook(lambda m, g: None)), _nothing),
    ("state_dict", _does(lambda m: m.register_state_dict_post_hook(lambda *a: None)), _nothing),
    ("parameter", _parameter, _nothing),
    ("once", _once, _nothing),
    ("in_first_forward", lambda s, w: setattr(s, "installed", False), _first),
    ("in_every_forward", lambda s, w: None, _every),
    ("removed_in_forward", lambda s, w: setattr(s, "handle", s.linear.register_forward_hook(_scale)),
     lambda s, x: s.handle.remove()),
    ("cleared_in_forward", _does(lambda m: m.register_forward_hook(_scale)),
     lambda s, x: s.linear._forward_hooks.clear()),
    ("parameter_in_forward", lambda s, w: None,
     lambda s, x: s.linear.weight.requires_grad and s.linear.weight.register_hook(lambda g: g) is None),
):  # fmt: skip
    stateful("hook", _name, _make, _change)


@part("hook")
class checks_gradient(nn.Module):
    """A tensor hook that counts in a buffer during the backward pass."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, width)
        self.register_buffer("norm", torch.zeros(()))

    def _see(self, grad: Tensor) -> None:
        self.norm.add_(grad.float().norm())

    def forward(self, x: Tensor) -> Tensor:
        h = self.linear(x)
        if h.requires_grad:
            h.register_hook(self._see)
        return h


@part("hook")
class around_saved(nn.Module):
    """Packs what autograd saves."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        with torch.autograd.graph.saved_tensors_hooks(lambda t: t.clone(), lambda t: t):
            return self.linear(x).tanh()
