"""A crawl in Redis: the first node creates it, every other node joins it."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from itertools import islice
from typing import Any

import orjson

from farm.frontier import keys
from farm.frontier.address import is_cluster
from farm.frontier.client import RedisClient
from farm.frontier.faults import unreadable
from farm.frontier.shards import counters_in_order
from farm.frontier.terms import Politeness, Terms
from farm.model.errors import CrawlUnreadable, FrontierRefused, NoSuchCrawl, UsageError

SCHEMA = 7
KEY_BYTES = 16
CLUSTER_SHARDS = 8
BLOOM_CAPACITY = 1_000_000
_FIRST_BUCKETS = 4096
_DELETE_AT_ONCE = 500
_MOST_SHARDS = 1000
_MOST_DIFFERENCES = 6
_SHOWN_CHARS = 200
_STORED = ("schema", "settings", "key", "created_at", "shards", "generation", "handlers")
"""The fields of a crawl, in the order in which `open` returns them."""


class Dedup(StrEnum):
    """How the crawl stores the known URLs."""

    EXACT = "exact"
    BLOOM = "bloom"


@dataclass(frozen=True, slots=True)
class Crawl:
    """The facts that every node of a crawl needs. `key` keys the fingerprints; `created`: this call created it.

    `generation` distinguishes it from earlier and later crawls of its name: a node with an older one finds
    nothing.
    """

    name: str
    settings: Mapping[str, Any]
    key: bytes
    created_at: datetime
    created: bool
    shards: int = 1
    generation: str = keys.NO_GENERATION
    with_handlers: bool | None = None
    """Whether it was begun with handlers of pages; None if that was not said.

    Not one of the settings, since farms that do not know it compare those as a whole.
    """


async def open_crawl(
    client: RedisClient,
    name: str,
    settings: Mapping[str, Any],
    *,
    fresh: bool = False,
    terms: Terms | None = None,
    politeness: Politeness | None = None,
    shards: int | None = None,
    dedup: Dedup = Dedup.EXACT,
    bloom_capacity: int = BLOOM_CAPACITY,
    own_time_ms: int | None = None,
    with_handlers: bool | None = None,
) -> Crawl:
    """Create the crawl, or join it when the settings agree with those it was created with.

    `shards`, `dedup` and `with_handlers` count where the crawl is created: one shard unless Redis is a Cluster,
    and no more than there are places in flight to share out; `bloom` turns away one in 10,000 URLs that it never
    saw, and grows by generations beyond `bloom_capacity`.
    """
    politeness = politeness or Politeness()
    keys.check_name(name)
    replaced = await _to_replace(client, name) if fresh else ""
    stored = orjson.dumps(dict(settings), option=orjson.OPT_SORT_KEYS)
    count = politeness.most_shards(shards or (CLUSTER_SHARDS if is_cluster(client.url) else 1))
    known_by = await _known_by(client, dedup)
    counters = partial(
        _counters,
        terms=terms or Terms(),
        politeness=politeness,
        known_by=known_by,
        capacity=bloom_capacity,
    )
    crawl = await _open(
        client, name, stored, counters(0, count), own_time_ms, replaced=replaced, with_handlers=with_handlers
    )
    given = orjson.loads(stored)
    if crawl.settings != given:
        raise UsageError(difference(name, crawl.settings, given))
    for shard in range(1, crawl.shards):
        # Also when joining: the node that created the crawl may have died before this.
        await _open(
            client, name, stored, counters(shard, crawl.shards), own_time_ms, generation=crawl.generation
        )
    if replaced:
        await _delete_before(client, crawl)
    return crawl


async def find_crawl(client: RedisClient, name: str) -> Crawl:
    """Return an existing crawl, for commands that only read it.

    It uses a plain command: a server that is full, cannot save or is a replica refuses scripts that may write, and
    especially the crawls on such a server need to be inspected and stopped.
    """
    stored = await client.command("HMGET", keys.crawl(keys.check_name(name)), *_STORED)
    if all(field is None for field in stored):
        raise NoSuchCrawl(
            f"There is no crawl named {name!r} in Redis at {client.place}; "
            "name another with --crawl, or begin it with `farm run URL`."
        )
    return _crawl_of(client, name, stored, created=False)


async def crawl_names(client: RedisClient) -> list[str]:
    """Return the names of the crawls in a Redis, in order."""
    found = await client.keys("{*:0}:crawl")
    names = (key.decode(errors="replace").removeprefix("{").removesuffix(":0}:crawl") for key in found)
    return sorted(filter(keys.is_name, names))


async def is_there(client: RedisClient, name: str) -> bool:
    """Whether Redis has any key of a crawl, even if the crawl cannot be opened."""
    return bool(await client.keys(keys.every_key(keys.check_name(name))))


async def delete_crawl(client: RedisClient, name: str) -> int:
    """Delete every key of a crawl and return how many there were.

    The keys that every call reads are deleted first: a node of the crawl must find nothing rather than a part.
    """
    found = await client.keys(keys.every_key(keys.check_name(name)))
    await _unlink(client, [key for key in found if key.endswith((b":ctl", b":crawl"))])
    await _unlink(client, [key for key in found if not key.endswith((b":ctl", b":crawl"))])
    return len(found)


async def _to_replace(client: RedisClient, name: str) -> str:
    """Return the generation that is replaced by `--fresh`; empty if there is none any more."""
    try:
        return _generation(await client.command("HGET", keys.crawl(name), "generation"))
    except (CrawlUnreadable, TypeError, ValueError):
        # Nothing is there, or what no farm wrote, or an older one.
        await delete_crawl(client, name)
        return ""


async def _delete_before(client: RedisClient, crawl: Crawl) -> None:
    """Delete the remaining keys of earlier crawls of this name."""
    found = await client.keys(keys.every_key(crawl.name))
    await _unlink(client, [key for key in found if (keys.generation_of(key) or "~") < crawl.generation])


async def _unlink(client: RedisClient, found: Sequence[bytes]) -> None:
    by_tag: dict[bytes, list[bytes]] = {}
    for key in found:
        by_tag.setdefault(key.partition(b"}")[0], []).append(key)
    for tagged in by_tag.values():
        for start in range(0, len(tagged), _DELETE_AT_ONCE):
            await client.command("UNLINK", *tagged[start : start + _DELETE_AT_ONCE])


def difference(name: str, stored: Mapping[str, Any], given: Mapping[str, Any]) -> str:
    """Return the differences between the settings and the stored ones, as a part of a sentence."""
    return (
        f"The crawl {name!r} was created with {contradictions(stored, given)}; "
        "use the same settings, another --crawl, or --fresh."
    )


def contradictions(stored: Mapping[str, Any], given: Mapping[str, Any]) -> str:
    """List the first settings that differ, as `scope = "host" (here "domain")`; of tables the keys that do."""
    found = list(islice(_differences(stored, given, ""), _MOST_DIFFERENCES + 1))
    if len(found) > _MOST_DIFFERENCES:
        found[-1] = "and more"
    return ", ".join(found)


def _differences(stored: Mapping[str, Any], given: Mapping[str, Any], within: str) -> Iterator[str]:
    for key in sorted({*stored, *given}):
        theirs, ours = stored.get(key), given.get(key)
        name = f'{within}."{key}"' if "." in key or "*" in key else f"{within}.{key}".removeprefix(".")
        if theirs == ours:
            continue
        if isinstance(theirs, Mapping) and isinstance(ours, Mapping):
            yield from _differences(theirs, ours, name)
        else:
            yield f"{name} = {_show(stored, key)} (here {_show(given, key)})"


def _show(settings: Mapping[str, Any], key: str) -> str:
    if settings.get(key) is None:
        return "nothing"
    shown = orjson.dumps(settings[key]).decode()
    return shown if len(shown) <= _SHOWN_CHARS else f"{shown[:_SHOWN_CHARS]}…"


async def _known_by(client: RedisClient, dedup: Dedup) -> int:
    """Return the number by which the scripts know the kind of filter."""
    if dedup is Dedup.EXACT:
        return 0
    found = await client.ask("COMMAND LIST", "FILTERBY", "PATTERN", "bf.reserve")
    return 2 if found else 1


def _counters(
    shard: int, shards: int, *, terms: Terms, politeness: Politeness, known_by: int, capacity: int
) -> dict[str, int]:
    """Return the initial counters of a shard, with its part of the limits that all shards share."""
    room = -(-capacity // shards)
    return {
        **terms.share_of(shards).counters(),
        **politeness.share_of(shard, shards).counters(),
        "dedup": known_by,
        "capacity": room,
        "generations": 1,
        "bloom_room": room,
        "buckets": _FIRST_BUCKETS,
        "shard": shard,
        "shards": shards,
    }


async def _open(
    client: RedisClient,
    name: str,
    settings: bytes,
    counters: Mapping[str, int],
    own_time_ms: int | None,
    *,
    replaced: str = "",
    generation: str = "",
    with_handlers: bool | None = None,
) -> Crawl:
    created, *stored = await client.run(
        "open",
        keys.crawl(name, counters.get("shard", 0)),
        "" if own_time_ms is None else own_time_ms,
        settings,
        SCHEMA,
        os.urandom(KEY_BYTES).hex(),
        datetime.now(UTC).isoformat(),
        replaced,
        generation,
        "" if with_handlers is None else int(with_handlers),
        *counters_in_order(counters),
    )
    return _crawl_of(client, name, stored, created=bool(created))


def _crawl_of(client: RedisClient, name: str, stored: Sequence[Any], *, created: bool) -> Crawl:
    """Return the crawl with these fields, if it has this farm's schema."""
    schema, settings, key, created_at, shards, generation, handlers = stored
    if not re.fullmatch(rb"\d{1,9}", schema or b""):
        raise unreadable(client.place, "its schema is no number")
    if int(schema) > SCHEMA:
        raise FrontierRefused(
            f"The crawl {name!r} was written by a newer farm (schema {int(schema)}, this one knows {SCHEMA}); "
            "upgrade the farm, or use another --crawl."
        )
    if int(schema) < SCHEMA:
        raise FrontierRefused(
            f"The crawl {name!r} was written by an older farm (schema {int(schema)}, this one knows {SCHEMA}); "
            "finish it with that farm, or use another --crawl."
        )
    try:
        crawl = Crawl(
            name=name,
            settings=orjson.loads(settings),
            key=bytes.fromhex(key.decode()),
            created_at=datetime.fromisoformat(created_at.decode()),
            created=created,
            shards=int(shards),
            generation=_generation(generation),
            with_handlers={generation + b"1": True, generation + b"0": False}.get(handlers),
        )
    except (AttributeError, TypeError, ValueError):
        raise unreadable(client.place, "a field of it is garbled or missing") from None
    if not (isinstance(crawl.settings, dict) and crawl.key and 1 <= crawl.shards <= _MOST_SHARDS):
        raise unreadable(client.place, "a field of it is garbled")
    return crawl


def _generation(stored: bytes) -> str:
    if not re.fullmatch(rb"[0-9a-f]{11}", stored):
        raise ValueError("the generation is none")
    return stored.decode()
