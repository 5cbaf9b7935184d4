"""What one node holds over all shards, so that a suspect is visited with nothing else in flight.

A shard sees its own leases only. So where there are several, the node itself says whether it holds a lease: it
requests a suspect only while it does not, and nothing else until the suspect is settled. All of this runs in one
event loop: no other task runs between a check and what follows from it.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from farm.model.task import Lease


class Quarantine:
    """The leases of one node's slots, and its requests that are under way."""

    def __init__(self) -> None:
        self._held: dict[str, Lease] = {}
        self._under_way = 0
        self._asks_alone = False

    def is_closed_to(self, slot: str) -> bool:
        """Whether the slot may lease nothing now: another slot has a suspect, or requests one."""
        return self._asks_alone or any(
            lease.alone for held_by, lease in self._held.items() if held_by != slot
        )

    def leased(self, lease: Lease) -> None:
        """Record the lease of a slot."""
        self._held[lease.slot] = lease

    def settled(self, lease: Lease) -> None:
        """Record that a lease is settled."""
        if self._held.get(lease.slot) == lease:
            del self._held[lease.slot]

    @contextmanager
    def requesting(self) -> Iterator[None]:
        """Count a request for a URL that is no suspect."""
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1

    @contextmanager
    def requesting_alone(self) -> Iterator[bool]:
        """Reserve the node for a suspect; yields False where it holds a lease, or may be about to."""
        if self._held or self._under_way or self._asks_alone:
            yield False
            return
        self._asks_alone = True
        try:
            yield True
        finally:
            self._asks_alone = False
