"""Writing a page only where it has changed, so that a second build is short."""

from pathlib import Path


def put(file: Path, text: str) -> None:
    """Write a text file, unless it holds that text."""
    if not file.exists() or file.read_text(encoding="utf-8") != text:
        file.write_text(text, encoding="utf-8")
