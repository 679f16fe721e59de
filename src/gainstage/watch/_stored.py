"""What a watch writes to go on later: its windows and findings, as JSON."""

import os
from pathlib import Path
from typing import Any

import msgspec

from gainstage._foreign import fitted, json_of, of_version
from gainstage.check import Finding, Fix
from gainstage.errors import GainstageError
from gainstage.watch.reading import VERSION, Reading

_WHAT = "a watch as Watch.save writes it"


class Stored(msgspec.Struct):
    """The state of a watch."""

    version: int
    step: int
    skipped: int
    readings: list[Reading]
    found: Any


class _Line(msgspec.Struct):
    step: int
    code: str
    name: str
    severity: str
    where: str
    measured: str
    expected: str
    message: str
    fix: str


def save(path: Path, stored: Stored) -> None:
    """Write it, whole or not at all."""
    lines = [
        _Line(step, f.code, f.name, f.severity, f.where, f.measured, f.expected, f.message, f.fix.text)
        for step, f in stored.found.values()
    ]
    data = Stored(VERSION, stored.step, stored.skipped, stored.readings, lines)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(msgspec.json.encode(data))
        os.replace(temporary, path)
    except OSError as error:
        raise GainstageError(
            f"cannot write {path}: {error.strerror}; expected a file in a directory that exists"
        ) from error


def load(path: Path) -> Stored:
    """Read it.

    Raises:
        GainstageError: it is something else.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise GainstageError(f"cannot read {path}: {error}") from error
    stored = fitted(of_version(json_of(text, _WHAT), VERSION, _WHAT), Stored, _WHAT)
    lines = fitted(stored.found, list[_Line], _WHAT)
    stored.found = {
        (line.code, line.where): (
            line.step,
            Finding(
                line.code,
                line.name,
                _severity(line.severity),
                line.where,
                line.measured,
                line.expected,
                line.message,
                Fix(line.fix),
            ),
        )
        for line in lines
    }
    return stored


def _severity(word: str) -> Any:
    if word not in ("error", "warning", "note"):
        raise GainstageError(f"expected {_WHAT}: {word!r} is no severity")
    return word
