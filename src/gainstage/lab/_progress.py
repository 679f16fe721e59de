"""What a learner has done, kept by the server in a small file: no account, nothing leaves the machine."""

import json
import os
import threading
from pathlib import Path

_lock = threading.Lock()
_file: Path | None = None  # set by the server; a lesson that runs without one keeps nothing

EXERCISES = ("predict", "fix")


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


def done() -> dict[str, set[str]]:
    """The exercises that were done, by key of the lesson. A file that cannot be read counts as empty."""
    if _file is None:
        return {}
    try:
        read = json.loads(_file.read_text(encoding="utf-8"))
        return {str(key): {str(e) for e in names if e in EXERCISES} for key, names in read.items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}


def mark(key: str, exercise: str) -> None:
    """Remember that an exercise of a lesson was done; a disk that cannot be written to stops no lesson."""
    with _lock:
        if _file is None or exercise in (known := done()).get(key, ()):
            return
        known.setdefault(key, set()).add(exercise)
        _write({name: sorted(names) for name, names in sorted(known.items())})


def forget() -> None:
    """Start again from nothing."""
    with _lock:
        if _file is not None:
            _write({})


def _write(progress: dict[str, list[str]]) -> None:
    assert _file is not None
    try:
        _file.parent.mkdir(parents=True, exist_ok=True)
        fresh = _file.with_suffix(".tmp")
        fresh.write_text(json.dumps(progress, indent=1) + "\n", encoding="utf-8")
        fresh.replace(_file)
    except OSError:
        return
