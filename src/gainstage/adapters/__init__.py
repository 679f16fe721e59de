"""Bridges from other frameworks to `gs.Subject`, one file a framework; import the file that you need."""

from collections.abc import Callable
from typing import Any


def finders() -> tuple[Callable[..., Any], ...]:
    """What `run.capture` asks after a backward pass, for loops whose optimizer is not torch's."""
    from gainstage.adapters.keras import at_backward

    return (at_backward,)
