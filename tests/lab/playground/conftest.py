"""The page in a real browser, once for all tests of its engine."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gainstage.lab import playground

if TYPE_CHECKING:
    from playwright.sync_api import Browser

Engine = Callable[..., Any]


@pytest.fixture(scope="session")
def playground_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return playground.write(tmp_path_factory.mktemp("playground") / "playground.html")


@pytest.fixture(scope="session")
def engine(browser: "Browser", playground_file: Path) -> Iterator[Engine]:
    """`engine("(modules, given) => ...", given)`: what a function of the shipped page's own modules returns."""
    page = browser.new_page()
    page.goto(playground_file.as_uri())
    yield lambda code, given=None: page.evaluate(f"(given) => ({code})(gainstage, given)", given)
    page.close()
