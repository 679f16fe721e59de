"""What the tests of an exercise may say: `close`, `same` and `holds`. A failure shows yours beside the right one."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


class Wrong(AssertionError):
    """What a test found, in parts.

    Attributes:
        at: index of the first value that differs; None where it is no matter of values.
        yours, right: the two values, as text.
        mistake: what is known to give exactly the learner's values.
    """

    def __init__(
        self, message: str, at: list[int] | None = None, yours: str = "", right: str = "", mistake: str = ""
    ) -> None:
        super().__init__(message)
        self.at, self.yours, self.right, self.mistake = at, yours, right, mistake


def close(
    yours: Any, right: Any, tol: float = 1e-4, *, of: str = "", mistakes: Mapping[str, Any] | None = None
) -> None:
    """The learner's numbers are the right ones: |yours - right| <= tol (1 + |right|), value by value.

    Args:
        yours, right: tensors or numbers; tuples and lists are compared part by part.
        tol: see above.
        of: what is compared, where a test compares several things.
        mistakes: by name what a well-known mistake gives: where the learner's values are these, it is named.

    Raises:
        Wrong: the first value that differs, beside the right one.
    """
    about = f"{of}: " if of else ""
    if isinstance(right, tuple | list) and not all(isinstance(part, int | float) for part in right):
        if not isinstance(yours, tuple | list) or len(yours) != len(right):
            got = f"{len(yours)} values" if isinstance(yours, tuple | list) else _kind(yours)
            raise Wrong(f"{about}expected {len(right)} values, got {got}")
        for number, (mine, theirs) in enumerate(zip(yours, right, strict=True), 1):
            close(mine, theirs, tol, of=of or f"value {number} of {len(right)}")
        return
    mine, theirs = _tensor(yours, about), _tensor(right, "")
    if mine.shape != theirs.shape:
        raise Wrong(f"{about}expected shape {_shape(theirs)}, got {_shape(mine)}")
    agree = torch.isclose(mine, theirs, rtol=tol, atol=tol, equal_nan=True)
    if bool(agree.all()):
        return
    at = (~agree).nonzero()[0].tolist() if mine.dim() else []
    first, beside = f"{mine[tuple(at)].item():.5g}", f"{theirs[tuple(at)].item():.5g}"
    place = f"at {at}, " if at else ""
    count = f" ({int((~agree).sum())} of {agree.numel()} values differ)" if agree.numel() > 1 else ""
    mistake = next((name for name, value in (mistakes or {}).items() if _agrees(mine, value, tol)), "")
    told = f". This is what comes out when {mistake}" if mistake else ""
    raise Wrong(f"{about}{place}yours {first}, right {beside}{count}{told}", at, first, beside, mistake)


def same(yours: Any, right: Any, of: str = "", *, mistakes: Mapping[str, Any] | None = None) -> None:
    """The learner's value is the right one, exactly: a count, a word, a list of them.

    Raises:
        Wrong: both values, and the mistake that gives the learner's, where one is known.
    """
    if type(yours) is type(right) and yours == right:
        return
    about = f"{of}: " if of else ""
    mistake = next((name for name, value in (mistakes or {}).items() if repr(value) == repr(yours)), "")
    told = f". This is what comes out when {mistake}" if mistake else ""
    raise Wrong(f"{about}yours {yours!r}, right {right!r}{told}", None, repr(yours), repr(right), mistake)


def holds(condition: Any, otherwise: str) -> None:
    """A condition; where it does not hold the sentence `otherwise` is shown.

    Raises:
        Wrong: with that sentence.
    """
    if not bool(condition):
        raise Wrong(otherwise)


def _tensor(value: Any, about: str) -> Tensor:
    if value is None:
        raise Wrong(f"{about}your code gives None: is there a return?")
    try:
        return torch.as_tensor(value).detach().to(torch.float64)
    except (TypeError, ValueError, RuntimeError):
        raise Wrong(f"{about}expected numbers, got {_kind(value)}") from None


def _agrees(mine: Tensor, wrong: Any, tol: float) -> bool:
    other = _tensor(wrong, "")
    return other.shape == mine.shape and torch.allclose(mine, other, rtol=tol, atol=tol)


def _kind(value: Any) -> str:
    return "None: is there a return?" if value is None else f"a {type(value).__name__}"


def _shape(value: Tensor) -> str:
    return str(list(value.shape)) if value.dim() else "of a single number"
