"""What classes draw: asked by letting a copy of each draw."""

import copy
from dataclasses import replace
from math import sqrt

import torch
from torch import Tensor, nn

from gainstage.plan._look import FLAT, Look, defaults_of, look
from gainstage.run import has_data, named_modules, undisturbed

_ENOUGH = 512  # entries, by which a standard deviation is known to 2 % and a uniform draw told from a normal one
_TIMES = 256  # that a class is asked at most
_FEW = 8  # entries, which look like anything
_MANY = 2**20  # entries that it draws at most when asked again


def drawn_by_class(model: nn.Module) -> dict[str, Look]:
    """For every parameter, what the class of the module that holds it draws when it is asked to."""
    drawn: dict[str, Look] = {}
    alike: dict[object, dict[str, Look]] = {}
    with undisturbed(model), torch.no_grad():  # a class may write to what its copy shares with the module
        for path, module in named_modules(model):
            own = {n: p for n, p in module._parameters.items() if p is not None and (p.is_meta or has_data(p))}
            reset = next((n for n in ("reset_parameters", "_reset_parameters") if hasattr(module, n)), "")
            if not own or not reset:
                continue
            key = type(module), tuple((name, tuple(p.shape)) for name, p in own.items())
            if key not in alike:
                alike[key] = _ask(module, reset)
            drawn |= {f"{path}.{name}" if path else name: seen for name, seen in alike[key].items()}
    return drawn


def _ask(module: nn.Module, reset: str) -> dict[str, Look]:
    """What a module draws, read off a copy; nothing where it cannot draw again."""
    fresh: nn.Module = object.__new__(type(module))  # FSDP2 makes the inner module of a new one
    try:
        fresh.__dict__ = {n: v.clone() if isinstance(v, Tensor) else v for n, v in module.__dict__.items()}
        fresh._buffers = {name: None if b is None else b.clone() for name, b in module._buffers.items()}
        fresh._modules = {name: copy.deepcopy(m) for name, m in module._modules.items()}
        fresh._parameters = {
            name: None if p is None else nn.Parameter(torch.zeros(p.shape), requires_grad=False)
            for name, p in module._parameters.items()
        }
        draws = [_draw(fresh, reset)]
        sizes = [p.numel() for p in draws[0].values() if p.numel()]
        times = min(_ENOUGH // min(sizes), _TIMES, _MANY // sum(sizes)) if sizes else 0
        draws += [_draw(fresh, reset) for _ in range(times)]
    except Exception:
        return {}
    defaults = tuple(std for p in draws[0].values() for std in defaults_of(tuple(p.shape)))
    return {name: _of(tuple(draw[name] for draw in draws), defaults) for name, p in draws[0].items() if p.numel()}


def _draw(module: nn.Module, reset: str) -> dict[str, Tensor]:
    getattr(module, reset)()
    return {name: p.detach().clone() for name, p in module._parameters.items() if p is not None}


def _of(draws: tuple[Tensor, ...], defaults: tuple[float, ...]) -> Look:
    """What one draw looks like, with the moments of all."""
    first = look(draws[0])
    many = look(torch.cat([draw.flatten() for draw in draws])) if len(draws) > 1 else first
    if many.std > 0 and many.kurtosis < FLAT:  # of a uniform draw the largest entry says more than the second moment
        many = replace(many, std=many.largest / sqrt(3))
    if draws[0].numel() < _FEW:
        return replace(many, defaults=defaults)
    return replace(first, std=many.std, kurtosis=many.kurtosis, largest=many.largest, defaults=defaults)
