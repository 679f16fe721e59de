"""The rules, one package a family, one file a topic; importing this package fills the catalogue from every file.

Another package adds its own by an entry point in the group `gainstage.rules` that names a module which declares them.
"""

from importlib import import_module
from importlib.metadata import entry_points
from pkgutil import walk_packages

for _found in walk_packages(__path__, f"{__name__}."):
    import_module(_found.name)


def load_others() -> None:
    """Import the rules of other packages, once what they import is there."""
    for entry in sorted(entry_points(group="gainstage.rules"), key=lambda entry: entry.name):
        entry.load()
