"""The owner of the other end of a loopback connection, according to the kernel.

Linux answers through its socket diagnostics (`sock_diag(7)`): one request for one pair of addresses, about 20 us
however many sockets there are. On other systems, or in a sandbox without netlink, the owner is unknown.
"""

import os
import socket
import struct

SOCK_DIAG_BY_FAMILY = 20
NLMSG_ERROR = 2
NLM_F_REQUEST = 1
NO_COOKIE = 0xFFFFFFFF
ESTABLISHED_AND_CLOSING = 0x3FF
"""All states of a connection except listening."""
_HEADER = struct.Struct("=IHHII")
_REQUEST = struct.Struct("=BBBBI")
_SOCKET_ID = struct.Struct("=2s2s16s16sIII")
_UID_AT = _HEADER.size + 4 + _SOCKET_ID.size + 12
_ANSWER_BYTES = 1024
_WAIT_S = 1.0
Address = tuple[str, int]


class PeerCheck:
    """Checks whether a peer on 127.0.0.1 belongs to this user. Keeps one netlink socket until `close`."""

    def __init__(self) -> None:
        self._uid = os.geteuid()
        self._netlink = _diagnostics()

    @property
    def is_possible(self) -> bool:
        """Whether the kernel knows the owners."""
        return self._netlink is not None

    def is_own(self, peer: Address, own: Address) -> bool:
        """Return whether a process of this user made the connection from `peer` to `own`.

        Also True if the kernel does not tell.
        """
        if self._netlink is None:
            return True
        try:
            uid = _uid_of(self._netlink, peer, own)
        except OSError:
            # A late answer must not be mistaken for that of a later request.
            self._netlink.close()
            self._netlink = _diagnostics()
            return self._netlink is None
        return uid == self._uid

    def close(self) -> None:
        """Close the socket."""
        if self._netlink is not None:
            self._netlink.close()
            self._netlink = None


def _diagnostics() -> socket.socket | None:
    """Return a socket for the kernel's socket diagnostics; None if there is none."""
    family = getattr(socket, "AF_NETLINK", None)
    if family is None:
        return None
    netlink = None
    try:
        netlink = socket.socket(family, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 4)
        netlink.settimeout(_WAIT_S)
        with (
            socket.create_server(("127.0.0.1", 0)) as server,
            socket.create_connection(server.getsockname()) as near,
        ):
            # Asked about a connection of our own, it must name us.
            if _uid_of(netlink, near.getsockname(), near.getpeername()) == os.geteuid():
                return netlink
    except OSError:
        pass
    if netlink is not None:
        netlink.close()
    return None


def _uid_of(netlink: socket.socket, local: Address, remote: Address) -> int | None:
    """Return the user id that owns the end `local` of a connection; None if there is none. Raises OSError."""
    ends = _SOCKET_ID.pack(
        struct.pack("!H", local[1]),
        struct.pack("!H", remote[1]),
        socket.inet_aton(local[0]),
        socket.inet_aton(remote[0]),
        0,
        NO_COOKIE,
        NO_COOKIE,
    )
    body = _REQUEST.pack(socket.AF_INET, socket.IPPROTO_TCP, 0, 0, ESTABLISHED_AND_CLOSING) + ends
    netlink.send(_HEADER.pack(_HEADER.size + len(body), SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, 0, 0) + body)
    answer = netlink.recv(_ANSWER_BYTES)
    if len(answer) < _HEADER.size:
        raise OSError("the kernel's answer is too short")
    _, kind, *_ = _HEADER.unpack_from(answer)
    if kind == NLMSG_ERROR or len(answer) < _UID_AT + 4:
        return None
    return int(struct.unpack_from("=I", answer, _UID_AT)[0])
