"""A light engine: one process that is confined before it starts, and serves several slots at once.

Invariants: once `start` has begun, `close` ends the process and removes the engine's folder, whether
`start` succeeded, failed or was cancelled; the process has neither the farm's environment nor its files; an engine
is never used again once it is lost.
"""

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Collection
from pathlib import Path

from farm.light import launcher
from farm.light.connection import LightConnection
from farm.light.permits import Permits
from farm.light.program import ProgramParams, arguments, authorities
from farm.model.errors import BrowserUnavailable, SlotLost
from farm.model.outcome import FailureKind
from farm.resources import processes

START_S = 20.0
LAUNCH_S = 10.0
"""How long the launcher may take to confine itself."""
CLOSE_S = 3.0
TRY_EVERY_S = 0.02
FILES = 1024
READABLE = (
    # What the program is linked with.
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/etc/ld.so.cache",
    "/dev/urandom",
    "/dev/null",
    "/sys/devices/system/cpu/online",
    "/usr/share/zoneinfo",
    "/etc/localtime",
)


class LightEngine:
    """One process. `lost` is resolved with the reason when it is found dead."""

    def __init__(
        self,
        number: int,
        params: ProgramParams,
        folder: Path,
        own: Callable[[int], None],
        free: Callable[[int], None],
    ) -> None:
        self.name = f"light-{number}"
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.pid = 0
        self.pages = self.took_ms = self.used_bytes = 0
        self.retiring_since = 0.0
        self.is_retiring = False
        """Whether it gets no new slot."""
        self.is_explained = False
        """Whether its end is no page's fault, or has been laid to one already: the others did not cause it."""
        self.slots: set[str] = set()
        """The names of the slots that have a connection, or are opening one."""
        self._params = params
        self._folder = folder / self.name
        self._own = own
        self._free = free
        self._launching: asyncio.Task[int] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._permits: Permits | None = None

    async def start(self, ports: Collection[int]) -> None:
        """Start the process; it may connect to what is in `ports`. Raises BrowserUnavailable with the reason."""
        begun = time.monotonic()
        try:
            async with asyncio.timeout(START_S):
                # A thread cannot be cancelled: `close` waits for what it has begun.
                self._launching = asyncio.create_task(asyncio.to_thread(self._launch))
                listener = await asyncio.shield(self._launching)
                self._permits = Permits(listener, ports, self._flooded)
                await self._listening()
        except TimeoutError as error:
            await self.close()
            raise BrowserUnavailable(self._sentence(f"it did not start within {START_S:g} s")) from error
        except OSError as error:
            await self.close()
            raise BrowserUnavailable(self._sentence(str(error))) from error
        except BaseException:
            # Cancelled, or a bug.
            await self.close()
            raise
        self.took_ms = round((time.monotonic() - begun) * 1000)

    def _launch(self) -> int:
        """Start the launcher; return where the engine's calls wait for an answer. Runs in a thread.

        Raises OSError if it does not become the engine.
        """
        self._folder.mkdir(mode=0o700, parents=True)
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.settimeout(LAUNCH_S)
            trusted = authorities(self._params.ca_file)
            given = {
                "program": str(self._params.program),
                "arguments": arguments(self._params, self._socket),
                "folder": str(self._folder),
                "readable": [*READABLE, *map(str, trusted)],
                "notify_fd": theirs.fileno(),
                "data_bytes": self._params.data_bytes,
                "files": FILES,
            }
            self._process = subprocess.Popen(
                [sys.executable, "-IS", launcher.__file__, json.dumps(given)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={},
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
            self.pid = self._process.pid
            self._own(self.pid)
            theirs.close()
            said, listeners, _, _ = socket.recv_fds(ours, 4096, 1)
            if not listeners:
                raise OSError(said.decode("utf-8", "replace") or "its launcher ended")
            return listeners[0]

    def _flooded(self) -> None:
        self.mark_lost("it asked for connections without end")

    async def _listening(self) -> None:
        """Wait until it takes connections."""
        while True:
            try:
                connection = await LightConnection.open(self._socket)
            except OSError:
                if self._process is None or self._process.poll() is not None:
                    raise OSError("it ended") from None
                await asyncio.sleep(TRY_EVERY_S)
            except SlotLost as error:
                raise OSError(error.detail) from error
            else:
                connection.close("it was only to see")
                return

    async def connect(self) -> LightConnection:
        """Return a new connection; raises SlotLost, and marks the engine lost, if there is none."""
        try:
            return await LightConnection.open(self._socket)
        except (OSError, TimeoutError) as error:
            self.check()
            self.mark_lost(f"it takes no connection: {str(error) or 'no answer in time'}")
        raise self.loss()

    @property
    def _socket(self) -> Path:
        return self._folder / "cdp"

    def _sentence(self, why: str) -> str:
        return f"The light engine cannot be started ({why}); use another --render."

    def loss(self) -> SlotLost:
        """Return the error of a visit that this engine's death has ended."""
        return SlotLost(
            FailureKind.CRASH, f"{self.name}: {self.lost.result() if self.lost.done() else 'lost'}"
        )

    def mark_lost(self, reason: str) -> None:
        """Resolve `lost` with the reason; only the first call counts."""
        if not self.lost.done():
            self.lost.set_result(reason)

    def excuse_page(self) -> bool:
        """Return whether the page of a slot that has lost this engine is not what ended it.

        Any page on it may have. The first slot that asks is taken for the cause, and the others are not.
        """
        excused, self.is_explained = self.is_explained, True
        return excused

    def check(self) -> None:
        """Look whether the process lives, and how much private memory it has."""
        if self._process is None or self._process.poll() is not None:
            self.mark_lost("its process died")
            return
        try:
            self.used_bytes = processes.private_bytes(self.pid)
        except OSError:
            self.mark_lost("its process died")

    async def close(self) -> None:
        """Kill the process with all that it may have started, and remove the folder."""
        self.mark_lost("closed")
        listener = await self._launched()
        if self._permits is not None:
            self._permits.close()
        elif listener >= 0:
            os.close(listener)
        if self._process is not None:
            if self._process.poll() is None:
                # One that has been waited for has left nothing, and its number may be another's.
                await asyncio.to_thread(processes.kill_groups, [self.pid], CLOSE_S)
            await asyncio.to_thread(self._reap, self._process)
            if self._process.returncode is not None:
                self._free(self.pid)
        await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)

    async def _launched(self) -> int:
        """Wait for the thread that starts the process; return where the engine's calls wait, or -1."""
        launching, self._launching = self._launching, None
        if launching is None:
            return -1
        await asyncio.wait({launching}, timeout=2 * LAUNCH_S)
        if not launching.done() or launching.cancelled() or launching.exception() is not None:
            return -1
        return launching.result()

    @staticmethod
    def _reap(process: subprocess.Popen[bytes]) -> None:
        try:
            process.wait(CLOSE_S)
        except subprocess.TimeoutExpired:
            # It is killed, and hangs in the kernel: the reaper has it too.
            return
