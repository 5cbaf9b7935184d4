"""The API over real HTTP: who may ask, what is done, and that nothing which is sent breaks it."""

import asyncio
import http.client
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from farm.model.errors import CrawlGone, FrontierUnavailable, UsageError
from farm.monitor.api_description import MOST_LETTERS, PREFIX
from farm.monitor.metrics_server import MetricsServer
from farm.monitor.rest_api import DO_S, RestApi, in_the_loop
from tests.clock import ManualClock

from .simulated import simulated

TOKEN = "a-token-of-some-length"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


class Operations:
    """Notes what is requested; fails as the test says."""

    def __init__(self) -> None:
        self.done: list[tuple[Any, ...]] = []
        self.failure: Exception | None = None
        self.numbers: Mapping[str, Any] = {"ledger": {"done": 3}}

    def _note(self, *what: Any) -> None:
        self.done.append(what)
        if self.failure is not None:
            raise self.failure

    async def status(self) -> Mapping[str, Any]:
        """Tell a number."""
        self._note("status")
        return self.numbers

    async def add(self, urls: Sequence[str | Mapping[str, Any]]) -> Mapping[str, int]:
        """Take all."""
        self._note("add", list(urls))
        return {"added": len(urls), "known": 0}

    async def letters(self, which: Mapping[str, str], start: int, size: int) -> Mapping[str, Any]:
        """Have none."""
        self._note("letters", dict(which), start, size)
        return {"letters": [], "total": 0}

    async def letter(self, fingerprint: str) -> Mapping[str, Any] | None:
        """Know one."""
        self._note("letter", fingerprint)
        return {"id": "known"} if fingerprint == "known" else None

    async def replay(
        self, which: Mapping[str, str], ids: Sequence[str], within_s: float
    ) -> Mapping[str, Any]:
        """Replay what is named."""
        self._note("replay", dict(which), list(ids))
        return {"replayed": len(ids), "all": 0 < within_s < DO_S}

    async def set_state(self, state: str) -> None:
        """Note it."""
        self._note("state", state)


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """Run a loop in a thread, as the crawl's own."""
    running = asyncio.new_event_loop()
    thread = threading.Thread(target=running.run_forever)
    thread.start()
    yield running
    running.call_soon_threadsafe(running.stop)
    thread.join()
    running.close()


@pytest.fixture(scope="module")
def operations() -> Operations:
    """Return what the server asks."""
    return Operations()


@pytest.fixture(scope="module")
def server(loop: asyncio.AbstractEventLoop, operations: Operations) -> Iterator[MetricsServer]:
    """Serve a simulated farm."""
    api = RestApi(operations, TOKEN, in_the_loop(loop))
    clock = ManualClock(130.0)
    with MetricsServer(
        simulated(8, 30).snapshot, clock, "1", "127.0.0.1", 0, "shop", TOKEN, None, api
    ) as running:
        yield running


@pytest.fixture(autouse=True)
def _anew(operations: Operations) -> None:
    operations.done.clear()
    operations.failure = None
    operations.numbers = {"ledger": {"done": 3}}


def ask(
    server: MetricsServer,
    method: str,
    path: str,
    body: Any = None,
    headers: Mapping[str, str] = BEARER,
) -> tuple[int, Any]:
    """Return the status and the JSON of an answer."""
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)) as connection:
        sent = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        connection.request(method, PREFIX + path, sent, dict(headers))
        answer = connection.getresponse()
        text = answer.read()
        return answer.status, json.loads(text) if answer.headers.get_content_subtype() == "json" else text


@pytest.mark.parametrize(
    ("method", "path", "body", "answer", "done"),
    [
        ("GET", "/status", None, {"ledger": {"done": 3}}, ("status",)),
        (
            "POST",
            "/urls",
            {"urls": ["http://a.example/"]},
            {"added": 1, "known": 0},
            ("add", ["http://a.example/"]),
        ),
        ("POST", "/urls", {"urls": [{"url": "u"}]}, {"added": 1, "known": 0}, ("add", [{"url": "u"}])),
        ("GET", "/dead", None, {"letters": [], "total": 0}, ("letters", {}, 0, 100)),
        (
            "GET",
            "/dead?reason=tls&site=a&contains=%2Fp%2F&start=5&size=7",
            None,
            {"letters": [], "total": 0},
            ("letters", {"reason": "tls", "site": "a", "contains": "/p/"}, 5, 7),
        ),
        ("GET", "/dead/known", None, {"id": "known"}, ("letter", "known")),
        (
            "POST",
            "/dead/replay",
            {"ids": ["a", "b"]},
            {"replayed": 2, "all": True},
            ("replay", {}, ["a", "b"]),
        ),
        (
            "POST",
            "/dead/replay",
            {"reason": "tls"},
            {"replayed": 0, "all": True},
            ("replay", {"reason": "tls"}, []),
        ),
        ("POST", "/dead/replay", None, {"replayed": 0, "all": True}, ("replay", {}, [])),
        ("POST", "/pause", None, {"state": "paused"}, ("state", "paused")),
        ("POST", "/resume", {}, {"state": "running"}, ("state", "running")),
        ("POST", "/drain", None, {"state": "draining"}, ("state", "draining")),
    ],
)
def test_what_is_asked_for_is_done(
    server: MetricsServer,
    operations: Operations,
    method: str,
    path: str,
    body: Any,
    answer: Any,
    done: tuple[Any, ...],
) -> None:
    """In the crawl's own event loop."""
    assert ask(server, method, path, body) == (200, answer)
    assert operations.done == [done]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "why"),
    [
        ("POST", "/urls", None, 400, "write a list"),
        ("POST", "/urls", {"urls": []}, 400, "write a list"),
        ("POST", "/urls", {"urls": [5]}, 400, "each is a text"),
        ("POST", "/urls", {"urls": ["u"] * 1001}, 400, "1 to 1,000"),
        ("POST", "/urls", b"{", 400, "not JSON"),
        ("POST", "/urls", b"[]", 400, "not an object"),
        ("POST", "/urls", b" " * 2_000_000, 400, "1,048,576 bytes"),
        ("POST", "/pause", {"now": True}, 400, "'now' is not known here"),
        ("GET", "/dead?size=0", None, 400, "whole numbers"),
        ("GET", "/dead?start=-1", None, 400, "whole numbers"),
        ("GET", f"/dead?size={MOST_LETTERS + 1}", None, 400, "at most 1,000 letters"),
        ("GET", "/dead?pattern=(a%2B)%2B", None, 400, "'pattern' is not known here; it takes contains"),
        ("GET", "/dead/unknown", None, 404, "no dead letter 'unknown'"),
        ("POST", "/dead/replay", {"ids": ["a"], "reason": "tls"}, 400, "not both"),
        ("POST", "/dead/replay", {"reason": 5}, 400, "each is a text"),
        ("POST", "/dead/replay", {"ids": "a"}, 400, "write a list"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    server: MetricsServer, operations: Operations, method: str, path: str, body: Any, status: int, why: str
) -> None:
    """With the reason, and nothing is done."""
    answered, told = ask(server, method, path, body)
    assert (answered, status == 404 or operations.done == []) == (status, True)
    assert why in told["error"]


@pytest.mark.parametrize(
    ("method", "path", "status", "why"),
    [
        ("GET", "/nothing", 404, "/api/v1/openapi.json lists"),
        ("GET", "/dead/a%2Fb", 404, "/api/v1/openapi.json lists"),
        ("POST", "/status", 405, "POST is not a method"),
    ],
)
def test_what_no_route_takes_is_said_as_everything_else(
    server: MetricsServer, method: str, path: str, status: int, why: str
) -> None:
    """In JSON: a program reads the reason in one place."""
    answered, told = ask(server, method, path)
    assert answered == status
    assert why in told["error"]


def test_an_empty_list_of_ids_replays_nothing(server: MetricsServer, operations: Operations) -> None:
    """Without any there would be all: whoever has found none wants none."""
    assert ask(server, "POST", "/dead/replay", {"ids": []}) == (200, {"replayed": 0, "all": True})
    assert operations.done == []


def test_keys_that_are_numbers_are_written(server: MetricsServer, operations: Operations) -> None:
    """As `farm status --json` does: `--render auto` counts pages by the chance of their audits."""
    operations.numbers = {"pages_by_share": {50: 900}}
    assert ask(server, "GET", "/status") == (200, {"pages_by_share": {"50": 900}})


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        (UsageError("There is no reason 'x'"), 400),
        (FrontierUnavailable("Redis is away"), 503),
        (TimeoutError(), 503),
        (CrawlGone("the crawl was deleted"), 409),
    ],
)
def test_a_failure_is_told(
    server: MetricsServer, operations: Operations, failure: Exception, status: int
) -> None:
    """By the status that says whose it is."""
    operations.failure = failure
    answered, told = ask(server, "GET", "/status")
    assert answered == status
    assert told["error"]


@pytest.mark.parametrize(
    "headers",
    [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic x"}, {"Cookie": f"farm-token={TOKEN}"}],
    ids=["none", "another", "no bearer", "a cookie"],
)
def test_nobody_is_answered_without_the_token(
    server: MetricsServer, operations: Operations, headers: Mapping[str, str]
) -> None:
    """A cookie is no token: a page elsewhere could send it."""
    status, told = ask(server, "POST", "/pause", headers=headers)
    assert (status, operations.done) == (401, [])
    assert "Bearer TOKEN" in told["error"]


def test_a_run_without_a_token_has_no_api(loop: asyncio.AbstractEventLoop, operations: Operations) -> None:
    """An empty one is none either."""
    api, clock = RestApi(operations, "", in_the_loop(loop)), ManualClock(130.0)
    with MetricsServer(
        simulated(8, 30).snapshot, clock, "1", "127.0.0.1", 0, "shop", "", None, api
    ) as server:
        status, told = ask(server, "GET", "/status", headers={"Authorization": "Bearer "})
    assert (status, operations.done) == (403, [])
    assert "--token-file" in told["error"]


async def test_the_end_of_a_server_waits_for_an_answer_that_the_crawls_loop_makes() -> None:
    """The loop goes on meanwhile: who ends the server is that loop."""
    loop, going_on, begun = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()

    class Slow(Operations):
        async def status(self) -> Mapping[str, Any]:
            begun.set()
            await going_on.wait()
            return {"state": "running"}

    api, clock = RestApi(Slow(), TOKEN, in_the_loop(loop)), ManualClock(130.0)
    async with MetricsServer(
        simulated(8, 30).snapshot, clock, "1", "127.0.0.1", 0, "shop", TOKEN, None, api
    ) as server:
        asking = asyncio.create_task(asyncio.to_thread(ask, server, "GET", "/status"))
        await begun.wait()
        # Not before the end has begun.
        loop.call_later(0.05, going_on.set)
    assert await asking == (200, {"state": "running"})


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
_BODIES = st.one_of(
    st.binary(max_size=50),
    _JSON.map(lambda value: json.dumps(value).encode()),
    st.fixed_dictionaries(
        {}, optional=dict.fromkeys(("urls", "ids", "reason", "site", "contains"), _JSON)
    ).map(lambda value: json.dumps(value).encode()),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    path=st.sampled_from(["/urls", "/dead/replay", "/pause", "/dead", "/dead/"]),
    method=st.sampled_from(["GET", "POST"]),
    body=_BODIES,
    tail=st.text(alphabet=st.characters(codec="utf-8"), max_size=20),
)
def test_whatever_is_sent_is_answered_with_a_reason(
    server: MetricsServer, path: str, method: str, body: bytes, tail: str
) -> None:
    """Never by an error of the server's own."""
    whole = path + quote(tail) if path.endswith("/") else f"{path}?start={quote(tail)}"
    status, told = ask(server, method, whole, body)
    assert status in {200, 400, 404, 405}
    assert status in {200, 404, 405} or told["error"]
