"""A plan as plain PyTorch code, to be pasted into a repository that does not use gainstage."""

from collections.abc import Callable
from math import isfinite
from typing import Any

from gainstage._visible import visible
from gainstage.errors import GainstageError
from gainstage.init import Fans, Law
from gainstage.plan._assignments import Assignments

_HEADER = '''\
"""Initialization of a model; written by gainstage, needs PyTorch only."""

import torch
from torch import nn

{names}
{helpers}
@torch.no_grad()
def initialize(model: nn.Module) -> None:
    """Fill the parameters of the model in place; random numbers come from torch's global generator."""
    p = dict(model.named_parameters(remove_duplicate=False))
'''

_ORTHOGONAL = '''
def orthogonal_(weight, gain=1.0, keep_level=False, parts=1):
    """Orthonormal rows or columns; `keep_level` scales a tall matrix to entry variance gain^2 / fan_in."""
    for part in weight.chunk(parts):
        matrix = torch.empty(part.shape[0], part[0].numel())
        nn.init.orthogonal_(matrix, gain)
        if keep_level:
            matrix *= max(1.0, matrix.shape[0] / matrix.shape[1]) ** 0.5
        part.copy_(matrix.view_as(part))

'''

_CENTRE = '''
def centre(weight):
    """The middle tap of a convolution kernel; a matrix itself."""
    for size in reversed(weight.shape[2:]):
        weight = weight[..., (size - 1) // 2]
    return weight

'''

_MIRRORED = '''
def mirrored_(weight, gain=1.0, rows=True, columns=True):
    """[W; -W], [W, -W] or [[W, -W], [-W, W]] with W orthogonal, in the middle tap of a kernel."""
    weight.zero_()
    half = torch.empty(weight.shape[0] // (1 + rows), weight.shape[1] // (1 + columns))
    orthogonal_(half, gain, keep_level=True)
    half = torch.cat([half, -half], 1) if columns else half
    centre(weight).copy_(torch.cat([half, -half], 0) if rows else half)

'''


def to_python(plan: Assignments) -> str:
    """Plain PyTorch code with a function `initialize(model)` that fills a model by the plan's laws.

    The laws are the same; the random numbers are torch's, so the weights are others. Names, roles and reasons are
    foreign text: they stand in the code as literals and in comments of one line, and are never part of it.

    Raises:
        GainstageError: a law that has no plain form; the message names the parameter.
    """
    lines: list[str] = []
    fills: list[str] = []
    for name, assignment in plan.items():
        if assignment.law is None:
            lines.append(_comment(f"{name}: {assignment.role}, {assignment.reason}"))
            continue
        target = f"p[{name!r}]" + (".transpose(-1, -2)" if assignment.transposed else "")
        written = _lines(assignment.law, target, assignment.filled(plan.shapes[name]), assignment.fans, name)
        lines += [_comment(assignment.role), *written]
        fills += written
    body = "\n".join(f"    {line}" for line in lines)
    helpers = [
        text
        for text, names in (
            (_ORTHOGONAL, ("orthogonal_(", "mirrored_(")),
            (_CENTRE, ("centre(", "mirrored_(")),
            (_MIRRORED, ("mirrored_(",)),
        )
        if any(line.startswith(names) for line in fills)
    ]
    names = "\n".join([_comment(f"model {plan.model}, scheme {plan.scheme}"), *[""] * bool(helpers)])
    return _HEADER.format(names=names, helpers="".join(helpers)) + body + "\n"


def _comment(text: str) -> str:
    """Foreign text behind a `#`; a line break in it is shown as `\\n`, so that it ends with its line."""
    return f"# {visible(text)}"


def _literal(value: Any) -> str:
    """A number of a law as it is written in code, and nothing but a number."""
    if isinstance(value, int):
        return repr(value if isinstance(value, bool) else int(value))
    if isinstance(value, float) and value == value:
        return repr(float(value)) if isfinite(value) else f"float('{float(value)}')"
    raise GainstageError(f"a law's numbers are whole or real; got {value!r}")


def _lines(law: Law, target: str, shape: tuple[int, ...], fans: Fans | None, name: str) -> list[str]:
    concrete = law.concrete(shape, fans)
    write = _WRITERS.get(concrete.kind)
    if write is None:
        raise GainstageError(
            f"{law} of {name!r} has no plain PyTorch form; replace it with plan.replace({{{name!r}: ...}}) "
            "or fill the model with plan.apply"
        )
    return write(concrete, target, shape, name)


def _simple(call: str, *fields: str) -> Callable[[Any, str, tuple[int, ...], str], list[str]]:
    def write(law: Any, target: str, shape: tuple[int, ...], name: str) -> list[str]:
        values = ", ".join(f"{field}={_literal(getattr(law, field))}" for field in fields)
        return [f"{call}({target}, {values})"]

    return write


def _constant(law: Any, target: str, shape: tuple[int, ...], name: str) -> list[str]:
    return [f"nn.init.constant_({target}, {_literal(law.value)})"]


def _orthogonal(law: Any, target: str, shape: tuple[int, ...], name: str) -> list[str]:
    keep = law.scale == "fan_in"
    return [f"orthogonal_({target}, {_literal(law.gain)}, keep_level={keep}, parts={_literal(law.heads)})"]


def _delta(law: Any, target: str, shape: tuple[int, ...], name: str) -> list[str]:
    keep = law.scale == "fan_in"
    return [
        f"{target}.zero_()",
        f"orthogonal_(centre({target}), {_literal(law.gain)}, keep_level={keep}, parts={_literal(law.groups)})",
    ]


def _identity(law: Any, target: str, shape: tuple[int, ...], name: str) -> list[str]:
    call = "eye_" if len(shape) == 2 else "dirac_"
    even = any(size % 2 == 0 for size in shape[2:]) and not law.later
    moved = [f"{target}.copy_({target}.flip({list(range(2, len(shape)))}))  # to the tap that padding centres"]
    return [
        f"nn.init.{call}({target})",
        *moved * even,
        *([f"{target}.mul_({_literal(law.gain)})"] if law.gain != 1 else []),
    ]


def _blocks(law: Any, target: str, shape: tuple[int, ...], name: str) -> list[str]:
    part = law.block_shape(shape)
    lines = []
    for i, inner in enumerate(law.laws):
        lines += _lines(inner, f"{target}.chunk({len(law.laws)}, {_literal(law.dim)})[{i}]", part, None, name)
    return lines


def _scaled(law: Any, target: str, shape: tuple[int, ...], name: str) -> list[str]:
    return [*_lines(law.law, target, shape, None, name), f"{target}.mul_({_literal(law.factor)})"]


_WRITERS: dict[str, Callable[[Any, str, tuple[int, ...], str], list[str]]] = {
    "constant": _constant,
    "normal": _simple("nn.init.normal_", "mean", "std"),
    "uniform": _simple("nn.init.uniform_", "a", "b"),
    "trunc_normal": _simple("nn.init.trunc_normal_", "mean", "std", "a", "b"),
    "orthogonal": _orthogonal,
    "delta_orthogonal": _delta,
    "mirrored": lambda law, target, shape, name: [
        f"mirrored_({target}, {_literal(law.gain)}, rows={_literal(law.rows)}, columns={_literal(law.columns)})"
    ],
    "identity": _identity,
    "blocks": _blocks,
    "padded": lambda law, target, shape, name: [
        *_lines(law.inner, target, shape, None, name),
        f"nn.init.zeros_({target}[{_literal(law.row)}])",
    ],
    "scaled": _scaled,
}
