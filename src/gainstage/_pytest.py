"""The pytest plugin: the fixture `assert_healthy`. Loading it imports neither torch nor a room of gainstage."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from gainstage.check import Report


@pytest.fixture
def assert_healthy(request: pytest.FixtureRequest) -> "Callable[..., Report]":
    """`gainstage.testing.assert_healthy` with the settings of the `pyproject.toml` at or above the test's directory."""
    from functools import partial

    from gainstage.check import config
    from gainstage.testing import assert_healthy

    return partial(assert_healthy, config=config.find(request.path.parent))
