"""Starts: what the base draws, and the laws under which the target starts like it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import sqrt

import torch
from torch import Tensor, nn

from gainstage import init
from gainstage.init import CannotFill, Fans, Law
from gainstage.plan import Assignment, Plan
from gainstage.run import has_data, named_parameters
from gainstage.transfer._growth import Growth
from gainstage.transfer._rules import Factors

_SIGMAS = 4.0  # of the sampling error of a root mean square, within which two draws are of one scale
_SLACK = 0.01  # what cutting off tails and rounding change of a scale
_FEW = 16  # entries; of fewer a law is a normal one


@dataclass(frozen=True)
class Drawn:
    """What a parameter holds at its start.

    Attributes:
        rms: root mean square.
        count: entries.
        law: constant, uniform, normal or orthogonal at this scale; None for a pattern.
    """

    rms: float
    count: int
    law: Law | None


def drawn(model: nn.Module, again: nn.Module | None) -> dict[str, Drawn]:
    """What every parameter of a model holds; one that comes out the same in another draw, and is no constant, is a
    pattern."""
    second = {} if again is None else dict(named_parameters(again))
    found = {}
    for name, parameter in named_parameters(model):
        if has_data(parameter) and parameter.numel() and parameter.is_floating_point():
            other = second.get(name)
            found[name] = _drawn(parameter.detach().double(), None if other is None else other.detach().double())
    return found


def _drawn(values: Tensor, other: Tensor | None) -> Drawn:
    rms, count = float(values.square().mean().sqrt()), values.numel()
    if bool((values == values.flatten()[0]).all()):
        return Drawn(rms, count, init.constant(float(values.flatten()[0])))
    if other is not None and other.shape == values.shape and bool((values == other).all()):
        return Drawn(rms, count, None)
    if gain := _orthogonal(values):
        return Drawn(rms, count, init.orthogonal(gain))
    if _uneven(values):
        return Drawn(rms, count, None)
    centred = values - values.mean()
    std = float(centred.square().mean().sqrt())
    mean = 0.0 if abs(float(values.mean())) < _SIGMAS * std / sqrt(count) else float(values.mean())
    kurtosis = float(centred.pow(4).mean()) / std**4
    if count >= _FEW and kurtosis < 2.1 and mean == 0:
        return Drawn(rms, count, init.uniform(-sqrt(3) * std, sqrt(3) * std))
    return Drawn(rms, count, init.normal(mean, std))


def _orthogonal(values: Tensor) -> float:
    """The gain of a matrix with orthonormal rows or columns; 0 for any other."""
    if values.dim() != 2 or min(values.shape) < 2:
        return 0.0
    wide = values if values.shape[0] <= values.shape[1] else values.T
    gram = wide @ wide.T
    scale = gram.diagonal().mean()
    flat = torch.allclose(gram, scale * torch.eye(len(gram), dtype=gram.dtype), atol=1e-4 * float(scale))
    return sqrt(float(scale)) if flat else 0.0


def _uneven(values: Tensor) -> bool:
    """Whether parts of it differ in scale far beyond chance: blocks, identities, patterns."""
    if values.dim() < 2 or values.numel() < 256:
        return False
    rows = values.flatten(1).square().mean(1)
    low, high = float(rows.min()), float(rows.max())
    per_row = values[0].numel()
    return per_row >= 16 and (low == 0 or high / low > (1 + 6 / sqrt(per_row)) ** 4 + 1)


def start(
    scheme: Plan | None,
    found: Mapping[str, Drawn],
    base: Mapping[str, Drawn],
    growth: Mapping[str, Growth],
    factors: Mapping[str, Factors],
    shapes: Mapping[str, tuple[int, ...]],
    *,
    model: str,
    ties: Mapping[str, str],
    zero: frozenset[str],
) -> Plan:
    """The plan of the target: laws where its own draw is not what the base's start becomes at its size.

    Args:
        scheme: the plan of the base whose laws are to be scaled; None for what the factories draw.
        found: what the target's factory drew.
        base: what the base's factory drew.
        growth, factors: of every parameter.
        shapes: of the target's parameters.
        model, ties: as a plan has them.
        zero: parameters that start at 0.
    """
    assignments = {}
    for name, own in growth.items():
        wanted = factors[name].std
        if name in zero:
            assignments[name] = _assigned(own, init.zeros(), "starts at 0: outputs do not depend on the size at first")
        elif scheme is not None:
            assignments[name] = _planned(scheme, own, wanted, shapes[name])
        else:
            assignments[name] = _kept(own, base.get(own.base), found.get(name), wanted, shapes[name])
    return Plan(model, "own" if scheme is None else scheme.scheme, assignments, dict(shapes), dict(ties))


def _assigned(own: Growth, law: Law | None, reason: str) -> Assignment:
    fans = Fans(*own.fans) if own.fans else None
    return Assignment(own.kind, law, f"{reason} ({own.why})", fans, own.transposed)


def _kept(
    own: Growth, base: Drawn | None, found: Drawn | None, factor: float | None, shape: tuple[int, ...]
) -> Assignment:
    """What the factory draws, where its scale is right; else the base's law at the scale that is."""
    if factor is None or base is None:
        return _assigned(own, None, "as the factory draws it")
    wanted = base.rms * factor
    if base.rms == 0:
        zero = found is not None and found.rms == 0
        return _assigned(own, None if zero else init.zeros(), "0 as at the base")
    if found is not None and abs(found.rms / wanted - 1) < _tolerance(base, found):
        return _assigned(own, None, "as the factory draws it, which has the scale that the rule gives")
    told = f"{wanted:.3g} where the base has {base.rms:.3g}"
    if base.law is None:
        return _assigned(own, None, f"a pattern that no law draws: multiply it so that its root mean square is {told}")
    return _assigned(own, _at(base.law, wanted, shape, own), f"root mean square {told}")


def _tolerance(base: Drawn, found: Drawn) -> float:
    exact = isinstance(base.law, type(init.constant(0.0))) or base.law is None
    if exact:
        return 1e-6
    return _SLACK + _SIGMAS * sqrt((1 / base.count + 1 / found.count) / 2)


def _planned(scheme: Plan, own: Growth, factor: float | None, shape: tuple[int, ...]) -> Assignment:
    """The law that the base's plan has, at the scale that the rule gives."""
    given = scheme[own.base]
    if given.law is None or factor is None:
        return replace(given, fans=Fans(*own.fans) if own.fans else given.fans)
    wanted = factor * _rms(given.law, given.filled(scheme.shapes[own.base]), given.fans)
    fans = Fans(*own.fans) if own.fans else None
    made = replace(given, role=given.kind, fans=fans, reason=f"{given.reason}; {own.why}", level=None)
    have = _rms(given.law, made.filled(shape), fans)
    same = have == 0 or abs(wanted / have - 1) < 1e-9
    return made if same else replace(made, law=given.law.scaled(wanted / have))


def _at(law: Law, wanted: float, shape: tuple[int, ...], own: Growth) -> Law:
    stored = (*shape[:-2], *reversed(shape[-2:])) if own.transposed else shape
    have = _rms(law, stored, Fans(*own.fans) if own.fans else None)
    return law.scaled(_rounded(wanted / have)) if have else law


def _rms(law: Law, shape: tuple[int, ...], fans: Fans | None) -> float:
    """The root mean square that a law draws: from its numbers where it has them, else of one draw."""
    concrete = law.concrete(shape, fans)
    known = {name: getattr(concrete, name) for name in ("mean", "std", "a", "b", "value") if hasattr(concrete, name)}
    match known:
        case {"value": value}:
            return abs(float(value))
        case {"mean": mean, "std": std}:
            return float(sqrt(mean**2 + std**2))
        case {"a": a, "b": b}:
            return float(sqrt((a * a + a * b + b * b) / 3))
    try:
        sample = init.fill_(torch.empty(shape), law, seed=0, name="scale", fans=fans)
    except CannotFill:
        return 0.0
    return float(sample.double().square().mean().sqrt())


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")
