"""What each transition of a URL does to the state."""

from typing import Any

from farm.frontier.terms import Politeness, Terms
from tests.frontier.support import START_MS

NOW = START_MS
A1, A2, B1 = "00000000000000a1", "00000000000000a2", "00000000000000b1"
KNOWN_A1, KNOWN_A2, KNOWN_B1 = (str(2**52 + n) for n in (0xA1, 0xA2, 0xB1))
SEEN_A1 = {"set": {KNOWN_A1}}
TERMS = {**Terms().counters(), **Politeness().counters(), "buckets": 4096, "shards": 1, "generations": 1}
TERMS |= {"capacity": 1_000_000, "bloom_room": 1_000_000, "real": NOW, "now": NOW}
ENTRY_A1, ENTRY_A2, ENTRY_B1 = f'{A1}5["http://a/1"]', f'{A2}5["http://a/2"]', f'{B1}7["http://b/1"]'
TOKEN = "1000000123"


def record(settled: str, request: str, token: str, in_a_row: int, ends: object, entry: str) -> str:
    """Return what a slot keeps whose last lease was of site a."""
    return "\0".join((settled, request, token, "a", "", str(in_a_row), str(ends), entry))


DIED = '{"reason":"worker_died","detail":"its node died","node":"s1"}'
HELD = record("", "r0", TOKEN, 1, NOW, ENTRY_A1)
NEXT_A2 = record(f"ack {TOKEN}", "r1", "1000000000123", 2, NOW + 30_000, ENTRY_A2)
WISH = ("r1", "", 0, "", "123", 0, 1)

LINK_B1 = f'{KNOWN_B1}{B1}7b\n["http://b/1"]'
SITE_A_IDLE = {"hash": {"b": ""}}

State = dict[str, Any]
Case = tuple[dict[str, int], State, tuple[Any, ...], Any, dict[str, int], State]
"""Counters and keys before, the call, its reply, counters and keys after; what is left out is as it was made."""
CASES: dict[str, Case] = {
    "add": (
        {"accepted": 1, "done": 1, "sites": 1},
        {"seen:000": SEEN_A1, "site:a": SITE_A_IDLE},
        ("add", f'{KNOWN_A1}{A1}5a\n["http://a/1"]', LINK_B1),
        1,
        {"accepted": 2, "done": 1, "sites": 2, "q7": 1, "duplicates": 1},
        {
            "seen:000": {"set": {KNOWN_A1, KNOWN_B1}},
            "site:a": SITE_A_IDLE,
            "site:b": {"hash": {"b": "7"}},
            "q:7:b": {"list": [ENTRY_B1]},
            "ready:7": {"zset": {"b": NOW}},
        },
    ),
    "lease": (
        {"accepted": 2, "sites": 1, "q5": 2},
        {
            "seen:000": {"set": {KNOWN_A1, KNOWN_A2}},
            "site:a": {"hash": {"b": "5"}},
            "q:5:a": {"list": [ENTRY_A1, ENTRY_A2]},
            "ready:5": {"zset": {"a": NOW - 9}},
        },
        ("lease", "s1", *WISH),
        [b"LEASE", b"1000000000123", b"a", ENTRY_A1.encode()],
        {"accepted": 2, "sites": 1, "q5": 1, "leased": 1, "turn": 1, "token": NOW * 1000},
        {
            "seen:000": {"set": {KNOWN_A1, KNOWN_A2}},
            "site:a": {"hash": {"b": "5", "f": "1"}},
            "q:5:a": {"list": [ENTRY_A2]},
            "ready:5": {"zset": {"a": NOW}},
            "slot": {"hash": {"s1": record("", "r1", "1000000000123", 1, NOW + 30_000, ENTRY_A1)}},
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
        ("ack", "s1", A1, TOKEN, 1, *("", "", 0, "", "000", 0, 1), "", 1, KNOWN_A2 + A2, LINK_B1),
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
            "seen:000": {"set": {KNOWN_A1, KNOWN_A2, KNOWN_B1}},
            "site:a": {"hash": {"b": "", "f": "0"}},
            "site:b": {"hash": {"b": "7"}},
            "q:7:b": {"list": [ENTRY_B1]},
            "ready:7": {"zset": {"b": NOW}},
            "slot": {"hash": {"s1": record(f"ack {TOKEN}", "r0", "", 1, "", "")}},
        },
    ),
    "ack and lease": (
        {"accepted": 2, "sites": 1, "leased": 1, "q5": 1, "token": 1_000_000, "due_from": NOW + 1},
        {
            "site:a": {"hash": {"b": "5", "f": "1"}},
            "q:5:a": {"list": [ENTRY_A2]},
            "ready:5": {"zset": {"a": NOW - 9}},
            "slot": {"hash": {"s1": HELD}},
            "due": {"zset": {"s1": NOW + 5}},
        },
        ("ack", "s1", A1, TOKEN, 1, *("r1", "a", 0, "", "123", 0, 1), "", 0),
        [b"OK", b"LEASE", b"1000000000123", b"a", ENTRY_A2.encode()],
        {
            "accepted": 2,
            "sites": 1,
            "leased": 1,
            "done": 1,
            "rendered": 1,
            "turn": 1,
            "token": NOW * 1000,
            "due_from": NOW + 1,
        },
        {
            "site:a": {"hash": {"b": "", "f": "1"}},
            "slot": {"hash": {"s1": NEXT_A2}},
            "due": {"zset": {"s1": NOW + 5}},
        },
    ),
    "ack and lease at the same site, which keeps its turn": (
        {"accepted": 3, "sites": 1, "leased": 1, "q5": 2, "token": 1_000_000, "due_from": NOW + 1},
        {
            "site:a": {"hash": {"b": "5", "f": "1"}},
            "q:5:a": {"list": [ENTRY_A2, ENTRY_B1]},
            "ready:5": {"zset": {"a": NOW - 9}},
            "slot": {"hash": {"s1": HELD}},
            "due": {"zset": {"s1": NOW + 5}},
        },
        ("ack", "s1", A1, TOKEN, 0, *("r1", "a", 0, "", "123", 0, 1), "", 0),
        [b"OK", b"LEASE", b"1000000000123", b"a", ENTRY_A2.encode()],
        {
            "accepted": 3,
            "sites": 1,
            "leased": 1,
            "done": 1,
            "q5": 1,
            "turn": 1,
            "token": NOW * 1000,
            "due_from": NOW + 1,
        },
        {
            "site:a": {"hash": {"b": "5", "f": "1"}},
            "q:5:a": {"list": [ENTRY_B1]},
            "ready:5": {"zset": {"a": NOW - 9}},
            "slot": {"hash": {"s1": NEXT_A2}},
            "due": {"zset": {"s1": NOW + 5}},
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
            "seen:000": {"set": {KNOWN_A1, KNOWN_B1}},
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
        ("nack", "s1", A1, TOKEN, "retry", "timeout", "why", 2000, 1, ""),
        b"OK",
        {"accepted": 1, "sites": 1, "delayed": 1, "retried": 1, "token": 1_000_000},
        {
            "site:a": {"hash": {"b": "", "f": "0", "x": str(NOW + 2000)}},
            "delayed": {"zset": {f'a\n{A1}50.1.0["http://a/1"]': NOW + 2000}},
            "slot": {"hash": {"s1": record(f"retry {TOKEN}", "r0", "", 1, "", "")}},
        },
    ),
    "nack retry that the site has not asked for": (
        {"accepted": 1, "sites": 1, "leased": 1, "token": 1_000_000},
        {
            "site:a": {"hash": {"b": "", "f": "1"}},
            "slot": {"hash": {"s1": HELD}},
            "due": {"zset": {"s1": NOW + 5}},
        },
        ("nack", "s1", A1, TOKEN, "retry", "throttled", "why", 2000, 2, ""),
        b"OK",
        {"accepted": 1, "sites": 1, "delayed": 1, "retried": 1, "token": 1_000_000},
        {
            "site:a": {"hash": {"b": "", "f": "0"}},
            "delayed": {"zset": {f'a\n{A1}50.1.0["http://a/1"]': NOW + 2000}},
            "slot": {"hash": {"s1": record(f"retry {TOKEN}", "r0", "", 1, "", "")}},
        },
    ),
    "nack bury": (
        {"accepted": 1, "sites": 1, "leased": 1, "token": 1_000_000},
        {
            "site:a": {"hash": {"b": "", "f": "1"}},
            "slot": {"hash": {"s1": HELD}},
            "due": {"zset": {"s1": NOW + 5}},
        },
        ("nack", "s1", A1, TOKEN, "bury", "tls", "why", 0, 0, "{}"),
        b"OK",
        {"accepted": 1, "sites": 1, "dead": 1, "token": 1_000_000},
        {
            "site:a": {"hash": {"b": "", "f": "0"}},
            "dead": {"hash": {A1: f"tls\n{NOW}\nwhy\na\n{ENTRY_A1}"}},
            "dead:tls": {"zset": {A1: NOW}},
            "failed": {"hash": {A1: f"{NOW} {{}}"}},
            "tally": {"hash": {"tls": "1"}},
            "slot": {"hash": {"s1": record(f"bury {TOKEN}", "r0", "", 1, "", "")}},
        },
    ),
    "nack release": (
        {"accepted": 1, "sites": 1, "leased": 1, "token": 1_000_000},
        {
            "site:a": {"hash": {"b": "", "f": "1"}},
            "slot": {"hash": {"s1": HELD}},
            "due": {"zset": {"s1": NOW + 5}},
        },
        ("nack", "s1", A1, TOKEN, "release", "drain", "", 0, 0, ""),
        b"OK",
        {"accepted": 1, "sites": 1, "q5": 1, "token": 1_000_000},
        {
            "site:a": {"hash": {"b": "5", "f": "0"}},
            "q:5:a": {"list": [ENTRY_A1]},
            "ready:5": {"zset": {"a": NOW}},
            "slot": {"hash": {"s1": record(f"release {TOKEN}", "r0", "", 1, "", "")}},
        },
    ),
    "announce": (
        {"accepted": 1, "done": 1},
        {},
        ("announce", "site a", 60_000, "{}"),
        1,
        {"accepted": 1, "done": 1},
        {"announced:site a": {"string": "1"}, "hooks": {"list": ["{}"]}},
    ),
    "announce again": (
        {"accepted": 1, "done": 1},
        {"announced:site a": {"string": "1"}},
        ("announce", "site a", 60_000, "{}"),
        0,
        {"accepted": 1, "done": 1},
        {"announced:site a": {"string": "1"}},
    ),
    "move_dead drop": (
        {"accepted": 2, "done": 1, "dead": 1},
        {
            "dead": {"hash": {A1: f"tls\n5\nwhy\na\n{ENTRY_A1}"}},
            "dead:tls": {"zset": {A1: 5}},
            "tally": {"hash": {"tls": "1"}},
        },
        ("move_dead", "drop", "call", A1, A2),
        1,
        {"accepted": 1, "done": 1, "dropped": 1},
        {"once:call": {"string": "1"}, "tally": {"hash": {"tls": "0"}}},
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
        ("maintain", 10, 0, "me"),
        [2, 0, 0],
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
            "failed": {"hash": {A1: f"{NOW} {DIED}"}},
        },
    ),
    "maintain, leased again since": (
        {"accepted": 1, "sites": 1, "leased": 1, "token": 1_000_000},
        {
            "site:a": {"hash": {"b": "", "f": "1"}},
            "slot": {"hash": {"s1": HELD.replace(str(NOW), str(NOW + 5))}},
            "due": {"zset": {"s1": NOW}},
        },
        ("maintain", 10, 0, "me"),
        [1, 0, 0],
        {"accepted": 1, "sites": 1, "leased": 1, "token": 1_000_000, "due_from": NOW + 5},
        {
            "site:a": {"hash": {"b": "", "f": "1"}},
            "slot": {"hash": {"s1": HELD.replace(str(NOW), str(NOW + 5))}},
            "due": {"zset": {"s1": NOW + 5}},
        },
    ),
}
