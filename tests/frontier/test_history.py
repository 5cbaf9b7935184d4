"""What is known of a URL's failed visits: kept while it may fail again or is dead, and no longer."""

from datetime import UTC, datetime

import pytest

from farm.frontier.history import DETAIL_CHARS, PastVisit, decode_history
from farm.model.outcome import Ack, Bury, FailedVisit, FailureKind, Release, Retry
from farm.runtime.visit_trace import VisitTrace
from tests.frontier.support import START_MS, Bench

TIMEOUT = FailureKind.TIMEOUT
VISIT = FailedVisit("timeout", "no answer", "navigate", "n1", "07", "proxy-1", 0, {"lease": 2, "total": 900})


async def _kept(bench: Bench) -> int:
    """Return of how many URLs a history is kept."""
    return int(await bench.raw("HLEN", "@failed"))


async def test_each_failed_visit_is_told_of_with_its_letter(bench: Bench) -> None:
    """In order, with the time, the place, how far it came and why it ended."""
    await bench.add("a/1")
    await bench.frontier.nack(await bench.lease(), Retry(TIMEOUT, 0, "no answer"), VISIT)
    bench.clock.advance(5)
    released = FailedVisit("released", "captcha: another address is tried", "judge", "n2", "01", "p2", 403)
    await bench.frontier.nack(await bench.lease(), Release(released.detail), released)
    buried = FailedVisit("http_5xx", "status 500", "judge", "n1", "01", None, 500, {"total": 7}, ("a.jpg",))
    lease = await bench.lease()
    await bench.frontier.nack(lease, Bury(FailureKind.HTTP_5XX, "status 500"), buried)
    first, later = (datetime.fromtimestamp(START_MS / 1000 + s, UTC) for s in (0, 5))
    assert await bench.frontier.dead.history(lease.id) == (
        PastVisit(first, VISIT),
        PastVisit(later, released),
        PastVisit(later, buried),
    )
    assert await bench.frontier.dead.history("0" * 16) == ()


@pytest.mark.parametrize(
    "outcome", [Retry(TIMEOUT, 0), Retry(TIMEOUT, 0, throttled=True), Release("a proxy")]
)
async def test_a_url_that_is_done_in_the_end_has_no_history(bench: Bench, outcome: Retry | Release) -> None:
    """Nor has one that failed without being told of."""
    await bench.add("a/1")
    await bench.frontier.nack(await bench.lease(), outcome, VISIT)
    assert await _kept(bench) == 1
    assert await bench.frontier.audit() == []
    lease = await bench.lease()
    assert lease.attempt == (2 if outcome == Retry(TIMEOUT, 0) else 1)
    await bench.frontier.ack(lease, Ack())
    assert await _kept(bench) == 0


async def test_a_release_that_is_not_told_of_leaves_the_url_as_it_was(bench: Bench) -> None:
    """A farm that stops gives back what it holds."""
    await bench.add("a/1")
    await bench.frontier.nack(await bench.lease(), Release("the farm was stopped"))
    assert await _kept(bench) == 0
    assert b"0.0.0" not in await bench.raw("LINDEX", "@q:5:a", 0)


@pytest.mark.parametrize("action", ["replay", "drop"])
async def test_a_letter_takes_its_history_with_it(bench: Bench, action: str) -> None:
    """A replayed URL starts anew."""
    await bench.add("a/1")
    await bench.frontier.nack(await bench.lease(), Bury(TIMEOUT), VISIT)
    dead = bench.frontier.dead
    assert await (dead.replay() if action == "replay" else dead.drop()) == 1
    assert await _kept(bench) == 0


async def test_a_repeated_settlement_is_told_of_once(bench: Bench) -> None:
    """The reply may be lost."""
    await bench.add("a/1")
    lease = await bench.lease()
    for _ in range(2):
        await bench.frontier.nack(lease, Bury(TIMEOUT), VISIT)
    assert len(await bench.frontier.dead.history(lease.id)) == 1


async def test_the_last_ten_visits_are_kept(bench: Bench) -> None:
    """Of a URL that is delayed again and again."""
    await bench.add("a/1")
    lease = await bench.lease()
    for number in range(13):
        lease = lease if number == 0 else await bench.lease()
        await bench.frontier.nack(lease, Retry(TIMEOUT, 0), FailedVisit("timeout", str(number)))
    history = await bench.frontier.dead.history(lease.id)
    assert [past.visit.detail for past in history] == [str(number) for number in range(3, 13)]


async def test_a_visit_takes_a_bounded_line(bench: Bench) -> None:
    """Whatever a page says."""
    await bench.add("a/1")
    lease = await bench.lease()
    await bench.frontier.nack(lease, Bury(TIMEOUT), FailedVisit("timeout", "a\nb\\" * 9999, node="n" * 9999))
    (past,) = await bench.frontier.dead.history(lease.id)
    assert len(past.visit.detail) == DETAIL_CHARS
    assert len(await bench.raw("HGET", "@failed", lease.id)) < 700


@pytest.mark.parametrize("kind", ["retry", "bury", "release"])
async def test_a_reason_with_half_of_a_surrogate_pair_is_kept(bench: Bench, kind: str) -> None:
    """A page's script can put it into a title, and a handler that title into its reason."""
    why = "no price on odd \ud800"
    made: dict[str, Retry | Bury | Release] = {
        "retry": Retry(FailureKind.HANDLER, 0, why),
        "bury": Bury(FailureKind.HANDLER, why),
        "release": Release(why),
    }
    await bench.add("a/1")
    lease, outcome = await bench.lease(), made[kind]
    await bench.frontier.nack(lease, outcome, VisitTrace("n1", "01").failed(outcome))
    (past,) = await bench.frontier.dead.history(lease.id)
    assert past.visit.detail == "no price on odd \ufffd"
    assert await bench.frontier.audit() == []


async def test_histories_are_kept_of_a_bounded_number_of_urls(bench: Bench) -> None:
    """Of those that failed first; the letters themselves are all there."""
    await bench.add("a/1", "a/2")
    first = await bench.lease()
    await bench.frontier.nack(first, Retry(TIMEOUT, 60), VISIT)
    await bench.raw("HSET", "@failed", *(part for n in range(99_999) for part in (n, b"")))
    second = await bench.lease()
    await bench.frontier.nack(second, Bury(TIMEOUT), VISIT)
    assert await bench.frontier.dead.history(second.id) == ()
    assert (await bench.frontier.dead.show(second.id)).reason == "timeout"
    bench.clock.advance(61)
    again = await bench.lease()
    await bench.frontier.nack(again, Bury(TIMEOUT), VISIT)
    assert again.id == first.id
    assert len(await bench.frontier.dead.history(first.id)) == 2


async def test_a_death_of_the_node_is_a_line_of_the_history(bench: Bench) -> None:
    """The shard itself notes it: nobody else is left to."""
    await bench.add("a/1")
    lease = await bench.lease('n"1/01')
    bench.clock.advance(31)
    assert await bench.frontier.maintain() == 1
    (past,) = await bench.frontier.dead.history(lease.id)
    assert past.visit == FailedVisit("worker_died", "its node died", node='n"1')
    await bench.done(await bench.lease("s2"))
    assert await _kept(bench) == 0


@pytest.mark.parametrize(
    ("stored", "count"),
    [
        (b"", 0),
        (b"5 {}", 1),
        (b"no date {}\n5 {}", 1),
        (b'5 []\n5 {"reason":5,"timings_ms":[],"status":-1,"snapshot":{"a":1}}', 1),
        (b'x {"timings_ms":{"a":"b"},"snapshot":[1,"p"]}', 1),
        (b"\xff\n5 \xff", 0),
    ],
)
def test_what_no_farm_wrote_is_left_out(stored: bytes, count: int) -> None:
    """Line by line, field by field."""
    assert len(decode_history(stored)) == count
