"""The errors within this package; `fetch` and `SlotProxy.failure` translate them for the rest of the farm."""

from farm.model.egress import EgressFailure, EgressFault

DETAIL_CHARS = 300
"""The longest detail: an error may quote a header line of 256 KB."""


class Unreachable(Exception):
    """The destination was not reached, or its response is invalid; `failure` says why.

    `certain` says that another attempt a moment later would end in the same way.
    """

    def __init__(self, fault: EgressFault, detail: str, *, certain: bool = False) -> None:
        detail = detail[:DETAIL_CHARS]
        super().__init__(f"{fault}: {detail}")
        self.failure = EgressFailure(fault, detail)
        self.certain = certain


class TunnelForbidden(Unreachable):
    """A proxy allows no tunnel to this port; plain HTTP may still pass in absolute form."""


class ConnectionBroken(Exception):
    """A connection broke during a read or a write."""


class IdleTimeout(Exception):
    """A connection moved no byte within its time limit."""
