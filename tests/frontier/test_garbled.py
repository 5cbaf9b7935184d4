"""What somebody else has garbled in Redis is buried, once; it stops nobody, and the books balance."""

import pytest

from farm.frontier import keys
from farm.frontier.client import RedisClient
from farm.frontier.dead import DeadFilter
from farm.frontier.nodes import LONGEST_SILENCE_S
from farm.frontier.shards import decode_counters, encode_counters
from farm.model.crawl import Ledger
from farm.model.outcome import Ack, Bury, FailureKind, Retry
from farm.model.task import Idle
from tests.frontier.support import Bench


async def _finish(bench: Bench) -> set[str]:
    """Visit what there is, and return the URLs; the crawl must end."""
    visited: set[str] = set()
    while True:
        got = await bench.frontier.lease(bench.wish())
        if isinstance(got, Idle):
            if got.reason == "empty":
                return visited
            await bench.frontier.maintain()
            bench.clock.advance(1)
            continue
        visited.add(got.task.url)
        await bench.done(got)


@pytest.mark.parametrize("member", ["garbage", "a\ngarbage", "a\n0123456789abcdefX[", "\n", "a\n\x00\xff["])
async def test_what_is_delayed_and_cannot_be_read_holds_nothing_up(bench: Bench, member: str) -> None:
    """What is due in the same call comes home; nothing is moved before it was looked at."""
    await bench.add("a/1", "a/2", "b/1")
    for n in range(2):
        await bench.frontier.nack(await bench.lease(f"s{n}"), Retry(FailureKind.TIMEOUT, 1))
    (first, _) = await bench.raw("ZRANGE", "@delayed", 0, -1)
    await bench.raw("ZREM", "@delayed", first)
    await bench.raw("ZADD", "@delayed", 5, member)
    assert any("cannot be read" in violation for violation in await bench.frontier.audit())
    bench.clock.advance(5)
    assert len(await _finish(bench)) == 2
    assert await bench.frontier.audit() == []
    assert (await bench.frontier.stats()).dead_by_reason == {"corrupt": 1}


@pytest.mark.parametrize("entry", ["garbage", "0123456789abcdef5[oops"])
async def test_the_same_garbage_twice_is_two_letters(bench: Bench, entry: str) -> None:
    """No letter replaces another, whether the script finds it out or the client."""
    await bench.add("a/1", "a/2", "a/3")
    for place in (0, 1):
        await bench.raw("LSET", "@q:5:a", place, entry)
    assert await _finish(bench) == {"http://a/3"}
    assert (await bench.frontier.stats()).ledger == Ledger(accepted=3, done=1, dead=2)
    assert len(await bench.frontier.dead.page(DeadFilter("corrupt"))) == 2


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "javascript:alert(1)",
        "http://[",
        "http://",
        "/a",
        "a/1",
        "http://a:65536/",
        "http://a b/",
    ],
)
async def test_what_is_no_address_of_the_web_is_never_handed_out(bench: Bench, url: str) -> None:
    """Whoever can write to Redis shall not have the browser read files."""
    await bench.add("a/1", "a/2")
    entry = (await bench.raw("LINDEX", "@q:5:a", 0)).decode()
    await bench.raw("LSET", "@q:5:a", 0, f'{entry[:17]}["{url}"]')
    assert await _finish(bench) == {"http://a/2"}
    assert await bench.frontier.audit() == []
    assert (await bench.frontier.stats()).dead_by_reason == {"corrupt": 1}


@pytest.mark.parametrize("rubbish", ["garbage", "x" * 32])
async def test_rubbish_for_another_shard_is_buried_there(
    client: RedisClient, redis_url: str, rubbish: str
) -> None:
    """What stands behind it is delivered, and delivered again it changes nothing."""
    bench = await Bench.open(client, redis_url, shards=2)
    sites = [f"s{n}" for n in range(9)]
    home = [site for site in sites if bench.frontier.shards.of(site) == 0]
    away = [site for site in sites if bench.frontier.shards.of(site) == 1]
    await bench.add(f"{home[0]}/1")
    await bench.frontier.ack(await bench.lease(), Ack(links=[bench.task(f"{site}/2") for site in away]))
    lost = await client.command("LINDEX", f"{keys.prefix(bench.crawl)}outbox:1", 0)
    await client.command("LSET", f"{keys.prefix(bench.crawl)}outbox:1", 0, rubbish)
    seen = int(len(rubbish) == 32)
    for _ in range(2):
        assert (await bench.frontier.shards.run(1, "deliver", 0, 0, 0, seen, rubbish))[0] == 0
    await bench.frontier.maintain()
    assert await _finish(bench) == {f"http://{site}/2" for site in away} - {lost.split(b'"')[1].decode()}
    assert await bench.frontier.audit() == []
    assert (await bench.frontier.stats()).dead_by_reason == {"corrupt": 1}


async def test_fingerprints_from_another_shard_split_the_buckets(client: RedisClient, redis_url: str) -> None:
    """As links do: a shard that hears mostly of redirects keeps its buckets small."""
    bench = await Bench.open(client, redis_url, shards=2)
    ctl = keys.ctl(bench.crawl, 1)
    counters = decode_counters(await client.command("GET", ctl))
    # Pretend that most of what fits 4,096 buckets is known.
    await client.command("SET", ctl, encode_counters({**counters, "dropped": 200 * 4096 - 100}))
    known = [f"{2**52 + n}{n:016x}" for n in range(1100)]
    assert (await bench.frontier.shards.run(1, "deliver", 0, 0, 0, len(known), *known))[0] == 0
    counters = decode_counters(await client.command("GET", ctl))
    assert (counters["seen"], counters["buckets"]) == (1100, 4096 + 5)


@pytest.mark.parametrize("letter", ["garbage", "unlisted\n5\nd\na\nx", "\n\n\n\n"])
async def test_a_garbled_letter_can_be_dropped(bench: Bench, letter: str) -> None:
    """It no longer says under which reason it is listed."""
    await bench.add("a/1", "a/2")
    first, lease = await bench.lease("s1"), await bench.lease("s2")
    for one in (first, lease):
        await bench.frontier.nack(one, Bury(FailureKind.TLS))
    await bench.raw("HSET", "@dead", lease.id, letter)
    assert await bench.frontier.shards.run(0, "move_dead", "drop", "call", lease.id) == 1
    assert await bench.frontier.audit() == []
    assert (await bench.frontier.stats()).dead_by_reason == {"tls": 1}


async def test_names_that_are_no_text_are_nobodys(bench: Bench) -> None:
    """Neither of a node that feeds the crawl, nor of one that is gone, nor of a proxy that is banned."""
    await bench.add("a/1")
    feeds = keys.feeds(bench.crawl)
    await bench.client.command("SADD", feeds, b"\xff")
    assert not await bench.frontier.feeders.any()
    assert await bench.client.command("SCARD", feeds) == 0
    await bench.raw("ZADD", "@left", 5, b"\xff")
    await bench.raw("HSET", "@gone", b"\xff", b"\xfe x {}")
    await bench.raw("ZADD", "@nodes", "-1e300", "n")
    history = await bench.frontier.nodes.history()
    assert [one.is_alive for one in history if one.name != "n"] == [False]
    assert all(0 <= one.silent_s <= LONGEST_SILENCE_S for one in history)
    await bench.raw("HSET", "@bans", b"\xff", b"99999999999999 1")
    assert [ban.proxy for ban in await bench.frontier.bans.exchange([])] == ["\ufffd"]
