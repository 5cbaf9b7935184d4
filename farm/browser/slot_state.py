"""The state machine of a slot of the pool.

state      event      next
empty      opening    opening     no tab; the next visit opens one
opening    opened     ready
opening    lost       empty
ready      visiting   visiting
ready      lost       empty       recycled, or dead between visits
visiting   visited    ready
visiting   lost       empty       the page, its context or its engine died or hung
"""

from enum import StrEnum


class SlotState(StrEnum):
    """The states of the table above."""

    EMPTY = "empty"
    OPENING = "opening"
    READY = "ready"
    VISITING = "visiting"


TRANSITIONS: dict[tuple[SlotState, str], SlotState] = {
    (SlotState.EMPTY, "opening"): SlotState.OPENING,
    (SlotState.OPENING, "opened"): SlotState.READY,
    (SlotState.OPENING, "lost"): SlotState.EMPTY,
    (SlotState.READY, "visiting"): SlotState.VISITING,
    (SlotState.READY, "lost"): SlotState.EMPTY,
    (SlotState.VISITING, "visited"): SlotState.READY,
    (SlotState.VISITING, "lost"): SlotState.EMPTY,
}
