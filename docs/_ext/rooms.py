"""One page for each room of the package, with every name that it exports, from the docstrings."""

import inspect
import types
from importlib import import_module
from pathlib import Path
from typing import Any

import gainstage as gs
from files import put

ROOMS = ["gainstage", *(f"gainstage.{room}" for room in gs._ROOMS), "gainstage.adapters", "gainstage.errors"]


def names(room: str) -> dict[str, Any]:
    """What a room exports: its names without underscore that are no modules, and no words of `typing`."""
    module = import_module(room)
    listed = getattr(module, "__all__", None) or [name for name in vars(module) if not name.startswith("_")]
    found = {name: getattr(module, name) for name in sorted(listed)}
    return {
        name: thing
        for name, thing in found.items()
        if name not in ("make_callable", "TYPE_CHECKING")
        if _callable_room(thing) or not isinstance(thing, types.ModuleType)
        if _is_data(thing) or str(getattr(thing, "__module__", "")).startswith(("gainstage", "torch"))
    }


def _callable_room(thing: Any) -> bool:
    return isinstance(thing, types.ModuleType) and callable(thing)


def _is_data(thing: Any) -> bool:
    return not (inspect.isclass(thing) or inspect.isroutine(thing) or isinstance(thing, types.ModuleType))


def home(room: str, name: str, thing: Any) -> str:
    """The room on whose page a name is described: a name of `gainstage` itself has its page in its own room."""
    if room != "gainstage":
        return room
    if _callable_room(thing):
        return f"gainstage.{name}"
    return "gainstage." + str(thing.__module__).split(".")[1]


def write(place: Path) -> None:
    for room in ROOMS:
        put(place / f"{room}.md", _page(room))
    toc = "\n".join(ROOMS)
    put(place / "index.md", f"# Every public name\n\n```{{toctree}}\n:titlesonly:\n\n{toc}\n```\n")


def _page(room: str) -> str:
    found = names(room)
    lines = [f"# {room}", "", "```{eval-rst}", f".. automodule:: {room}", "   :no-index:", "```", ""]
    if room == "gainstage":
        lines += ["| name | what it is |", "|---|---|"]
        for name, thing in found.items():
            where = home(room, name, thing)
            lines.append(f"| [`gs.{name}`](#{where}.{name}) | {first_line(thing, name)} |")
        return "\n".join(lines) + "\n"
    for name, thing in found.items():
        lines += [f"## {name}", "", "```{eval-rst}", *_directive(room, name, thing), "```", ""]
    return "\n".join(lines) + "\n"


def _directive(room: str, name: str, thing: Any) -> list[str]:
    if (origin := str(getattr(thing, "__module__", ""))).startswith("torch"):
        kind, where = ("class", "torch.nn") if inspect.isclass(thing) else ("function", origin)
        return [f".. py:{kind}:: {name}", f"   :module: {room}", "", f"   ``{where}.{name}``, as torch has it."]
    if inspect.isclass(thing):
        members = [] if issubclass(thing, BaseException) else ["   :members:", f"   :exclude-members: {_HIDDEN}"]
        return [f".. autoclass:: {room}.{name}", *members]
    if callable(thing) or inspect.isroutine(thing):
        return [f".. autofunction:: {room}.{name}"]
    return [f".. py:data:: {name}", f"   :module: {room}", "", f"   A `{type(thing).__name__}`."]


_HIDDEN = "forward, extra_repr, training, __init__"


def first_line(thing: Any, name: str = "") -> str:
    """The first sentence of a docstring, for a table."""
    if _callable_room(thing):
        thing = getattr(import_module(f"gainstage.{name}"), name, thing)
    text = (inspect.getdoc(thing) or "").strip().split("\n\n")[0].replace("\n", " ")
    return text.replace("|", "\\|")
