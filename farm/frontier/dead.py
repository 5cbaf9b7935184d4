"""Dead letters: list, replay and drop the URLs that were given up."""

import math
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from time import monotonic
from typing import Any
from uuid import uuid4

import orjson

from farm.frontier import keys
from farm.frontier.entries import decode_lease
from farm.frontier.history import PastVisit, decode_history, moment
from farm.frontier.shards import BATCH, Shards
from farm.model.errors import UsageError
from farm.model.outcome import FailureKind
from farm.model.task import UrlTask
from farm.model.url import host_of

PAGE = 100
_ID = re.compile("[0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A URL that was given up. `task` and `at` are None if their stored values cannot be read."""

    id: str
    reason: str
    at: datetime | None
    detail: str
    attempts: int
    task: UrlTask | None


@dataclass(frozen=True, slots=True)
class DeadFilter:
    """Selects letters: by reason, by site (`host`, or `host:port`), by a pattern and a text in the URL.

    A letter that cannot be read has neither site nor URL.
    """

    reason: str | None = None
    site: str | None = None
    pattern: re.Pattern[str] | None = None
    text: str | None = None

    @property
    def looks_inside(self) -> bool:
        """Whether the letters must be read to tell."""
        return (self.site, self.pattern, self.text) != (None, None, None)

    def may_fit(self, stored: bytes) -> bool:
        """Whether a letter may be meant, as it is stored: reading it costs several times as much."""
        if not self.looks_inside:
            return True
        parts = stored.split(b"\n", 4)
        if len(parts) < 5:  # noqa: PLR2004 - reason, when, detail, site, entry
            return False
        if self.site is not None and self.site.encode(errors="replace") not in parts[3]:
            return False
        try:
            # As it stands in a text of JSON.
            return self.text is None or orjson.dumps(self.text)[1:-1] in parts[4]
        except TypeError:
            # Half of a surrogate pair: no URL has one.
            return False

    def fits(self, letter: DeadLetter) -> bool:
        """Whether a letter of the reason is meant."""
        if not self.looks_inside:
            return True
        task = letter.task
        if task is None or (self.site is not None and self.site not in {task.site, host_of(task.site)}):
            return False
        if self.text is not None and self.text not in task.url:
            return False
        return self.pattern is None or self.pattern.search(task.url) is not None


ALL = DeadFilter()


class DeadLetters:
    """The dead letters of a crawl."""

    def __init__(self, shards: Shards) -> None:
        self._shards = shards

    async def page(self, which: DeadFilter = ALL, *, start: int = 0, size: int = PAGE) -> list[DeadLetter]:
        """Return `size` of the letters from the `start`-th on, reason by reason."""
        found: list[DeadLetter] = []
        if which.looks_inside:
            async for letter in self._fitting(which):
                if start == 0:
                    found.append(letter)
                start = max(0, start - 1)
                if len(found) == size:
                    break
            return found
        for name, count in await self._tally(which.reason):
            if start < count and len(found) < size:
                found += [letter_of(*raw) for raw in await self._letters(name, start, size - len(found))]
            start = max(0, start - count)
        return found

    async def counted_page(
        self, which: DeadFilter = ALL, *, start: int = 0, size: int = PAGE
    ) -> tuple[list[DeadLetter], int]:
        """Return what `page` does, and how many letters there are; all of them are looked at once at most."""
        if not which.looks_inside:
            return await self.page(which, start=start, size=size), await self.count(which)
        found, total = list[DeadLetter](), 0
        async for letter in self._fitting(which):
            if start <= total < start + size:
                found.append(letter)
            total += 1
        return found, total

    async def count(self, which: DeadFilter = ALL) -> int:
        """Count the letters."""
        if which.looks_inside:
            return sum([1 async for _ in self._fitting(which)])
        return sum(count for _, count in await self._tally(which.reason))

    async def replay(self, which: DeadFilter = ALL) -> int:
        """Return the letters to their queues with all their attempts; return how many."""
        return (await self._all("replay", which))[0]

    async def replay_within(self, which: DeadFilter, within_s: float) -> tuple[int, bool]:
        """Do what `replay` does for so long; return how many it were, and whether those were all."""
        return await self._all("replay", which, within_s)

    async def drop(self, which: DeadFilter = ALL) -> int:
        """Delete the letters permanently; return how many."""
        return (await self._all("drop", which))[0]

    async def replay_ids(self, ids: Sequence[str]) -> int:
        """Return some letters to their queues; return how many.

        Ids that are not dead any more are skipped, so that the call may be repeated after a lost answer. Raises
        UsageError for an invalid id, or an unreadable letter.
        """
        known = await self._known(ids)
        for fingerprint in ids:
            letter = known.get(fingerprint)
            if letter is None and not _ID.fullmatch(fingerprint):
                raise _no_letter(fingerprint)
            if letter is not None and letter.task is None:
                raise UsageError(
                    f"The dead letter {fingerprint!r} cannot be read, so there is nothing to replay; "
                    f"`farm dead drop {fingerprint}` forgets it."
                )
        return await self._move("replay", [_stored(fingerprint) for fingerprint in ids])

    async def drop_ids(self, ids: Sequence[str]) -> int:
        """Delete some letters; raises UsageError that names an id that is not dead."""
        known = await self._known(ids)
        for fingerprint in ids:
            if fingerprint not in known:
                raise _no_letter(fingerprint)
        return await self._move("drop", [_stored(fingerprint) for fingerprint in ids])

    async def show(self, fingerprint: str) -> DeadLetter:
        """Return one letter; raises UsageError if there is none of this id."""
        known = await self._known([fingerprint])
        if fingerprint not in known:
            raise _no_letter(fingerprint)
        return known[fingerprint]

    async def history(self, fingerprint: str) -> tuple[PastVisit, ...]:
        """Return the last visits of a URL that failed, the first one first; nothing if none is known."""
        for shard in range(self._shards.count):
            key = keys.failed(self._shards.crawl, shard)
            stored = await self._shards.client.command("HGET", key, _stored(fingerprint))
            if stored is not None:
                return decode_history(stored)
        return ()

    async def _known(self, ids: Sequence[str]) -> dict[str, DeadLetter]:
        """Return those of the letters that there are, by their ids."""
        found: dict[str, DeadLetter] = {}
        for shard in range(self._shards.count):
            key = keys.dead(self._shards.crawl, shard)
            for start in range(0, len(ids), BATCH):
                part = ids[start : start + BATCH]
                stored = await self._shards.client.command("HMGET", key, *map(_stored, part))
                for fingerprint, letter in zip(part, stored, strict=True):
                    if letter is not None:
                        found[fingerprint] = letter_of(_stored(fingerprint), letter)
        return found

    async def _fitting(self, which: DeadFilter) -> AsyncIterator[DeadLetter]:
        """Yield the selected letters; those that are added or removed meanwhile may be missed."""
        for name, count in await self._tally(which.reason):
            for start in range(0, count, BATCH):
                for raw in await self._letters(name, start, min(BATCH, count - start)):
                    if which.may_fit(raw[1]) and which.fits(letter := letter_of(*raw)):
                        yield letter

    async def _all(self, action: str, which: DeadFilter, within_s: float = math.inf) -> tuple[int, bool]:
        """Move the letters that are meant; return how many, and whether the time was long enough for all."""
        moved, until = 0, monotonic() + within_s
        for name, count in await self._tally(which.reason):
            start, left = 0, count
            while left > 0:
                if monotonic() >= until:
                    return moved, False
                letters = await self._letters(name, start, min(BATCH, left))
                if not letters:
                    break
                read = [(raw[0], letter_of(*raw)) for raw in letters if which.may_fit(raw[1])]
                fit = [
                    fingerprint
                    for fingerprint, letter in read
                    if (action == "drop" or letter.task is not None) and which.fits(letter)
                ]
                came = await self._move(action, fit)
                # What could not be moved stays in its place, so the next page begins behind it.
                moved, start, left = moved + came, start + len(letters) - came, left - len(letters)
        return moved, True

    async def _move(self, action: str, ids: Sequence[bytes]) -> int:
        # Repeated after a lost reply it returns the same result, and no letter is skipped.
        return sum(await self._shards.each("move_dead", action, uuid4().hex, *ids)) if ids else 0

    async def _letters(self, reason: str, start: int, size: int) -> list[tuple[bytes, bytes]]:
        """Return a page of ids and letters over all shards, one after the other."""
        found: list[tuple[bytes, bytes]] = []
        for shard in range(self._shards.count):
            raw = await self._shards.run(shard, "letters", reason, start, size - len(found))
            found += zip(raw[1::2], raw[2::2], strict=True)
            if len(found) >= size:
                break
            start = max(0, start - int(raw[0]))
        return found

    async def _tally(self, reason: str | None) -> list[tuple[str, int]]:
        known = (await self._shards.stats()).dead_by_reason
        if reason is None:
            return sorted(known.items())
        if reason not in [*FailureKind, *known]:
            raise UsageError(
                f"{reason!r} is not a reason for giving up a URL; the reasons are {', '.join(FailureKind)}."
            )
        return [(reason, known.get(reason, 0))]


def letter_of(fingerprint: bytes, letter: bytes) -> DeadLetter:
    """Return a letter as it is stored; what of it cannot be read is left out, so that it can still be dropped."""
    parts: list[Any] = letter.split(b"\n", 4)
    name = fingerprint.decode(errors="backslashreplace")
    if len(parts) != 5:  # noqa: PLR2004 - reason, when, detail, site, entry
        return DeadLetter(name, "corrupt", None, "", 0, None)
    reason, at, detail, site, entry = parts
    try:
        lease = decode_lease(b"0", site, entry, "")
    except ValueError:
        lease = None
    return DeadLetter(
        id=name,
        reason=reason.decode(errors="replace"),
        at=moment(at),
        detail=detail.decode(errors="replace"),
        attempts=0 if lease is None else lease.attempt,
        task=None if lease is None else lease.task,
    )


def _no_letter(fingerprint: str) -> UsageError:
    return UsageError(f"There is no dead letter {fingerprint!r}; `farm dead list` shows those there are.")


def _stored(fingerprint: str) -> bytes:
    """Return an id as it stands in Redis; in an argument Python keeps bytes that are no text as surrogates."""
    return fingerprint.encode(errors="surrogateescape")
