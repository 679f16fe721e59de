"""What a plan says of one parameter."""

from dataclasses import dataclass
from typing import Any

from gainstage.init import Fans, Law, law_from_json


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
    def from_json(cls, data: dict[str, Any]) -> "Assignment":
        """The assignment that `to_json` described."""
        law = None if data["law"] is None else law_from_json(data["law"])
        fans = None if data["fans"] is None else Fans(*data["fans"])
        return cls(data["role"], law, data["reason"], fans, data["transposed"], data["level"])
