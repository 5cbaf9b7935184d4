"""The HTTP server of a node for monitoring systems: `/metrics`, `/healthz` and `/readyz`.

The server has a thread and an event loop of its own: a scrape does not wait for the crawl, and a crawl that hangs
still answers that it does. Connections are bounded, and so are the size and the time of a request and how long an
answer waits to be read; where all connections are taken, one without a request gives way to the next.
"""

import asyncio
import ipaddress
import socket
import threading
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from pathlib import Path
from typing import Self

import h11
import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from farm.model.clock import Clock
from farm.model.errors import UsageError
from farm.model.event import Phase
from farm.model.url import host_of
from farm.monitor.metrics import CONTENT_TYPE, exposition
from farm.monitor.rest_api import RestApi, no_route
from farm.monitor.snapshot import Snapshot
from farm.monitor.views import Source
from farm.monitor.web_page import Letters, WebPage

HUNG_S = 30.0
"""How long the crawl's event loop may be silent before it counts as hung: its lag is read twice a second."""
REQUEST_S = 10.0
"""How long a request may take to arrive: silent and slow clients must not occupy connections for ever."""
WRITE_S = 30.0
"""How long an answer may wait to be read: who takes nothing of it is cut off."""
CONNECTIONS = 64
"""With so many, the last one is told that there are too many."""
_HEAD_BYTES = 16 * 1024
_KEEP_ALIVE_S = 75
_STOP_S = 2
_NOT_BEGUN = frozenset({Phase.WAITING, Phase.STARTING, Phase.STOPPED})
_Handler = Callable[[Request], Awaitable[Response]]
SetState = Callable[[str], Awaitable[None]]


class MetricsServer:
    """Serves the snapshots of `source`; binding raises UsageError if it is not possible.

    `title` is that of the page at `/`, `token` is required to see names there, and `set_state` pauses or resumes
    the crawl, from the server's own event loop. `api` answers programs below `/api`. `letters` reads the dead
    letters for the page, whose pictures are below the output `folder`.
    """

    def __init__(
        self,
        source: Source,
        clock: Clock,
        version: str,
        host: str,
        port: int,
        title: str = "",
        token: str = "",
        set_state: SetState | None = None,
        api: RestApi | None = None,
        letters: Letters | None = None,
        folder: Path | None = None,
    ) -> None:
        self._source = source
        self._clock = clock
        self._exposition = exposition(self._snapshot, version)
        self._socket = _bound(host, port)
        self._any_host = not _is_loopback(self._socket.getsockname()[0])
        self.page = WebPage(
            self._snapshot,
            title,
            token,
            set_state or _nothing,
            lambda: self._server.should_exit,
            letters,
            folder,
            self.port,
        )
        routes = {
            "/metrics": (self._metrics, "GET"),
            "/healthz": (self._health, "GET"),
            "/readyz": (self._readiness, "GET"),
            **self.page.routes(),
            **(api.routes() if api is not None else {}),
        }
        app = Starlette(
            routes=[
                Route(path, self._guarded(handler), methods=[method])
                for path, (handler, method) in routes.items()
            ],
            exception_handlers={HTTPException: no_route},
        )
        # A redirect would lead to whatever host the request names.
        app.router.redirect_slashes = False
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                log_config=None,
                log_level="error",
                access_log=False,
                lifespan="off",
                loop="asyncio",
                http=_Connection,
                ws="none",
                server_header=False,
                limit_concurrency=CONNECTIONS,
                timeout_keep_alive=_KEEP_ALIVE_S,
                timeout_graceful_shutdown=_STOP_S,
                h11_max_incomplete_event_size=_HEAD_BYTES,
            )
        )
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, name="metrics", daemon=True
        )

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self._socket.getsockname()[1])

    @property
    def page_url(self) -> str:
        """The URL of the page for a browser."""
        host = self._socket.getsockname()[0]
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}/"

    @property
    def url(self) -> str:
        """The URL of the metrics."""
        return f"{self.page_url}metrics"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(_STOP_S + 1)
        self._socket.close()

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(self, *_: object) -> None:
        """End it while the running loop goes on: answers under way may wait for what this loop does."""
        await asyncio.to_thread(self.__exit__)

    def _snapshot(self) -> Snapshot:
        return self._source(self._clock.monotonic())

    def _guarded(self, handler: _Handler) -> _Handler:
        """Answer only loopback host names: a page in a browser must not read this through another name."""

        async def answer(request: Request) -> Response:
            # As it was sent: Starlette takes the server's own address where it can make nothing of it.
            name = host_of(request.headers.get("host", "localhost"))
            if not (self._any_host or name == "localhost" or _is_loopback(name)):
                return PlainTextResponse("this host is not served here\n", 421)
            return await handler(request)

        return answer

    async def _metrics(self, _: Request) -> Response:
        return Response(self._exposition(), media_type=CONTENT_TYPE)

    async def _health(self, _: Request) -> Response:
        return _answer(hung(self._snapshot()))

    async def _readiness(self, _: Request) -> Response:
        return _answer(not_ready(self._snapshot()))


async def _nothing(_: str) -> None:
    """Do nothing: there is no way to change the state."""


class _Connection(H11Protocol):
    """A connection by which each request comes within `REQUEST_S`, or it is closed.

    An answer of which nothing is read within `WRITE_S` is cut off.
    """

    _late: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None
    asked_at = 0.0

    @property
    def is_idle(self) -> bool:
        """Whether nothing is under way on it: no request has come, or the last one is answered and was read."""
        # None before the first request, though it is declared otherwise.
        cycle: RequestResponseCycle | None = self.cycle
        is_answered = cycle is None or cycle.response_complete
        return is_answered and not self.transport.is_closing() and not self.transport.get_write_buffer_size()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        if len(self.connections) >= CONNECTIONS - 1:
            # Whoever only holds connections must not keep a probe or a scrape from its answer.
            known = [one for one in self.connections if isinstance(one, _Connection) and one.is_idle]
            if known:
                min(known, key=lambda one: one.asked_at).transport.close()
        self.asked_at = self.loop.time()
        super().connection_made(transport)
        self._late = self.loop.call_later(REQUEST_S, transport.close)

    def data_received(self, data: bytes) -> None:
        self.asked_at = self.loop.time()
        if self._late is None:
            self._late = self.loop.call_later(REQUEST_S, self.transport.close)
        super().data_received(data)
        if self.conn.their_state not in {h11.IDLE, h11.SEND_BODY}:
            # All of it is there; until the next one begins the connection may stay as long as any idle one.
            self._in_time()

    def connection_lost(self, exc: Exception | None) -> None:
        self._in_time()
        self._is_read()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread = self.loop.call_later(WRITE_S, self.transport.abort)

    def resume_writing(self) -> None:
        self._is_read()
        super().resume_writing()

    def shutdown(self) -> None:
        if self._unread is not None:
            self.transport.abort()
        else:
            super().shutdown()

    def _is_read(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _in_time(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None


def hung(snapshot: Snapshot) -> str:
    """Return why the node counts as hung; empty if it does not."""
    silent_s = snapshot.now - max(snapshot.started, snapshot.loop_lag.at)
    return f"the event loop has not run for {silent_s:.0f} s" if silent_s > HUNG_S else ""


def not_ready(snapshot: Snapshot) -> str:
    """Return why the node accepts no work; empty if it does."""
    if why := hung(snapshot):
        return why
    if snapshot.is_ending:
        return "the node is ending"
    if snapshot.away_since is not None:
        return f"Redis has not answered for {snapshot.now - snapshot.away_since:.0f} s"
    if snapshot.sinks_away:
        return f"waiting for {', '.join(snapshot.sinks_away)}"
    if all(slot.phase in _NOT_BEGUN for slot in snapshot.slots):
        return "no context is open yet"
    return ""


def _answer(why_not: str) -> Response:
    status = HTTPStatus.SERVICE_UNAVAILABLE if why_not else HTTPStatus.OK
    return JSONResponse({"ok": not why_not, "reason": why_not}, status)


def _bound(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family, kind, protocol)
    except OSError as error:
        raise UsageError(
            f"--metrics-host: {host} is not an address of this machine ({error.strerror})."
        ) from None
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        # From here on a connection waits until the thread answers it.
        bound.listen(CONNECTIONS)
    except OSError as error:
        bound.close()
        raise UsageError(
            f"--metrics-port: {host}:{port} cannot be listened on ({error.strerror}); give another, or 0 for any."
        ) from None
    return bound


def _is_loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False
