"""The one gate of the lab's server: it answers this machine's browser, with the token, and nobody else."""

import hmac
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qsl, urlencode

ASGI = Any  # an ASGI application; scope, receive and send are plain dictionaries and functions
TOKEN = "access_token"


class Guard:
    """Pass a request on if it is addressed to this machine and carries the token.

    The token comes once in the address and then in a cookie, so that it stands in no link that is shared. The `Host`
    header must name this machine, which stops a foreign page that rebinds its name to 127.0.0.1, and where the browser
    says which page asks (`Origin`), it must be ours: web sockets know no other protection. The answer forbids the page
    to load anything from elsewhere.

    Args:
        app: what is guarded.
        token: what a request must carry.
        port: of the server.
    """

    def __init__(self, app: ASGI, token: str, port: int) -> None:
        self.app, self.token = app, token
        self.hosts = (f"127.0.0.1:{port}", f"localhost:{port}")
        self.cookie = f"gainstage_lab_{port}"  # cookies know no ports: another lab keeps its own
        self.headers = _headers(self.hosts)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request, or hand it on."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        given = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        host, origin = given.get("host", ""), given.get("origin")
        if host not in self.hosts or (origin is not None and origin != f"http://{host}"):
            await self._refuse(scope, send, "This is a local server: open it under the address that it printed.")
            return
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        asked = [value for name, value in query if name == TOKEN]
        if asked and scope["type"] == "http" and self._is_token(asked[-1]):
            rest = [(name, value) for name, value in query if name != TOKEN]
            await self._welcome(scope, send, scope["path"] + ("?" + urlencode(rest) if rest else ""))
        elif self._is_token(self._of_cookie(given.get("cookie", ""))):
            await self.app(scope, receive, self._with_headers(send))
        else:
            await self._refuse(
                scope, send, "The token is missing or wrong: open the address that gainstage lab printed."
            )

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), self.token.encode())

    def _of_cookie(self, header: str) -> str:
        try:
            found = SimpleCookie(header).get(self.cookie)
        except CookieError:
            return ""
        return found.value if found else ""

    async def _welcome(self, scope: Any, send: Any, to: str) -> None:
        to = "/" + to.lstrip("/\\")  # //host would lead elsewhere
        cookie = f"{self.cookie}={self.token}; Path=/; HttpOnly; SameSite=Lax"
        headers = [(b"location", to.encode("latin-1", "replace")), (b"set-cookie", cookie.encode()), *self.headers]
        await send({"type": "http.response.start", "status": 303, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    async def _refuse(self, scope: Any, send: Any, why: str) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        headers = [(b"content-type", b"text/plain; charset=utf-8"), *self.headers]
        await send({"type": "http.response.start", "status": 403, "headers": headers})
        await send({"type": "http.response.body", "body": why.encode() + b"\n"})

    def _with_headers(self, send: Any) -> Any:
        ours = {name for name, _ in self.headers}

        async def with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                kept = [pair for pair in message.get("headers", []) if pair[0].lower() not in ours]
                message = {**message, "headers": [*kept, *self.headers]}
            await send(message)

        return with_headers


def _headers(hosts: tuple[str, ...]) -> list[tuple[bytes, bytes]]:
    sockets = " ".join(f"ws://{host}" for host in hosts)
    policy = (
        "default-src 'self' data: blob:; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
        f"style-src 'self' 'unsafe-inline'; connect-src 'self' data: blob: {sockets}; "
        "frame-ancestors 'none'; form-action 'self'; base-uri 'self'"
    )
    return [
        (b"content-security-policy", policy.encode()),
        (b"referrer-policy", b"same-origin"),
        (b"x-content-type-options", b"nosniff"),
    ]
