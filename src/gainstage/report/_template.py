"""Pages of HTML from their templates, and what is installed for them."""

import re
from collections.abc import Callable, Mapping
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

from gainstage._visible import visible
from gainstage.errors import GainstageError

NEEDS = ("jinja2", "markdown_it", "matplotlib")


def check_installed() -> None:
    """Say what an HTML report needs and is not installed, before anything is computed for it.

    Raises:
        GainstageError: with the command that installs it.
    """
    if missing := [name for name in NEEDS if find_spec(name) is None]:
        raise GainstageError(f'an HTML report needs {", ".join(missing)}. Write: pip install "gainstage[report]"')


def filled(template: str, filters: Mapping[str, Callable[..., str]], **values: Any) -> str:
    """A template of this package with its values, each of them escaped."""
    check_installed()
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("gainstage.report", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters |= {"visible": lambda text: visible(" ".join(str(text).split())), **filters}
    page = environment.get_template(template).render(version=version("gainstage"), **values)
    return re.sub(r"\n\s*\n+", "\n", page) + "\n"
