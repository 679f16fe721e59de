"""K modules of one architecture, called as one by `torch.func.vmap`."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from operator import itemgetter
from types import BuiltinFunctionType, FunctionType
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from gainstage.train._evaluate import mode
from gainstage.train.many._errors import CannotStack
from gainstage.train.many._rows import Rows

_PLAIN = (bool, int, float, complex, str, bytes, type(None), torch.dtype, FunctionType, BuiltinFunctionType)


class Stack:
    """The state of K modules side by side; the first module is the program they share.

    Attributes:
        template: the module that is called with the tensors of each member.
        trained: what the optimizer moves.
        constant: parameters that stay.
        buffers: what the modules keep for themselves, such as running statistics.
    """

    def __init__(self, modules: Sequence[nn.Module], *, check: bool = True) -> None:
        if check:
            alike(modules)
        self.template = modules[0]
        self.trained = Rows.of([{n: p for n, p in m.named_parameters() if p.requires_grad} for m in modules])
        self.constant = Rows.of([{n: p for n, p in m.named_parameters() if not p.requires_grad} for m in modules])
        self.buffers = Rows.of([dict(m.named_buffers()) for m in modules], apart=True)

    def hold(self, names: set[str]) -> None:
        """Move these parameters from the trained to the constant ones."""
        trained, constant = self.trained.views(), self.constant.views()
        held = constant | {name: view for name, view in trained.items() if name in names}
        left = {name: view for name, view in trained.items() if name not in names}
        self.constant, self.trained = _rows(held), _rows(left)

    def keep(self, index: Tensor) -> None:
        """Keep these members only."""
        self.trained, self.constant = self.trained.keep(index), self.constant.keep(index)
        self.buffers = self.buffers.keep(index)

    def member(self, row: int) -> dict[str, Tensor]:
        """Parameters and buffers of one member by name, sharing memory."""
        return self.constant.member(row) | self.trained.member(row) | self.buffers.member(row)

    def outputs(self, x: Any, *, batch_size: int) -> Tensor:
        """What every member answers to `x` in evaluation mode, `[K, n, ...]`, without gradients."""
        views = self.constant.views() | self.trained.views() | self.buffers.views()
        each = vmap(lambda tensors, some: call(self.template, tensors, some), in_dims=(0, None), randomness="error")
        with calm(self.template, training=False), torch.no_grad():
            return torch.cat([each(views, some) for some in pieces(x, batch_size)], 1)


def call(template: nn.Module, tensors: Any, x: Any) -> Any:
    """`template` with other tensors, called with a tensor, a tuple of positional or a dict of keyword inputs."""
    if isinstance(x, dict):
        return functional_call(template, tensors, (), x)
    return functional_call(template, tensors, x)


@contextmanager
def calm(template: nn.Module, *, training: bool) -> Iterator[None]:
    """Training or evaluation mode for the block; attributes that the modules set, and their flags, are put back.

    A module that remembers its last activation would otherwise keep a tensor that lives inside `vmap` alone. The fused
    kernels of attention and of `nn.TransformerEncoderLayer` know no `vmap` and are off meanwhile.
    """
    before = [(module, dict(module.__dict__)) for module in template.modules()]
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with mode(template, training=training), sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        for module, attributes in before:
            module.__dict__.clear()
            module.__dict__.update(attributes)


def alike(modules: Sequence[nn.Module]) -> None:
    """Raise `CannotStack` unless the modules are one architecture and share no tensor."""
    first = modules[0]
    owners: dict[int, int] = {}
    for k, module in enumerate(modules):
        for (path, a), (other, b) in _pairs(first.named_modules(), module.named_modules(), k, "modules"):
            if path != other or _kind(a) != _kind(b):
                raise CannotStack(_differ(k, f"{path!r} is {type(a).__name__}", f"{other!r} is {type(b).__name__}"))
            for name, value in _plain(a).items():
                if _key(theirs := _plain(b).get(name, value)) != _key(value):
                    raise CannotStack(_differ(k, f"{path!r} has {name}={value!r}", f"{name}={theirs!r}"))
        for (name, s), (other, t) in _pairs(tensors(first), tensors(module), k, "tensors"):
            mine, theirs = ((u.shape, u.dtype, u.device, u.requires_grad) for u in (s, t))
            if name != other or mine != theirs:
                raise CannotStack(_differ(k, f"{name!r} is {_said(s)}", f"{other!r} is {_said(t)}"))
            if owners.setdefault(id(t), k) != k:
                raise CannotStack(f"models {owners[id(t)]} and {k} share {name!r}; give each model its own parameters")


def tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Parameters, then buffers, each once."""
    yield from module.named_parameters()
    yield from module.named_buffers()


def pieces(x: Any, size: int) -> Iterator[Any]:
    """The samples of a tensor, a tuple or a dict of tensors, `size` at a time."""
    for start in range(0, length(x), size):
        some = slice(start, start + size)
        yield apply(itemgetter(some), x)


def apply(function: Callable[[Tensor], Tensor], x: Any) -> Any:
    """A function on a tensor, or on every tensor of a tuple or dict."""
    if isinstance(x, dict):
        return {name: function(t) for name, t in x.items()}
    return tuple(function(t) for t in x) if isinstance(x, tuple) else function(x)


def length(x: Any) -> int:
    """Number of samples."""
    return len(next(iter(x.values())) if isinstance(x, dict) else x[0] if isinstance(x, tuple) else x)


def _rows(views: dict[str, Tensor]) -> Rows:
    count = len(next(iter(views.values()))) if views else 0
    return Rows.of([{name: view[k] for name, view in views.items()} for k in range(count)] or [{}])


def _plain(module: nn.Module) -> dict[str, Any]:
    return {n: v for n, v in module.__dict__.items() if n != "training" and isinstance(v, _PLAIN) and v == v}


def _kind(module: nn.Module) -> Any:
    """The class; `torch.nn.utils.parametrize` makes a new one for every module that it changes."""
    made, *bases = type(module).__mro__
    return made.__name__, made.__module__, bases if hasattr(module, "parametrizations") else made


def _key(value: Any) -> Any:
    """What is compared of an attribute; of a function its code and what it closes over, not its identity."""
    if isinstance(value, FunctionType):
        return value.__code__, value.__defaults__, tuple(repr(cell.cell_contents) for cell in value.__closure__ or ())
    return value


def _pairs(mine: Iterator[Any], theirs: Iterator[Any], k: int, what: str) -> Iterator[Any]:
    a, b = list(mine), list(theirs)
    if len(a) != len(b):
        raise CannotStack(_differ(k, f"it has {len(a)} {what}", f"it has {len(b)}"))
    return zip(a, b, strict=True)


def _said(t: Tensor) -> str:
    frozen = "" if t.requires_grad else ", no gradient"
    return f"{tuple(t.shape)} {t.dtype} on {t.device}{frozen}"


def _differ(k: int, first: str, other: str) -> str:
    return (
        f"models that run as one have one architecture: in model 0 {first}, in model {k} {other}. "
        "Train unlike models with together=False."
    )
