"""What a plan says of one parameter."""

from dataclasses import dataclass
from math import prod, sqrt
from typing import Annotated, Any

from msgspec import Meta, Struct

from gainstage.init import Fans, Law
from gainstage.init.stored import law_from_json
from gainstage.plan.roles import Role

Count = Annotated[int, Meta(ge=0)] | Annotated[float, Meta(ge=0)]


class Row(Struct, forbid_unknown_fields=True):
    """A parameter as a plan's file has it."""

    shape: tuple[Annotated[int, Meta(ge=0)], ...]
    role: str
    law: dict[str, Any] | None
    reason: str
    fans: tuple[Count, Count] | None
    transposed: bool
    level: Annotated[float, Meta(ge=0)] | None


@dataclass(frozen=True)
class Assignment:
    """Role, law and reason of one parameter.

    Attributes:
        role: what the parameter does in the network, `"hidden weight into relu"`.
        law: how it is filled; None leaves it as it is.
        reason: one sentence.
        fans: of a weight, as it is used; None for everything else.
        transposed: the weight is stored as (in, out), so that structured laws fill its transpose.
        level: mean square that a weight's output is planned to have; None where none is planned.
    """

    role: str
    law: Law | None
    reason: str
    fans: Fans | None = None
    transposed: bool = False
    level: float | None = None

    @property
    def kind(self) -> str:
        """What the role says without its place, `"norm scale"`; the whole text where it was read from a file."""
        return self.role.kind if isinstance(self.role, Role) else self.role

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "role": self.role,
            "law": None if self.law is None else self.law.to_json(),
            "reason": self.reason,
            "fans": None if self.fans is None else list(self.fans),
            "transposed": self.transposed,
            "level": self.level,
        }

    @classmethod
    def of_row(cls, row: Row) -> "Assignment":
        """The assignment that a plan's file describes.

        Raises:
            GainstageError: its law is none, or cannot fill a parameter of this shape.
        """
        law = None if row.law is None else law_from_json(row.law)
        fans = None if row.fans is None else Fans(*row.fans)
        made = cls(row.role, law, row.reason, fans, row.transposed, row.level)
        if made.law is not None:
            made.law.check(made.filled(row.shape), fans)
            made.law.concrete(made.filled(row.shape), fans)
        return made

    def filled(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape that the law fills, of a parameter of `shape`: with the last two axes exchanged if `transposed`."""
        return (*shape[:-2], *reversed(shape[-2:])) if self.transposed else shape

    def std(self, shape: tuple[int, ...]) -> float:
        """The standard deviation of what the law draws; of a structured one, its gain over the root of the fan in."""
        if self.law is None:
            return 0.0
        concrete = self.law.concrete(self.filled(shape), self.fans)
        for number, factor in (("std", 1.0), ("b", 3**-0.5)):
            value = getattr(concrete, number, None)
            if isinstance(value, float) and value > 0:
                return float(value * factor)
        gain = getattr(self.law, "gain", 1.0)
        fan_in = self.fans.fan_in if self.fans else prod(shape[1:])
        return (gain if isinstance(gain, float) else 1.0) / sqrt(max(fan_in, 1.0))
