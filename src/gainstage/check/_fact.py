"""A fact: what several rules read of one subject, computed when the first of them asks."""

from collections.abc import Callable
from functools import wraps
from typing import Any, Protocol, TypeVar


class NotMeasured(Exception):
    """A rule or fact raises it where the model gives no evidence to judge by; the text goes to the coverage section."""


class Subject(Protocol):
    """What facts are about; the check's is `Evidence`."""

    known: dict[Callable[..., Any], Any]


S = TypeVar("S", bound=Subject)
T = TypeVar("T")


def fact(function: Callable[[S], T]) -> Callable[[S], T]:
    """Decorator: `function(subject)` is computed once a subject; who asks again gets the same, or `NotMeasured`."""

    @wraps(function)
    def ask(subject: S) -> T:
        if function not in subject.known:
            try:
                subject.known[function] = function(subject)
            except NotMeasured as reason:
                subject.known[function] = reason
        answer: T = subject.known[function]
        if isinstance(answer, NotMeasured):
            raise answer
        return answer

    return ask
