"""Where the values of a model come from: drawn by the plan, loaded, drawn by somebody else, or no values at all."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import sqrt
from typing import Any

import torch
from torch import Tensor, nn

from gainstage._columns import columns
from gainstage._visible import visible
from gainstage.init import digest
from gainstage.plan._assignments import Assignments
from gainstage.plan._fingerprint import drawn_box
from gainstage.plan._parts import Part, fingerprint_of, parts_of, whole_part
from gainstage.run import has_data

KINDS = {
    "as drawn": "bit for bit what the plan draws from this seed",
    "loaded": "bit for bit what the file holds; without a file: values that no law draws",
    "re-drawn": "values that look drawn, and are others",
    "duplicated": "the same values as another parameter or another rank",
    "constant": "one number in place of a draw",
    "garbage": "memory that nobody wrote to: numbers beyond all measure, NaN or infinite",
    "missing": "the plan names it, and it is not there",
    "left": "the plan leaves it as it is",
}
HARMLESS = ("as drawn", "loaded", "left")
_SIGMAS = 6.0  # of a sampling error; a false alarm in 1e9
_TINY, _HUGE, _STRANGE = 1e-20, 1e12, 1e-3  # no weight has so many values so small or large


@dataclass(frozen=True)
class Origin:
    """Where the values of one parameter come from.

    Attributes:
        name: of the parameter.
        kind: a key of `KINDS`.
        message: a sentence with numbers.
    """

    name: str
    kind: str
    message: str

    def __str__(self) -> str:
        return visible(f"{self.name}: {self.kind}, {self.message}")


class Origins(tuple[Origin, ...]):
    """The origin of every parameter; `wrong` are those that a training run should not start with."""

    @property
    def wrong(self) -> tuple[Origin, ...]:
        """What is neither as drawn nor loaded."""
        return tuple(origin for origin in self if origin.kind not in HARMLESS)

    def table(self, width: int | None = 80) -> str:
        """One row a parameter, and how many there are of each kind."""
        rows = [(o.name, o.kind, o.message) for o in self]
        counts = {kind: sum(o.kind == kind for o in self) for kind in KINDS}
        said = ", ".join(f"{count} {kind}" for kind, count in counts.items() if count)
        return f"{columns(('parameter', 'values', 'why'), rows, width=width)}\n{said or 'no parameters'}"


def origins(plan: Assignments, held: Any, *, seed: int, loaded: Any = None) -> Origins:
    """Where the values of every parameter come from; see `Plan.origins`."""
    parts = parts_of(held, plan.shapes)
    source = fingerprint_of(parts_of(loaded, plan.shapes)) if loaded is not None else None
    found = fingerprint_of(parts)
    first: dict[tuple[Any, int], str] = {}
    result = []
    for name in dict.fromkeys((*plan, *parts)):
        if name not in parts:
            result.append(Origin(name, "missing", "the plan names it, it is not there"))
            continue
        of_file = None if source is None else source.digests.get(name) == found[name]
        twin = first.setdefault((found.shapes[name], found[name]), name)
        kind, why = _origin(plan, name, parts[name], seed, of_file)
        if kind in ("re-drawn", "loaded") and twin != name and not of_file:
            kind, why = "duplicated", f"the same values as {twin}"
        result.append(Origin(name, kind, why))
    return Origins((*result, *(_buffers(held) if isinstance(held, nn.Module) else ())))


def _buffers(model: nn.Module) -> Iterator[Origin]:
    """Buffers that hold nothing: garbage, or zeros in place of a table that no state dict brings back."""
    kept = model.state_dict(keep_vars=True).keys()
    for name, buffer in model.named_buffers():
        if not buffer.is_floating_point() or not buffer.numel() or not has_data(buffer):
            continue
        if wrong := _garbage(whole_part(buffer)):
            yield Origin(name, "garbage", f"a buffer: {wrong}")
        elif name not in kept and not bool(buffer.any()):
            yield Origin(name, "constant", "all values are 0: a buffer that only a constructor fills, erased")


def _origin(plan: Assignments, name: str, parts: list[Part], seed: int, of_file: bool | None) -> tuple[str, str]:
    if wrong := next((text for part in parts if (text := _garbage(part))), ""):
        return "garbage", wrong
    if of_file:
        return "loaded", "bit for bit what the file holds"
    assignment, shape = plan.assignments.get(plan.ties.get(name, name)), plan.shapes.get(name)
    if assignment is None or assignment.law is None or shape is None:
        return "left", "not in the plan" if assignment is None else "the plan leaves it as it is"
    law, size, want, have, off = assignment.law, 0, 0.0, 0.0, []
    if parts[0].whole != shape:
        return "re-drawn", f"shape {parts[0].whole}, planned {shape}"
    for part in parts:
        values = part.load().cpu()
        drawn = drawn_box(name, assignment, law, shape, seed, values.dtype, part.shape, part.offset)
        if not torch.equal(drawn, values):
            off.append(part)
        size, want = size + values.numel(), want + float(drawn.double().square().sum())
        have += float(values.double().square().sum())
    if not off:
        return "as drawn", f"bit for bit what seed {seed} draws"
    first = parts[0].load().flatten()[:1]
    if all(bool((part.load() == first).all()) for part in parts):
        return "constant", f"all values are {float(first):.3g}; planned {law}"
    if pair := _same_parts(parts):
        return "duplicated", f"{pair[0]} and {pair[1]} hold the same values"
    some = (
        f" in {off[0].where}" + (f" and {len(off) - 1} more" if len(off) > 1 else "") if len(off) < len(parts) else ""
    )
    fits = want > 0 and abs(have - want) <= (_SIGMAS * sqrt(4 / size) + 0.01) * want
    ratio = sqrt(have / want) if want > 0 else float("inf")
    scale = f"at the planned scale, {law}" if fits else f"at {ratio:.3g} times the planned scale, {law}"
    if fits or all(_looks_drawn(part.load()) for part in off):
        return "re-drawn", f"other numbers than the plan's{some}, drawn {scale}"
    if of_file is not None:
        return "re-drawn", f"neither the plan's numbers nor the file's{some}, {scale}"
    return "loaded", f"no draw of independent numbers{some}, {scale}"


def _garbage(part: Part) -> str:
    values = part.load()
    if not values.is_floating_point() or not values.numel():
        return ""
    at = f" in {part.where}" if part.where else ""
    wide = values.float().abs()
    if bad := int((~torch.isfinite(wide)).sum()):
        return f"{bad} of {values.numel()} values are NaN or infinite{at}"
    strange = int(((wide > _HUGE) | ((wide > 0) & (wide < _TINY))).sum())
    return (
        f"{strange} of {values.numel()} values are beyond all measure{at}"
        if strange > _STRANGE * values.numel()
        else ""
    )


def _same_parts(parts: list[Part]) -> tuple[str, str] | None:
    """The places of two shards that hold the same values, one after the other in the whole."""
    if len(parts) < 2 or not any(any(part.offset) for part in parts):
        return None
    seen: dict[tuple[Any, int], str] = {}
    for part in parts:
        twin = seen.setdefault((part.shape, digest(part.load())), part.where)
        if twin != part.where:
            return twin, part.where
    return None


def _looks_drawn(values: Tensor) -> bool:
    r"""Whether rows and columns differ in their mean square by no more than independent draws do.

    Of n draws with kurtosis k a mean square has the variance $(k - 1) / n$ relative to its own square; the sum of
    squared deviations over m rows in units of it is $m \pm \sqrt{2 m}$. Training makes rows and columns differ.
    """
    if values.dim() < 2 or values.numel() < 256:
        return False
    table = values.double().flatten(1)
    level = table.square().mean()
    kurtosis = float(table.pow(4).mean() / level**2)
    if not 1.5 < kurtosis < 3.5:  # a uniform law has 1.8, a truncated normal 2.4 to 3, a normal 3
        return False
    for rows in (table, table.T):
        count, length = rows.shape
        deviation = float(((rows.square().mean(1) / level - 1) ** 2).sum()) * length / max(kurtosis - 1, 0.1)
        if abs(deviation - count) > _SIGMAS * sqrt(2 * count) + 0.2 * count:
            return False
    return True
