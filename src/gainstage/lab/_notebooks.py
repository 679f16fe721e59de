"""The text of a Jupyter notebook, the same whenever it is written."""

from collections.abc import Sequence
from importlib import import_module
from typing import Any


def book(cells: Sequence[Any], prefix: str) -> str:
    """A valid notebook of these cells.

    Args:
        cells: of `nbformat.v4`.
        prefix: of their names, `l03`: by number, not by chance.
    """
    nbformat: Any = import_module("nbformat")  # untyped
    for number, cell in enumerate(cells):
        cell["id"] = f"{prefix}-{number}"
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    language = {"name": "python", "pygments_lexer": "ipython3"}
    made = nbformat.v4.new_notebook(cells=list(cells), metadata={"kernelspec": kernel, "language_info": language})
    nbformat.validate(made)
    return str(nbformat.writes(made)) + "\n"
