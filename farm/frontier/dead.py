"""Dead letters: what was given up, why, and the way back."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from farm.frontier import keys
from farm.frontier.entries import CorruptEntry, lease_of
from farm.frontier.frontier import AT_ONCE, RedisFrontier
from farm.model.errors import UsageError
from farm.model.outcome import FailureKind
from farm.model.task import UrlTask

PAGE = 100


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A URL that was given up. `task` is None where what was stored cannot be read."""

    id: str
    reason: str
    at: datetime
    detail: str
    attempts: int
    task: UrlTask | None


class DeadLetters:
    """The dead letters of a crawl."""

    def __init__(self, frontier: RedisFrontier) -> None:
        self._frontier = frontier
        self._shards = frontier.shards

    async def page(self, reason: str | None = None, *, start: int = 0, size: int = PAGE) -> list[DeadLetter]:
        """Return `size` letters from the `start`-th on: of one reason, or of all, reason by reason."""
        found: list[DeadLetter] = []
        for name, count in await self._tally(reason):
            if start < count and len(found) < size:
                found += await self._letters(name, start, size - len(found))
            start = max(0, start - count)
        return found

    async def replay(self, reason: str | None = None) -> int:
        """Take all letters, or those of one reason, back into their queues with all their attempts."""
        return await self._all("replay", reason)

    async def drop(self, reason: str | None = None) -> int:
        """Forget all letters, or those of one reason, for good."""
        return await self._all("drop", reason)

    async def replay_ids(self, ids: Sequence[str]) -> int:
        """Take some letters back; an id that is not dead is an error that names it."""
        return await self._some("replay", ids)

    async def drop_ids(self, ids: Sequence[str]) -> int:
        """Forget some letters; an id that is not dead is an error that names it."""
        return await self._some("drop", ids)

    async def show(self, fingerprint: str) -> DeadLetter:
        """Return one letter."""
        for shard in range(self._shards.count):
            key = keys.dead(self._shards.crawl.name, shard)
            letter = await self._shards.client.command("HGET", key, fingerprint)
            if letter is not None:
                return letter_of(fingerprint.encode(), letter)
        raise UsageError(f"There is no dead letter {fingerprint!r}; `farm dead list` shows those there are.")

    async def _some(self, deed: str, ids: Sequence[str]) -> int:
        for fingerprint in ids:
            await self.show(fingerprint)
        return await self._move(deed, ids)

    async def _all(self, deed: str, reason: str | None) -> int:
        moved = 0
        for name, count in await self._tally(reason):
            start, left = 0, count
            while left > 0:
                ids = [letter.id for letter in await self._letters(name, start, min(AT_ONCE, left))]
                if not ids:
                    break
                came = await self._move(deed, ids)
                # What could not be moved stays in its place, so the next page begins behind it.
                moved, start, left = moved + came, start + len(ids) - came, left - len(ids)
        return moved

    async def _move(self, deed: str, ids: Sequence[str]) -> int:
        return sum(await self._shards.each("exhume", deed, *ids))

    async def _letters(self, reason: str, start: int, size: int) -> list[DeadLetter]:
        """Return a page over all shards, one after the other."""
        found: list[DeadLetter] = []
        for shard in range(self._shards.count):
            raw = await self._shards.run(shard, "letters", reason, start, size - len(found))
            found += [letter_of(raw[i], raw[i + 1]) for i in range(1, len(raw), 2)]
            if len(found) >= size:
                break
            start = max(0, start - int(raw[0]))
        return found

    async def _tally(self, reason: str | None) -> list[tuple[str, int]]:
        known = (await self._frontier.stats()).dead_by_reason
        if reason is None:
            return sorted(known.items())
        if reason not in [*FailureKind, *known]:
            raise UsageError(
                f"There is no reason {reason!r} to be dead of; it is one of {', '.join(FailureKind)}."
            )
        return [(reason, known.get(reason, 0))]


def letter_of(fingerprint: bytes, letter: bytes) -> DeadLetter:
    """Return a letter as it is stored."""
    parts: list[Any] = letter.split(b"\n", 4)
    if len(parts) != 5:  # noqa: PLR2004 - reason, when, detail, site, entry
        return DeadLetter(fingerprint.decode(), "corrupt", datetime.fromtimestamp(0, UTC), "", 0, None)
    reason, at, detail, site, entry = parts
    try:
        lease = lease_of(b"0", site, entry, "")
    except CorruptEntry:
        lease = None
    return DeadLetter(
        id=fingerprint.decode(),
        reason=reason.decode(),
        at=datetime.fromtimestamp(int(at) / 1000, UTC),
        detail=detail.decode(errors="replace"),
        attempts=0 if lease is None else lease.attempt,
        task=None if lease is None else lease.task,
    )
