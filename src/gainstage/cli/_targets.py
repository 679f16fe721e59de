"""Which TARGETs a verb takes: those that are named, or all that the project lists in `[tool.gainstage.targets]`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gainstage.cli._errors import CannotRun


@dataclass(frozen=True)
class Chosen:
    """One TARGET of a run.

    Attributes:
        name: as it was named: the key of the project's table, or the target itself.
        target: `package.module:factory` or `path/to/file.py:factory`.
        inputs: its `--input` options.
    """

    name: str
    target: str
    inputs: tuple[str, ...]


def chosen(words: Sequence[str], inputs: tuple[str, ...]) -> list[Chosen]:
    """The targets that these words name, in their order; without words all of the project's table.

    Args:
        words: keys of the table, or targets.
        inputs: of the command line; they take the place of those in the table.

    Raises:
        CannotRun: no word is given, and the project lists none.
        GainstageError: the settings cannot be read.
    """
    from gainstage.check import config

    listed = config.find(Path.cwd()).targets
    if not words and not listed:
        raise CannotRun(
            "name a TARGET, such as net.py:build, or list those of your project in pyproject.toml:\n"
            '  [tool.gainstage.targets]\n  net = "net.py:build"'
        )
    found = []
    for word in words or listed:
        known = listed.get(word)
        target, own = (known.target, known.inputs) if known else (word, ())
        found.append(Chosen(word, target, inputs or own))
    return found
