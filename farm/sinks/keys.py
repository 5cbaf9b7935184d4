"""Memories of keys: which lines a log has already.

A key is 16 bytes that end in bytes of a cryptographic digest, so that its last ones spread evenly.
"""

from typing import Protocol

KEY_BYTES = 16
_REST_BYTES = KEY_BYTES - 2
_BUCKETS = 1 << 16


class Keys(Protocol):
    """What a log asks before it writes."""

    def __contains__(self, key: bytes) -> bool:
        """Whether the log is known to have a line with this key."""
        ...

    def add(self, key: bytes) -> None:
        """Remember a key that was not there."""
        ...


class AllKeys:
    """Every key, exactly, in about 18 bytes each: a tenth of what a set of byte strings takes.

    The last two bytes of a key choose a bucket, which holds the other fourteen end to end. A search in
    one is a substring search in C over some hundred bytes; nothing is ever rehashed, so that a crawl of
    ten million pages has no pause in which a table grows.
    """

    def __init__(self) -> None:
        self._buckets: list[bytearray | None] = [None] * _BUCKETS
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __contains__(self, key: bytes) -> bool:
        bucket = self._buckets[key[-2] << 8 | key[-1]]
        if bucket is None:
            return False
        rest = key[:-2]
        at = bucket.find(rest)
        # A find across the border of two keys is no find.
        while at >= 0 and at % _REST_BYTES:
            at = bucket.find(rest, at + 1)
        return at >= 0

    def add(self, key: bytes) -> None:
        """Remember a key that was not there."""
        place = key[-2] << 8 | key[-1]
        bucket = self._buckets[place]
        if bucket is None:
            self._buckets[place] = bytearray(key[:-2])
        else:
            bucket += key[:-2]
        self._count += 1


class RecentKeys:
    """The latest keys, in bounded memory: at least half of `capacity`, at most all of it.

    For a log in which a line that stands twice after a long while does no harm.
    """

    def __init__(self, capacity: int) -> None:
        self._half = max(1, capacity // 2)
        self._young = AllKeys()
        self._old = AllKeys()

    def __contains__(self, key: bytes) -> bool:
        return key in self._young or key in self._old

    def add(self, key: bytes) -> None:
        """Remember a key that was not there, and forget the oldest half when there are too many."""
        self._young.add(key)
        if len(self._young) >= self._half:
            self._old, self._young = self._young, AllKeys()
