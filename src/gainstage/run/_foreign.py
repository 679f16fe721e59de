"""What the user's code raises, told as such."""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from gainstage.errors import ForwardError, GainstageError
from gainstage.run._hints import hint

P = ParamSpec("P")
R = TypeVar("R")


def foreign(what: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Exceptions of a function that runs the user's code become a `ForwardError`.

    Example:
        >>> @foreign("the model")
        ... def run():
        ...     raise ValueError("no such size")
        >>> run()
        Traceback (most recent call last):
        ...
        gainstage.errors.ForwardError: the model raised ValueError: no such size
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def told(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                return function(*args, **kwargs)
            except GainstageError:
                raise
            except Exception as error:
                raise ForwardError(f"{what} raised {type(error).__name__}: {error}{hint(error)}") from error

        return told

    return decorate
