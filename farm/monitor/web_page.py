"""The view for a browser: a page that is told once a second how the farm stands, by server-sent events.

Without a token it has numbers alone; with it names, URLs and messages, and it can pause the crawl. What always
holds: the page loads nothing from elsewhere and runs no code but its own, a token is compared in constant time and
never stands in an address, and what changes something is asked for by this page itself, or with the token as a
header.
"""

import asyncio
import hmac
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from hashlib import sha256
from http import HTTPStatus
from importlib import resources
from pathlib import Path

import orjson
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse

from farm.model.errors import FarmError, UsageError
from farm.monitor.snapshot import Snapshot
from farm.monitor.web_state import page_state

EVERY_S = 1.0
MOST_STREAMS = 16
"""How many pages are told at once."""
LEAST_TOKEN, LONGEST_TOKEN = 16, 1024
COOKIE = "farm-token"
_WRONG_S = 0.5
"""How long a wrong token waits for its answer."""
_BODY_BYTES = 4096
_ACT_S = 5.0
_STATES = {"pause": "paused", "resume": "running"}
_FILES = {
    "/": ("page.html", "text/html; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}

Answering = Callable[[Request], Awaitable[Response]]


def token_of(path: Path) -> str:
    """Return the token that a file has. Raises UsageError where it has none that will do."""
    try:
        with path.open(encoding="ascii") as file:
            token = file.read(LONGEST_TOKEN + 2).strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no ASCII text"
        raise UsageError(f"--token-file {path} cannot be read ({why}); give a file with a token.") from None
    if not LEAST_TOKEN <= len(token) <= LONGEST_TOKEN or not token.isprintable() or " " in token:
        raise UsageError(
            f"--token-file {path} has no token of {LEAST_TOKEN} to {LONGEST_TOKEN} characters; "
            f"make one with `openssl rand -hex 32 > {path}`."
        )
    return token


class WebPage:
    """The page of one run. `set_state` pauses the crawl or lets it go on, from this page's own event loop.

    `is_ending` says whether the server ends, and the pages that are open with it. Without a `token` nobody gets
    more than numbers.
    """

    def __init__(
        self,
        source: Callable[[], Snapshot],
        title: str,
        token: str,
        set_state: Callable[[str], Awaitable[None]],
        is_ending: Callable[[], bool],
    ) -> None:
        self._source = source
        self._title = title
        self._token = token.encode()
        self._set_state = set_state
        self._is_ending = is_ending
        self._streams = 0
        # A cookie is of this run, and does not have the token in it.
        self._cookie = hmac.new(secrets.token_bytes(32), self._token, sha256).hexdigest()

    def routes(self) -> dict[str, tuple[Answering, str]]:
        """Return what is answered, by path, with its method."""
        files = {path: (_file(*what), "GET") for path, what in _FILES.items()}
        return {
            **files,
            "/events": (self._events, "GET"),
            "/token": (self._take_token, "POST"),
            "/act": (self._act, "POST"),
        }

    def _knows_token(self, request: Request) -> bool:
        if not self._token:
            return False
        given = request.headers.get("authorization", "").removeprefix("Bearer ").encode()
        cookie = request.cookies.get(COOKIE, "").encode()
        is_given = hmac.compare_digest(given, self._token)
        return hmac.compare_digest(cookie, self._cookie.encode()) or is_given

    async def _events(self, request: Request) -> Response:
        if self._streams >= MOST_STREAMS:
            return PlainTextResponse(
                "too many pages are open; close one\n", HTTPStatus.SERVICE_UNAVAILABLE, _HEADERS
            )
        return StreamingResponse(
            self._told(named=self._knows_token(request)), media_type="text/event-stream", headers=_HEADERS
        )

    async def _told(self, *, named: bool) -> AsyncIterator[bytes]:
        """Yield how the farm stands, once a second, until the page is closed or the run ends."""
        self._streams += 1
        try:
            while not self._is_ending():
                state = page_state(self._source(), self._title, named=named)
                state["has_token"] = bool(self._token)
                yield b"data: " + orjson.dumps(state) + b"\n\n"
                await asyncio.sleep(EVERY_S)
        finally:
            self._streams -= 1

    async def _take_token(self, request: Request) -> Response:
        """Give the cookie to whoever knows the token."""
        given = await _text(request, "token")
        if given is None or not _is_own(request):
            return PlainTextResponse("this page alone may ask that\n", 403, _HEADERS)
        if not self._token or not hmac.compare_digest(given.encode(), self._token):
            await asyncio.sleep(_WRONG_S)
            return PlainTextResponse("that is not the token\n", 403, _HEADERS)
        answer = Response(status_code=204, headers=_HEADERS)
        answer.set_cookie(COOKIE, self._cookie, httponly=True, samesite="strict", path="/")
        return answer

    async def _act(self, request: Request) -> Response:
        """Pause the crawl, or let it go on."""
        act = await _text(request, "act")
        if not self._knows_token(request) or not _is_own(request):
            return PlainTextResponse("the token is needed for that\n", 403, _HEADERS)
        if act not in _STATES:
            return PlainTextResponse(f"act is one of {', '.join(_STATES)}\n", 400, _HEADERS)
        try:
            async with asyncio.timeout(_ACT_S):
                await self._set_state(_STATES[act])
        except (FarmError, TimeoutError) as error:
            return PlainTextResponse(
                f"{str(error) or 'Redis has not answered'}\n", HTTPStatus.SERVICE_UNAVAILABLE, _HEADERS
            )
        return Response(status_code=204, headers=_HEADERS)


def in_loop(
    loop: asyncio.AbstractEventLoop, do: Callable[[str], Awaitable[None]]
) -> Callable[[str], Awaitable[None]]:
    """Return what does something in another thread's event loop, and waits for it in this one."""

    async def done(state: str) -> None:
        async def there() -> None:
            await do(state)

        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(there(), loop))

    return done


def _is_own(request: Request) -> bool:
    """Whether this page itself asks, or a program: a browser says from which page a request comes."""
    origin = request.headers.get("origin")
    return origin is None or origin.partition("://")[2] == request.headers.get("host")


async def _text(request: Request, name: str) -> str | None:
    """Return a text of the JSON object that was sent; None where there is none, or it is too long."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > _BODY_BYTES:
            return None
    try:
        told = orjson.loads(body)
    except ValueError:
        return None
    text = told.get(name) if isinstance(told, dict) else None
    return text if isinstance(text, str) and text.isascii() else None


def _file(name: str, media_type: str) -> Answering:
    body = resources.files("farm.monitor").joinpath("static", name).read_bytes()

    async def answer(_: Request) -> Response:
        return Response(body, media_type=media_type, headers=_HEADERS)

    return answer
