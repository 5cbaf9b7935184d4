"""The outbox of a webhook: written with what happened, bounded, and struck out when it was delivered."""

import json
from typing import Any

from farm.model.outcome import Bury, FailureKind
from tests.frontier.support import START_MS, Bench


async def _events(bench: Bench) -> list[Any]:
    return [json.loads(event) for _, event in await bench.frontier.hooks.waiting(100)]


async def _bury(bench: Bench, url: str) -> str:
    await bench.add(url)
    lease = await bench.lease()
    await bench.frontier.nack(lease, Bury(FailureKind.TLS, "refused"))
    return lease.id


async def test_a_dead_letter_is_an_event_once_a_node_has_a_webhook(bench: Bench) -> None:
    """Of the letter's own transaction; before that nobody would take it."""
    await _bury(bench, "a/1")
    assert await _events(bench) == []
    await bench.frontier.hooks.arm()
    dead = await _bury(bench, "a/2")
    assert await _events(bench) == [
        {"type": "dead_letter", "at": START_MS, "id": dead, "reason": "tls"},
    ]
    assert await bench.frontier.audit() == []


async def test_what_a_shard_gives_up_itself_is_an_event_too(bench: Bench) -> None:
    """Whatever cannot be read, which has quotes and line breaks in it."""
    await bench.frontier.hooks.arm()
    await bench.add("a/1", "a/2")
    await bench.raw("LSET", "@q:5:a", 0, '"garbage\n\x00')
    await bench.lease()
    [event] = await _events(bench)
    assert (event["type"], event["reason"]) == ("dead_letter", "corrupt")


async def test_the_same_is_announced_once_in_a_while(bench: Bench) -> None:
    """By whichever node."""
    hooks = bench.frontier.hooks
    event = {"type": "site_blocked", "site": "a"}
    assert await hooks.announce("site a", 60.0, event)
    assert not await hooks.announce("site a", 60.0, event)
    assert await hooks.announce("site b", 60.0, {**event, "site": "b"})
    assert [one["site"] for one in await _events(bench)] == ["a", "b"]


async def test_an_event_stays_until_it_was_delivered(bench: Bench) -> None:
    """And is struck out by itself, whoever has struck out others meanwhile."""
    hooks = bench.frontier.hooks
    await hooks.arm()
    for number in range(3):
        await _bury(bench, f"a/{number}")
    first, second, third = await hooks.waiting(3)
    assert await hooks.waiting(1) == [first]
    await hooks.delivered(*second)
    await hooks.delivered(*second)
    assert await hooks.waiting(9) == [first, third]


async def test_one_node_delivers_at_a_time(bench: Bench) -> None:
    """Who has it may go on; the others have it when he is gone."""
    hooks = bench.frontier.hooks
    assert await hooks.claim("n1", 60.0)
    assert await hooks.claim("n1", 60.0)
    assert not await hooks.claim("n2", 60.0)
    await bench.raw("DEL", "@hookclaim")
    assert await hooks.claim("n2", 60.0)


async def test_an_outbox_that_is_full_counts_what_it_loses(bench: Bench) -> None:
    """The letters themselves are all there."""
    hooks = bench.frontier.hooks
    await hooks.arm()
    await bench.raw("RPUSH", "@hooks", *("{}" for _ in range(10_000)))
    await _bury(bench, "a/1")
    assert await bench.raw("LLEN", "@hooks") == 10_000
    assert await hooks.lost() == 1
    assert await bench.frontier.dead.count() == 1
