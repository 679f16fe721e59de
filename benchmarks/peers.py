"""Other libraries beside ours: what each delivers, one row a tool, and no row missing in silence."""

import importlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any, TypeVar

import torch

T = TypeVar("T")


@dataclass(frozen=True)
class Row:
    """What was asked of a tool and what it delivered."""

    topic: str
    asked: str
    tool: str
    delivered: str


def peer(name: str) -> Any:
    """The module, or None. torchvision is taken without its compiled kernels if they were built for another torch."""
    register = torch.library.register_fake

    def no_kernel(op: Any, *args: Any, **kwargs: Any) -> Any:
        known = not str(op).startswith("torchvision::")
        return register(op, *args, **kwargs) if known else lambda function: function

    torch.library.register_fake = no_kernel  # type: ignore[assignment]
    try:
        return importlib.import_module(name)
    except (ImportError, RuntimeError):
        return None
    finally:
        torch.library.register_fake = register


def compare(topic: str, asked: str, tools: dict[str, T | None], measure: Callable[[T], str]) -> Iterator[Row]:
    """`measure(tool)` for each tool, from the same seed; None is not installed, and a tool that refuses is quoted."""
    for name, tool in tools.items():
        torch.manual_seed(0)
        if tool is None:
            yield Row(topic, asked, name, "not installed")
            continue
        try:
            yield Row(topic, asked, name, measure(tool))
        except Exception as error:
            said = str(error).split("\n")[0].split(". ")[0]
            yield Row(topic, asked, name, f"{type(error).__name__}: {said[:60]}{'...' * (len(said) > 60)}")


def table(rows: Sequence[Row]) -> str:
    """The rows as Markdown, aligned."""
    head = ("topic", "asked", "tool", "delivered")
    cells = [head, *(astuple(row) for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(4)]
    lines = ["| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |" for row in cells]
    return "\n".join([lines[0], "|" + "|".join("-" * (w + 2) for w in widths) + "|", *lines[1:]])


def versions(*packages: str) -> str:
    """Which versions were compared."""
    found = []
    for package in packages:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            found.append(f"{package} not installed")
    return ", ".join(found)
