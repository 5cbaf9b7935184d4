"""Other processes as tests look at them: whatever is looked at may end in the meantime."""

from collections.abc import Iterable

import psutil


def command_of(process: psutil.Process) -> list[str]:
    """Return the command line of a process; nothing where it is gone."""
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def alive(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    """Return those that still run; a zombie does not."""
    found = []
    for process in processes:
        try:
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return found
