"""What a paper's scheme says of a parameter."""

from collections.abc import Callable
from typing import NamedTuple

from gainstage.init import Law
from gainstage.plan._uses import Use


class Said(NamedTuple):
    """A law and what speaks for it."""

    law: Law
    reason: str


# What one use of a parameter, or a part of one that packs queries, keys and values, starts with; None for the scheme's
# law. The part is `query`, `key`, `value` or `attention output`, and empty for any other weight.
Rule = Callable[[Use, str], Said | None]
