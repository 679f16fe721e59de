"""Parts of a page that were computed: kept in memory, and beside the progress for the next start of the server."""

import hashlib
import json
from contextlib import suppress
from functools import cache
from pathlib import Path

import torch

import gainstage
from gainstage.lab import _progress
from gainstage.lab._lessons import Lesson


class Kept:
    """The HTML of a lesson's parts, by index.

    They hold for the text of this lesson, this library and this torch: anything else starts anew.

    Args:
        lesson: which.
    """

    def __init__(self, lesson: Lesson) -> None:
        text = lesson.path.read_bytes()
        self.name = f"{lesson.key}-{hashlib.sha256(text + _versions()).hexdigest()[:16]}.json"
        self.parts: dict[int, str] = {}
        if (file := self._file()) is not None:
            with suppress(OSError, ValueError, AttributeError):
                read = json.loads(file.read_text(encoding="utf-8"))
                self.parts = {int(index): str(html) for index, html in read.items()}

    def put(self, index: int, html: str, *, last: bool) -> None:
        """Keep a part; with the last one, write all of them. A disk that cannot be written to stops no lesson."""
        self.parts[index] = html
        if not last or (file := self._file()) is None:
            return
        with suppress(OSError):
            file.parent.mkdir(parents=True, exist_ok=True)
            for old in file.parent.glob(f"{self.name.rpartition('-')[0]}-*.json"):
                old.unlink()
            fresh = file.with_suffix(".tmp")
            fresh.write_text(json.dumps(self.parts), encoding="utf-8")
            fresh.replace(file)

    def _file(self) -> Path | None:
        folder = _progress.folder()
        return None if folder is None else folder / "pages" / self.name


@cache
def _versions() -> bytes:
    """What the numbers on a page depend on besides its text: the library's files and torch."""
    source = Path(gainstage.__file__).parent
    newest = max(file.stat().st_mtime_ns for file in source.rglob("*.py"))
    return f"{gainstage.__version__} {newest} {torch.__version__}".encode()
