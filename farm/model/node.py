"""A node's life among the others of its crawl."""

from dataclasses import dataclass
from enum import IntEnum


class NodeStanding(IntEnum):
    """What a node's heartbeat is answered."""

    REPLACED = 0
    """Another incarnation has the name: this one must end."""
    ALIVE = 1
    RETURNED = 2
    """It had been taken for dead and is registered again; its leases of before are lost."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A node's name, and the incarnation that tells this life of it from every other."""

    name: str
    incarnation: str
