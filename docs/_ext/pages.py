"""The pages that are made and not written: every room, every rule, the laws, the cheat sheet, what machines read."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cheatsheet
import commands
import laws
import machines
import rooms
import rules

HERE = Path(__file__).resolve().parents[1]
PAGES: dict[str, Callable[[Path], None]] = {
    "reference/rooms": rooms.write,
    "reference/rules": rules.write,
    "reference/laws": laws.write,
    "reference/commands": commands.write,
    "cheatsheet": cheatsheet.write,
    "_extra": machines.write,
}


def write(app: Any) -> None:
    """Write them all into the sources, where git ignores them; a page that has not changed is not touched."""
    for place, make in PAGES.items():
        (HERE / place).mkdir(parents=True, exist_ok=True)
        make(HERE / place)


def setup(app: Any) -> dict[str, bool]:
    app.connect("builder-inited", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
