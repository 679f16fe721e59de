"""The subject behind a framework's trainer; any package can say how one is read, by an entry point."""

from importlib.metadata import entry_points
from typing import Any

from gainstage.errors import GainstageError
from gainstage.run._subject import Subject

GROUP = "gainstage.subjects"


def subject_from(trainer: Any) -> Subject:
    """What a trainer trains, read by the entry point named after the package of its class.

    Raises:
        GainstageError: no entry point of the group `gainstage.subjects` knows its class.
    """
    if isinstance(trainer, Subject):
        return trainer
    packages = [kind.__module__.partition(".")[0] for kind in type(trainer).__mro__]
    for found in entry_points(group=GROUP):
        if found.name in packages:
            read = found.load()
            subject: Subject = read(trainer)
            return subject
    raise GainstageError(
        f"expected an nn.Module, a gs.Subject or a trainer, got {type(trainer).__name__}; pass the model itself, not "
        "its class"
    )
