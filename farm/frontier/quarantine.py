"""What one node holds over all shards, so that a suspect is visited with nothing else in flight.

A shard sees its own leases only. So where there are several, the node itself says whether it holds anything: it
asks for a suspect only while it does not, and for nothing else until the suspect is settled. Everything here
happens in one event loop; a check and what follows from it are not interrupted.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from farm.model.task import Lease


class Quarantine:
    """The leases of one node's slots, and its dispatch that are under way."""

    def __init__(self) -> None:
        self._held: dict[str, Lease] = {}
        self._under_way = 0
        self._asks_alone = False

    def is_closed_to(self, slot: str) -> bool:
        """Whether the slot may lease nothing now: another one has a suspect, or asks for one."""
        return self._asks_alone or any(
            lease.alone for held_by, lease in self._held.items() if held_by != slot
        )

    def took(self, lease: Lease) -> None:
        """Note what a slot holds."""
        self._held[lease.slot] = lease

    def settled(self, lease: Lease) -> None:
        """Note that a lease is settled."""
        if self._held.get(lease.slot) == lease:
            del self._held[lease.slot]

    @contextmanager
    def wish(self) -> Iterator[None]:
        """Ask for what is no suspect."""
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1

    @contextmanager
    def wish_alone(self) -> Iterator[bool]:
        """Ask for a suspect; False where the node holds something, or may be about to."""
        if self._held or self._under_way or self._asks_alone:
            yield False
            return
        self._asks_alone = True
        try:
            yield True
        finally:
            self._asks_alone = False
