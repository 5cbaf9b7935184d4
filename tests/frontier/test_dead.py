"""Dead letters: listed, shown, replayed, dropped."""

import re
from datetime import UTC, datetime
from typing import Any

import pytest

from farm.frontier import dead as dead_letters
from farm.frontier.dead import DeadFilter, DeadLetter
from farm.model.crawl import Ledger
from farm.model.errors import UsageError
from farm.model.outcome import Bury, FailureKind, Retry
from tests.frontier.support import START_MS, Bench


async def _bury(bench: Bench, count: int, reason: FailureKind = FailureKind.TIMEOUT) -> None:
    await bench.add(*(f"{reason}/{n:03}" for n in range(count)))
    for _ in range(count):
        lease = await bench.lease()
        await bench.frontier.nack(lease, Bury(reason, f"said {lease.task.url}"))


async def test_a_letter_says_what_why_and_when(bench: Bench) -> None:
    """And how often it was tried."""
    await bench.frontier.add([bench.task("a/1", depth=2, meta={"k": 1})])
    await bench.frontier.nack(await bench.lease(), Retry(FailureKind.TIMEOUT, 0))
    lease = await bench.lease()
    await bench.frontier.nack(lease, Bury(FailureKind.TIMEOUT, "no  answer\nat all"))
    letter = await bench.frontier.dead.show(lease.id)
    assert letter.task == lease.task
    assert (letter.reason, letter.detail, letter.attempts) == ("timeout", "no answer at all", 2)
    assert letter.at == datetime.fromtimestamp(START_MS / 1000, UTC)
    assert await bench.frontier.dead.page() == [letter]


async def test_pages_run_through_the_reasons(bench: Bench) -> None:
    """Each letter stands on one page."""
    await _bury(bench, 7, FailureKind.TLS)
    await _bury(bench, 5, FailureKind.CRASH)
    dead = bench.frontier.dead
    pages = [await dead.page(start=start, size=4) for start in (0, 4, 8, 12)]
    assert [len(page) for page in pages] == [4, 4, 4, 0]
    assert len({letter.id for page in pages for letter in page}) == 12
    assert [letter.reason for letter in await dead.page(DeadFilter("tls"), start=5, size=9)] == ["tls", "tls"]


@pytest.mark.parametrize(
    ("which", "count"),
    [
        (DeadFilter(site="tls"), 7),
        (DeadFilter("tls", site="tls"), 7),
        (DeadFilter("crash", site="tls"), 0),
        (DeadFilter(site="tl"), 0),
        (DeadFilter(pattern=re.compile("/00[0-2]$")), 6),
        (DeadFilter("crash", pattern=re.compile("/00[0-2]$")), 3),
        (DeadFilter(site="crash", pattern=re.compile("nowhere")), 0),
        (DeadFilter(text="ls/00"), 7),
        (DeadFilter(text="said"), 0),
        (DeadFilter(text="\udcff"), 0),
    ],
)
@pytest.mark.parametrize("action", ["replay", "drop"])
async def test_letters_are_chosen_by_site_and_pattern(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, which: DeadFilter, count: int, action: str
) -> None:
    """Those that are not meant stay, however the pages of letters fall."""
    monkeypatch.setattr(dead_letters, "BATCH", 2)
    await _bury(bench, 7, FailureKind.TLS)
    await _bury(bench, 5, FailureKind.CRASH)
    dead = bench.frontier.dead
    listed = [letter.id for letter in await dead.page(which)]
    assert len(set(listed)) == len(listed) == await dead.count(which) == count
    pages = [await dead.page(which, start=start, size=2) for start in range(0, 8, 2)]
    assert [letter.id for page in pages for letter in page] == listed
    for start in range(0, 8, 2):
        page = await dead.page(which, start=start, size=2)
        assert await dead.counted_page(which, start=start, size=2) == (page, count)
    assert await (dead.replay(which) if action == "replay" else dead.drop(which)) == count
    assert await dead.count() == 12 - count
    assert not {letter.id for letter in await dead.page()} & set(listed)


async def test_a_letter_that_is_not_meant_is_not_read(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a million that would take a crawl's event loop for many seconds; what is meant is read once."""
    await _bury(bench, 7, FailureKind.TLS)
    await _bury(bench, 5, FailureKind.CRASH)
    read: list[bytes] = []
    letter_of = dead_letters.letter_of

    def noted(fingerprint: bytes, letter: bytes) -> DeadLetter:
        read.append(fingerprint)
        return letter_of(fingerprint, letter)

    monkeypatch.setattr(dead_letters, "letter_of", noted)
    dead = bench.frontier.dead
    found, total = await dead.counted_page(DeadFilter(text="tls/00"), size=3)
    assert (len(found), total, len(read)) == (3, 7, 7)
    read.clear()
    assert await dead.counted_page(DeadFilter(site="nowhere", text="tls")) == ([], 0)
    assert read == []


async def test_a_replay_ends_when_its_time_is_over(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """And says that letters are left; another one goes on."""
    monkeypatch.setattr(dead_letters, "BATCH", 2)
    await _bury(bench, 5, FailureKind.TLS)
    now = iter(range(100))
    monkeypatch.setattr(dead_letters, "monotonic", lambda: next(now))
    dead = bench.frontier.dead
    assert await dead.replay_within(DeadFilter("tls"), 2.5) == (4, False)
    assert await dead.replay_within(DeadFilter("tls"), 2.5) == (1, True)
    assert await bench.ledger() == Ledger(accepted=5, queued=5)


async def test_many_ids_are_looked_up_together(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A round trip each would take a program's thousand ids seconds on a Cluster."""
    await _bury(bench, 6)
    dead = bench.frontier.dead
    ids = [letter.id for letter in await dead.page()]
    asked: list[Any] = []
    command = bench.client.command

    async def noted(*args: Any, **options: Any) -> Any:
        asked.append(args[0])
        return await command(*args, **options)

    monkeypatch.setattr(bench.client, "command", noted)
    assert await dead.replay_ids(ids) == 6
    assert asked == ["HMGET"]


async def test_a_site_is_also_meant_by_its_host(bench: Bench) -> None:
    """All ports of it, where no port is given."""
    for site in ("a:8080", "a", "b"):
        await bench.add(f"{site}/1")
        await bench.frontier.nack(await bench.lease(), Bury(FailureKind.TLS, ""))
    dead = bench.frontier.dead
    assert await dead.count(DeadFilter(site="a")) == 2
    assert await dead.count(DeadFilter(site="a:8080")) == 1


async def test_a_replayed_letter_starts_anew(bench: Bench) -> None:
    """With all its attempts."""
    await _bury(bench, 3, FailureKind.TLS)
    await _bury(bench, 2, FailureKind.CRASH)
    assert await bench.frontier.dead.replay(DeadFilter("tls")) == 3
    assert await bench.ledger() == Ledger(accepted=5, queued=3, dead=2)
    assert (await bench.lease()).attempt == 1
    assert await bench.frontier.dead.replay() == 2
    assert (await bench.ledger()).dead == 0


async def test_a_dropped_letter_stays_known(bench: Bench) -> None:
    """No link brings it back."""
    await _bury(bench, 2)
    assert await bench.frontier.dead.drop() == 2
    assert await bench.ledger() == Ledger()
    assert await bench.add("timeout/000") == 0


async def test_an_unknown_id_or_reason_is_one_sentence(bench: Bench) -> None:
    """And moves nothing, not even the ids before it."""
    await _bury(bench, 1)
    dead = bench.frontier.dead
    known = (await dead.page())[0].id
    with pytest.raises(UsageError, match="no dead letter 'ffff'"):
        await dead.replay_ids([known, "ffff"])
    with pytest.raises(UsageError, match="'bored' is not a reason"):
        await dead.drop(DeadFilter("bored"))
    assert (await bench.ledger()).dead == 1
    assert await dead.replay_ids([known]) == 1


async def test_replaying_twice_is_replaying_once(bench: Bench) -> None:
    """Whoever heard no answer asks again."""
    await _bury(bench, 2)
    dead = bench.frontier.dead
    ids = [letter.id for letter in await dead.page()]
    assert await dead.replay_ids(ids[:1]) == 1
    assert await dead.replay_ids(ids) == 1
    assert await dead.replay_ids(ids) == 0
    assert await bench.ledger() == Ledger(accepted=2, queued=2)


async def test_what_cannot_be_read_can_only_be_dropped(bench: Bench) -> None:
    """Replaying passes it over, and ends."""
    await bench.add("a/1", "a/2")
    await bench.raw("LSET", "@q:5:a", 0, "garbage")
    await bench.done(await bench.lease())
    dead = bench.frontier.dead
    (letter,) = await dead.page()
    assert (letter.reason, letter.task) == ("corrupt", None)
    assert await dead.replay() == 0
    assert await dead.drop() == 1
    assert (await bench.frontier.stats()).ledger.dead == 0


@pytest.mark.parametrize(
    "letter",
    [
        b"tls\nxx\nsaid so\na\nENTRY",
        b"tls\n99999999999999999999\nsaid so\na\nENTRY",
        b"tls\n5\nsaid so\n\xff\nENTRY",
        b"tls\n5\nsaid so\na\n\xff",
        b"tls\n5\n\xff\n\xff\n" + b"0123456789abcdef5[\xff",
    ],
    ids=["no date", "a date too far", "a site that is no text", "no entry", "nothing that is a text"],
)
async def test_a_garbled_letter_is_listed_so_that_it_can_be_dropped(bench: Bench, letter: bytes) -> None:
    """Whatever of it cannot be read; an id may be no text either."""
    await _bury(bench, 2, FailureKind.TLS)
    dead = bench.frontier.dead
    garbled, sound = await dead.page()
    stored = await bench.raw("HGET", "@dead", garbled.id)
    await bench.raw("HSET", "@dead", garbled.id, letter.replace(b"ENTRY", stored.split(b"\n", 4)[4]))
    listed = (await dead.page())[0]
    assert (listed.id, listed.reason) == (garbled.id, "tls")
    assert listed.at is None or listed.task is None
    assert await dead.show(garbled.id) == listed
    assert await dead.drop_ids([garbled.id]) == 1
    assert await dead.page() == [sound]


async def test_an_id_that_is_no_text_is_dropped_with_the_rest(bench: Bench) -> None:
    """By itself too, as the shell hands it over."""
    await _bury(bench, 2, FailureKind.TLS)
    dead = bench.frontier.dead
    for n, letter in enumerate(await dead.page()):
        stored = await bench.raw("HGET", "@dead", letter.id)
        await bench.raw("HDEL", "@dead", letter.id)
        await bench.raw("ZREM", "@dead:tls", letter.id)
        await bench.raw("HSET", "@dead", b"%d\xff" % n, stored)
        await bench.raw("ZADD", "@dead:tls", n, b"%d\xff" % n)
    assert [letter.id for letter in await dead.page()] == ["0\\xff", "1\\xff"]
    with pytest.raises(UsageError, match="no dead letter"):
        await dead.show("\udcff")
    assert await dead.drop_ids(["0\udcff"]) == 1
    assert await dead.drop() == 1
    assert (await bench.frontier.stats()).ledger.dead == 0


async def test_a_letter_that_cannot_be_read_is_not_replayed_by_its_id(bench: Bench) -> None:
    """It is named, with what can be done about it, and nothing moves."""
    await bench.add("a/1", "a/2")
    await bench.raw("LSET", "@q:5:a", 0, "garbage")
    await bench.done(await bench.lease())
    dead = bench.frontier.dead
    (letter,) = await dead.page()
    with pytest.raises(UsageError, match=r"cannot be read.*`farm dead drop [0-9a-f]+` forgets it"):
        await dead.replay_ids([letter.id])
    assert (await bench.frontier.stats()).ledger.dead == 1
