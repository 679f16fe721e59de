"""One server of the lab for the whole session, with a token that is known and progress in a folder of its own."""

import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("marimo")

TOKEN = "only-for-tests"


@pytest.fixture(scope="session")
def lab_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    import uvicorn

    from gainstage.lab import _progress, application

    _progress.keep_in(tmp_path_factory.mktemp("state") / "lab.json")
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(application(TOKEN, port), log_level="warning"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield port
    server.should_exit = True
    thread.join(5)
    _progress.keep_in(None)


@pytest.fixture(scope="session")
def lab_address(lab_port: int) -> str:
    """What `gainstage lab` would print."""
    return f"http://127.0.0.1:{lab_port}/?access_token={TOKEN}"


@pytest.fixture(scope="session")
def lab_browser(browser: Any) -> Iterator[Any]:
    """One window for all lessons: it loads marimo's scripts once."""
    context = browser.new_context(viewport={"width": 1000, "height": 1000})
    context.set_default_timeout(60_000)
    yield context
    context.close()
