"""torch's optimizers on a matrix with a row a member, where every number may differ from row to row.

Each function gets the parameters `p` and gradients `g`, `[K, n]`, the number `t` of the step from 1, the options `o`
(numbers, or columns `[K, 1]`) and the state `s` that it keeps, and writes the new parameters to `out`; `g` is used up.
The formulas are those of `torch.optim`. Nothing as large as the matrix is allocated: fresh memory costs more than the
arithmetic.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import SGD, Adam, AdamW, Optimizer, RMSprop

from gainstage.train._errors import TrainError
from gainstage.train.many._errors import CannotStack

Number = Any  # a number, or a column [K, 1]
Options = dict[str, Number]
State = dict[str, Tensor]
Update = Callable[[Tensor, Tensor, int, Options, State, Tensor], object]


def sgd(p: Tensor, g: Tensor, t: int, o: Options, s: State, out: Tensor) -> None:
    """Momentum, dampening, Nesterov's form and weight decay as in `torch.optim.SGD`."""
    _add(g, p, o["weight_decay"], g)
    if _zero(o["momentum"]):
        _add(p, g, -o["lr"], out)
        return
    if t == 1:
        s["momentum"] = g.clone()
    else:
        _add(s["momentum"].mul_(o["momentum"]), g, 1 - o["dampening"], s["momentum"])
    if o["nesterov"]:
        _add(g, s["momentum"], o["momentum"], g)
    _add(p, g if o["nesterov"] else s["momentum"], -o["lr"], out)


def adam(p: Tensor, g: Tensor, t: int, o: Options, s: State, out: Tensor) -> None:
    """`torch.optim.Adam`: weight decay goes into the gradient."""
    _add(g, p, o["weight_decay"], g)
    _add(p, _adam_direction(g, t, o, s), -o["lr"], out)


def adamw(p: Tensor, g: Tensor, t: int, o: Options, s: State, out: Tensor) -> None:
    """`torch.optim.AdamW`: weight decay acts on the parameters."""
    torch.mul(p, 1 - o["lr"] * o["weight_decay"], out=out)
    _add(out, _adam_direction(g, t, o, s), -o["lr"], out)


def rmsprop(p: Tensor, g: Tensor, t: int, o: Options, s: State, out: Tensor) -> None:
    """`torch.optim.RMSprop`, not centred."""
    _add(g, p, o["weight_decay"], g)
    if t == 1:
        s["square"] = torch.zeros_like(p)
    torch.mul(g, g, out=out)
    _add(s["square"].mul_(o["alpha"]), out, 1 - o["alpha"], s["square"])
    g.div_(torch.sqrt(s["square"], out=out).add_(o["eps"]))
    if not _zero(o["momentum"]):
        s["momentum"] = g.clone() if t == 1 else s["momentum"].mul_(o["momentum"]).add_(g)
    _add(p, g if _zero(o["momentum"]) else s["momentum"], -o["lr"], out)


_UPDATES: dict[type[Optimizer], Update] = {SGD: sgd, Adam: adam, AdamW: adamw, RMSprop: rmsprop}
_KNOWN: dict[type[Optimizer], set[str]] = {
    SGD: {"lr", "momentum", "dampening", "weight_decay", "nesterov"},
    Adam: {"lr", "betas", "eps", "weight_decay"},
    AdamW: {"lr", "betas", "eps", "weight_decay"},
    RMSprop: {"lr", "alpha", "eps", "weight_decay", "momentum"},
}
_HOW = {"foreach", "fused", "capturable", "differentiable", "decoupled_weight_decay"}  # how, not what, is computed


class Optimizers:
    """The optimizers of K members: one kind, each member with its own options."""

    def __init__(
        self, kind: type[Optimizer], each: Sequence[Mapping[str, Any]], scales: Sequence[Mapping[str, Tensor]] = ()
    ) -> None:
        self.kind, self.scales = kind, scales
        self.each = [complete(kind, options) for options in each]
        self.state: list[State] = []
        self.columns: list[Options] = []
        self.time = 0
        _check_stackable(kind, self.each)

    def step(
        self, parameters: Sequence[Tensor], gradients: Sequence[Tensor], factor: float, out: Sequence[Tensor]
    ) -> None:
        """Write the new parameters to `out`, matrix by matrix; `factor` scales every learning rate."""
        if self.time == 0:
            self.state = [{} for _ in parameters]
            scales = self.scales or [{}] * len(parameters)
            self.columns = [self._options(matrix, own) for matrix, own in zip(parameters, scales, strict=True)]
        self.time += 1
        for p, g, o, s, to in zip(parameters, gradients, self.columns, self.state, out, strict=True):
            _UPDATES[self.kind](p, g, self.time, o | {"lr": o["lr"] * factor}, s, to)

    def keep(self, index: Tensor) -> None:
        """Keep these members only."""
        for state in self.state:
            state.update({name: matrix[index] for name, matrix in state.items()})
        for options in self.columns:
            options.update({n: v[index] for n, v in options.items() if isinstance(v, Tensor) and len(v) > 1})

    def _options(self, like: Tensor, scales: Mapping[str, Tensor]) -> Options:
        """Every option as a number where the members agree, else as a column; times its factor for every element."""
        found: Options = {}
        for name, first in self.each[0].items():
            values = [options[name] for options in self.each]
            same = all(value == first for value in values)
            wide = torch.float32 if like.dtype in (torch.float16, torch.bfloat16) else like.dtype
            found[name] = first if same else torch.tensor(values, dtype=wide, device=like.device)[:, None]
            if name in scales and not _zero(found[name]):
                found[name] = found[name] * scales[name].to(like.device, wide)
        return found


def complete(kind: type[Optimizer], options: Mapping[str, Any]) -> Options:
    """The options with torch's defaults, checked by torch's own constructor."""
    try:
        complete = dict(kind([torch.zeros(1)], **options).defaults)
    except (TypeError, ValueError) as error:
        raise TrainError(f"{kind.__name__} does not take {dict(options)}: {error}") from error
    if "betas" in complete:
        complete["beta1"], complete["beta2"] = complete.pop("betas")
    if not complete.get("momentum", 0) and "dampening" in complete:
        complete["dampening"] = 0  # torch dampens only what has momentum
    return complete


def _check_stackable(kind: type[Optimizer], each: Sequence[Options]) -> None:
    if kind not in _UPDATES:
        names = ", ".join(known.__name__ for known in _UPDATES)
        raise CannotStack(f"{kind.__name__} is not run for many members at once; {names} are. Use together=False.")
    usual = complete(kind, {"lr": 1.0})
    numbers = _KNOWN[kind] | {"beta1", "beta2"}
    for options in each:
        for name, value in options.items():
            if name not in numbers | _HOW and value != usual[name]:
                raise CannotStack(f"{kind.__name__}({name}={value!r}) is not run for many at once: use together=False.")
        if options.get("nesterov") != each[0].get("nesterov"):
            raise CannotStack("nesterov is the same for all members that are trained as one: use together=False.")


def _adam_direction(g: Tensor, t: int, o: Options, s: State) -> Tensor:
    """Bias-corrected mean over root mean square, in the memory of `g`."""
    if t == 1:
        s["mean"], s["square"] = torch.zeros_like(g), torch.zeros_like(g)
    first, second = o["beta1"], o["beta2"]
    _add(s["mean"].mul_(first), g, 1 - first, s["mean"])
    _add(s["square"].mul_(second), g.mul_(g), 1 - second, s["square"])
    root = torch.sqrt(s["square"], out=g).div_((1 - second**t) ** 0.5).add_(o["eps"])
    return torch.div(s["mean"], root, out=g).div_(1 - first**t)


def _add(p: Tensor, g: Tensor, factor: Number, out: Tensor) -> None:
    """`out = p + factor * g`."""
    if isinstance(factor, Tensor):
        torch.addcmul(p, g, factor.to(torch.promote_types(p.dtype, factor.dtype)), out=out)
    elif factor != 0 or out is not p:
        torch.add(p, g, alpha=factor, out=out)


def _zero(value: Number) -> bool:
    return not isinstance(value, Tensor) and value == 0
