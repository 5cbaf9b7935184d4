"""What a machine can carry: the memory, the processes and the open files of a run, checked before it begins."""

from farm.model.errors import UsageError
from farm.monitor.figures import size
from farm.policy.capacity import (
    LEAST_BUDGET_BYTES,
    SizeFault,
    automatic_processes,
    contexts_for_files,
    files_needed,
    most_contexts,
    size_fault,
)
from farm.resources.host_load import usable_cores
from farm.settings.units import Memory


def check_processes(processes: int | None, contexts: int, budget_bytes: int) -> int:
    """Return the number of the node's processes; raises UsageError if one would have no context or no memory."""
    if processes is None:
        return automatic_processes(usable_cores(), contexts, budget_bytes)
    if processes > contexts:
        raise UsageError(
            f"--processes {processes}: each needs a context, and there are {contexts}; give fewer, or more "
            "--contexts."
        )
    if processes > 1 and budget_bytes // processes < LEAST_BUDGET_BYTES:
        raise UsageError(
            f"--processes {processes}: a budget of {size(budget_bytes)} gives each "
            f"{size(budget_bytes // processes)}, and one browser with one page needs {size(LEAST_BUDGET_BYTES)}; "
            "give fewer, or more --memory."
        )
    return processes


def check_sizes(memory: Memory, machine_bytes: int, contexts: int | None, *, is_cheap: bool = False) -> int:
    """Return the budget in bytes; raises UsageError if it, or the given number of contexts, is not possible.

    `machine_bytes` has the machine or its cgroup; `is_cheap` is without a browser.
    """
    budget = memory.of(machine_bytes)
    match size_fault(budget, machine_bytes, contexts, is_cheap=is_cheap):
        case SizeFault.ABOVE_MACHINE:
            raise UsageError(
                f"--memory {memory.text}: this machine, or its container, has {size(machine_bytes)}; "
                "give less, or a share such as 75%."
            )
        case SizeFault.BELOW_LEAST:
            raise UsageError(
                f"--memory {memory.text}: that is {size(budget)}, and one browser with one page needs "
                f"{size(LEAST_BUDGET_BYTES)}; give more."
            )
        case SizeFault.MORE_THAN_MEMORY:
            raise UsageError(
                f"--contexts {contexts}: a budget of {size(budget)} has space for "
                f"{most_contexts(budget, is_cheap=is_cheap):,} at most; give fewer, or auto."
            )
        case None:
            return budget


def check_files(contexts: int, processes: int, files: int) -> None:
    """Raise UsageError if a process of the node needs more open files than the `files` that it may have."""
    needed = files_needed(contexts, processes)
    if needed <= files:
        return
    whose = "each process" if processes > 1 else "the process"
    text = f"--contexts {contexts}: {whose} needs {needed:,} open files and may have {files:,} here; "
    if files_needed(1) > files:
        raise UsageError(f"{text}allow {max(needed, files_needed(1)):,} with `ulimit -n`.")
    raise UsageError(
        f"{text}give {processes * contexts_for_files(files):,} contexts, or allow {needed:,} with `ulimit -n`."
    )
