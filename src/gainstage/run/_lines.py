"""Which line of the user's own files is running."""

import sys
import sysconfig
from functools import cache
from pathlib import Path
from types import CodeType

import torch

Line = tuple[str, int]


@cache
def _is_users(file: str) -> bool:
    if file.startswith("<"):
        return False
    paths = sysconfig.get_paths()
    libraries = [Path(paths[kind]) for kind in ("stdlib", "purelib", "platlib")]
    libraries += [Path(torch.__file__).parents[1], Path(__file__).parents[1]]
    path = Path(file).resolve()
    return not any(path.is_relative_to(library) for library in libraries)


def line_of_user(until: CodeType | None = None) -> Line | None:
    """File and number of the innermost running line that is neither Python's, nor a library's, nor ours.

    Args:
        until: ends the search: a function of ours that has called what is running.
    """
    frame = sys._getframe(1)
    while frame is not None and frame.f_code is not until:
        if _is_users(frame.f_code.co_filename):
            return frame.f_code.co_filename, frame.f_lineno
        frame = frame.f_back  # type: ignore[assignment]
    return None
