"""The blocks that a model repeats: what crosses their borders is kept, and each is run again on the way back."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_unflatten

from gainstage.errors import GainstageError
from gainstage.run import bare_names
from gainstage.streaming._kept import Kept
from gainstage.streaming._mode import Streaming
from gainstage.streaming._norms import Norms, from_data, to_data

_LOOKED_AT = 4096  # entries of an output that tell whether a second run gives the same
_APART = 0.05  # relative: more is no rounding


def blocks_of(model: nn.Module) -> dict[str, nn.Module]:
    """The outermost modules that stand beside another of the same class with parameters of the same names and shapes.

    Example:
        >>> stack = nn.Sequential(nn.Linear(3, 8), *(nn.Sequential(nn.Linear(8, 8), nn.Tanh()) for _ in range(3)))
        >>> list(blocks_of(stack))
        ['1', '2', '3']
    """
    names = bare_names(model)
    paths = {module: names[path] for path, module in model.named_modules()}

    def below(module: nn.Module) -> Iterator[nn.Module]:
        children = [child for child in module.children() if next(child.parameters(), None) is not None]
        forms = [_form(child) for child in children]
        for child, form in zip(children, forms, strict=True):
            if forms.count(form) > 1 and type(child).forward is not nn.Module.forward:
                yield child
            else:
                yield from below(child)

    return {paths[module]: module for module in below(model)}


def _form(module: nn.Module) -> tuple[Any, ...]:
    return (type(module), *((name, tuple(p.shape)) for name, p in module.named_parameters()))


@dataclass
class Borders:
    """Runs the blocks of one pass.

    Attributes:
        mode: in which they run.
        kept: where inputs wait for the way back, and what a killed run had finished.
        tick: called when a block has run: whether forward, and its path.
        seconds: of every call: path, forward, and backward with the second run.
        earlier: how many of them a killed run had spent.
    """

    mode: Streaming
    kept: Kept
    tick: Callable[[bool, str], None]
    seconds: list[tuple[str, float, float]] = field(default_factory=list)
    earlier: float = 0.0

    def around(self, path: str, module: nn.Module) -> Callable[..., Any]:
        """What takes the place of a block's `forward`."""
        forward = module.forward

        def run(*args: Any, **kwargs: Any) -> Any:
            if not torch.is_grad_enabled():  # inside of another block's first run
                return forward(*args, **kwargs)
            return _Call(self, path, forward).run(args, kwargs)

        return run

    def took(self, index: int, ahead: float, back: float) -> None:
        """Seconds of one call."""
        path, *before = self.seconds[index]
        self.seconds[index] = (path, before[0] + ahead, before[1] + back)
        self.tick(bool(ahead), path)


class _Call:
    """One call of one block."""

    def __init__(self, borders: Borders, path: str, forward: Callable[..., Any]) -> None:
        self.borders, self.path, self.forward = borders, path, forward
        self.index = len(borders.seconds)
        borders.seconds.append((path, 0.0, 0.0))

    def run(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The way forward: the inputs that gradients flow to are kept, and nothing of what is computed inside."""
        self.leaves, self.nest = tree_flatten((args, kwargs))
        self.places = [i for i, v in enumerate(self.leaves) if isinstance(v, Tensor) and v.requires_grad]
        inputs = [self.leaves[i] for i in self.places]
        self.dtypes = [t.dtype for t in inputs]
        for i in self.places:
            self.leaves[i] = None
        found = list(_Border.apply(self.borders.mode.anchor, self, *inputs))  # type: ignore[no-untyped-call]
        return tree_unflatten([found.pop(0) if v is None else v[0] for v in self.others], self.form)

    def first(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Run it, or take what a killed run had found."""
        started, kept, uses = perf_counter(), self.borders.kept, self.borders.mode.norms.uses
        self.state = torch.get_rng_state()
        kept.put(self.index, inputs)
        done = kept.load(self.index, "forward")
        if done is None:
            before, (args, kwargs) = uses.copy(), self._arguments(inputs)
            made = self.forward(*args, **kwargs)
            plain = made if isinstance(made, Tensor) else list(made) if type(made) in (list, tuple) else None
            if isinstance(plain, Tensor) or (plain and all(isinstance(v, Tensor) for v in plain)):
                found: dict[str, Any] = {"made": plain, "pair": type(made) is tuple, "uses": dict(uses - before)}
                found |= {"state": torch.get_rng_state(), "seconds": perf_counter() - started}
                kept.save(self.index, "forward", found)
        else:
            made = tuple(done["made"]) if done["pair"] else done["made"]
            uses.update(done["uses"])
            torch.set_rng_state(done["state"])
            started -= done["seconds"]
            self.borders.earlier += done["seconds"]
        values, self.form = tree_flatten(made)
        self.others = [None if isinstance(v, Tensor) else (v,) for v in values]
        given = {id(v) for v in self.leaves}  # what is handed on as it came stays itself
        outputs = [v.detach() if id(v) in given else v for v in values if isinstance(v, Tensor)]
        self.seen = [_some(t) for t in outputs]
        self.borders.took(self.index, perf_counter() - started, 0.0)
        return outputs

    def again(self, gradients: Sequence[Tensor | None]) -> list[Tensor | None]:
        """Run it a second time, now with gradients, and go back through it."""
        started, mode, kept = perf_counter(), self.borders.mode, self.borders.kept
        done = kept.load(self.index, "backward")
        if done is None:
            inputs = [t.requires_grad_() for t in kept.take(self.index, self.dtypes, self.path)]
            inside = Norms(mode.norms.sizes, mode.norms.uses)
            self._back(inputs, gradients, mode.again(inside))
            done = {"gradients": [t.grad for t in inputs], "squares": inside.squares, "parts": to_data(inside.waiting)}
            kept.save(self.index, "backward", {**done, "seconds": perf_counter() - started})
        else:
            started -= done["seconds"]
            self.borders.earlier += done["seconds"]
        mode.norms.squares.update(done["squares"])
        for name, parts in from_data(done["parts"]).items():
            for part in parts:
                mode.norms.add(name, part)
        self.borders.took(self.index, 0.0, perf_counter() - started)
        back: list[Tensor | None] = done["gradients"]
        return back

    def _back(self, inputs: list[Tensor], gradients: Sequence[Tensor | None], mode: Streaming) -> None:
        after = torch.get_rng_state()
        torch.set_rng_state(self.state)
        args, kwargs = self._arguments(inputs)
        with torch.enable_grad(), mode:
            made = self.forward(*args, **kwargs)
        torch.set_rng_state(after)
        outputs = [v for v in tree_flatten(made)[0] if isinstance(v, Tensor)]
        if len(outputs) != len(self.seen) or not all(_alike(_some(y), s) for y, s in zip(outputs, self.seen)):  # noqa: B905
            raise GainstageError(
                f"{self.path!r} gives something else when it runs a second time, as it must on the way back: it keeps "
                "state between calls, perhaps a cache. Switch that off in the example (use_cache=False)"
            )
        pairs = [(y, g) for y, g in zip(outputs, gradients, strict=True) if g is not None and y.requires_grad]
        if pairs:
            torch.autograd.backward([y for y, _ in pairs], [g for _, g in pairs])

    def _arguments(self, inputs: Sequence[Tensor]) -> Any:
        leaves = list(self.leaves)
        for place, tensor in zip(self.places, inputs, strict=True):
            leaves[place] = tensor
        return tree_unflatten(leaves, self.nest)


class _Border(torch.autograd.Function):
    """A block whose inside is forgotten."""

    @staticmethod
    def forward(ctx: Any, anchor: Tensor, call: _Call, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Inputs to outputs, all tensors."""
        ctx.call = call
        return tuple(call.first(inputs))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        """The gradient of every input."""
        return (None, None, *ctx.call.again(gradients))


def _some(tensor: Tensor) -> Tensor:
    flat = tensor.detach().flatten()
    return flat[:: max(len(flat) // _LOOKED_AT, 1)].double() if not flat.is_complex() else flat[:0]


def _alike(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and not bool((a - b).norm() > _APART * b.norm())
