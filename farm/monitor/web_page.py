"""The view for a browser: a page that is told once a second how the farm stands, by server-sent events.

Without a token it has numbers alone; with it names, URLs and messages, the dead letters with the pictures of what
their pages showed, what a context shows at the moment, and it can pause the crawl. Invariants: the page
loads nothing from elsewhere and runs no code but its own, a token is compared in constant time and never stands in
an address, and what changes something is asked for by this page itself, or with the token as a header.
"""

import asyncio
import hmac
import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from hashlib import sha256
from http import HTTPStatus
from importlib import resources
from pathlib import Path
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from farm.model.errors import FarmError, UsageError
from farm.model.record import SNAPSHOTS
from farm.monitor.snapshot import Snapshot
from farm.monitor.web_state import page_state, shown_letter
from farm.resources.files import read_own

EVERY_S = 1.0
MOST_STREAMS = 16
"""How many pages may be open at once."""
STREAM_S = 600.0
"""After so long a page is to ask anew: who has gone without a word, or reads nothing, takes no place for good."""
_SAME_S = 0.5
"""For so long all pages are told the same: a state costs the crawl's process a millisecond or two."""
LEAST_TOKEN, LONGEST_TOKEN = 16, 1024
COOKIE = "farm-token"
_WRONG_S = 0.5
"""How long the answer to a wrong token is delayed."""
_BODY_BYTES = 4096
_ACT_S = 5.0
LETTERS = 50
"""How many dead letters are shown at once."""
PICTURE_BYTES = 2**21
_LETTER = re.compile(r"[0-9a-f]{16}")
_START = re.compile(r"[0-9]{1,9}")
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
Letters = Callable[[Mapping[str, str], int, int], Awaitable[Mapping[str, Any]]]
"""Returns dead `letters`, of a `reason` or of all, from one on so many, and how many there are in `total`."""


def token_of(path: Path) -> str:
    """Return the token in a file. Raises UsageError if it has no valid one."""
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


@dataclass(slots=True, eq=False)
class _Place:
    """Where a page is told how the farm stands; `is_lost` where it gave way to somebody with the token."""

    named: bool
    is_lost: bool = False


class _Stream(StreamingResponse):
    """An answer without an end; `left` is called when it ends, however that is."""

    def __init__(self, content: AsyncIterator[bytes], left: Callable[[], None]) -> None:
        super().__init__(content, media_type="text/event-stream", headers=_HEADERS)
        self._left = left

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._left()


class WebPage:
    """The page of one run. `set_state` pauses or resumes the crawl, from this page's own event loop.

    `is_ending` says whether the server ends, and its open pages with it. Without a `token` pages get only
    numbers. `letters` reads the crawl's dead letters, whose pictures are below the output `folder`.
    """

    def __init__(
        self,
        source: Callable[[], Snapshot],
        title: str,
        token: str,
        set_state: Callable[[str], Awaitable[None]],
        is_ending: Callable[[], bool],
        letters: Letters | None = None,
        folder: Path | None = None,
        port: int = 0,
    ) -> None:
        self._source = source
        self._title = title
        self._token = token.encode()
        self._set_state = set_state
        self._is_ending = is_ending
        self._letters = letters
        self._pictures = folder / SNAPSHOTS if folder is not None else None
        self.glance: Callable[[str], Awaitable[bytes | None]] | None = None
        """Returns a picture of what a context shows, by its name; None before there are contexts."""
        self._glances = asyncio.Semaphore()
        self._places: list[_Place] = []
        self._told: dict[bool, tuple[float, bytes]] = {}
        # Browsers keep cookies by host, and a host may have several farms.
        self._cookie_name = f"{COOKIE}-{port}"
        # A cookie is of this run, and does not have the token in it.
        self._cookie = hmac.new(secrets.token_bytes(32), self._token, sha256).hexdigest()

    def routes(self) -> dict[str, tuple[Answering, str]]:
        """Return the routes: the handlers by path, with their methods."""
        files = {path: (_file(*what), "GET") for path, what in _FILES.items()}
        return {
            **files,
            "/events": (self._events, "GET"),
            "/dead": (self._dead, "GET"),
            f"/{SNAPSHOTS}/{{id}}.jpg": (self._picture, "GET"),
            "/contexts/{name:path}.jpg": (self._context, "GET"),
            "/token": (self._take_token, "POST"),
            "/act": (self._act, "POST"),
        }

    def _knows_token(self, request: Request) -> bool:
        if not self._token:
            return False
        given = request.headers.get("authorization", "").removeprefix("Bearer ").encode()
        cookie = request.cookies.get(self._cookie_name, "").encode()
        is_given = hmac.compare_digest(given, self._token)
        return hmac.compare_digest(cookie, self._cookie.encode()) or is_given

    async def _events(self, request: Request) -> Response:
        place = _Place(self._knows_token(request))
        if not self._made_room(place):
            return PlainTextResponse(
                "too many pages are open; close one\n", HTTPStatus.SERVICE_UNAVAILABLE, _HEADERS
            )
        # The answer begins without an await in between, and its end gives the place back, however that comes.
        self._places.append(place)
        return _Stream(self._tell(place), lambda: self._places.remove(place))

    def _made_room(self, place: _Place) -> bool:
        """Return whether one more page can be told; for who knows the token somebody who does not gives way."""
        open_ones = [one for one in self._places if not one.is_lost]
        if len(open_ones) < MOST_STREAMS:
            return True
        strangers = [one for one in open_ones if not one.named] if place.named else []
        if strangers:
            strangers[0].is_lost = True
        return bool(strangers)

    async def _tell(self, place: _Place) -> AsyncIterator[bytes]:
        """Yield how the farm stands, once a second, until the page is closed or the run ends."""
        now = asyncio.get_running_loop().time
        until = now() + STREAM_S
        while not self._is_ending() and not place.is_lost:
            yield self._state(now(), named=place.named)
            if now() >= until:
                yield b"event: again\ndata: \n\n"
                return
            await asyncio.sleep(EVERY_S)

    def _state(self, now: float, *, named: bool) -> bytes:
        """Return how the farm stands as an event."""
        at, event = self._told.get(named, (float("-inf"), b""))
        if now - at >= _SAME_S:
            state = page_state(self._source(), self._title, named=named)
            state["has_token"] = bool(self._token)
            event = b"data: " + orjson.dumps(state) + b"\n\n"
            self._told[named] = now, event
        return event

    async def _dead(self, request: Request) -> Response:
        """Answer some dead letters, each with whether there is a picture of its page."""
        if not self._knows_token(request):
            return PlainTextResponse("the token is needed for that\n", 403, _HEADERS)
        if self._letters is None:
            return PlainTextResponse("dead letters are not served here\n", 404, _HEADERS)
        start, reason = request.query_params.get("start", "0"), request.query_params.get("reason", "")
        if not _START.fullmatch(start):
            return PlainTextResponse("start is a number\n", 400, _HEADERS)
        try:
            async with asyncio.timeout(_ACT_S):
                told = await self._letters({"reason": reason} if reason else {}, int(start), LETTERS)
                letters = await asyncio.to_thread(self._shown, told["letters"])
        except (FarmError, TimeoutError) as error:
            return _unable(error)
        shown = {"start": int(start), "total": told["total"], "size": LETTERS, "letters": letters}
        return Response(orjson.dumps(shown), 200, _HEADERS, "application/json")

    def _shown(self, letters: list[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Return letters as the page shows them; looks at the disk."""
        return [
            shown_letter(
                letter, has_picture=(path := self._path_of(letter["id"])) is not None and path.is_file()
            )
            for letter in letters
        ]

    def _path_of(self, letter: str) -> Path | None:
        """Return where the picture of a letter is, if there is one; None for what is no id of one."""
        is_id = _LETTER.fullmatch(letter) is not None
        return self._pictures / f"{letter}.jpg" if self._pictures is not None and is_id else None

    async def _picture(self, request: Request) -> Response:
        """Answer what the page of a dead letter showed."""
        path = self._path_of(str(request.path_params["id"]))
        return await self._pictured(request, asyncio.to_thread(_read_picture, path))

    async def _context(self, request: Request) -> Response:
        """Answer what a context shows at this moment."""
        return await self._pictured(request, self._glanced(str(request.path_params["name"])))

    async def _glanced(self, name: str) -> bytes | None:
        # One at a time: each has the browser draw a frame.
        async with self._glances:
            return await self.glance(name) if self.glance is not None else None

    async def _pictured(self, request: Request, taking: Coroutine[Any, Any, bytes | None]) -> Response:
        """Answer a picture to whoever knows the token; without it none is taken."""
        if not self._knows_token(request):
            taking.close()
            return PlainTextResponse("the token is needed for that\n", 403, _HEADERS)
        try:
            async with asyncio.timeout(_ACT_S):
                picture = await taking
        except TimeoutError as error:
            return _unable(error)
        if not picture:
            return PlainTextResponse("there is no such picture\n", 404, _HEADERS)
        return Response(picture, 200, _HEADERS, "image/jpeg")

    async def _take_token(self, request: Request) -> Response:
        """Give the cookie to whoever knows the token."""
        given = await _text(request, "token")
        if given is None or not _is_own(request):
            return PlainTextResponse("this page alone may ask that\n", 403, _HEADERS)
        if not self._token or not hmac.compare_digest(given.encode(), self._token):
            await asyncio.sleep(_WRONG_S)
            return PlainTextResponse("that is not the token\n", 403, _HEADERS)
        answer = Response(status_code=204, headers=_HEADERS)
        answer.set_cookie(self._cookie_name, self._cookie, httponly=True, samesite="strict", path="/")
        return answer

    async def _act(self, request: Request) -> Response:
        """Pause or resume the crawl."""
        act = await _text(request, "act")
        if not self._knows_token(request) or not _is_own(request):
            return PlainTextResponse("the token is needed for that\n", 403, _HEADERS)
        if act not in _STATES:
            return PlainTextResponse(f"act is one of {', '.join(_STATES)}\n", 400, _HEADERS)
        try:
            async with asyncio.timeout(_ACT_S):
                await self._set_state(_STATES[act])
        except (FarmError, TimeoutError) as error:
            return _unable(error)
        return Response(status_code=204, headers=_HEADERS)


def _read_picture(path: Path | None) -> bytes:
    """Return a picture of this user's own; empty if there is none, or it is none that a run has kept."""
    try:
        if path is None or path.parent.is_symlink():
            return b""
        picture = read_own(path, PICTURE_BYTES + 1)
    except (OSError, UsageError):
        return b""
    return picture if len(picture) <= PICTURE_BYTES else b""


def _unable(error: Exception) -> Response:
    """Answer whose fault it is that something could not be done."""
    status = HTTPStatus.BAD_REQUEST if isinstance(error, UsageError) else HTTPStatus.SERVICE_UNAVAILABLE
    return PlainTextResponse(f"{str(error) or 'that was not done in time'}\n", status, _HEADERS)


def _is_own(request: Request) -> bool:
    """Whether this page itself asks, or a program: a browser says from which page a request comes."""
    origin = request.headers.get("origin")
    return origin is None or origin.partition("://")[2] == request.headers.get("host")


async def _text(request: Request, name: str) -> str | None:
    """Return a text of the JSON object that was sent; None if there is none, or it is too long."""
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
