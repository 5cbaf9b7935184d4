"""What a store of records is, for the writer in front of it."""

from collections.abc import Sequence
from typing import Protocol, TypeVar

from farm.model.errors import OutputUnwritable
from farm.model.record import Batch

Encoded = TypeVar("Encoded")
FIRST_RETRY_S = 0.1
LONGEST_RETRY_S = 5.0
"""Pauses before a store that is away is tried again: each is twice as long as the one before."""


class StoreAway(OutputUnwritable):
    """A store cannot take records now, and may be able to later: it is locked, or its server is away."""


class Store(Protocol[Encoded]):
    """Where records are kept. Only the writer's thread calls its methods; numbers may be read from anywhere."""

    @property
    def name(self) -> str:
        """What it is called in messages, without credentials."""
        ...

    @property
    def item_place(self) -> str:
        """Where the items of its pages are, in words; empty if it keeps none."""
        ...

    @property
    def written(self) -> int:
        """How many records were written since it was opened; those that a file has already do not count."""
        ...

    @property
    def records(self) -> int | None:
        """How many records it has, over all runs; None if that is not known without counting."""
        ...

    def clear(self) -> None:
        """Remove the records of a crawl that is started anew, before `open`. Raises `OutputUnwritable`."""
        ...

    def open(self) -> None:
        """Make it ready for records: create or complete what is missing. Raises `OutputUnwritable`."""
        ...

    def encode(self, batch: Batch) -> tuple[Encoded, int]:
        """Return a batch in the form in which it is written, and its bytes.

        Raises `RenderError` of kind `corrupt` for a record that cannot be written: that is its page's fault.
        """
        ...

    def write(self, group: Sequence[Encoded]) -> None:
        """Make a whole group durable, each id once however often it is repeated.

        Raises `StoreAway` if it is worth a repetition, `OutputUnwritable` where it is not, and `RenderError`
        where a record of the group is refused: then each batch is written alone.
        """
        ...

    def close(self) -> None:
        """Finish what is written, and release what is open.

        Raises `StoreAway` if it is worth a repetition, and `OutputUnwritable`; no record is lost by either.
        """
        ...


class AgingStore(Protocol):
    """A store that finishes what it has been given by its age too."""

    def due_s(self) -> float:
        """Return in how many seconds `flush` is to be called; infinity if nothing waits for it."""
        ...

    def flush(self) -> None:
        """Finish what is too old. Raises `OutputUnwritable` and its `StoreAway`; no record is lost by either."""
        ...

    def waits(self) -> tuple[float, str]:
        """Return for how many seconds what it finishes beside the writer has not got on, and why."""
        ...
