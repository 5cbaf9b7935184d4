"""A small API over HTTP: add URLs, read the numbers and the dead letters, replay these, pause and resume.

Every request needs the token in a header, which no page in a browser can send by itself. Requests have
bounds, and operations have a deadline. `openapi.json` describes the API.
"""

import asyncio
import hmac
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Protocol, TypeVar

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from farm.model.errors import FarmError, FrontierUnavailable, UsageError
from farm.monitor.api_description import CHOOSING, MOST_IDS, MOST_LETTERS, MOST_URLS, PREFIX, description

T = TypeVar("T")
STATES = {"pause": "paused", "resume": "running", "drain": "draining"}
DO_S = 20.0
REPLAY_S = 10.0
"""For so long one request takes letters back; the next one goes on."""
_WRONG_S = 0.5
"""How long the answer to a wrong token is delayed."""
_BODY_BYTES = 2**20

Answering = Callable[[Request], Awaitable[Response]]


class CrawlOperations(Protocol):
    """The operations on the crawl. UsageError is the caller's fault, FrontierUnavailable is Redis's."""

    async def status(self) -> Mapping[str, Any]:
        """Return its numbers."""
        ...

    async def add(self, urls: Sequence[str | Mapping[str, Any]]) -> Mapping[str, int]:
        """Add seeds; return how many were `added` and how many were `known`."""
        ...

    async def letters(self, which: Mapping[str, str], start: int, size: int) -> Mapping[str, Any]:
        """Return some dead `letters`, and how many there are in `total`."""
        ...

    async def letter(self, fingerprint: str) -> Mapping[str, Any] | None:
        """Return one letter, with the visits that failed; None if there is none."""
        ...

    async def replay(
        self, which: Mapping[str, str], ids: Sequence[str], within_s: float
    ) -> Mapping[str, Any]:
        """Take letters back into their queues; return how many were `replayed`, and whether those were `all`.

        By ids where there are any; else those that are chosen, for so long.
        """
        ...

    async def set_state(self, state: str) -> None:
        """Set the crawl's state on all nodes."""
        ...


class NotFound(Exception):
    """The requested object does not exist."""


class BadRequest(Exception):
    """The request is invalid; the text says why."""


class RestApi:
    """The API of one run. `do` awaits an operation where the crawl's own event loop runs."""

    def __init__(
        self,
        operations: CrawlOperations,
        token: str,
        do: Callable[[Coroutine[Any, Any, Any]], Awaitable[Any]],
    ) -> None:
        self._operations = operations
        self._token = token.encode()
        self._do = do

    def routes(self) -> dict[str, tuple[Answering, str]]:
        """Return the routes: the handlers by path, with their methods."""
        found: dict[str, tuple[Callable[[Request], Awaitable[Any]], str]] = {
            "/status": (self._status, "GET"),
            "/urls": (self._add, "POST"),
            "/dead": (self._letters, "GET"),
            "/dead/replay": (self._replay, "POST"),
            "/dead/{id}": (self._letter, "GET"),
            **{f"/{word}": (self._set(state), "POST") for word, state in STATES.items()},
        }
        routes = {PREFIX + path: (self._answered(do), method) for path, (do, method) in found.items()}
        return {**routes, f"{PREFIX}/openapi.json": (_description, "GET")}

    def _answered(self, handler: Callable[[Request], Awaitable[Any]]) -> Answering:
        async def answer(request: Request) -> Response:
            refusal = await self._refusal(request)
            if refusal is not None:
                return refusal
            try:
                return _json(await handler(request))
            except (FarmError, NotFound, BadRequest, TimeoutError) as error:
                why = str(error) or f"that was not done within {DO_S:g} s; ask for less"
                return _failed(_status_of(error), why)

        return answer

    async def _refusal(self, request: Request) -> Response | None:
        """Return the answer to an unauthorised request; None for one with the token."""
        given = request.headers.get("authorization", "").removeprefix("Bearer ").encode()
        if not self._token:
            return _failed(
                HTTPStatus.FORBIDDEN, "the API needs a token: start the run with --token-file FILE"
            )
        if not hmac.compare_digest(given, self._token):
            await asyncio.sleep(_WRONG_S)
            return _failed(HTTPStatus.UNAUTHORIZED, "send the token as `Authorization: Bearer TOKEN`")
        return None

    async def _there(self, work: Coroutine[Any, Any, T]) -> T:
        async with asyncio.timeout(DO_S):
            done: T = await self._do(work)
            return done

    async def _status(self, _: Request) -> Mapping[str, Any]:
        return await self._there(self._operations.status())

    async def _add(self, request: Request) -> Mapping[str, int]:
        told = await _object(request, {"urls"})
        urls = told.get("urls")
        if not isinstance(urls, list) or not 1 <= len(urls) <= MOST_URLS:
            raise BadRequest(f"urls: write a list of 1 to {MOST_URLS:,} URLs, or of objects that have a url")
        if not all(isinstance(url, str | dict) for url in urls):
            raise BadRequest("urls: each is a text, or an object with url, priority, meta and render")
        return await self._there(self._operations.add(urls))

    async def _letters(self, request: Request) -> Mapping[str, Any]:
        given = dict(request.query_params)
        _check_names(given, {*CHOOSING, "start", "size"})
        start, size = _number(given.pop("start", "0"), 0), _number(given.pop("size", "100"), 1)
        if size > MOST_LETTERS:
            raise BadRequest(f"size: at most {MOST_LETTERS:,} letters are listed at once")
        return await self._there(self._operations.letters(given, start, size))

    async def _letter(self, request: Request) -> Mapping[str, Any]:
        name = str(request.path_params["id"])
        letter = await self._there(self._operations.letter(name))
        if letter is None:
            raise NotFound(f"there is no dead letter {name[:50]!r}")
        return letter

    async def _replay(self, request: Request) -> Mapping[str, Any]:
        told = await _object(request, {*CHOOSING, "ids"})
        names_some, ids = "ids" in told, told.pop("ids", [])
        if not isinstance(ids, list) or len(ids) > MOST_IDS or not all(isinstance(one, str) for one in ids):
            raise BadRequest(f"ids: write a list of at most {MOST_IDS:,} ids")
        if not all(isinstance(value, str) for value in told.values()):
            raise BadRequest(f"{', '.join(CHOOSING)}: each is a text")
        if names_some and told:
            raise BadRequest(f"write ids, or some of {', '.join(CHOOSING)}, not both")
        if names_some and not ids:
            # Without any all would be meant.
            return {"replayed": 0, "all": True}
        return await self._there(self._operations.replay(told, ids, REPLAY_S))

    def _set(self, state: str) -> Callable[[Request], Awaitable[Mapping[str, str]]]:
        async def done(request: Request) -> Mapping[str, str]:
            await _object(request, set())
            await self._there(self._operations.set_state(state))
            return {"state": state}

        return done


def _status_of(error: Exception) -> HTTPStatus:
    """Return the status of a failed request."""
    match error:
        case BadRequest() | UsageError():
            return HTTPStatus.BAD_REQUEST
        case NotFound():
            return HTTPStatus.NOT_FOUND
        case FrontierUnavailable() | TimeoutError():
            return HTTPStatus.SERVICE_UNAVAILABLE
        case _:
            return HTTPStatus.CONFLICT


def in_the_loop(loop: asyncio.AbstractEventLoop) -> Callable[[Coroutine[Any, Any, Any]], Awaitable[Any]]:
    """Return a function that awaits a coroutine in another thread's event loop."""

    async def done(work: Coroutine[Any, Any, Any]) -> Any:
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, loop))

    return done


async def _object(request: Request, names: set[str]) -> dict[str, Any]:
    """Return the JSON object of a request, empty without a body; raises BadRequest."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > _BODY_BYTES:
            raise BadRequest(f"the body has more than {_BODY_BYTES:,} bytes")
    try:
        told = orjson.loads(body or b"{}")
    except ValueError:
        raise BadRequest("the body is not JSON") from None
    if not isinstance(told, dict):
        raise BadRequest("the body is not an object")
    _check_names(told, names)
    return told


def _check_names(given: Mapping[str, Any], known: set[str]) -> None:
    unknown = sorted(given.keys() - known)
    if unknown:
        takes = f"; it takes {', '.join(sorted(known))}" if known else ""
        raise BadRequest(f"{unknown[0][:100]!r} is not known here{takes}")


def _number(text: str, least: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 9) or int(text) < least:  # noqa: PLR2004
        raise BadRequest(f"start and size are whole numbers, size at least 1: not {text[:50]!r}")
    return int(text)


def _json(value: Any, status: int = 200) -> Response:
    headers = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
    if status == HTTPStatus.UNAUTHORIZED:
        headers["www-authenticate"] = "Bearer"
    # Of what `--render auto` came to some keys are numbers, as `farm status --json` writes them.
    return Response(orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS), status, headers, "application/json")


def _failed(status: HTTPStatus, why: str) -> Response:
    return _json({"error": why}, status)


async def no_route(request: Request, error: Exception) -> Response:
    """Answer a request that no route takes: below `/api` as the API does, else in plain text."""
    if not isinstance(error, HTTPException):
        raise error
    if not request.url.path.startswith("/api/"):
        return PlainTextResponse(error.detail, error.status_code, error.headers)
    status = HTTPStatus(error.status_code)
    why = {
        HTTPStatus.NOT_FOUND: f"there is no such path; {PREFIX}/openapi.json lists those there are",
        HTTPStatus.METHOD_NOT_ALLOWED: f"{request.method[:20]} is not a method of this path",
    }
    answer = _failed(status, why.get(status, error.detail))
    answer.headers.update(error.headers or {})
    return answer


async def _description(_: Request) -> Response:
    return _json(description())
