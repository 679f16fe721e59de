"""What a rule of roles says of a parameter."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gainstage.init import Law

if TYPE_CHECKING:
    from gainstage.plan._context import Context
    from gainstage.plan._uses import Use


class Role(str):
    """What a parameter does in the network: a text for people, and the kind that the library decides by.

    Args:
        text: what is shown, `"norm scale, last of residual branch 3 of 8"`.
        kind: the same for all of its kind, `"norm scale"`; default: the text.
    """

    kind: str

    def __new__(cls, text: str, kind: str = "") -> "Role":
        role = super().__new__(cls, text)
        role.kind = kind or text
        return role


@dataclass(frozen=True)
class Target:
    """How a parameter is to start.

    Attributes:
        role: what it does.
        level: the mean square that a weight should write; its variance follows from the level that it reads.
        reason: one sentence; empty for an ordinary weight, whose variance is the reason.
        law: of a parameter that is no weight, or of a weight whose law does not follow from a level but gives it.
        mean: of a bias, the mean of its law: what reads it is planned with it.
    """

    role: Role
    level: float = 1.0
    reason: str = ""
    law: Law | None = None
    mean: float = 0.0


# What a parameter's use is in the graph of a context; None where the rule has nothing to say of it.
Rule = Callable[["Context", "Use"], Target | None]
