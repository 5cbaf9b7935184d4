"""How an attempt to reach the outside ends badly, within this room."""

from farm.model.egress import GateFailure, GateFault

DETAIL_CHARS = 300
"""An error may quote what came: a header line of 256 KB."""


class Unreachable(Exception):
    """The outside was not reached, or did not answer as it must; never leaves the room."""

    def __init__(self, fault: GateFault, detail: str) -> None:
        detail = detail[:DETAIL_CHARS]
        super().__init__(f"{fault}: {detail}")
        self.failure = GateFailure(fault, detail)


class TunnelForbidden(Unreachable):
    """A proxy makes no tunnel to this port; plain HTTP may still go by it in absolute form."""


class WireLost(Exception):
    """A connection broke while it was read or written."""


class WireSilent(Exception):
    """A connection neither moved a byte nor ended within its time."""
