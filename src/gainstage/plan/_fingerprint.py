"""The fingerprint of a model: a digest of every parameter, which shards add up without being gathered."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from gainstage.errors import GainstageError
from gainstage.init import Law, digest, fill_part_, local_box
from gainstage.plan._assignment import Assignment
from gainstage.plan._assignments import Assignments
from gainstage.run import entry, has_data, named_parameters

_AT_ONCE = 2**24  # elements of a large parameter that are drawn at a time
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Fingerprint(Mapping[str, int]):
    """A 64-bit digest of every parameter; see `init.digest`. Those of shards are added: `a + b`.

    Attributes:
        digests: by bare name.
        shapes: of the whole parameters.
        counts: how many elements each digest is of: fewer where shards are missing, more where they overlap.

    Example:
        >>> import torch, gainstage as gs
        >>> model = torch.nn.Linear(4, 2)
        >>> gs.fingerprint(model) == gs.fingerprint(torch.optim.swa_utils.AveragedModel(model))
        True
        >>> sorted(gs.fingerprint(model))
        ['bias', 'weight']
    """

    digests: dict[str, int]
    shapes: dict[str, Shape]
    counts: dict[str, int] = field(default_factory=dict)

    def __getitem__(self, name: str) -> int:
        return self.digests[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.digests)

    def __len__(self) -> int:
        return len(self.digests)

    def __add__(self, other: "Fingerprint") -> "Fingerprint":
        """Of what two ranks hold together.

        Raises:
            GainstageError: they know a parameter of one name and two shapes.
        """
        for name in self.shapes.keys() & other.shapes.keys():
            if self.shapes[name] != other.shapes[name]:
                raise GainstageError(
                    f"expected shards of one model; {name!r} has shape {self.shapes[name]} in one of them and "
                    f"{other.shapes[name]} in another"
                )
        names = dict.fromkeys((*self, *other))
        return Fingerprint(
            {n: (self.digests.get(n, 0) + other.digests.get(n, 0)) % 2**64 for n in names},
            self.shapes | other.shapes,
            {n: self.counts.get(n, 0) + other.counts.get(n, 0) for n in names},
        )

    def to_json(self) -> str:
        """The fingerprint as JSON text, digests in hexadecimal."""
        rows = {n: {"digest": f"{d:016x}", "shape": self.shapes[n], "count": self.counts[n]} for n, d in self.items()}
        return json.dumps(rows, indent=2)


@entry
def fingerprint(model: nn.Module) -> Fingerprint:
    """A digest of every parameter of `model`, under its bare name: the same on every device and in every wrapper.

    Of a `DTensor` this rank's own shard is read, and of a replicated one only on the first rank, so that the sum over
    all ranks is the fingerprint of the whole model. Nothing is gathered.

    Args:
        model: any module with values.

    Raises:
        GainstageError: a parameter has no values, or is sparse or quantized.

    Example:
        >>> import torch, gainstage as gs
        >>> model = torch.nn.Linear(64, 64)
        >>> plan = gs.initialize(model, torch.randn(8, 64), seed=1)
        >>> gs.fingerprint(model) == plan.fingerprint(seed=1)
        True
    """
    digests, shapes, counts = {}, {}, {}
    for name, parameter in named_parameters(model):
        if not has_data(parameter):
            raise GainstageError(f"a fingerprint is of values; {name!r} has none (meta device), fill the model first")
        local, offset, mine = _shard(parameter.detach(), name)
        shapes[name] = tuple(parameter.shape)
        counts[name] = local.numel() if mine else 0
        digests[name] = digest(local, shape=shapes[name], offset=offset) if mine else 0
    return Fingerprint(digests, shapes, counts)


def _shard(tensor: Any, name: str) -> tuple[Tensor, Shape, bool]:
    """What this rank holds of a parameter, where it begins, and whether this rank is to count it."""
    if not hasattr(tensor, "placements"):
        return tensor, (0,) * tensor.dim(), True
    local, offset = local_box(tensor, name)
    coordinate = tensor.device_mesh.get_coordinate() or []
    copies = [at for at, placement in zip(coordinate, tensor.placements, strict=True) if placement.is_replicate()]
    return local, offset, not any(copies)


def drawn(
    plan: Assignments, seed: int, dtype: "torch.dtype | Mapping[str, torch.dtype]" = torch.float32
) -> Fingerprint:
    """The fingerprint of the model that `plan.apply(model, seed=seed)` fills, without the model.

    Large parameters are drawn and read in parts, so that none has to fit into memory; those of laws that are made whole
    (orthogonal ones) are.

    Args:
        plan: its parameters that a law fills.
        seed: of the plan.
        dtype: of the parameters, as a whole or by name.
    """
    digests = {}
    for name, assignment in plan.items():
        if assignment.law is not None:
            kind, shape, law = (
                dtype if isinstance(dtype, torch.dtype) else dtype[name],
                plan.shapes[name],
                assignment.law,
            )
            total = 0
            for size, at in _boxes(assignment, law, shape):
                box = drawn_box(name, assignment, law, shape, seed, kind, size, at)
                total += digest(box, shape=shape, offset=at)
            digests[name] = total % 2**64
    shapes = {name: plan.shapes[name] for name in digests}
    return Fingerprint(digests, shapes, {name: prod(shape) for name, shape in shapes.items()})


def drawn_box(
    name: str,
    assignment: Assignment,
    law: Law,
    shape: Shape,
    seed: int,
    dtype: torch.dtype,
    size: Shape,
    at: Shape,
) -> Tensor:
    """The values of a box of a parameter, as a plan draws them: of `size`, from the index `at` on."""
    box = torch.empty(size, dtype=dtype, device="cpu")
    turned = assignment.transposed and not _single(assignment, law, shape)
    filled, whole = box, shape
    if turned:
        filled, whole, at = box.transpose(-1, -2), assignment.filled(shape), assignment.filled(at)
    fill_part_(filled, law, seed=seed, name=name, shape=whole, offset=at, fans=assignment.fans)
    return box


def _boxes(assignment: Assignment, law: Law, shape: Shape) -> Iterator[tuple[Shape, Shape]]:
    """Sizes and places of the boxes in which a parameter is drawn."""
    if not shape or not _single(assignment, law, shape):
        yield shape, (0,) * len(shape)
        return
    rows = max(_AT_ONCE // max(prod(shape[1:]), 1), 1)
    for first in range(0, shape[0], rows):
        yield (min(rows, shape[0] - first), *shape[1:]), (first, *(0 for _ in shape[1:]))


def _single(assignment: Assignment, law: Law, shape: Shape) -> bool:
    """Whether every element is drawn on its own."""
    return law.concrete(shape, assignment.fans).recipe() is not None
