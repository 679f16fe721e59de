r"""How far a few steps move a network: at every site that reads a parameter, and what of it is whose doing.

A site computes $y = f(x; \theta)$. From the start to step $t$ it changes by $\Delta y$, which has two parts,

$$ \Delta y = \underbrace{f(x_t; \theta_t) - f(x_t; \theta_0)}_{\text{own: what its parameter has learned}}
            + \underbrace{f(x_t; \theta_0) - f(x_0; \theta_0)}_{\text{passed: what arrived, through the start}} $$

measured by calling the very function again with the values that the parameters had. Of each the part counts that lines
up with the gradient $\delta$ at $y$, in units of one unit's value,

$$ |\Delta|_\delta = \frac{|\langle \delta, \Delta \rangle|}{\lVert \delta \rVert \sqrt{\text{units}}} $$

since sums over the width of what lines up are what the rules of transfer are about. What does not line up cancels, but
only as $1/\sqrt{\text{width}}$: in a small network its plain size hides the exponent.

Own says whether the rate is right. Passed is given as a factor on $\Delta x$, of root mean squares: it says whether
the start is right.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from gainstage.errors import GainstageError
from gainstage.run import named_parameters, tensors_in
from gainstage.signal import Site, observe, ops
from gainstage.transfer._calls import Call, Calls, key_of

WEIGHTS = ("linear", "conv", "conv_transpose", "embedding", "matmul", "bilinear")
# By quantity (of a parameter `own` and the factor on what is `passed`; of a site the `change`, `logits`, `output`), by
# parameter (of logits: site), and by the kind of operation that reads it.
Found = dict[tuple[str, str, str], float]


@dataclass
class Seen:
    """One site of one pass: what it gave, the call, and the gradient that reached it."""

    site: Site
    values: Tensor
    call: Call | None
    gradient: list[Tensor] = field(default_factory=list)


class Changes:
    """Measures a network against its start.

    Args:
        model: as it is before the first step.
        example: the batch on which it is looked at.
        seed: of dropout and other chance in the pass, the same each time.
    """

    def __init__(self, model: nn.Module, example: Any, *, seed: int = 0) -> None:
        self.model, self.example, self.seed = model, example, seed
        self.names: dict[int, str] = {}  # by the address of the memory
        self.values: dict[int, Tensor] = {}
        for name, parameter in named_parameters(model):
            self.names[key_of(parameter)] = name
            self.values[key_of(parameter)] = parameter.detach().clone()
        self.before = {(s.site.name, kind): s for kind, s in self._pass()}

    def now(self) -> Found:
        """How far everything is from the start."""
        found: Found = {}
        for kind, seen in self._pass():
            before = self.before.get((seen.site.name, kind))
            if before is None or before.values.shape != seen.values.shape or not seen.gradient:
                continue
            if kind == "logits":
                moved = _finite(seen.values, before.values)
                heads = moved.shape[1:-2].numel()
                _most(
                    found,
                    "logits",
                    seen.site.name,
                    "softmax",
                    aligned(moved, seen.gradient[0], heads * moved.shape[-1]),
                )
            elif seen.call:
                self._parts(found, seen, before)
        return found

    def relative(self) -> float:
        """The median over the sites with weights of how far they have moved, as a share of what they were."""
        moved = []
        for kind, seen in self._pass():
            before = self.before.get((seen.site.name, kind))
            if kind == "site" and ops.of(seen.site).kind in WEIGHTS and before is not None and rms(before.values) > 0:
                moved.append(rms(seen.values - before.values) / rms(before.values))
        return sorted(moved)[len(moved) // 2] if moved else 0.0

    def _parts(self, found: Found, seen: Seen, before: Seen) -> None:
        call, site, gradient = seen.call, seen.site, seen.gradient[0]
        assert call is not None
        kind, units = ops.of(site).kind, seen.values.shape[unit_axis(site)] if seen.values.dim() else 1
        names = {self.names[k] for t in call.tensors() if (k := key_of(t)) in self.names}
        for name in names:
            old = call.again(lambda t, name=name: self._old(t, name))  # type: ignore[misc]
            if old is not None and old.shape == seen.values.shape:
                count = units if kind in WEIGHTS else self._numbers(name)
                _most(found, "own", name, kind, aligned(seen.values - old, gradient, count))
        if kind not in WEIGHTS or not names:
            return
        main = max(names, key=self._dims)
        _most(found, "change", main, kind, aligned(seen.values - before.values, gradient, units))
        arrived, arriving = self._data(call), self._data(before.call) if before.call else None
        if arrived is None or arriving is None or arrived.shape != arriving.shape:
            return
        moved, through = rms(arrived - arriving), call.again(lambda t: self._old(t, ""))
        if moved > 0 and through is not None:
            _most(found, "passed", main, kind, rms(through - before.values) / moved)

    def _dims(self, name: str) -> int:
        return next(self.values[key].dim() for key, own in self.names.items() if own == name)

    def _numbers(self, name: str) -> int:
        return next(self.values[key].numel() for key, own in self.names.items() if own == name)

    def _old(self, tensor: Tensor, name: str) -> Tensor:
        """The same view of the values that a parameter had; other tensors as they are."""
        key = key_of(tensor)
        if key not in self.names or (name and self.names[key] != name):
            return tensor
        return self.values[key].as_strided(tensor.shape, tensor.stride(), tensor.storage_offset())

    def _data(self, call: Call) -> Tensor | None:
        """What a call reads that is no parameter."""
        found = (t for t in call.tensors() if t.is_floating_point() and key_of(t) not in self.names)
        return next(found, None)

    def _pass(self) -> Iterator[tuple[str, Seen]]:
        """One pass forward and backward: every site and what goes into every softmax of attention."""
        rows: list[tuple[str, Seen]] = []
        calls = Calls()

        def visit(site: Site, x: Tensor) -> None:
            call = calls.last if calls.last is not None and calls.last.made(x) else None
            reads = call is not None and any(key_of(t) in self.names for t in call.tensors())
            kept = call.kept(self.names) if call is not None and reads else None
            rows.append(("site", _watched(Seen(site, x.detach().clone(), kept), x)))
            logits = calls.logits if ops.of(site).kind == "attention" else None
            if ops.of(site).kind == "softmax" and call is not None:
                logits = next(call.tensors(), None)
            if logits is not None and logits.dim() >= 3 and logits.is_floating_point():
                rows.append(("logits", _watched(Seen(site, logits.detach().clone(), None), logits)))

        with calls:
            observe(self.model, self.example, loss=lambda output, _: one_position(output), visit=visit, seed=self.seed)
        yield from rows


def one_position(output: Any) -> Tensor:
    r"""The sum $\sum_c r_c y_c / \sqrt{C}$ over the units of the last position of the first sample, with fixed $r$.

    The loss of a coordinate check: its gradient at the output has one size at every width, and one position's step is
    not diluted by others'. Where a sample has one position only, the few samples that there are all count.
    """
    outputs = [y for y in tensors_in(output) if y.requires_grad and y.is_floating_point() and y.dim()]
    if not outputs:
        raise GainstageError("no output of the model needs a gradient, so no step can be taken: unfreeze a parameter")
    y = outputs[0]  # what follows it may be a cache of keys and values
    units = 1 if y.dim() > 3 else y.dim() - 1
    first = slice(None) if y.dim() == 2 else 0
    place = tuple(slice(None) if axis == units else (first if axis == 0 else -1) for axis in range(y.dim()))
    chosen = y[place].reshape(-1)
    directions = torch.randn(len(chosen), generator=torch.Generator().manual_seed(0)).to(chosen)
    total: Tensor = (chosen * directions).sum() / float(len(chosen)) ** 0.5
    return total


def aligned(change: Tensor, gradient: Tensor, count: int) -> float:
    """The part of a change that lines up with the gradient, as a root mean square over the units; see above."""
    norm = float(torch.linalg.vector_norm(gradient.double()))
    if norm == 0 or change.shape != gradient.shape:
        return 0.0
    together = abs(float((change.double() * gradient.double()).sum()))
    return float(together / norm / max(count, 1) ** 0.5)


def unit_axis(site: Site) -> int:
    """Where the units of a weight's site stand: second in images, last elsewhere."""
    return 1 if ops.of(site).kind in ("conv", "conv_transpose") and len(site.shape) > 2 else -1


def rms(x: Tensor) -> float:
    """Root mean square; 0 of nothing."""
    return float(float(torch.linalg.vector_norm(x.float())) / max(x.numel(), 1) ** 0.5)


def _watched(seen: Seen, x: Tensor) -> Seen:
    if x.requires_grad and not x.is_leaf:
        x.register_hook(lambda gradient: seen.gradient.append(gradient.detach().clone()))  # type: ignore[no-untyped-call]
    return seen


def _most(found: Found, quantity: str, name: str, kind: str, value: float) -> None:
    key = quantity, name, kind
    found[key] = max(found.get(key, 0.0), value)


def _finite(now: Tensor, before: Tensor) -> Tensor:
    """The difference, and 0 where a mask stands."""
    seen = now.isfinite() & before.isfinite() & (before.abs() < 1e30)
    return torch.where(seen, now - before, now.new_zeros(()))
