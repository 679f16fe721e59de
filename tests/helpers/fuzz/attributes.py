"""Attributes, children, hooks and modes that a forward changes."""

import collections
import dataclasses
import threading
import types
import weakref
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fuzz.registry import part


class Stateful(nn.Module):
    """A linear layer and the state that `make(self, width)` sets; `change(self, x)` changes it in every forward."""

    make: Any
    change: Any

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, width)
        type(self).make(self, width)

    def forward(self, x: Tensor) -> Tensor:
        extra = type(self).change(self, x.detach())
        return self.linear(x) + (extra if isinstance(extra, float) else 0.0)


def stateful(family: str, name: str, make: Any, change: Any) -> None:
    """Register a part with state `make(self, width)` that `change(self, x)` changes in every forward."""
    members = {"make": staticmethod(make), "change": staticmethod(change), "__module__": __name__}
    part(family)(type(name, (Stateful,), members))


@dataclasses.dataclass
class Memory:
    count: int = 0
    seen: Tensor | None = None
    notes: list[Any] = dataclasses.field(default_factory=list)


class Slotted:
    __slots__ = ("count", "tensor")

    def __init__(self) -> None:
        self.count, self.tensor = 0, torch.zeros(2)


def _set(self: nn.Module, **values: Any) -> None:
    for name, value in values.items():
        setattr(self, name, value)


def _slots(self: nn.Module, x: Tensor) -> float:
    self.memory.count += 1
    self.memory.tensor.add_(1)
    return self.memory.count / 10


def _memory(self: nn.Module, x: Tensor) -> float:
    self.memory.count += 1
    self.memory.seen = x
    self.memory.notes.append(x.mean())
    return self.memory.count / 10


def _delete(self: nn.Module, x: Tensor) -> None:
    value = self.note
    del self.note
    if value < 3:
        self.note = value + 1


def _reorder(self: nn.Module, x: Tensor) -> None:
    self.__dict__["first"] = self.__dict__.pop("first")


def _nested(self: nn.Module, x: Tensor) -> None:
    self.cache["layers"][0]["k"].add_(1)
    self.cache["layers"].append({"k": x})


def _locked(self: nn.Module, x: Tensor) -> None:
    with self.lock:
        self.count += 1


def _count(self: nn.Module, x: Tensor) -> float:
    self.count += 1
    return self.count / 10


for _name, _make, _change in (
    ("counter", lambda s, w: _set(s, count=0), _count),
    ("list_grows", lambda s, w: _set(s, seen=[]), lambda s, x: s.seen.append(x)),
    ("list_tensor", lambda s, w: _set(s, seen=[torch.zeros(w)]), lambda s, x: s.seen[0].add_(1)),
    ("list_rebound", lambda s, w: _set(s, seen=[]), lambda s, x: setattr(s, "seen", [*s.seen, 1])),
    ("list_cleared", lambda s, w: _set(s, seen=[1, 2]), lambda s, x: s.seen.clear()),
    ("dictionary", lambda s, w: _set(s, seen={}), lambda s, x: s.seen.__setitem__(len(s.seen), x)),
    ("default_dictionary", lambda s, w: _set(s, seen=collections.defaultdict(list)),
     lambda s, x: s.seen["x"].append(1)),
    ("counter_object", lambda s, w: _set(s, seen=collections.Counter()), lambda s, x: s.seen.update(["x"])),
    ("set", lambda s, w: _set(s, seen=set()), lambda s, x: s.seen.add(len(s.seen))),
    ("deque", lambda s, w: _set(s, seen=collections.deque([0], maxlen=3)), lambda s, x: s.seen.append(s.seen[-1] + 1)),
    ("nested", lambda s, w: _set(s, cache={"layers": [{"k": torch.zeros(2)}]}), _nested),
    ("tuple_tensor", lambda s, w: _set(s, pair=(torch.zeros(2), [])),
     lambda s, x: (s.pair[0].add_(1), s.pair[1].append(1))),
    ("array", lambda s, w: _set(s, table=np.zeros(3)), lambda s, x: s.table.__iadd__(1)),
    ("bytes", lambda s, w: _set(s, raw=bytearray(3)), lambda s, x: s.raw.append(1)),
    ("namespace", lambda s, w: _set(s, state=types.SimpleNamespace(n=0)),
     lambda s, x: setattr(s.state, "n", s.state.n + 1)),
    ("dataclass", lambda s, w: _set(s, memory=Memory()), _memory),
    ("slots", lambda s, w: _set(s, memory=Slotted()), _slots),
    ("tensor_rebound", lambda s, w: _set(s, last=None), lambda s, x: setattr(s, "last", x)),
    ("tensor_in_place", lambda s, w: _set(s, last=torch.zeros(w)), lambda s, x: s.last.copy_(x.float().mean(0))),
    ("tensor_resized", lambda s, w: _set(s, last=torch.zeros(2)), lambda s, x: s.last.resize_(5).fill_(1)),
    ("graph_kept", lambda s, w: _set(s, last=None), lambda s, x: setattr(s, "last", s.linear(x))),
    ("deleted", lambda s, w: _set(s, note=0), _delete),
    ("reordered", lambda s, w: _set(s, first=1, second=2), _reorder),
    ("lock", lambda s, w: _set(s, lock=threading.Lock(), count=0), _locked),
    ("parent", lambda s, w: _set(s, parent=[s], count=0), _count),
    ("weak", lambda s, w: _set(s, me=weakref.ref(s), count=0), _count),
    ("bound_method", lambda s, w: _set(s, act=s.linear.forward), lambda s, x: s.act(x.float()) is None),
    ("new_attribute", lambda s, w: None, lambda s, x: setattr(s, f"seen_{len(s.__dict__)}", 1)),
    ("forward_replaced", lambda s, w: None, lambda s, x: setattr(s.linear, "forward", s.linear.forward)),
    ("class_replaced", lambda s, w: _set(s, body=nn.ReLU()), lambda s, x: setattr(s.body, "__class__", nn.Tanh)),
    ("half_child", lambda s, w: _set(s, child=nn.Linear(w, 2)), lambda s, x: s.child.bfloat16()),
    ("child_made", lambda s, w: None, lambda s, x: _child_made(s, x)),
    ("child_replaced", lambda s, w: _set(s, child=nn.Linear(w, w)), lambda s, x: setattr(s, "child", nn.Linear(2, 2))),
    ("child_deleted", lambda s, w: _set(s, child=nn.Linear(w, w)), lambda s, x: s._modules.pop("child", None)),
    ("children_appended", lambda s, w: _set(s, many=nn.ModuleList()), lambda s, x: s.many.append(nn.Linear(2, 2))),
    ("parameter_made", lambda s, w: None, lambda s, x: s.register_parameter("late", nn.Parameter(torch.ones(3)))),
):  # fmt: skip
    stateful("attribute", _name, _make, _change)


def _child_made(self: nn.Module, x: Tensor) -> float:
    if not hasattr(self, "late"):
        self.late = nn.Linear(x.shape[1], 1)
    return float(self.late(x.float()).mean().detach())


def _mode_of_children(self: nn.Module, x: Tensor) -> None:
    self.norm.train(not self.norm.training)


def _flag(self: nn.Module, x: Tensor) -> None:
    self.norm.training = not self.norm.training


for _name, _make, _change in (
    ("eval", lambda s, w: None, lambda s, x: s.eval()),
    ("train", lambda s, w: _set(s, drop=nn.Dropout(0.5).eval()), lambda s, x: s.train()),
    ("children", lambda s, w: _set(s, norm=nn.BatchNorm1d(w)), _mode_of_children),
    ("flag", lambda s, w: _set(s, norm=nn.BatchNorm1d(w)), _flag),
    ("frozen", lambda s, w: _set(s, extra=nn.Linear(w, w)), lambda s, x: s.extra.requires_grad_(False)),
    ("unfrozen", lambda s, w: _set(s, extra=nn.Linear(w, w).requires_grad_(False)),
     lambda s, x: s.extra.requires_grad_()),
    ("zero_grad", lambda s, w: None, lambda s, x: s.zero_grad(set_to_none=True)),
    ("momentum", lambda s, w: _set(s, norm=nn.BatchNorm1d(w)),
     lambda s, x: setattr(s.norm, "momentum", s.norm.momentum * 0.9)),
    ("mixed_modes", lambda s, w: _set(s, norm=nn.BatchNorm1d(w).eval()), lambda s, x: s.norm(x.float()) is None),
):  # fmt: skip
    stateful("mode", _name, _make, _change)


class Chatty(nn.Module):
    """Overrides how attributes are read and set."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, width)
        self.__dict__["sets"] = 0

    def __setattr__(self, name: str, value: Any) -> None:
        self.__dict__["sets"] = self.__dict__.get("sets", 0) + 1
        super().__setattr__(name, value)

    def __getattr__(self, name: str) -> Any:
        if name == "alias":
            return self._modules["linear"]
        return super().__getattr__(name)

    def forward(self, x: Tensor) -> Tensor:
        self.note = float(len(x))
        return F.relu(self.alias(x))


part("attribute")(Chatty)
