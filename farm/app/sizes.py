"""Numbers that a machine cannot carry, answered before anything is started."""

from farm.model.errors import UsageError
from farm.monitor.figures import size
from farm.settings.units import Memory

LEAST_BUDGET_BYTES = 384 * 2**20
"""An engine without a page is a quarter of a gigabyte, and the farm itself and Redis need some too."""
LEAST_CONTEXT_BYTES = 16 * 2**20
"""No context with a page open has been seen to need less."""
FDS_EACH = 4
"""A port, and the connections of a page that does nothing."""


def check_sizes(memory: Memory, machine_bytes: int, contexts: int | None, fds: int) -> int:
    """Return the budget in bytes; raises UsageError where it, or the contexts given, cannot be meant.

    `machine_bytes` is what the machine or its cgroup has, `fds` how many files a process may have open.
    """
    budget = memory.of(machine_bytes)
    if budget > machine_bytes:
        raise UsageError(
            f"--memory {memory.text}: this machine, or its container, has {size(machine_bytes)}; "
            "give less, or a share such as 75%."
        )
    if budget < LEAST_BUDGET_BYTES:
        raise UsageError(
            f"--memory {memory.text}: that is {size(budget)}, and one browser with one page needs "
            f"{size(LEAST_BUDGET_BYTES)}; give more."
        )
    if contexts is None:
        return budget
    carried = (budget - LEAST_BUDGET_BYTES) // LEAST_CONTEXT_BYTES + 1
    if contexts > carried:
        raise UsageError(
            f"--contexts {contexts}: a budget of {size(budget)} carries {carried:,} at the very most; "
            "give fewer, or auto."
        )
    if contexts * FDS_EACH > fds:
        raise UsageError(
            f"--contexts {contexts}: that takes more files than the {fds:,} that a process may have open here; "
            "give fewer, or raise `ulimit -n`."
        )
    return budget
