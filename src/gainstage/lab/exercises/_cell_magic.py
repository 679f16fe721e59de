"""`%%exercise NAME` in a Jupyter notebook: run the cell, then its tests."""

from typing import Any

from gainstage.lab.exercises._grade import grade


def load_ipython_extension(ipython: Any) -> None:
    """Called by `%load_ext gainstage.lab.exercises`: from then on `%%exercise NAME` heads a cell."""

    def exercise(line: str, cell: str) -> None:
        print(grade(line.strip(), cell))
        ipython.run_cell(cell)

    ipython.register_magic_function(exercise, "cell", "exercise")
