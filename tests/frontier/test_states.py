"""Each script on its own: the whole state before, one call, the whole state after."""

from collections.abc import Mapping

import pytest

from farm.frontier import keys
from farm.frontier.scripts import SCRIPTS
from farm.frontier.shards import decode_counters, encode_counters
from tests.frontier import states_of_sites, states_of_urls
from tests.frontier.states_of_urls import NOW, TERMS, State
from tests.frontier.support import Bench

CASES = {**states_of_urls.CASES, **states_of_sites.CASES}


async def _seed(bench: Bench, counters: Mapping[str, int], state: State) -> None:
    for key in await bench.client.keys(keys.every_key("test")):
        if not key.endswith(b":crawl"):
            await bench.client.command("DEL", key)
    await bench.raw("SET", "@ctl", encode_counters({**TERMS, **counters}))
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
    prefix = keys.prefix(bench.crawl)
    for key in await bench.client.keys(keys.every_key("test")):
        name = key.decode().removeprefix(prefix)
        kind = (await bench.client.command("TYPE", key)).decode()
        if name == "ctl" or key.endswith(b":crawl"):
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
    counters = decode_counters(await bench.raw("GET", "@ctl"))
    return {name: value for name, value in counters.items() if value != TERMS.get(name, 0)}, state


@pytest.mark.parametrize("name", CASES)
async def test_a_script_changes_what_it_says_and_nothing_else(bench: Bench, name: str) -> None:
    """The full state is compared, key by key."""
    counters, before, (script, *args), reply, counted, after = CASES[name]
    await _seed(bench, counters, before)
    answer = await bench.client.run(script, keys.ctl(bench.crawl), NOW, *args)
    assert reply in (answer, ...)
    assert await _dump(bench) == (counted, after)


def test_every_script_is_among_them() -> None:
    """But for `open`, which makes the state that all others begin with."""
    assert {script for _, _, (script, *_), *_ in CASES.values()} == SCRIPTS.keys() - {"open", "expire"}
