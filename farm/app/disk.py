"""The disk quota of a run, joined: what its output folder has, and who ends the run."""

from collections.abc import Callable, Coroutine
from typing import Any

from farm.app.preflight import RunPlan
from farm.model.clock import Clock
from farm.model.event import Emit
from farm.resources.files import folder_bytes
from farm.runtime.control import Control, DiskQuota
from farm.sinks.jsonl import JsonlSink
from farm.sinks.record import FOLDERS


def disk_quota(
    plan: RunPlan, sink: JsonlSink, control: Control, emit: Emit, clock: Clock
) -> Callable[[], Coroutine[Any, Any, None]] | None:
    """Return what watches the quota as long as the node runs; None where there is none."""
    limit = plan.settings.max_disk
    if limit is None or limit.size_bytes is None:
        return None
    folders = frozenset(FOLDERS.values())
    counted: list[int] = []

    def used_bytes() -> int:
        # A page may bring three files: they are counted once, and then as they are written.
        if not counted:
            counted.append(sum(folder_bytes(plan.output / name) for name in folders) - sink.file_bytes)
        return folder_bytes(plan.output, folders) + counted[0] + sink.file_bytes

    return DiskQuota(limit.size_bytes, used_bytes, control, emit, clock).run
