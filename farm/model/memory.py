"""Readings of the farm's memory, and the measures that free memory.

Bytes are proportional (PSS) or an estimate of that: a page shared by many processes counts once in all.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

MIB = 2**20
RENDERER_MOST_BYTES = 4096 * MIB
"""The largest memory cap of a renderer, under any budget: V8's heaps and buffers lie within 4 GiB of addresses."""


def over_cap(cap_bytes: int) -> str:
    """Return the error text for a page that exceeded the memory cap of its renderer."""
    remedy = "; give more by --memory" if cap_bytes < RENDERER_MOST_BYTES else ", the most that there is"
    return f"more than the renderer's {cap_bytes // MIB} MiB{remedy}"


@dataclass(frozen=True, slots=True)
class RendererUse:
    """A renderer process; `slot` names the slot of its page, empty if that is unknown."""

    pid: int
    used_bytes: int
    engine: str = ""
    slot: str = ""


@dataclass(frozen=True, slots=True)
class MemoryReading:
    """The whole process tree at one moment.

    `engines` has each engine's own use, its renderers left out, and `light` that of each light engine, one process
    for several slots. `limit_share` is how full the cgroup is whose
    limit binds, 0 where none does. `fds` are the file descriptors of the farm's own process, `free_bytes` is the
    free space in each folder that the browsers write to.
    """

    used_bytes: int
    processes: int
    renderers: tuple[RendererUse, ...] = ()
    engines: Mapping[str, int] = field(default_factory=dict)
    limit_share: float = 0.0
    fds: int = 0
    cpu_s: float = 0.0
    """CPU time that the meter itself has used so far."""
    free_bytes: Mapping[str, int] = field(default_factory=dict)
    light: Mapping[str, int] = field(default_factory=dict)

    @property
    def attributed_bytes(self) -> int:
        """The bytes of the renderers whose slot is known."""
        return sum(one.used_bytes for one in self.renderers if one.slot)


class Measure(StrEnum):
    """The measures that free memory, from the mildest to the last."""

    COLLECT = "collect"
    """A garbage collection in a context."""
    RECYCLE = "recycle"
    """A context is replaced before its next page, or a light engine before the next pages of its slots."""
    SHED = "shed"
    """Fewer contexts may work."""
    ENGINE = "engine"
    """A whole engine is replaced."""
    KILL = "kill"
    """A renderer is killed under its page, or a light engine under the pages of its slots."""


@dataclass(frozen=True, slots=True)
class ReclaimAction:
    """A measure to take: `target` is a slot, an engine, or empty; `pid` is the renderer, 0 of an engine."""

    measure: Measure
    target: str
    reason: str
    used_bytes: int = 0
    pid: int = 0
