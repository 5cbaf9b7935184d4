"""What Prometheus reads of a node, over real HTTP."""

import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest
from prometheus_client.parser import text_string_to_metric_families

from farm.model.crawl import Ledger, Stats
from farm.model.errors import UsageError
from farm.model.event import (
    EligibleRead,
    Ending,
    Fate,
    LoopLagRead,
    MemoryRead,
    PageDone,
    Phase,
    RedisAway,
    RedisBack,
    SinkAway,
    Skipped,
    SlotPhase,
    StatsRead,
    VisitFailed,
)
from farm.model.page import Renderer
from farm.model.tiers import TierCounts
from farm.monitor import metrics_server
from farm.monitor.metrics import exposition
from farm.monitor.metrics_server import CONNECTIONS, HUNG_S, MetricsServer
from farm.monitor.tally import Tally
from farm.policy.error_bound import most_wrong
from tests.clock import ManualClock

START = 100.0
LEDGER = Ledger(accepted=9, queued=3, delayed=1, leased=2, done=2, dead=1)


@pytest.fixture
def tally() -> Tally:
    """Nothing told yet."""
    return Tally(START)


@pytest.fixture
def clock() -> ManualClock:
    """Return the clock of the run."""
    return ManualClock(START)


@pytest.fixture
def server(tally: Tally, clock: ManualClock) -> Iterator[MetricsServer]:
    """Yield a server on a free port."""
    with MetricsServer(tally.snapshot, clock, "1.2.3", "127.0.0.1", 0) as running:
        yield running


def get(server: MetricsServer, path: str, host: str | None = None) -> tuple[int, bytes]:
    """Return the status and the body of an answer."""
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)) as connection:
        connection.request("GET", path, headers={"Host": host} if host else {})
        answer = connection.getresponse()
        return answer.status, answer.read()


def values(text: bytes) -> dict[str, float]:
    """Return the samples by name and labels, as Prometheus' own parser reads them."""
    return {
        sample.name
        + "".join(f"{{{name}={value}}}" for name, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def page(at: float, total_ms: int, status: int = 200) -> PageDone:
    """Return a page that took so long."""
    return PageDone(at, "01", "https://shop.example/", status, total_ms, 1000, settled=True)


def failed(fate: Fate) -> VisitFailed:
    """Return a visit without a page."""
    return VisitFailed(START, "01", "https://shop.example/x", "timeout", "60 s", fate)


def test_a_scrape_has_what_was_told(tally: Tally, server: MetricsServer) -> None:
    """Counters, gauges and the histogram, each under its name."""
    for event in (
        SlotPhase(START, "01", Phase.NAVIGATING, "https://shop.example/"),
        page(START, 90),
        page(START, 100),
        page(START, 61_000, status=404),
        failed(Fate.RETRY),
        failed(Fate.DEAD),
        failed(Fate.DEAD),
        MemoryRead(START, used_bytes=5, budget_bytes=7, processes=3),
        Skipped(START, {"robots": 4}),
        StatsRead(START, Stats(LEDGER, {"timeout": 1}, sites=2, state="paused")),
        EligibleRead(START, 2),
    ):
        tally.fold(event)
    status, body = get(server, "/metrics")
    read = values(body)
    assert status == 200
    assert read["farm_build_info{version=1.2.3}"] == 1
    assert read["farm_pages_total{outcome=done}"] == 3
    assert read["farm_pages_total{outcome=retry}"] == 1
    assert read["farm_pages_total{outcome=dead}"] == 2
    assert read["farm_pages_total{outcome=released}"] == 0
    assert read["farm_responses_total{code=2xx}"] == 2
    assert read["farm_responses_total{code=4xx}"] == 1
    assert read["farm_received_bytes_total"] == 3000
    assert read["farm_page_duration_seconds_bucket{le=0.1}"] == 2
    assert read["farm_page_duration_seconds_bucket{le=60.0}"] == 2
    assert read["farm_page_duration_seconds_bucket{le=+Inf}"] == 3
    assert read["farm_page_duration_seconds_count"] == 3
    assert read["farm_page_duration_seconds_sum"] == pytest.approx(61.19)
    assert read["farm_contexts{state=navigating}"] == 1
    assert read["farm_contexts{state=idle}"] == 0
    assert read["farm_memory_bytes"] == 5
    assert read["farm_memory_budget_bytes"] == 7
    assert read["farm_skipped_urls_total{reason=robots}"] == 4
    assert read["farm_dead_urls{reason=timeout}"] == 1
    assert read["farm_crawl_state{state=paused}"] == 1
    assert read["farm_crawl_state{state=running}"] == 0
    for state in ("queued", "delayed", "leased", "done", "dead"):
        assert read[f"farm_queue_urls{{state={state}}}"] == getattr(LEDGER, state)
    assert read["farm_accepted_urls_total"] == 9
    assert read["farm_eligible_urls"] == 2


def test_what_nobody_has_counted_is_not_said(tally: Tally, server: MetricsServer) -> None:
    """A 0 would take nodes away from a crawl of which nothing is known yet."""
    assert "farm_eligible_urls" not in values(get(server, "/metrics")[1])


def test_labels_never_name_what_is_crawled(tally: Tally) -> None:
    """A site that invents URLs must not fill the monitoring system."""
    for number in range(500):
        url = f"https://s{number}.example/{number}"
        tally.fold(SlotPhase(START, "01", Phase.NAVIGATING, url))
        tally.fold(VisitFailed(START, "01", url, f"reason {number}", url, Fate.RETRY))
    text = exposition(lambda: tally.snapshot(START), "1")()
    assert b"example" not in text
    assert len(values(text)) < 100


def test_a_node_is_ready_when_a_context_is_open(tally: Tally, server: MetricsServer) -> None:
    """And no longer when it waits for Redis or a store, or ends."""

    def ready() -> tuple[int, str]:
        status, body = get(server, "/readyz")
        return status, json.loads(body)["reason"]

    assert ready() == (503, "no context is open yet")
    tally.fold(SlotPhase(START, "01", Phase.STARTING))
    assert ready() == (503, "no context is open yet")
    tally.fold(SlotPhase(START, "01", Phase.IDLE))
    assert ready() == (200, "")
    tally.fold(RedisAway(START, START, "Redis is away"))
    assert ready() == (503, "Redis has not answered for 0 s")
    tally.fold(RedisBack(START, "Redis is back"))
    tally.fold(SinkAway(START, START, "postgresql", "refused"))
    assert ready() == (503, "waiting for postgresql")
    tally.fold(Ending(START, "sigterm"))
    assert ready() == (503, "the node is ending")
    assert get(server, "/healthz")[0] == 200


def test_a_hung_loop_is_told(tally: Tally, clock: ManualClock, server: MetricsServer) -> None:
    """The server answers though the crawl's loop does not run."""
    tally.fold(LoopLagRead(START + 5, 0.0, 0.0, 0.0))
    clock.now += 5 + HUNG_S
    assert get(server, "/healthz")[0] == 200
    clock.now += 1
    assert get(server, "/healthz") == (503, b'{"ok":false,"reason":"the event loop has not run for 31 s"}')
    assert get(server, "/readyz")[0] == 503


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("127.0.0.1:9", 200),
        ("[::1]:9", 200),
        ("rebound.example", 421),
        ("[", 421),
        ("re_bound.example", 421),
        ("rebound!.example", 421),
        ("rebound.example:99999", 421),
        ("127.0.0.1.nip.io", 421),
    ],
)
def test_only_names_of_loopback_are_answered(server: MetricsServer, host: str, status: int) -> None:
    """A page of a browser on this machine cannot read the numbers by a name that leads here."""
    assert get(server, "/metrics", host)[0] == status


def test_who_asks_nothing_takes_no_place(
    tally: Tally, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Silent from the start, in the middle of a head or of a body, or after an answer."""
    monkeypatch.setattr(metrics_server, "REQUEST_S", 0.2)
    with MetricsServer(tally.snapshot, clock, "1", "127.0.0.1", 0) as server:
        head = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
        for begun in (b"", head, b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nx"):
            with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
                connection.sendall(begun)
                while connection.recv(65536):
                    pass
        with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
            for _ in range(2):
                connection.sendall(head + b"\r\n")
                answer = connection.recv(65536)
                assert answer.startswith(b"HTTP/1.1 200 OK")
                while not answer.endswith(b"}"):
                    answer += connection.recv(65536)
            connection.sendall(head)
            assert connection.recv(65536) == b""


def test_who_only_holds_connections_keeps_no_probe_out(server: MetricsServer) -> None:
    """Each is answered, and the one that has asked for nothing for longest gives way."""
    with ExitStack() as held:
        for _ in range(CONNECTIONS + 4):
            one = held.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=30))
            one.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert one.recv(65536).startswith(b"HTTP/1.1 200 OK")
        assert get(server, "/healthz")[0] == 200


def test_what_is_not_there(server: MetricsServer) -> None:
    """404, and other methods than GET are not allowed."""
    assert get(server, "/nothing")[0] == 404
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)) as connection:
        connection.request("POST", "/metrics", body=b"x")
        assert connection.getresponse().status == 405


def test_a_port_that_is_taken() -> None:
    """One sentence with the remedy."""
    with (
        socket.create_server(("127.0.0.1", 0)) as other,
        pytest.raises(UsageError, match="give another, or 0"),
    ):
        MetricsServer(Tally(START).snapshot, ManualClock(START), "1", "127.0.0.1", other.getsockname()[1])


def test_an_address_of_another_machine() -> None:
    """Named as such."""
    with pytest.raises(UsageError, match=r"--metrics-(host|port)"):
        MetricsServer(Tally(START).snapshot, ManualClock(START), "1", "192.0.2.1", 0)


def test_what_render_auto_came_to_is_there_once_it_has_compared(tally: Tally) -> None:
    """Pages by renderer over all nodes, audits, and the bound on what may be wrong."""
    assert "farm_rendered_pages" not in exposition(lambda: tally.snapshot(START), "1")().decode()
    tiers = TierCounts(
        {Renderer.FETCH: 900}, {50: 900}, audits=40, differed=1, compared=30, requeued=7, templates=2
    )
    tally.fold(StatsRead(START, Stats(LEDGER, rendered=1000, tiers=tiers)))
    told = values(exposition(lambda: tally.snapshot(START), "1")())
    assert told["farm_rendered_pages{renderer=browser}"] == 100
    assert told["farm_rendered_pages{renderer=fetch}"] == 900
    assert (told["farm_render_audits_total"], told["farm_render_differences_total"]) == (40, 1)
    assert told["farm_render_requeued_total"] == 7
    assert told["farm_render_wrong_pages_most"] == most_wrong({50: 900}, 1) > 0
