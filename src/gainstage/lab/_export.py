"""Lessons as Jupyter notebooks and as pages that open from disk, each run once as it stands at first."""

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from gainstage.lab import playground
from gainstage.lab._blocks import Prose, static
from gainstage.lab._errors import LabError
from gainstage.lab._lessons import Lesson, lessons
from gainstage.lab._notebooks import book
from gainstage.lab._pages import home_page, lesson_page
from gainstage.lab.course.notebook import notebook
from gainstage.lab.course.offline import offline
from gainstage.lab.course.running import run_of
from gainstage.train import one_thread


@dataclass(frozen=True)
class Cell:
    """One cell of a lesson that was run.

    Attributes:
        key: marimo's name for it.
        code: its source.
        output: what it shows.
        defines: whether it defines what other cells can use.
        needs: keys of the cells that define what it uses.
    """

    key: str
    code: str
    output: Any
    defines: bool
    needs: frozenset[str]

    @property
    def is_text(self) -> bool:
        """Whether a notebook has it as Markdown, of which nothing is to be run."""
        return isinstance(self.output, Prose) and not self.defines


def export(folder: Path) -> list[Path]:
    """Write every lesson as `.ipynb` and as `.html`, an `index.html` and the playground.

    Args:
        folder: made if it is not there; files of the same names are written over.

    Returns:
        The files, in the order in which they were written.

    Raises:
        LabError: the folder cannot be written to.
    """
    made: list[Path] = []

    def write(name: str, text: str) -> None:
        made.append(folder / name)
        made[-1].write_text(text, encoding="utf-8")

    try:
        folder.mkdir(parents=True, exist_ok=True)
        with one_thread():  # as the server runs them
            for each in lessons():
                write(f"{each.key}.ipynb", notebook_text(each))
                write(f"{each.key}.html", page_text(each))
        write("playground.html", playground.page())
        write("index.html", home_page(lessons(), {}, exported=True))
    except OSError as error:
        raise LabError(f"cannot write to {folder}: {error.strerror}") from None
    return made


def page_text(lesson: Lesson) -> str:
    """The lesson as one HTML page without network; figures of a document answer, those of marimo are pictures."""
    if lesson.is_document:
        return offline(run_of(lesson))
    shown = [
        {"shown": static(cell.output), "code": "" if isinstance(cell.output, Prose) else cell.code}
        for cell in run(lesson)
    ]
    return lesson_page(lesson, shown, lessons())


@cache
def notebook_text(lesson: Lesson) -> str:
    """The lesson as a Jupyter notebook with its outputs; prose is Markdown, every other cell is code."""
    if lesson.is_document:
        with one_thread():
            return notebook(run_of(lesson))
    return book([_notebook_cell(cell) for cell in _definitions_first(run(lesson))], lesson.key[:3])


def _definitions_first(cells: Sequence[Cell]) -> list[Cell]:
    """The cells in the order of the file, save that what a cell of code uses comes before it."""
    placed: dict[str, Cell] = {}

    def place(cell: Cell) -> None:
        if cell.key not in placed:
            for other in cells:
                if other.key in cell.needs and not cell.is_text:
                    place(other)
            placed[cell.key] = cell

    for cell in cells:
        place(cell)
    return list(placed.values())


def _notebook_cell(cell: Cell) -> Any:
    v4: Any = import_module("nbformat.v4")  # untyped
    if cell.is_text:
        return v4.new_markdown_cell(cell.output.source)
    outputs = []
    if cell.output is not None:
        outputs = [v4.new_output("display_data", {"text/html": static(cell.output), "text/plain": "output"})]
    return v4.new_code_cell(cell.code, outputs=outputs)


@cache
def run(lesson: Lesson) -> tuple[Cell, ...]:
    """The cells of a lesson in the order of its file, run once."""
    app: Any = import_module(f"gainstage.lab.lessons.{lesson.key}").app
    outputs, _ = app.run()
    return tuple(_cells(app, list(outputs)))


def _cells(app: Any, outputs: list[Any]) -> Iterator[Cell]:
    cells = list(app._cell_manager.cell_data())
    shown = [None] * (len(cells) - len(outputs)) + outputs  # marimo gives no output for the cell of the imports
    for cell, output in zip(cells, shown, strict=True):
        if cell.code.strip():
            needs = frozenset(app._graph.parents[cell.cell_id])
            yield Cell(cell.cell_id, cell.code.strip("\n"), output, _defines(cell.code), needs)


def _defines(code: str) -> bool:
    """Whether a cell binds a name that another cell can see: one without a leading underscore."""
    names: list[str] = []
    for node in ast.parse(code).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.append(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names += [alias.asname or alias.name for alias in node.names]
        else:
            names += [n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]
    return any(not name.startswith("_") for name in names)
