"""The glossary of `keys.py` names every key that is built, in Lua and in Python, and no other."""

import inspect
import re
from collections.abc import Iterator

import pytest

from farm.frontier import keys
from farm.frontier.scripts import PARTS, SCRIPTS
from farm.model.egress import Ban
from farm.model.outcome import Ack, Bury, FailedVisit, FailureKind, Retry
from farm.policy.capacity import Flow
from farm.policy.renderers import RenderMode
from tests.frontier.support import Bench

CRAWL = keys.Handle("c", "0" * 11)
_LINE = re.compile(
    r"^    \{c:(s|robots)\}:(\S+(?: NODE| ORIGIN)?) +(?:string|hash|list|set|zset|filter)  ", re.MULTILINE
)
_BUILT_IN_LUA = re.compile(r"(?:\bP|\bkeys|\bcurrent|\bsub\([^()]*\)) \.\. '(:?[a-z]+:?)")


def _glossary() -> set[str]:
    """Return the keys as the glossary has them; those beside the shards with `robots` before them."""
    lines = _LINE.findall(keys.__doc__ or "")
    return {name if tag == "s" else f"robots {name}" for tag, name in lines}


def _pattern(entry: str) -> str:
    """Return what a key of a glossary's entry looks like: words in capitals stand for anything."""
    name = entry.removeprefix("robots ")
    tag = r"\{c:robots\}" if name != entry else r"\{c:\d+\}"
    generation = "" if entry == "crawl" else "[0-9a-f]{11}:"
    name = name.replace("ORIGIN", "https://HOST")
    return f"{tag}:{generation}" + re.sub(r"[A-Z]+", ".*", re.escape(name).replace("\\ ", " "))


def _named(key: str) -> list[str]:
    """Return the entries that a key is one of."""
    return [entry for entry in _glossary() if re.fullmatch(_pattern(entry), key)]


def _in_lua() -> Iterator[str]:
    """Yield the beginnings of keys that a script or a part builds."""
    for text in [*PARTS.values(), *SCRIPTS.values()]:
        code = re.sub(r"--[^\n]*", "", text)
        yield from (name.removeprefix(":") for name in _BUILT_IN_LUA.findall(code))


def test_every_key_that_lua_builds_is_in_the_glossary() -> None:
    """By the text that stands behind the shard's prefix."""
    heads = {re.match(r"[a-z]+:?", entry)[0] for entry in _glossary() if not entry.startswith("robots ")}  # type: ignore[index]
    built = set(_in_lua())
    assert {"site:", "slot", "tally", "seen:", "bloom", "ctl"} <= built, "the pattern finds what is built"
    assert built - heads == set()


@pytest.mark.parametrize("name", ["no-such", "sites:a"])
def test_a_key_that_is_not_in_the_glossary_is_found_out(name: str) -> None:
    """Else this test could not fail."""
    assert _named(f"{{c:0}}:{'0' * 11}:{name}") == []


def test_every_key_that_python_builds_is_in_the_glossary() -> None:
    """Every function of the module that returns a key, with whatever arguments."""
    values = {"of": CRAWL, "name": "c", "shard": 0, "origin": "https://a:1", "node": "n"}
    built = {}
    for name, function in inspect.getmembers(keys, inspect.isfunction):
        wanted = inspect.signature(function).parameters.keys()
        if function.__module__ == keys.__name__ and wanted <= values.keys() and not name.startswith("_"):
            built[name] = function(**{one: values[one] for one in wanted})
    assert built.keys() >= {
        "ctl",
        "crawl",
        "dead",
        "scope",
        "finished",
        "robots",
        "robots_claim",
        "flow",
        "feed",
    }
    prefix = built.pop("prefix")
    assert {name: key for name, key in built.items() if not _named(key)} == {}
    assert built["ctl"].startswith(prefix)


def test_every_entry_of_the_glossary_is_built_somewhere() -> None:
    """What nothing writes any more is struck out of it."""
    in_python = {"crawl", "scope", "asked", "finished", "ctl", "hookclaim"}
    built = set(_in_lua()) | in_python
    stale = [
        entry
        for entry in _glossary()
        if not entry.startswith("robots ") and not ({re.match(r"[a-z]+:?", entry)[0], entry} & built)  # type: ignore[index]
    ]
    assert stale == []


async def test_every_key_of_a_crawl_that_was_worked_on_is_in_the_glossary(bench: Bench) -> None:
    """What really stands in Redis, after what writes most kinds of keys."""
    await bench.add("a/1", "a/2", "b/1", "c/1")
    frontier = bench.frontier
    await frontier.nodes.register("n", "i1")
    await frontier.hooks.arm()
    await frontier.hooks.announce("site a", 60, {})
    await frontier.hooks.claim("n", 60)
    await frontier.nack(await bench.lease("n/1", egress="p1"), Retry(FailureKind.NETWORK, 60))
    await frontier.nack(await bench.lease("n/1"), Bury(FailureKind.TLS), FailedVisit("tls"))
    await frontier.ack(await bench.lease("n/1"), Ack())
    await bench.lease("n/1", egress="p1")
    await frontier.bans.exchange([Ban("p1", None, 60, 1)])
    await frontier.cache.claim("https://b", 60)
    await frontier.cache.write("https://a", b"text", 60)
    await frontier.flow.publish("n", Flow(), {}, 1, "memory")
    await frontier.feeders.hold("n")
    await frontier.extend_scope("www.a")
    await frontier.tiers.ask({RenderMode.FETCH})
    await frontier.mark_finished("auto")
    stored = [key.decode() for key in await bench.client.keys("*")]
    found = {entry for key in stored for entry in _named(key.replace("{test:", "{c:"))}
    assert [key for key in stored if not _named(key.replace("{test:", "{c:"))] == []
    assert len(found) > 18
