"""The calls that an engine may not make by itself: those by which it listens, and those by which it connects.

They wait in the kernel until they are answered here. The first socket of the file system is allowed: it is the one
that the engine listens on, asked for before any page. A connection is made here, to a port of the gateway on
loopback, and put into the place of the engine's own socket: so what it goes to is what was looked at, whatever the
engine does to its memory meanwhile. All else is refused, and everything once this end is closed.
"""

import asyncio
import errno
import fcntl
import os
import socket
import struct
from collections.abc import Callable, Collection
from contextlib import suppress

RECEIVE, SEND, IS_VALID, ADD_FD = 0xC0502100, 0xC0182101, 0x40082102, 0x40182103
NOTICE_BYTES = 80
CONTINUE, IN_PLACE = 1, 1
SOCKET, CONNECT = 41, 42
MOST_A_SECOND = 2_000
"""An engine that asks for more gets no more answers, and is ended: they would take the loop's time."""
_INET = struct.Struct("=H2s4s")
_LOOPBACK = bytes([127, 0, 0, 1])


class Permits:
    """Answers on the event loop. `ports` is looked at for each call; too many of them call `flooded`."""

    def __init__(self, listener: int, ports: Collection[int], flooded: Callable[[], None]) -> None:
        self.refused = 0
        """How many calls were refused."""
        self._listener = listener
        self._ports = ports
        self._flooded = flooded
        self._listens = False
        self._second, self._in_second = 0, 0
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(listener, self._answer)

    def close(self) -> None:
        """Answer no more: all that waits, and all that comes, is refused by the kernel."""
        if self._listener >= 0:
            self._loop.remove_reader(self._listener)
            os.close(self._listener)
            self._listener = -1

    def _answer(self) -> None:
        notice = bytearray(NOTICE_BYTES)
        try:
            fcntl.ioctl(self._listener, RECEIVE, notice)
        except OSError as error:
            # The caller is gone, or was interrupted.
            if error.errno not in {errno.ENOENT, errno.EINTR}:
                self.close()
            return
        if self._is_flooded():
            self.close()
            self._flooded()
            return
        number, thread, _, call = struct.unpack_from("=QIIi", notice)
        arguments = struct.unpack_from("=6Q", notice, 32)
        value, flags = -errno.EACCES, 0
        if call == SOCKET and not self._listens:
            self._listens, value, flags = True, 0, CONTINUE
        elif call == CONNECT:
            port = self._port_of(thread, arguments[1], arguments[2])
            value = self._connect(number, arguments[0], port) if port in self._ports else value
        self.refused += value == -errno.EACCES
        # The caller may be gone meanwhile.
        with suppress(OSError):
            fcntl.ioctl(self._listener, SEND, struct.pack("=QqiI", number, 0, value, flags))

    def _is_flooded(self) -> bool:
        second = int(self._loop.time())
        self._in_second = self._in_second + 1 if second == self._second else 0
        self._second = second
        return self._in_second >= MOST_A_SECOND

    def _port_of(self, thread: int, at: int, size: int) -> int:
        """Return the port on loopback that an address in the engine's memory names; 0 for any other address."""
        if size < _INET.size:
            return 0
        try:
            memory = os.open(f"/proc/{thread}/mem", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return 0
        try:
            family, port, host = _INET.unpack(os.pread(memory, _INET.size, at))
        except (OSError, OverflowError, struct.error):
            return 0
        finally:
            os.close(memory)
        is_here = family == socket.AF_INET and host == _LOOPBACK
        return int.from_bytes(port) if is_here else 0

    def _connect(self, number: int, in_place_of: int, port: int) -> int:
        """Begin to connect, and put the connection in the engine's place; return 0 or less: what came of it."""
        with socket.socket() as made:
            made.setblocking(False)
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            code = made.connect_ex(("127.0.0.1", port))
            if code not in {0, errno.EINPROGRESS}:
                return -code
            where = in_place_of & 0xFFFFFFFF
            put = struct.pack("=QIIII", number, IN_PLACE, made.fileno(), where, os.O_CLOEXEC)
            try:
                fcntl.ioctl(self._listener, ADD_FD, put)
            except OSError as error:
                return -(error.errno or errno.ECONNREFUSED)
        return -code
