"""Each script on its own: the whole state before, one call, the whole state after."""

from collections.abc import Mapping
from typing import Any

import pytest

from farm.frontier import keys
from farm.frontier.counters import decode, encode
from farm.frontier.scripts import SCRIPTS
from farm.frontier.terms import Politeness, Terms
from tests.frontier.support import START_MS, Bench

NOW = START_MS
A1, A2, B1 = "00000000000000a1", "00000000000000a2", "00000000000000b1"
SEEN_A1 = {"set": {str(0xA1)}}
TERMS = {**Terms().counters(), **Politeness().counters(), "buckets": 4096, "shards": 1, "generations": 1}
TERMS |= {"capacity": 1_000_000, "bloom_room": 1_000_000, "real": NOW, "now": NOW}
ENTRY_A1, ENTRY_A2, ENTRY_B1 = f'{A1}5["http://a/1"]', f'{A2}5["http://a/2"]', f'{B1}7["http://b/1"]'
TOKEN = "1000000123"
HELD = f"\nr0\n{A1}\n{TOKEN}\na\n\n1\n{ENTRY_A1}"
WISH = ("r1", "", 0, "", "123", 0)

State = dict[str, Any]


async def _seed(bench: Bench, counters: Mapping[str, int], state: State) -> None:
    for key in await bench.client.keys(keys.every_key("test")):
        if not key.endswith(b":crawl"):
            await bench.client.command("DEL", key)
    await bench.raw("SET", "@ctl", encode({**TERMS, **counters}))
    for name, value in state.items():
        match value:
            case {"hash": fields}:
                await bench.raw("HSET", f"@{name}", *(part for pair in fields.items() for part in pair))
            case {"zset": scores}:
                await bench.raw("ZADD", f"@{name}", *(p for m, score in scores.items() for p in (score, m)))
            case {"list": items}:
                await bench.raw("RPUSH", f"@{name}", *items)
            case {"set": members}:
                await bench.raw("SADD", f"@{name}", *members)
            case {"string": value}:
                await bench.raw("SET", f"@{name}", value)


async def _dump(bench: Bench) -> tuple[dict[str, int], State]:
    """Return the counters that are not terms, and every other key."""
    state: State = {}
    prefix = keys.prefix("test")
    for key in await bench.client.keys(keys.every_key("test")):
        name = key.decode().removeprefix(prefix)
        kind = (await bench.client.command("TYPE", key)).decode()
        if name in ("ctl", "crawl"):
            continue
        if kind == "hash":
            fields = await bench.client.command("HGETALL", key)
            state[name] = {"hash": {k.decode(): v.decode() for k, v in fields.items()}}
        elif kind == "zset":
            flat = await bench.client.command(
                "EVAL", "return redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')", 1, key
            )
            state[name] = {"zset": {flat[i].decode(): int(flat[i + 1]) for i in range(0, len(flat), 2)}}
        elif kind == "list":
            state[name] = {
                "list": [item.decode() for item in await bench.client.command("LRANGE", key, 0, -1)]
            }
        elif kind == "string":
            state[name] = {"string": (await bench.client.command("GET", key)).decode()}
        else:
            state[name] = {"set": {member.decode() for member in await bench.client.command("SMEMBERS", key)}}
    counters = decode(await bench.raw("GET", "@ctl"))
    return {name: value for name, value in counters.items() if value != TERMS.get(name, 0)}, state


LINK_B1 = f'{B1}7b\n["http://b/1"]'
SITE_A_IDLE = {"hash": {"b": ""}}
CASES: dict[str, tuple[dict[str, int], State, tuple[Any, ...], Any, dict[str, int], State]] = {
    "add": (
        {"accepted": 1, "done": 1, "sites": 1},
        {"seen:000": SEEN_A1, "site:a": SITE_A_IDLE},
        ("add", f'{A1}5a\n["http://a/1"]', LINK_B1),
        1,
        {"accepted": 2, "done": 1, "sites": 2, "q7": 1, "duplicates": 1},
        {
            "seen:000": {"set": {str(0xA1), str(0xB1)}},
            "site:a": SITE_A_IDLE,
            "site:b": {"hash": {"b": "7"}},
            "q:7:b": {"list": [ENTRY_B1]},
            "ready:7": {"zset": {"b": NOW}},
        },
    ),
    "lease": (
        {"accepted": 2, "sites": 1, "q5": 2},
        {
            "seen:000": {"set": {str(0xA1), str(0xA2)}},
            "site:a": {"hash": {"b": "5"}},
            "q:5:a": {"list": [ENTRY_A1, ENTRY_A2]},
            "ready:5": {"zset": {"a": NOW - 9}},
        },
        ("lease", "s1", *WISH),
        [b"LEASE", b"1000000000123", b"a", ENTRY_A1.encode()],
        {"accepted": 2, "sites": 1, "q5": 1, "leased": 1, "turn": 1, "token": NOW * 1000},
        {
            "seen:000": {"set": {str(0xA1), str(0xA2)}},
            "site:a": {"hash": {"b": "5", "f": "1"}},
            "q:5:a": {"list": [ENTRY_A2]},
            "ready:5": {"zset": {"a": NOW}},
            "slot": {"hash": {"s1": f"\nr1\n{A1}\n1000000000123\na\n\n1\n{ENTRY_A1}"}},
            "due": {"zset": {"s1": NOW + 30_000}},
        },
    ),
    "ack": (
        {"accepted": 1, "sites": 1, "leased": 1, "token": 1_000_000, "due_from": NOW + 1},
        {
            "seen:000": SEEN_A1,
            "site:a": {"hash": {"b": "", "f": "1"}},
            "slot": {"hash": {"s1": HELD}},
            "due": {"zset": {"s1": NOW + 5}},
        },
        ("ack", "s1", A1, TOKEN, 1, *("", "", 0, "", "000", 0), 1, A2, LINK_B1),
        [b"OK"],
        {
            "accepted": 2,
            "sites": 2,
            "done": 1,
            "rendered": 1,
            "seen": 1,
            "q7": 1,
            "token": 1_000_000,
            "due_from": NOW + 1,
        },
        {
            "seen:000": {"set": {str(0xA1), str(0xA2), str(0xB1)}},
            "site:a": {"hash": {"b": "", "f": "0"}},
            "site:b": {"hash": {"b": "7"}},
            "q:7:b": {"list": [ENTRY_B1]},
            "ready:7": {"zset": {"b": NOW}},
            "slot": {"hash": {"s1": f"ack {A1} {TOKEN}\nr0\n\n\na\n\n1\n"}},
        },
    ),
    "extend": (
        {"accepted": 1, "sites": 1, "leased": 1, "token": 1_000_000},
        {
            "seen:000": SEEN_A1,
            "site:a": {"hash": {"b": "", "f": "1"}},
            "slot": {"hash": {"s1": HELD}},
            "due": {"zset": {"s1": NOW + 5}},
        },
        ("extend", "s1", A1, TOKEN, LINK_B1),
        1,
        {"accepted": 2, "sites": 2, "leased": 1, "token": 1_000_000, "q7": 1},
        {
            "seen:000": {"set": {str(0xA1), str(0xB1)}},
            "site:a": {"hash": {"b": "", "f": "1"}},
            "site:b": {"hash": {"b": "7"}},
            "q:7:b": {"list": [ENTRY_B1]},
            "ready:7": {"zset": {"b": NOW}},
            "slot": {"hash": {"s1": HELD}},
            "due": {"zset": {"s1": NOW + 5}},
        },
    ),
    "nack retry": (
        {"accepted": 1, "sites": 1, "leased": 1, "token": 1_000_000},
        {
            "site:a": {"hash": {"b": "", "f": "1"}},
            "slot": {"hash": {"s1": HELD}},
            "due": {"zset": {"s1": NOW + 5}},
        },
        ("nack", "s1", A1, TOKEN, "retry", "timeout", "why", 2000, 1),
        b"OK",
        {"accepted": 1, "sites": 1, "delayed": 1, "retried": 1, "token": 1_000_000},
        {
            "site:a": {"hash": {"b": "", "f": "0", "x": str(NOW + 2000)}},
            "delayed": {"zset": {f'a\n{A1}50.1.0["http://a/1"]': NOW + 2000}},
            "slot": {"hash": {"s1": f"retry {A1} {TOKEN}\nr0\n\n\na\n\n1\n"}},
        },
    ),
    "nack bury": (
        {"accepted": 1, "sites": 1, "leased": 1, "token": 1_000_000},
        {
            "site:a": {"hash": {"b": "", "f": "1"}},
            "slot": {"hash": {"s1": HELD}},
            "due": {"zset": {"s1": NOW + 5}},
        },
        ("nack", "s1", A1, TOKEN, "bury", "tls", "why", 0, 0),
        b"OK",
        {"accepted": 1, "sites": 1, "dead": 1, "token": 1_000_000},
        {
            "site:a": {"hash": {"b": "", "f": "0"}},
            "dead": {"hash": {A1: f"tls\n{NOW}\nwhy\na\n{ENTRY_A1}"}},
            "dead:tls": {"zset": {A1: NOW}},
            "tally": {"hash": {"tls": "1"}},
            "slot": {"hash": {"s1": f"bury {A1} {TOKEN}\nr0\n\n\na\n\n1\n"}},
        },
    ),
    "nack release": (
        {"accepted": 1, "sites": 1, "leased": 1, "token": 1_000_000},
        {
            "site:a": {"hash": {"b": "", "f": "1"}},
            "slot": {"hash": {"s1": HELD}},
            "due": {"zset": {"s1": NOW + 5}},
        },
        ("nack", "s1", A1, TOKEN, "release", "drain", "", 0, 0),
        b"OK",
        {"accepted": 1, "sites": 1, "q5": 1, "token": 1_000_000},
        {
            "site:a": {"hash": {"b": "5", "f": "0"}},
            "q:5:a": {"list": [ENTRY_A1]},
            "ready:5": {"zset": {"a": NOW}},
            "slot": {"hash": {"s1": f"release {A1} {TOKEN}\nr0\n\n\na\n\n1\n"}},
        },
    ),
    "exhume drop": (
        {"accepted": 2, "done": 1, "dead": 1},
        {
            "dead": {"hash": {A1: f"tls\n5\nwhy\na\n{ENTRY_A1}"}},
            "dead:tls": {"zset": {A1: 5}},
            "tally": {"hash": {"tls": "1"}},
        },
        ("exhume", "drop", A1, A2),
        1,
        {"accepted": 1, "done": 1, "dropped": 1},
        {"tally": {"hash": {"tls": "0"}}},
    ),
    "renew": (
        {"accepted": 1, "sites": 1, "leased": 1, "token": 1_000_000, "due_from": NOW + 1},
        {
            "site:a": {"hash": {"b": "", "f": "1"}},
            "slot": {"hash": {"s1": HELD}},
            "due": {"zset": {"s1": NOW + 5}},
        },
        ("renew", "s1", A1, TOKEN, "s1", A1, "1"),
        [1, 0],
        {"accepted": 1, "sites": 1, "leased": 1, "token": 1_000_000, "due_from": NOW + 1},
        {
            "site:a": {"hash": {"b": "", "f": "1"}},
            "slot": {"hash": {"s1": HELD}},
            "due": {"zset": {"s1": NOW + 30_000}},
        },
    ),
    "maintain": (
        {"accepted": 2, "sites": 1, "leased": 1, "delayed": 1, "token": 1_000_000},
        {
            "site:a": {"hash": {"b": "", "f": "1"}},
            "slot": {"hash": {"s1": HELD}},
            "due": {"zset": {"s1": NOW}},
            "delayed": {"zset": {f"a\n{ENTRY_A2}": NOW - 1}},
        },
        ("maintain", 10),
        [2, 0],
        {
            "accepted": 2,
            "sites": 1,
            "q5": 2,
            "expired": 1,
            "token": 1_000_000,
            "due_from": NOW + 30_000,
            "delayed_from": 9_000_000_000_000_000,
        },
        {
            "site:a": {"hash": {"b": "5", "f": "0"}},
            "q:5:a": {"list": [f'{A1}50.0.1["http://a/1"]', ENTRY_A2]},
            "ready:5": {"zset": {"a": NOW}},
        },
    ),
    "control": ({}, {}, ("control", 2), 2, {"state": 2}, {}),
    "throttle": (
        {"accepted": 1, "sites": 1, "q5": 1},
        {"site:a": {"hash": {"b": "5"}}, "q:5:a": {"list": [ENTRY_A1]}, "ready:5": {"zset": {"a": NOW}}},
        ("throttle", "a", 100, 2, 3, 5000, ""),
        None,
        {"accepted": 1, "sites": 1, "q5": 1},
        {
            "site:a": {"hash": {"b": "5", "i": "100", "u": "2", "l": "3", "x": str(NOW + 5000)}},
            "q:5:a": {"list": [ENTRY_A1]},
            "ready:5": {"zset": {"a": NOW + 5000}},
        },
    ),
    "exhume replay": (
        {"accepted": 1, "sites": 1, "dead": 1},
        {
            "site:a": SITE_A_IDLE,
            "dead": {"hash": {A1: f'tls\n5\nwhy\na\n{A1}53.1.1["http://a/1"]'}},
            "dead:tls": {"zset": {A1: 5}},
            "tally": {"hash": {"tls": "1"}},
        },
        ("exhume", "replay", A1, A2),
        1,
        {"accepted": 1, "sites": 1, "q5": 1},
        {
            "site:a": {"hash": {"b": "5"}},
            "q:5:a": {"list": [ENTRY_A1]},
            "ready:5": {"zset": {"a": NOW}},
            "tally": {"hash": {"tls": "0"}},
        },
    ),
    "deliver": (
        {},
        {},
        ("deliver", 1, A2, LINK_B1, LINK_B1),
        1,
        {"accepted": 1, "sites": 1, "q7": 1, "seen": 1, "duplicates": 1},
        {
            "seen:000": {"set": {str(0xA2), str(0xB1)}},
            "site:b": {"hash": {"b": "7"}},
            "q:7:b": {"list": [ENTRY_B1]},
            "ready:7": {"zset": {"b": NOW}},
        },
    ),
    "outbox": (
        {"outbox": 3},
        {"outbox:2": {"list": ["x", "y", "z"]}, "struck": {"hash": {"2": "7"}}},
        ("outbox", 2, 2, 7),
        [2],
        {"outbox": 1},
        {"outbox:2": {"list": ["z"]}, "struck": {"hash": {"2": "9"}}},
    ),
    "outbox, read before": (
        {"outbox": 3},
        {"outbox:2": {"list": ["x", "y", "z"]}, "struck": {"hash": {"2": "7"}}},
        ("outbox", 2, 2, 5),
        [0],
        {"outbox": 3},
        {"outbox:2": {"list": ["x", "y", "z"]}, "struck": {"hash": {"2": "7"}}},
    ),
    "letters": (
        {"dead": 1},
        {"dead": {"hash": {A1: "l"}}, "dead:tls": {"zset": {A1: 5}}, "tally": {"hash": {"tls": "1"}}},
        ("letters", "tls", 0, 5),
        [1, A1.encode(), b"l"],
        {"dead": 1},
        {"dead": {"hash": {A1: "l"}}, "dead:tls": {"zset": {A1: 5}}, "tally": {"hash": {"tls": "1"}}},
    ),
    "space": (
        {"accepted": 1, "sites": 1, "q5": 1},
        {
            "site:a": {"hash": {"b": "5", "i": "700"}},
            "q:5:a": {"list": [ENTRY_A1]},
            "ready:5": {"zset": {"a": 7}},
        },
        ("space", "a", 500),
        None,
        {"accepted": 1, "sites": 1, "q5": 1},
        {
            "site:a": {"hash": {"b": "5", "i": "700", "d": "500"}},
            "q:5:a": {"list": [ENTRY_A1]},
            "ready:5": {"zset": {"a": NOW}},
        },
    ),
    "tune": (
        {},
        {"site:a": {"hash": {"b": "", "f": "2", "d": "500", "a": "old"}}},
        ("tune", "a", "old", "new", 3, 400),
        [1, b"new", str(NOW).encode(), 2, b"0", TERMS["limit"]],
        {},
        {"site:a": {"hash": {"b": "", "f": "2", "d": "500", "a": "new", "l": "3", "i": "500"}}},
    ),
    "tune, learnt by another": (
        {},
        {"site:a": {"hash": {"b": "", "a": "theirs"}}},
        ("tune", "a", "old", "new", 3, 400),
        [0, b"theirs", str(NOW).encode(), 0, b"0", TERMS["limit"]],
        {},
        {"site:a": {"hash": {"b": "", "a": "theirs"}}},
    ),
    "tune of an address": (
        {},
        {"site:a": {"hash": {"b": "", "x@p": str(NOW + 9), "f@p": "1"}}},
        ("tune", "a", "", "new", 3, 400, "p"),
        [1, b"new", str(NOW).encode(), 1, str(NOW + 9).encode(), TERMS["limit"]],
        {},
        {"site:a": {"hash": {"b": "", "x@p": str(NOW + 9), "f@p": "1", "a@p": "new", "i@p": "400"}}},
    ),
    "start": (
        {},
        {"site:a": {"hash": {"b": "", "i": "100", "s": str(NOW - 5), "i@p": "200"}}},
        ("start", "a", "p"),
        0,
        {},
        {"site:a": {"hash": {"b": "", "i": "100", "s": str(NOW + 100), "i@p": "200", "s@p": str(NOW + 200)}}},
    ),
    "start, too early": (
        {},
        {"site:a": {"hash": {"b": "", "i": "100", "s": str(NOW + 5)}}},
        ("start", "a", ""),
        5,
        {},
        {"site:a": {"hash": {"b": "", "i": "100", "s": str(NOW + 5)}}},
    ),
    "start, blocked": (
        {},
        {"site:a": {"hash": {"b": "", "x@p": str(NOW + 9)}}},
        ("start", "a", "p"),
        -9,
        {},
        {"site:a": {"hash": {"b": "", "x@p": str(NOW + 9)}}},
    ),
    "bans": (
        {},
        {
            "bans": {
                "hash": {"p": f"{NOW + 50} 1", "q": f"{NOW - 1} 1", "r": f"{NOW + 9} 2", "s": f"{NOW + 9} 1"}
            }
        },
        ("bans", *("p", 10, 1), *("r", 60, 3), *("s", 0, 0)),
        [b"p", 50, 1, b"r", 60, 3],
        {},
        {"bans": {"hash": {"p": f"{NOW + 50} 1", "r": f"{NOW + 60} 3"}}},
    ),
    "quota": (
        {"lent": 7},
        {"once:earlier": {"string": "2"}},
        ("quota", "borrow", 5, 10, "t"),
        3,
        {"lent": 10},
        {"once:earlier": {"string": "2"}, "once:t": {"string": "3"}},
    ),
    "quota, repeated": (
        {"lent": 7},
        {"once:t": {"string": "2"}},
        ("quota", "borrow", 5, 10, "t"),
        2,
        {"lent": 7},
        {"once:t": {"string": "2"}},
    ),
    "stats": (
        {"dead": 1},
        {"tally": {"hash": {"tls": "1"}}},
        ("stats",),
        ...,
        {"dead": 1},
        {"tally": {"hash": {"tls": "1"}}},
    ),
    "audit": ({"dead": 1}, {}, ("audit", 9), ..., {"dead": 1}, {}),
}


@pytest.mark.parametrize("name", CASES)
async def test_a_script_changes_what_it_says_and_nothing_else(bench: Bench, name: str) -> None:
    """The full state is compared, key by key."""
    counters, before, (script, *args), reply, counted, after = CASES[name]
    await _seed(bench, counters, before)
    answer = await bench.client.run(script, keys.ctl("test"), NOW, *args)
    assert reply in (answer, ...)
    assert await _dump(bench) == (counted, after)


def test_every_script_is_among_them() -> None:
    """But for `open`, which makes the state that all others begin with."""
    assert {script for _, _, (script, *_), *_ in CASES.values()} == SCRIPTS.keys() - {"open"}
