"""The counts of the renderers that cost less than the browser, by template, over all nodes.

The results of a visit are sent with its acknowledgement, and the reply has the new counts (`lua/lib/tiers.lua`),
so that no visit needs an extra request. The functions that read here are for reports.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any

import orjson

from farm.frontier import keys
from farm.frontier.entries import encode_payload
from farm.frontier.shards import BATCH, Shards
from farm.model.page import Renderer
from farm.model.task import UrlTask
from farm.model.tiers import EXAMPLE_CHARS, TierNotes, TierState
from farm.policy.renderers import RenderMode

TEMPLATE_CHARS = 500
Known = Mapping[Renderer, TierState]
TellTiers = Callable[[str, Known | None], None]
"""Receives a template and the counts of each renderer there; None if there is no place for the template."""
_FIELDS = ("agreed", "failures", "unfit", "taken", "confirmed")


@dataclass(frozen=True, slots=True)
class TemplateReport:
    """A template in `farm render-report`; `examples` are the last differences by renderer."""

    template: str
    site: str
    since: datetime | None
    known: Known
    differed_at: Mapping[Renderer, datetime] = field(default_factory=dict)
    examples: Mapping[Renderer, Sequence[str]] = field(default_factory=dict)


def encode_notes(notes: TierNotes, task: UrlTask) -> bytes:
    """Return the notes in the form for `ack`, with the entry that visits the task's page again."""
    return orjson.dumps(
        {
            "id": blake2b(notes.template.encode(), digest_size=16).hexdigest(),
            "template": notes.template[:TEMPLATE_CHARS],
            "again": encode_payload(replace(task, revision=task.revision + 1)).decode(),
            "notes": [
                (
                    one.renderer,
                    one.evidence,
                    one.failures,
                    one.confirms,
                    one.share,
                    f"{task.url[:EXAMPLE_CHARS]} {_line(one.example)}" if one.example else "",
                )
                for one in notes.notes
            ],
        }
    )


def _line(text: str) -> str:
    """Return an example in one line of UTF-8: a page can put half of a surrogate pair into it."""
    return " ".join(text.split())[:EXAMPLE_CHARS].encode("utf-8", "replace").decode()


def decode_known(reply: Sequence[Any]) -> Known | None:
    """Return the counts in the reply of an ack; None if there is no place for the template."""
    if list(reply) == [b"full"]:
        return None
    known = {}
    for name, agreed, failures, unfit, taken, confirmed, pooled, site_taken, crowded in reply:
        state = TierState(agreed, failures, unfit, taken, confirmed, pooled, site_taken, bool(crowded))
        known[Renderer(name.decode())] = state
    return known


class RedisTiers:
    """The templates of one crawl, and the counts of their renderers."""

    def __init__(self, shards: Shards) -> None:
        self._shards = shards
        self.tell: TellTiers | None = None
        """Called with the counts of a template whenever a visit of this node has changed them."""

    async def ask(self, modes: Collection[RenderMode]) -> None:
        """Store what seeds ask for, for all nodes and later runs of the crawl."""
        if modes:
            fields = [part for mode in modes for part in (mode.value, 1)]
            await self._shards.client.command("HSET", keys.asked(self._shards.crawl), *fields)

    async def asked(self) -> frozenset[RenderMode]:
        """Return what the seeds of all nodes and runs have asked for."""
        modes = [*RenderMode]
        found = await self._shards.client.command("HMGET", keys.asked(self._shards.crawl), *modes)
        return frozenset(mode for mode, value in zip(modes, found, strict=True) if value is not None)

    def heard(self, notes: TierNotes, reply: Sequence[Any]) -> None:
        """Pass on the counts in the reply of an ack."""
        known = decode_known(reply)
        if self.tell is not None and (known is None or known):
            self.tell(notes.template, known)

    async def templates(self) -> AsyncIterator[TemplateReport]:
        """Yield every template, in no order; one that is written meanwhile may be missing."""
        for shard in range(self._shards.count):
            prefix = keys.prefix(self._shards.crawl, shard) + "tier:"
            found = [*await self._shards.client.keys(f"{prefix}*")]
            for start in range(0, len(found), BATCH):
                part = [key.decode().removeprefix(prefix) for key in found[start : start + BATCH]]
                for stored in await asyncio.gather(*(self._hash(shard, f"tier:{one}") for one in part)):
                    if stored:
                        yield _report(stored, await self._pooled(shard, stored.get("site", "")))

    async def _pooled(self, shard: int, site: str) -> dict[Renderer, int]:
        """Return how many comparisons of each renderer agreed at the site's templates without a difference."""
        key = f"{keys.prefix(self._shards.crawl, shard)}site:{site}"
        found = await self._shards.client.command("HMGET", key, *(f"pooled:{one}" for one in Renderer))
        texts = (None if value is None else value.decode(errors="replace") for value in found)
        return {one: _number(text) for one, text in zip(Renderer, texts, strict=True)}

    async def _hash(self, shard: int, name: str) -> dict[str, str]:
        flat = await self._shards.client.command("HGETALL", keys.prefix(self._shards.crawl, shard) + name)
        pairs = flat.items() if isinstance(flat, dict) else zip(flat[::2], flat[1::2], strict=True)
        return {name.decode(errors="replace"): value.decode(errors="replace") for name, value in pairs}


def _report(stored: Mapping[str, str], pooled: Mapping[Renderer, int]) -> TemplateReport:
    seen = [one for one in Renderer if any(name.startswith(f"{one}:") for name in stored)]
    return TemplateReport(
        stored.get("template", ""),
        stored.get("site", ""),
        _moment(stored.get("since")),
        {one: replace(_state(stored, one), pooled=pooled[one]) for one in seen},
        {one: moment for one in seen if (moment := _moment(stored.get(f"{one}:differed_at")))},
        {one: lines for one in seen if (lines := stored.get(f"{one}:examples", "").splitlines())},
    )


def _state(stored: Mapping[str, str], renderer: Renderer) -> TierState:
    agreed, failures, unfit, taken, confirmed = (
        _number(stored.get(f"{renderer}:{name}")) for name in _FIELDS
    )
    return TierState(agreed, failures, unfit, taken, confirmed)


def _number(text: str | None) -> int:
    return int(text) if text is not None and text.removeprefix("-").isdecimal() else 0


def _moment(at_ms: str | None) -> datetime | None:
    try:
        return datetime.fromtimestamp(int(at_ms or "") / 1000, UTC)
    except (ArithmeticError, OSError, ValueError):
        return None
