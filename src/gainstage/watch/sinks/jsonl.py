"""A run as a file of JSON lines: the header, then one `Reading` a report; `gainstage watch RUN.jsonl` reads it."""

from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import msgspec

from gainstage.check import Finding
from gainstage.errors import GainstageError
from gainstage.watch.reading import Header, Reading


class JSONL:
    """Appends a line a report and flushes it: a crash loses at most the report that is on its way.

    Args:
        path: a new file, or that of a run that is resumed.

    Example:
        >>> from tempfile import mkdtemp
        >>> sink = JSONL(f"{mkdtemp()}/run.jsonl")
        >>> sink.begin(Header(1, "Net", 10, 50))
        >>> sink.write(Reading(step=1, losses=[float("nan")]), [])
        >>> sink.close()
        >>> sink.path.read_text().splitlines()[1].startswith('{"step":1,"seconds":0.0,"losses":[null]')
        True
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._file: BinaryIO | None = None

    def begin(self, header: Header) -> None:
        """Open the file; the header is written where it is new."""
        try:
            self._file = self.path.open("ab")
        except OSError as error:
            raise GainstageError(
                f"cannot write {self.path}: {error.strerror}; expected a file name in a directory that exists"
            ) from error
        if self._file.tell() == 0:
            self._line(header)

    def write(self, reading: Reading, new: Sequence[Finding]) -> None:
        """One report."""
        self._line(reading)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _line(self, value: Header | Reading) -> None:
        if self._file is not None:
            self._file.write(msgspec.json.encode(value) + b"\n")
            self._file.flush()
