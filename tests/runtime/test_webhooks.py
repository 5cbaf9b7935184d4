"""What is sent to the webhook, when it is sent again, and when it is dropped."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest

from farm.model.errors import NotDelivered
from farm.model.event import Committed, Fate, VisitFailed
from farm.model.outcome import FailureKind
from farm.model.record import Batch, Record
from farm.runtime.webhooks import LOST_EVERY_S, MOST_SITES, Webhooks
from tests.clock import ManualClock


@dataclass
class Outbox:
    """Keeps the events in memory; without `claimed` another node delivers, and never ends its claim."""

    clock: ManualClock
    events: list[bytes] = field(default_factory=list)
    same: list[str] = field(default_factory=list)
    armed: int = 0
    claimed: bool = True
    owner: str = ""
    until: float = 0.0
    lost_so_far: int = 0

    async def lost(self) -> int:
        """Say what the test says."""
        return self.lost_so_far

    async def arm(self) -> None:
        """Count it."""
        self.armed += 1

    async def announce(self, same: str, for_s: float, event: Mapping[str, Any]) -> bool:
        """Take an event."""
        self.same.append(same)
        self.events.append(json.dumps(event).encode())
        return True

    async def claim(self, owner: str, for_s: float) -> bool:
        """Give it to whoever has it, or to anybody once that claim is over."""
        if not self.claimed or (self.owner != owner and self.clock.now < self.until):
            return False
        self.owner, self.until = owner, self.clock.now + for_s
        return True

    async def waiting(self, most: int) -> Sequence[tuple[int, bytes]]:
        """Return the oldest."""
        return [(0, event) for event in self.events[:most]]

    async def delivered(self, shard: int, event: bytes) -> None:
        """Strike it out."""
        self.events.remove(event)


class Bench:
    """A webhook that fails as often as the test says."""

    def __init__(self, failures: int = 0, post_s: float = 0.0) -> None:
        self.clock = ManualClock()
        self.outbox = Outbox(self.clock)
        self.failures = failures
        self.post_s = post_s
        self.posts: list[tuple[str, dict[str, Any]]] = []
        self.hooks = self.node("n1")

    def node(self, name: str) -> Webhooks:
        """Make what delivers from one node."""
        return Webhooks("shop", name, self.outbox, self._post, self._letter, self.clock)

    async def _post(self, event_id: str, at_s: int, body: bytes) -> None:
        self.posts.append((event_id, json.loads(body)))
        self.clock.now += self.post_s
        if self.failures:
            self.failures -= 1
            raise NotDelivered("it answered 500")

    async def _letter(self, fingerprint: str) -> Mapping[str, Any] | None:
        return {"url": "http://a.example/1", "detail": "status 500"} if fingerprint == "known" else None


async def _end(bench: Bench) -> None:
    await bench.hooks.end("crawl_finished", {"done": 3}, 5.0)


async def test_the_end_of_a_crawl_is_told_with_what_waits() -> None:
    """In order, each with an id that it keeps, and with what is known of a letter."""
    bench = Bench()
    for name in ("known", "replayed"):
        event = {"type": "dead_letter", "at": 1_700_000_000_123, "id": name, "reason": "http_5xx"}
        bench.outbox.events.append(json.dumps(event).encode())
    await _end(bench)
    told = [body for _, body in bench.posts]
    assert [one["type"] for one in told] == ["dead_letter", "dead_letter", "crawl_finished"]
    assert told[0]["data"]["url"] == "http://a.example/1"
    assert told[0]["timestamp"] == "2023-11-14T22:13:20.123Z"
    assert told[1]["data"] == {"id": "replayed", "reason": "http_5xx"}
    assert (told[2]["crawl"], told[2]["data"]) == ("shop", {"done": 3})
    assert len({event_id for event_id, _ in bench.posts}) == 3
    assert all(event_id == body["id"] for event_id, body in bench.posts)
    assert bench.outbox.events == []


async def test_what_is_not_taken_waits_and_is_tried_again_later() -> None:
    """Under the same id; what comes after it waits for it."""
    bench = Bench(failures=1)
    await _end(bench)
    assert len(bench.posts) == 1
    assert len(bench.outbox.events) == 1
    bench.clock.now += 0.5
    assert not await bench.hooks._deliver()
    assert len(bench.posts) == 1
    bench.clock.now += 0.5
    assert await bench.hooks._deliver()
    assert bench.posts[0][0] == bench.posts[1][0]
    assert bench.outbox.events == []


async def test_an_event_is_given_up_after_ten_tries(caplog: pytest.LogCaptureFixture) -> None:
    """The pauses grow, to a minute at most; the next one is told."""
    bench, tried_at = Bench(failures=10), []
    bench.outbox.events += [b'{"type":"one","at":1}', b'{"type":"two","at":2}']
    while bench.outbox.events:
        before = len(bench.posts)
        await bench.hooks._deliver()
        tried_at += [bench.clock.monotonic()] * (len(bench.posts) > before)
        bench.clock.now += 1.0
    assert [body["type"] for _, body in bench.posts] == ["one"] * 10 + ["two"]
    pauses = [round(later - earlier) for earlier, later in pairwise(tried_at)]
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert "in 10 tries" in caplog.text
    assert bench.outbox.events == []


async def test_an_event_is_given_up_after_ten_tries_however_many_nodes_there_are() -> None:
    """None of them takes over while another waits to try again: it would begin to count anew."""
    bench = Bench(failures=100, post_s=3.0)
    nodes = [bench.hooks, bench.node("n2"), bench.node("n3")]
    bench.outbox.events.append(b'{"type":"one","at":1}')
    for _ in range(1000):
        for node in nodes:
            await node._deliver()
        bench.clock.now += 1.0
    assert len(bench.posts) == 10
    assert bench.outbox.events == []


async def test_a_node_that_delivers_slowly_keeps_its_claim() -> None:
    """However many events there are: another node would deliver the same ones beside it."""
    bench = Bench(post_s=9.0)
    bench.outbox.events += [b'{"type":"x","at":%d}' % number for number in range(20)]
    assert await bench.hooks._deliver()
    assert bench.outbox.until > bench.clock.now
    assert len(bench.posts) == 20


async def test_another_node_delivers_where_it_has_the_outbox() -> None:
    """What this one sees is announced all the same."""
    bench = Bench()
    bench.outbox.claimed = False
    await _end(bench)
    assert bench.posts == []
    assert bench.outbox.same == ["crawl_finished"]


async def test_a_site_that_keeps_visitors_out_is_told_once() -> None:
    """By what a record says of its page, or by a URL that was given up."""
    bench = Bench()
    failed = VisitFailed(0.0, "01", "http://a.example/1", FailureKind.BLOCKED, "captcha", Fate.DEAD)
    for _ in range(2):
        bench.hooks.fold(failed)
    blocked = Record("1", "http://b.example/1", {"blocked_by": "datadome"})
    fine = Record("2", "http://c.example/1", {"blocked_by": None})
    bench.hooks.fold(Committed(0.0, Batch((blocked, fine))))
    await bench.hooks.end("", {}, 5.0)
    told = [(body["type"], body["data"]) for _, body in bench.posts]
    assert told == [
        ("site_blocked", {"site": "a.example", "why": "captcha"}),
        ("site_blocked", {"site": "b.example", "why": "datadome"}),
    ]


async def test_what_no_farm_wrote_is_told_as_that() -> None:
    """It holds nothing up."""
    bench = Bench()
    bench.outbox.events += [b"\xff", b"[]", b'{"type":"x","at":"never"}']
    await bench.hooks.end("", {}, 5.0)
    assert [body["type"] for _, body in bench.posts] == ["unreadable"] * 3
    assert bench.outbox.events == []


async def test_events_that_found_no_place_are_told_of(caplog: pytest.LogCaptureFixture) -> None:
    """Those of this run, by the node that delivers; once each."""
    bench = Bench()
    bench.outbox.lost_so_far = 7
    await bench.hooks._tell_lost()
    bench.outbox.lost_so_far = 9
    await bench.hooks._tell_lost()
    assert "lost" not in caplog.text
    bench.clock.now += LOST_EVERY_S / 2
    await bench.hooks._deliver()
    bench.clock.now += LOST_EVERY_S / 2
    await bench.node("n2")._tell_lost()
    assert "lost" not in caplog.text
    await bench.hooks._tell_lost()
    assert "2 events are lost" in caplog.text
    bench.outbox.lost_so_far = 12
    await bench.hooks.end("", {}, 5.0)
    assert "3 events are lost" in caplog.text


async def test_blocked_sites_that_find_no_place_are_told_of(caplog: pytest.LogCaptureFixture) -> None:
    """Once, however many there are."""
    bench = Bench()
    for number in range(MOST_SITES + 5):
        url = f"http://s{number}.example/"
        bench.hooks.fold(VisitFailed(0.0, "01", url, FailureKind.BLOCKED, "captcha", Fate.DEAD))
    await bench.hooks._announce_blocked()
    assert len(bench.outbox.same) == MOST_SITES
    assert caplog.text.count("what is more is left out") == 1
