"""What a learner answered, kept by the server in a small file: no account, nothing leaves the machine.

The *first* answer to each question stays, with how sure it was and whether it was right; what comes later counts as a
try. A file that was written for somebody else to read carries a signature, see `signed`.
"""

import hashlib
import hmac
import json
import os
import threading
from pathlib import Path
from typing import Any

import msgspec

_lock = threading.Lock()
_file: Path | None = None  # set by the server; a lesson that runs without one keeps nothing


class Answer(msgspec.Struct, omit_defaults=True):
    """What was answered to one exercise of one lesson.

    Attributes:
        first: the first answer.
        right: whether that one was right.
        sure: how sure the learner said to be of it.
        tries: answers so far.
        done: whether any of them was right.
        points, of: the most points so far, of how many.
    """

    first: str
    right: bool = False
    sure: str = ""
    tries: int = 0
    done: bool = False
    points: int = 0
    of: int = 0


Answers = dict[str, dict[str, Answer]]  # by key of the lesson, then by exercise


class HandedIn(msgspec.Struct):
    """A learner's answers as a file for the teacher."""

    student: str
    answers: Answers
    signature: str


def default_file() -> Path:
    """`lab.json` in the user's state directory: `$XDG_STATE_HOME/gainstage`, by default `~/.local/state/gainstage`."""
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "gainstage" / "lab.json"


def keep_in(file: Path | None) -> None:
    """Keep progress in this file from now on; None keeps nothing."""
    global _file
    _file = file


def folder() -> Path | None:
    """Where it is kept; None where nothing is."""
    return None if _file is None else _file.parent


def answers() -> Answers:
    """Everything that was answered. A file that cannot be read counts as empty."""
    return read(_file) if _file is not None else {}


def read(file: Path) -> Answers:
    """The answers in a file; none where it cannot be read."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=Answers)
    except (OSError, msgspec.MsgspecError):
        return {}


def answered(
    key: str, exercise: str, answer: str, *, right: bool, sure: str = "", points: int = 0, of: int = 0
) -> None:
    """Remember an answer; a disk that cannot be written to stops no lesson.

    Args:
        key: of the lesson.
        exercise: `"predict"`, `"fix"`, or the name of one of its exercises.
        answer: as text.
        right: whether it is.
        sure: how sure the learner is of it.
        points, of: what it earned.
    """
    with _lock:
        if _file is None:
            return
        known = answers()
        row = known.setdefault(key, {})
        entry = row.setdefault(exercise, Answer(answer, right, sure))
        entry.tries += 1
        entry.done |= right
        entry.points, entry.of = max(entry.points, points), of
        _write(known)


def forget() -> None:
    """Start again from nothing."""
    with _lock:
        if _file is not None:
            _write({})


def signed(student: str, given: Answers, word: str) -> bytes:
    """The answers as a file for a teacher, with an HMAC-SHA256 over name and answers.

    The key is a word that the teacher gave to the class. The signature shows that the file is whole, that it was not
    changed by hand, and that it carries the name that it was made for. It does *not* show who did the work: whoever
    has the word and this package can sign anything. Points rest on code that is run again.

    Args:
        student: name.
        given: answers.
        word: of the class.
    """
    made = HandedIn(student, given, _signature(student, given, word))
    return msgspec.json.format(msgspec.json.encode(made), indent=1) + b"\n"


def genuine(handed: HandedIn, word: str) -> bool:
    """Whether name and answers are those that were signed with this word."""
    return hmac.compare_digest(handed.signature.encode(), _signature(handed.student, handed.answers, word).encode())


def _signature(student: str, given: Answers, word: str) -> str:
    text = json.dumps([student, msgspec.to_builtins(given)], sort_keys=True, ensure_ascii=True)
    return hmac.new(word.encode(), text.encode(), hashlib.sha256).hexdigest()


def _write(progress: dict[str, Any]) -> None:
    assert _file is not None
    try:
        _file.parent.mkdir(parents=True, exist_ok=True)
        fresh = _file.with_suffix(".tmp")
        fresh.write_bytes(msgspec.json.format(msgspec.json.encode(progress), indent=1) + b"\n")
        fresh.replace(_file)
    except OSError:
        return
