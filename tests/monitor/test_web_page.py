"""What the page for a browser is served with, over real HTTP: who is told what, and who may ask what."""

import asyncio
import http.client
import json
import socket
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from farm.model.crawl import NodeSeen
from farm.model.errors import UsageError
from farm.model.event import Fate, NodesRead, Notice, Phase, Reclaimed, SinkAway, SlotPhase, VisitFailed
from farm.monitor import metrics_server, web_page
from farm.monitor.metrics_server import MetricsServer
from farm.monitor.rest_api import in_the_loop
from farm.monitor.web_page import MOST_STREAMS, token_of
from farm.monitor.web_state import page_state
from tests.clock import ManualClock

from .served import BEARER, TOKEN, Told, ask
from .simulated import simulated

NAMED = {"sites", "proxies", "nodes", "contexts", "events"}


def state_of(server: MetricsServer, headers: Mapping[str, str] | None = None) -> dict[str, object]:
    """Return what a page is told first."""
    _, _, line = ask(server, "GET", "/events", headers=headers)
    found: dict[str, object] = json.loads(line.removeprefix(b"data: "))
    return found


def test_the_page_loads_nothing_from_elsewhere(server: MetricsServer) -> None:
    """And may be shown in no other page, kept by nobody, and run no code but its own."""
    for path in ("/", "/page.js", "/page.css"):
        status, headers, body = ask(server, "GET", path)
        assert status == 200
        assert "default-src 'none'; script-src 'self'" in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert (headers["x-content-type-options"], headers["cache-control"]) == ("nosniff", "no-store")
        assert b"http://" not in body.replace(b"http://www.w3.org/2000/svg", b"")
        assert b"https://" not in body
        assert b"innerHTML" not in body
    assert ask(server, "GET", "/", headers={"Host": "evil.example"})[0] == 421
    assert ask(server, "GET", "/events", headers={"Host": "evil.example"})[0] == 421


def test_without_the_token_there_are_numbers_alone(server: MetricsServer) -> None:
    """With it, as a header or by the cookie, there are names."""
    without = state_of(server)
    assert not NAMED & without.keys()
    assert "example" not in json.dumps(without)
    assert state_of(server, {"Authorization": "Bearer wrong-token-of-some"})["named"] is False
    assert state_of(server, {"Authorization": f"Bearer {TOKEN}"}).keys() >= NAMED
    status, headers, _ = ask(server, "POST", "/token", {"token": TOKEN})
    assert status == 204
    cookie = headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert TOKEN not in cookie
    assert str(server.port) in cookie.partition("=")[0], "another farm on this host has a cookie of its own"
    assert state_of(server, {"Cookie": cookie.partition(";")[0]}).keys() >= NAMED


def test_nothing_that_is_hidden_has_a_name() -> None:
    """Whichever event brought it."""
    tally = simulated(8, 30, sites=2)
    for event in (
        SlotPhase(129.0, "hidden", Phase.NAVIGATING, "https://hidden.example/hidden"),
        VisitFailed(129.0, "hidden", "https://hidden.example/", "timeout", "hidden", Fate.DEAD),
        Notice(129.0, "warning", "hidden"),
        SinkAway(129.0, 120.0, "hidden", "hidden"),
        NodesRead(129.0, (NodeSeen("hidden", "running", 2, 0.0),)),
        Reclaimed(129.0, "kill", "hidden", "hidden", 5),
    ):
        tally.fold(event)
    snapshot = tally.snapshot(130.0)
    hidden = json.dumps(page_state(snapshot, "hidden", named=False))
    assert "hidden" not in hidden
    assert "example" not in hidden
    assert "hidden.example" in json.dumps(page_state(snapshot, "hidden", named=True))


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({"Authorization": f"Bearer {TOKEN}"}, {"act": "pause"}, 204),
        ({"Authorization": f"Bearer {TOKEN}"}, {"act": "resume"}, 204),
        ({"Authorization": f"Bearer {TOKEN}"}, {"act": "delete"}, 400),
        ({"Authorization": f"Bearer {TOKEN}"}, ["pause"], 400),
        ({"Authorization": f"Bearer {TOKEN}"}, b"{" * 100_000, 400),
        ({"Authorization": "Bearer x"}, {"act": "pause"}, 403),
        ({}, {"act": "pause"}, 403),
        ({"Cookie": "farm-token-{port}=\u00e4"}, {"act": "pause"}, 403),
        ({"Authorization": f"Bearer {TOKEN}", "Origin": "https://evil.example"}, {"act": "pause"}, 403),
    ],
)
def test_a_crawl_is_steered_by_whoever_has_the_token(
    server: MetricsServer, told: Told, headers: dict[str, str], body: object, status: int
) -> None:
    """And not from another page, which a browser names."""
    headers = {name: value.format(port=server.port) for name, value in headers.items()}
    assert ask(server, "POST", "/act", body, headers)[0] == status
    assert len(told.states) == (status == 204)
    assert ask(server, "GET", "/act", None, headers)[0] == 405


def test_a_redis_that_is_away_is_said(server: MetricsServer, told: Told) -> None:
    """In a sentence."""
    told.is_away = True
    status, _, body = ask(server, "POST", "/act", {"act": "pause"}, {"Authorization": f"Bearer {TOKEN}"})
    assert (status, body) == (503, b"Redis is away\n")


@pytest.mark.parametrize(
    "body", [{"token": "wrong"}, {"token": 5}, {}, b"", b"x" * 10_000, {"token": "ä" * 20}]
)
def test_a_wrong_token_opens_nothing(server: MetricsServer, body: object) -> None:
    """Nor does what is none."""
    status, headers, _ = ask(server, "POST", "/token", body)
    assert status == 403
    assert "set-cookie" not in headers


def test_pages_that_are_open_are_bounded_and_end_with_the_run(told: Told) -> None:
    """A server that ends does not wait for them."""
    with MetricsServer(
        simulated(2, 5).snapshot, ManualClock(105.0), "1", "127.0.0.1", 0, "x", TOKEN
    ) as server:
        streams = [
            http.client.HTTPConnection("127.0.0.1", server.port, timeout=30) for _ in range(MOST_STREAMS)
        ]
        for stream in streams:
            stream.request("GET", "/events")
            assert stream.getresponse().readline().startswith(b"data: ")
        assert ask(server, "GET", "/events")[0] == 503
        assert ask(server, "GET", "/healthz")[0] in {200, 503}
    assert not server._thread.is_alive()
    for stream in streams:
        stream.close()


def test_who_reads_nothing_loses_its_place(server: MetricsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """All places are taken by such; the next page is told all the same."""
    monkeypatch.setattr(metrics_server, "WRITE_S", 0.2)
    monkeypatch.setattr(web_page, "EVERY_S", 0.0)
    with ExitStack() as held:
        for _ in range(MOST_STREAMS):
            silent = held.enter_context(socket.socket())
            silent.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            silent.connect(("127.0.0.1", server.port))
            silent.sendall(
                f"GET /events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode()
            )
            assert silent.recv(1) == b"H"
        deadline = time.monotonic() + 60
        while ask(server, "GET", "/events", headers=BEARER)[0] != 200:
            assert time.monotonic() < deadline, "no place became free"


def test_whoever_knows_the_token_gets_the_place_of_a_stranger(
    server: MetricsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Strangers can take all places, and no stranger gets one of them."""
    monkeypatch.setattr(web_page, "EVERY_S", 0.05)
    with ExitStack() as held:
        streams = []
        for _ in range(MOST_STREAMS):
            stream = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
            held.callback(stream.close)
            stream.request("GET", "/events")
            streams.append(stream.getresponse())
            assert streams[-1].readline().startswith(b"data: ")
        assert ask(server, "GET", "/events")[0] == 503
        assert state_of(server, BEARER)["named"] is True
        while streams[0].readline():
            pass


def test_a_page_is_told_to_ask_anew(server: MetricsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """After some minutes: who has gone without a word takes no place for good."""
    monkeypatch.setattr(web_page, "STREAM_S", 0.0)
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)) as connection:
        connection.request("GET", "/events")
        events = connection.getresponse().read().split(b"\n\n")
    assert events[0].startswith(b"data: {")
    assert events[1:] == [b"event: again\ndata: ", b""]


def test_a_token_is_long_enough_and_is_there(tmp_path: Path) -> None:
    """Else there is a sentence with the remedy."""
    path = tmp_path / "token"
    with pytest.raises(UsageError, match=r"cannot be read \(No such file or directory\)"):
        token_of(path)
    for text in ("", "short", "x" * 2000, "two words of some length"):
        path.write_text(text)
        with pytest.raises(UsageError, match="openssl rand -hex 32"):
            token_of(path)
    path.write_text(f"{TOKEN}\n")
    assert token_of(path) == TOKEN


def test_what_a_page_asks_is_done_in_the_crawls_own_loop() -> None:
    """Whose Redis client it is."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    done: list[tuple[str, bool]] = []

    async def do(state: str) -> None:
        done.append((state, asyncio.get_running_loop() is loop))

    asyncio.run(in_the_loop(loop)(do("paused")))  # type: ignore[arg-type] # an awaitable that is a coroutine
    loop.call_soon_threadsafe(loop.stop)
    thread.join(20)
    loop.close()
    assert done == [("paused", True)]
