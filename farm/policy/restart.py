"""When a process that has died is replaced: at once, and ever later while its successors die as well."""

from dataclasses import dataclass

WELL_S = 60.0
"""Who lived that long did not die of its start."""
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0


@dataclass(frozen=True, slots=True)
class RestartState:
    """How many have died in a row, each within `WELL_S` seconds of its start."""

    deaths: int = 0


def after_death(state: RestartState, lived_s: float) -> tuple[RestartState, float]:
    """Return the state after a process has died, and after how many seconds it is replaced: 0 for at once."""
    deaths = 1 if lived_s >= WELL_S else state.deaths + 1
    pause_s = 0.0 if deaths == 1 else min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(deaths - 2, 10))
    return RestartState(deaths), pause_s
