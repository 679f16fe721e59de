"""A law from its stored form. The file may be anyone's, so nothing in it is believed before it is looked at."""

from dataclasses import fields
from difflib import get_close_matches
from math import isinf
from typing import Any

from ._errors import UnknownLaw
from ._law import _KINDS, _NAMED, Law, law
from ._numbers import number, shown, whole

_NESTED = 32  # laws within one another
_LARGEST = 2**53


def law_from_json(data: dict[str, Any]) -> Law:
    """The law that `to_json` described.

    Args:
        data: a dictionary with the key `"law"`. It may come from an untrusted file: whatever it holds, the result is a
            law or one of the errors below.

    Returns:
        A law equal to the one that was stored.

    Raises:
        UnknownLaw: the dictionary names no law, or has arguments that this law does not take, or of another type.
        CannotFill: a value that makes no sense, as when the law is made in Python.

    Example:
        >>> from gainstage import init
        >>> law_from_json({"law": "normal", "mean": 0.0, "std": 0.02}) == init.normal(std=0.02)
        True
    """
    return _read(data, 1)


def _read(data: Any, depth: int) -> Law:
    if not isinstance(data, dict) or not all(isinstance(key, str) for key in data):
        raise UnknownLaw(f'expected a stored law, as in {{"law": "normal", "std": 0.02}}; got {shown(data)}.')
    if depth > _NESTED:
        raise UnknownLaw(f"expected at most {_NESTED} laws within one another; this one holds more.")
    values = dict(data)
    key = values.pop("law", None)
    if not isinstance(key, str) or not (key in _KINDS or key in _NAMED):
        near = get_close_matches(key[:_NESTED], _KINDS, n=1) if isinstance(key, str) else []
        raise UnknownLaw(f"no stored law is called {shown(key)}." + (f" Did you mean {near[0]!r}?" if near else ""))
    if key not in _KINDS:
        return law(key, **values)
    known = {field.name: field.type for field in fields(_KINDS[key])}
    if not values.keys() <= known.keys():
        raise UnknownLaw(
            f"the stored law {key!r} has the arguments {', '.join(known) or 'none'}; got {shown(sorted(values))}."
        )
    arguments = {n: _value(f"{n} of the stored law {key!r}", known[n], v, depth) for n, v in values.items()}
    try:
        return _KINDS[key](**arguments)
    except TypeError as error:  # one that has no default is missing
        raise UnknownLaw(f"the stored law {key!r} lacks an argument: {error}.") from None


def _value(what: str, wanted: Any, value: Any, depth: int) -> Any:
    """`value` as the type that the law declares for it."""
    if wanted is Law:
        return _read(value, depth + 1)
    if wanted is float:
        if value in ("inf", "-inf") if isinstance(value, str) else isinstance(value, float) and isinf(value):
            return float(value)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return number(what, value)
    elif wanted is int:
        if isinstance(value, int) and not isinstance(value, bool):
            return whole(what, value, low=-_LARGEST)
    elif wanted in (bool, str):
        if isinstance(value, wanted):
            return value
    elif isinstance(value, list | tuple):
        return tuple(_read(v, depth + 1) for v in value)
    name = {float: "a number", int: "an integer", bool: "true or false", str: "a text"}.get(wanted, "a list of laws")
    raise UnknownLaw(f"{what} is {name}; got {shown(value)}.")
