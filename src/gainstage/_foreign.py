"""Text from a file: JSON or TOML as data of a declared shape, or one error that says what is wrong with it.

A file may be damaged, edited by hand or written by someone else. Whatever it holds, a reader gets a value that fits
its declaration, or a `GainstageError`: no other exception, no number that is not finite, no endless work.
"""

import json
import re
import tomllib
from collections import Counter
from math import isfinite
from typing import Any, TypeVar

from msgspec import ValidationError, convert

from gainstage._visible import said, shown, visible
from gainstage.errors import GainstageError

T = TypeVar("T")

MOST = 1_000_000  # characters of a TOML text; a study or a project's settings have some thousands
_PARTS = re.compile(r"""(?<![\w"'-])(?:[\w"'-]+[ \t]*\.[ \t]*){100}""")  # a dotted key costs the square of its parts


def json_of(text: str, what: str, *, error: type[GainstageError] = GainstageError) -> Any:
    """The data that a JSON text holds; its numbers are finite, and no object has a key twice.

    Args:
        text: from the file.
        what: the file is, for the message: `"a plan"`.
        error: what to raise.

    Raises:
        GainstageError: it is not JSON of that kind.

    Example:
        >>> json_of("[NaN]", "a plan")
        Traceback (most recent call last):
        ...
        gainstage.errors.GainstageError: expected a plan, which is JSON: NaN is not a finite number
    """
    try:
        return json.loads(
            text, parse_float=_finite, parse_constant=_finite, parse_int=_whole, object_pairs_hook=_each_once
        )
    except RecursionError:
        why = "it is nested too deeply"
    except (ValueError, TypeError) as wrong:
        why = said(wrong)
    raise error(f"expected {what}, which is JSON: {why}")


def toml_of(text: str, file: str, *, error: type[GainstageError] = GainstageError) -> dict[str, Any]:
    """The table that a TOML text holds.

    Args:
        text: from the file.
        file: its name, for the message.
        error: what to raise.

    Raises:
        GainstageError: it is not TOML, or none that is worth the work.
    """
    try:
        if len(text) > MOST:
            raise ValueError(f"it has {len(text):,} characters, expected at most {MOST:,}")
        if _PARTS.search(text):
            raise ValueError("it has a key of more than a hundred dotted parts")
        return tomllib.loads(text)
    except RecursionError:
        why = "it is nested too deeply"
    except ValueError as wrong:  # tomllib's own, and Python's of a number of more than 4,300 digits
        why = said(wrong)
    raise error(f"{visible(file)} is not TOML: {why}")


def fitted(value: Any, kind: type[T], what: str, *, error: type[GainstageError] = GainstageError) -> T:
    """`value`, which a file held, as a `kind`: a `msgspec.Struct`, or any type with its bounds.

    Args:
        value: as `json_of` and `toml_of` give it.
        kind: what it has to be; true is no number, and "5" is no 5.
        what: it is, for the message.
        error: what to raise.

    Raises:
        GainstageError: it is something else; the message names the field.

    Example:
        >>> fitted({"a": [1, "2"]}, dict[str, list[int]], "the table")
        Traceback (most recent call last):
        ...
        gainstage.errors.GainstageError: the table: Expected `int`, got `str` - at `$[...][1]`
    """
    try:
        return convert(value, kind)
    except (ValidationError, ValueError, RecursionError) as wrong:  # a key that is no Unicode is a ValueError
        raise error(f"{what}: {said(wrong)}") from None


def of_version(data: Any, version: int, what: str, *, error: type[GainstageError] = GainstageError) -> dict[str, Any]:
    """The object that a file of this version holds.

    Raises:
        GainstageError: it is no object, has no version or another one.
    """
    if not isinstance(data, dict) or "version" not in data:
        raise error(f"expected {what}, an object with a version; got {shown(data)}")
    if type(data["version"]) is not int or data["version"] != version:
        raise error(f"expected {what} of version {version}, got version {shown(data['version'])}")
    return data


def _finite(text: str) -> float:
    number = float(text)
    if not isfinite(number):
        raise ValueError(f"{text[:40]} is not a finite number")
    return number


def _whole(text: str) -> int:
    if len(text) > 20 or not -(2**63) <= (number := int(text)) < 2**63:
        raise ValueError(f"{text[:40]} is beyond whole numbers of 64 bits")
    return number


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        twice, _ = Counter(key for key, _ in pairs).most_common(1)[0]
        raise ValueError(f"it has the key {shown(twice)} twice")
    return made
