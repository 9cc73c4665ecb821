"""The routes: health, metrics, REST, page; and who may use them.

`GET` changes nothing. The Unix socket is guarded by its file mode. On TCP, the Host header must
name the address that was configured (a page on another site cannot reach a loopback daemon through
a name of its own), and where a token is set it is asked for everywhere but at the health checks.
"""

import hmac
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, get_args
from urllib.parse import parse_qs

import orjson
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import FileResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from cdc.admin.exposition import render
from cdc.admin.history import History
from cdc.errors import CdcError
from cdc.status import Action, Daemon, Search, has_alert

HERE: Final = Path(__file__).parent
COOKIE: Final = "tidewire_token"
OPEN_PATHS: Final = ("/healthz", "/readyz", "/login", "/assets/")
SEARCH_ROWS_MAX: Final = 50
FORM_BYTES_MAX: Final = 4096
HEADERS: Final = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class Access:
    """Refuses requests with a foreign Host header or without the token.

    `hosts` empty: any host (a non-loopback address, which always has a token).
    """

    def __init__(self, app: ASGIApp, hosts: frozenset[str], token: str | None) -> None:
        self._app = app
        self._hosts = hosts
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a refused request, hand on every other."""
        # ASGI: the server's port is None on a Unix socket.
        if scope["type"] != "http" or (scope.get("server") or ("", None))[1] is None:
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(HTTPConnection(scope))
        await (refusal or self._app)(scope, receive, send)

    def _refusal(self, request: HTTPConnection) -> Response | None:
        host = request.headers.get("host", "").rsplit(":", 1)[0].strip("[]").lower()
        if self._hosts and host not in self._hosts:
            return PlainTextResponse(
                "This host name is not the one that admin.listen names.\n", status_code=421
            )
        path = request.url.path
        if self._token is None or path.startswith(OPEN_PATHS) or self._knows(request):
            return None
        if path == "/":
            return RedirectResponse("/login", status_code=303)
        return PlainTextResponse(
            "A token is needed: send the header `Authorization: Bearer TOKEN`.\n",
            status_code=401,
            headers={"WWW-Authenticate": "Bearer"},
        )

    def _knows(self, request: HTTPConnection) -> bool:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            given = request.cookies.get(COOKIE, "")
        return hmac.compare_digest(given.encode(), (self._token or "").encode())


class Routes:
    """The handlers. `token` is what the login form compares with, None where none is needed."""

    def __init__(
        self, daemon: Daemon, searches: Mapping[str, Search], history: History, token: str | None
    ) -> None:
        self._daemon = daemon
        self._searches = searches
        self._history = history
        self._token = token

    def all(self) -> list[Route | Mount]:
        """Every route."""
        return [
            Route("/", self.page),
            Route("/login", self.login, methods=["GET", "POST"]),
            Route("/healthz", self.healthz),
            Route("/readyz", self.readyz),
            Route("/metrics", self.metrics),
            Route("/api/status", self.status),
            Route("/api/history", self.history),
            Route("/api/topics", self.topics),
            Route("/api/search", self.search),
            Route("/api/stop", self.stop, methods=["POST"]),
            Route("/api/workers/{name}/{action}", self.act, methods=["POST"]),
            Mount("/assets", StaticFiles(directory=HERE / "assets")),
        ]

    async def page(self, request: Request) -> Response:
        """The status page."""
        del request
        return FileResponse(HERE / "templates" / "status.html", headers=HEADERS)

    async def login(self, request: Request) -> Response:
        """The form that turns the token into a cookie."""
        if request.method == "GET":
            return FileResponse(HERE / "templates" / "login.html", headers=HEADERS)
        given = await _form_field(request, "token")
        if self._token is None or not hmac.compare_digest(given.encode(), self._token.encode()):
            return RedirectResponse("/login?wrong=1", status_code=303)
        answer = RedirectResponse("/", status_code=303)
        answer.set_cookie(COOKIE, given, httponly=True, samesite="strict")
        return answer

    async def healthz(self, request: Request) -> Response:
        """200 while the daemon answers and no worker has failed for good; 503 with the names."""
        del request
        failed = [w.name for w in self._daemon.status().workers if w.phase == "failed"]
        return _verdict("healthy", "failed", failed)

    async def readyz(self, request: Request) -> Response:
        """200 when every worker does its work (a standby's waiting counts); 503 with the names.

        A source with an alert is not well either.
        """
        del request
        working = {"snapshot", "streaming", "delivering", "waiting"}
        workers = self._daemon.status().workers
        others = [w.name for w in workers if w.phase not in working or has_alert(w)]
        return _verdict("ready", "not ready", others)

    async def metrics(self, request: Request) -> Response:
        """Prometheus' text format."""
        del request
        text = render(self._daemon.status())
        return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")

    async def status(self, request: Request) -> Response:
        """PipelineStatus, and the names of the sinks that can be searched as `searches`."""
        del request
        return _json({**self._daemon.status().content(), "searches": sorted(self._searches)})

    async def history(self, request: Request) -> Response:
        """The curves."""
        del request
        return _json(self._history.content())

    async def topics(self, request: Request) -> Response:
        """Topics of the log, or 503 with the reason."""
        del request
        return await _asked(self._daemon.topics)

    async def search(self, request: Request) -> Response:
        """Documents of `sink` that match `words`, best first."""
        search = self._searches.get(request.query_params.get("sink", ""))
        words = request.query_params.get("words", "").strip()
        if search is None:
            return _json({"error": "this sink cannot be searched", "hint": ""}, status_code=404)
        if not words:
            return _json([])
        return await _asked(lambda: list(search(words, SEARCH_ROWS_MAX)))

    async def stop(self, request: Request) -> Response:
        """Begin a graceful stop."""
        del request
        self._daemon.stop()
        return _json({"stopping": True}, status_code=202)

    async def act(self, request: Request) -> Response:
        """Pause, resume or heal one worker; 409 with the reason when that cannot be done."""
        action = request.path_params["action"]
        if action not in get_args(Action):
            return _json({"error": f"nobody can {action} a worker", "hint": ""}, status_code=404)
        try:
            told = self._daemon.act(request.path_params["name"], action)
        except CdcError as error:
            return _json({"error": error.message, "hint": error.hint}, status_code=409)
        return _json({"told": told}, status_code=202)


async def _form_field(request: Request, name: str) -> str:
    """A field of a short URL-encoded form; empty when it is missing or the form is too long."""
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > FORM_BYTES_MAX:
            return ""
    return parse_qs(body.decode("ascii", "replace")).get(name, [""])[0]


def _json(content: object, status_code: int = 200) -> Response:
    # Unknown values (a Position is a str subclass at most) never get here: content() made them.
    body = orjson.dumps(content, option=orjson.OPT_PASSTHROUGH_SUBCLASS, default=str)
    return Response(body, status_code=status_code, media_type="application/json", headers=HEADERS)


def _verdict(good: str, bad: str, names: list[str]) -> Response:
    if not names:
        return PlainTextResponse(f"{good}\n")
    return PlainTextResponse(f"{bad}: {', '.join(names)}\n", status_code=503)


async def _asked(question: Callable[[], object]) -> Response:
    """The answer of a call that may wait for a server, made beside the event loop."""
    try:
        return _json(await run_in_threadpool(question))
    except CdcError as error:
        return _json({"error": error.message, "hint": error.hint}, status_code=503)


def make_app(
    daemon: Daemon,
    searches: Mapping[str, Search],
    history: History,
    *,
    hosts: frozenset[str] = frozenset(),
    token: str | None = None,
) -> Starlette:
    """The application; sampling the curves is not its job (server.py)."""
    routes = Routes(daemon, searches, history, token)
    access = Middleware(Access, hosts=hosts, token=token)
    return Starlette(routes=routes.all(), middleware=[access])
