"""Arguments in a TARGET: `train.py:Net(32, act="relu")`."""

import ast
from dataclasses import dataclass, field
from typing import Any

from gainstage._visible import shown
from gainstage.cli._errors import CannotRun


@dataclass(frozen=True)
class Call:
    """A TARGET taken apart.

    Attributes:
        target: the part in front of the brackets, `train.py:Net`.
        args, kwargs: what the factory is called with.
        given: whether there were brackets.
    """

    target: str
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    given: bool = False


def call_of(target: str) -> Call:
    """Read the brackets at the end of a TARGET; without them, the factory is called without arguments.

    Arguments are literals, as `ast.literal_eval` reads them: numbers, text, True, None, lists, tuples and dicts of
    them. No code of the command line runs.

    Raises:
        CannotRun: the brackets hold something else.

    Example:
        >>> call_of('train.py:Net(32, act="relu")')
        Call(target='train.py:Net', args=(32,), kwargs={'act': 'relu'}, given=True)
        >>> call_of("train.py:build").args
        ()
    """
    colon = target.find(":", target.find(".py") + 1 if ".py" in target else 0)
    opening = target.find("(", colon)
    if colon < 0 or opening < 0 or not target.endswith(")"):
        return Call(target)
    try:
        call = ast.parse(f"f{target[opening:]}", mode="eval").body
        assert isinstance(call, ast.Call)
        args = tuple(ast.literal_eval(node) for node in call.args)
        kwargs = {str(k.arg): ast.literal_eval(k.value) for k in call.keywords if k.arg is not None}
        if len(kwargs) != len(call.keywords):
            raise ValueError("**")
    except (SyntaxError, ValueError, AssertionError, MemoryError, RecursionError, TypeError):
        raise CannotRun(
            f"TARGET {shown(target)}: expected literals in the brackets (numbers, text, True, None, lists, dicts), for "
            f"instance {target[:opening]}(32, depth=4). For anything else write a function without arguments."
        ) from None
    return Call(target[:opening], args, kwargs, True)
