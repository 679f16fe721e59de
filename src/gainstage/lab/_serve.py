"""The lab's server: marimo's own application a lesson, a home page in front, one gate before both."""

import contextlib
import logging
import secrets
import socket
import webbrowser
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any

from gainstage.lab import _progress, playground
from gainstage.lab._errors import LabError
from gainstage.lab._guard import TOKEN, Guard
from gainstage.lab._lessons import lesson, lessons
from gainstage.lab._pages import home_page, style
from gainstage.lab.course.serving import routes as course_routes

PORT = 8642
ASSETS = "/marimo"  # marimo's scripts, in one place: the browser loads them once for all lessons


def serve(
    port: int = PORT, *, browser: bool = True, say: Callable[[str], None] = print, token: str | None = None
) -> None:
    """Serve the lessons on 127.0.0.1 until Ctrl-C.

    Args:
        port: where; 0 takes a free one.
        browser: also open it.
        say: told the address, once the server listens on it.
        token: what the address carries; a random one by default.

    Raises:
        LabError: the port is taken.
    """
    import torch
    import uvicorn

    token = token or secrets.token_urlsafe(24)
    listening = _listen(port)
    port = listening.getsockname()[1]
    torch.set_num_threads(1)  # layers this small are faster on one core
    _progress.keep_in(_progress.default_file())
    # marimo keeps a list of recent notebooks and complains where it cannot: of no use to a learner
    logging.getLogger("marimo").addFilter(lambda record: record.module != "recents")
    address = f"http://127.0.0.1:{port}/?{TOKEN}={token}"
    config = uvicorn.Config(
        application(token, port), log_level="warning", access_log=False, timeout_graceful_shutdown=1
    )
    server = _Server(config, partial(_started, address, browser, say))
    with contextlib.closing(listening), contextlib.suppress(KeyboardInterrupt):
        server.run(sockets=[listening])


def application(token: str, port: int) -> Any:
    """The whole server as an ASGI application.

    Args:
        token: what a request must carry.
        port: where it will listen: part of the `Host` that it answers to.
    """
    import marimo
    from starlette.applications import Starlette
    from starlette.routing import Mount, Route
    from starlette.staticfiles import StaticFiles

    head = f"<style>{style()}</style>"
    builder = marimo.create_asgi_app(quiet=True, include_code=False, html_head=head, asset_url=ASSETS)
    documents = [each for each in lessons() if each.is_document]
    for each in lessons():
        if each in documents:
            continue
        builder = builder.with_app(path=each.link.rstrip("/"), root=str(each.path))
    marimos = builder.build()
    routes = [
        Route("/", _home),
        Route("/playground", _playground),
        Route("/forget", _forget, methods=["POST"]),
        Route("/notebooks/{name}", _notebook),
        *(route for each in documents for route in course_routes(each)),
        Mount(ASSETS, _kept(StaticFiles(directory=Path(marimo.__file__).parent / "_static"))),
        Mount("/", marimos),
    ]
    return Guard(Starlette(routes=routes, lifespan=_closing(marimos)), token, port)


def _closing(marimos: Any) -> Any:
    """At the end stop the thread of every open lesson: the process would wait for it for ever."""

    @contextlib.asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        yield
        for each in marimos.routes:
            if (state := getattr(each.app, "state", None)) is not None:
                await state.session_manager.shutdown()

    return lifespan


def _kept(files: Any) -> Any:
    """Static files which the browser keeps without asking again: their names change with their content."""

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        async def kept(message: Any) -> None:
            if message["type"] == "http.response.start" and "/assets/" in scope["path"] and message["status"] == 200:
                forever = (b"cache-control", b"private, max-age=31536000, immutable")
                message = {**message, "headers": [*message["headers"], forever]}
            await send(message)

        await files(scope, receive, kept)

    return answer


async def _home(request: Any) -> Any:
    from starlette.responses import HTMLResponse

    return HTMLResponse(home_page(lessons(), _progress.answers()), headers={"cache-control": "no-store"})


async def _playground(request: Any) -> Any:
    from starlette.responses import HTMLResponse

    return HTMLResponse(playground.page())


async def _forget(request: Any) -> Any:
    from starlette.responses import RedirectResponse

    _progress.forget()
    return RedirectResponse("/", status_code=303)


async def _notebook(request: Any) -> Any:
    from starlette.concurrency import run_in_threadpool
    from starlette.responses import PlainTextResponse, Response

    from gainstage.lab._export import notebook_text

    name = request.path_params["name"]
    try:
        found = lesson(name.removesuffix(".ipynb"))
    except LabError as error:
        return PlainTextResponse(f"{error}\n", status_code=404)
    text = await run_in_threadpool(notebook_text, found)
    headers = {"content-disposition": f'attachment; filename="{found.key}.ipynb"'}
    return Response(text, media_type="application/x-ipynb+json", headers=headers)


def _listen(port: int) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind(("127.0.0.1", port))
    except OSError as error:
        made.close()
        raise LabError(
            f"port {port} of 127.0.0.1 cannot be used ({error.strerror}). "
            "Take another one: gainstage lab --port 0 takes any that is free."
        ) from None
    return made


def _started(address: str, browser: bool, say: Callable[[str], None]) -> None:
    say(address)
    if browser:
        webbrowser.open(address)


def _Server(config: Any, started: Callable[[], None]) -> Any:
    import uvicorn

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            started()

    return Server(config)
