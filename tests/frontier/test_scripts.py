"""The files of Lua keep their contracts."""

import re
from typing import Any

import pytest

from bench import frontier
from farm.frontier import keys
from farm.frontier.client import RedisClient
from farm.frontier.scripts import LIBRARY, PARTS, BadScript, Library, compose, in_order
from farm.model.errors import FarmError, UsageError
from tests.frontier.support import Bench

HEADER = "#!lua{flags}\n-- Purpose: p\n-- Guarantee: g\n-- KEYS: 1\n-- ARGV: 1\n-- Returns: 1\n"
TAKES_WORK = {"open", "add", "lease"}


def test_what_takes_new_work_is_refused_by_a_full_redis_and_what_settles_is_not() -> None:
    """The flags say so, per script."""
    for name, flags in LIBRARY.flags.items():
        settles = "allow-oom" in flags or "no-writes" in flags
        assert settles != (name in TAKES_WORK), name


@pytest.mark.parametrize(
    ("body", "complaint"),
    [("return 1", "does not begin"), ("#!lua\n-- Purpose: p\nreturn 1", "bad.lua lacks Guarantee, KEYS")],
)
def test_a_script_without_its_contract_is_not_loaded(body: str, complaint: str) -> None:
    """The error names the file and what it lacks."""
    with pytest.raises(BadScript, match=complaint):
        compose({"bad": body}, {})


@pytest.mark.parametrize(
    ("parts", "complaint"),
    [
        ({"part": "local kept = {}"}, "part.lua does more at loading than declare: local kept = {}"),
        ({"part": "local function f()\n  return 1\nend\nkept = f()"}, "declare: kept = f()"),
        ({"part": "local f", "other": "local function f()\nend"}, "f is declared twice"),
        ({"part": "local A = 1", "other": "local A = 2"}, "A is both 1 and 2"),
        (
            {"part": "local function f()\n  f, g = 1, 2\nend"},
            "part.lua replaces f for every call to come: f, g = 1, 2",
        ),
    ],
)
def test_a_part_that_could_keep_something_from_call_to_call_is_not_loaded(
    parts: dict[str, str], complaint: str
) -> None:
    """What the server keeps is functions and constants; a name means one thing in all of them."""
    with pytest.raises(BadScript) as refused:
        compose({}, parts)
    assert complaint in str(refused.value)


FIRST = "local function f()\n  return 1\nend\n"


@pytest.mark.parametrize(
    ("parts", "complaint"),
    [
        (
            {"b": "local function g()\n  return f()\nend\n", "z": FIRST},
            "b.lua uses f of z, and its header does not say so",
        ),
        (
            {"b": "-- Uses: z (f)\nlocal function g()\n  return 'f()' -- f()\nend\n", "z": FIRST},
            "b.lua says that it uses f of z, and does not",
        ),
        (
            {"b": "-- Uses: y (f)\nlocal function g()\n  return f()\nend\n", "z": FIRST},
            "b.lua uses f of z, and its header does not say so",
        ),
        (
            {"b": "-- Uses: f of z\nlocal function g()\n  return f()\nend\n", "z": FIRST},
            "b.lua has a line of uses",
        ),
        (
            {
                "b": "-- Uses: z (f)\nlocal function g()\n  return f()\nend\n",
                "z": "-- Uses: b (g)\nlocal function f()\n  return g()\nend\n",
            },
            "parts use each other: ",
        ),
        ({"b": "local function g()\n  return f()\nend\n" + FIRST}, "b.lua uses f above its declaration"),
    ],
)
def test_a_part_says_which_functions_of_others_it_uses(parts: dict[str, str], complaint: str) -> None:
    """All of them and no others; and there is an order in which nothing is used above its declaration."""
    with pytest.raises(BadScript) as refused:
        compose({}, parts)
    assert complaint in str(refused.value)


def test_parts_come_behind_those_that_they_use() -> None:
    """Whatever their files are called; a header may have several lines."""
    parts = {
        "a": "-- a: what\n-- Uses: m (g),\n--       z (f)\nlocal function h()\n  return g() + f()\nend\n",
        "m": "-- Uses: z (f)\nlocal function g()\n  return f() + s:h() + math.f()\nend\n",
        "z": FIRST,
    }
    assert list(in_order(parts)) == ["z", "m", "a"]


def test_no_function_of_the_library_is_used_above_its_declaration() -> None:
    """There a name would be a global one: nil, and only when the server comes to that line."""
    declared: set[str] = set()
    names = set(re.findall(r"^local function (\w+)", LIBRARY.text, re.MULTILINE))
    for line in LIBRARY.text.splitlines():
        declared |= set(re.findall(r"^local function (\w+)", line))
        assert {name for name in re.findall(r"(?<![.:\w])(\w+)\(", line) if name in names} <= declared, line
    assert {"release", "expire", "dispatch"} <= declared


OF_LUA = {"error", "function", "ipairs", "pairs", "pcall", "tonumber", "tostring", "type", "unpack"}


@pytest.mark.parametrize("library", [LIBRARY, frontier.LIBRARY], ids=["the farm's", "the benchmark's"])
def test_no_script_calls_what_is_not_declared(library: Library) -> None:
    """A name that was changed elsewhere would be found when the server comes to that line."""
    code = re.sub(r"'(?:[^'\\\n]|\\.)*'", "''", library.text)
    declared = set(re.findall(r"function (\w+)", code))
    declared |= {
        name for names in re.findall(r"\blocal ([\w, ]+)", code) for name in re.findall(r"\w+", names)
    }
    called = set(re.findall(r"(?<![.:\w])([a-z]\w*)\(", code))
    assert {"begin", "reindex_sites"} <= called
    assert called - declared - OF_LUA == set()


def test_a_part_is_checked_also_where_a_script_has_its_name() -> None:
    """There is a transition `lease`, and a part."""
    part = "local function f()\n  f = nil\nend"
    with pytest.raises(BadScript, match="f for every call"):
        compose({"lease": HEADER.format(flags="") + "return 1\n"}, {"lease": part})


async def test_a_call_begins_with_nothing_of_the_one_before(client: RedisClient) -> None:
    """Also when that one failed halfway; and it has its own arguments."""
    library = compose(
        {
            "fail": HEADER.format(flags="") + "kept = ARGV[1]\nerror('halfway')\n",
            "tell": HEADER.format(flags=" flags=no-writes") + "return { kept or 'nothing', ARGV[1] }\n",
        },
        {"core": "local KEYS, ARGV, call", "part": "local kept"},
    )
    await client.command("FUNCTION LOAD", "REPLACE", library.text)
    with pytest.raises(FarmError, match="halfway"):
        await client.command("FCALL", library.function("fail"), 0, "a")
    assert await client.command("FCALL", library.function("tell"), 0, "b") == [b"nothing", b"b"]


def test_libraries_of_different_texts_have_different_names() -> None:
    """So nodes of two versions share a server."""
    other = compose({"add": HEADER.format(flags="") + "return 1\n"}, PARTS)
    assert other.function("add") != LIBRARY.function("add")


def test_a_server_is_sent_no_comments() -> None:
    """It would keep them in memory, and in its log."""
    assert "--" not in LIBRARY.text


async def test_a_library_that_the_server_lost_is_no_obstacle(bench: Bench) -> None:
    """It is sent when a function is not known: by the frontier, by the keeper of leases."""
    await bench.add("a/1")
    await bench.client.command("FUNCTION FLUSH")
    lease = await bench.lease()
    keeper = bench.keeper()
    await bench.client.command("FUNCTION FLUSH")
    assert keeper.renew([lease]) == [True]
    keeper.close()


async def test_bad_arguments_change_nothing(bench: Bench) -> None:
    """Lua does not roll back, so every script checks before it writes."""
    await bench.add("a/1")
    lease = await bench.lease()
    before = await bench.raw("GET", "@ctl")
    ack = ["s1", lease.id, lease.token, 1, "", "", 0, "", "000", 0, 1, ""]
    calls: dict[str, list[Any]] = {
        "add": ["nonsense"],
        "extend": ["s1", lease.id, lease.token, "nonsense"],
        "ack": [*ack, 1, "not hex"],
        "nack": ["s1", lease.id, lease.token, "forget", "", "", 0, 0, ""],
    }
    others = [
        ("ack", [*ack, 0, "nonsense"]),
        ("ack", [*ack[:-1], "[", 0]),
        ("ack", [*ack[:-1], '{"notes":[7]}', 0]),
    ]
    for name, args in [*calls.items(), *others]:
        with pytest.raises(UsageError, match="cannot keep"):
            await bench.client.run(name, keys.ctl(bench.crawl), bench.clock.ms, *args)
        assert await bench.raw("GET", "@ctl") == before
