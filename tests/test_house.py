"""The house itself: rooms meet at their doors, and no modules go in circles."""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import grimp

import gainstage

SOURCE = Path(gainstage.__file__).parent


def imported(path: Path) -> Iterator[str]:
    """The modules of gainstage that a file imports, also inside its functions."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "gainstage":
            yield from (f"{node.module}.{name.name}" for name in node.names)
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names if name.name.split(".")[0] == "gainstage")


def private_imports() -> Iterator[tuple[str, str]]:
    for path in sorted(SOURCE.rglob("*.py")):
        place = path.relative_to(SOURCE)
        for name in imported(path):
            room, inside = name.split(".")[1:2], name.split(".")[2:]
            if room != [place.parts[0]] and any(part.startswith("_") for part in inside):
                yield place.as_posix(), name.rpartition(".")[0]


def test_no_room_imports_what_is_private_to_another() -> None:
    assert dict(private_imports()) == {}


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Imports for types only count as well: data below, verbs above, a face on top."""
    graph = grimp.build_graph("gainstage", exclude_type_checking_imports=False, cache_dir=None)
    below = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    TopologicalSorter(below).prepare()  # a CycleError names the circle
