"""The rules of a watch, one file a topic; importing this package fills the catalogue from every file."""

from importlib import import_module
from pkgutil import walk_packages

for _found in walk_packages(__path__, f"{__name__}."):
    import_module(_found.name)
