"""The process behind a private Redis: which it is, whether it runs, and how it is stopped."""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson

from farm.frontier.connect import build_sync
from farm.frontier.faults import FOREIGN
from farm.resources import processes
from farm.resources.files import create_anew, read_own

LARGEST_BYTES = 1 << 16
IDENTITY = "redis.json"
SOCKET_FOLDER = "farm-redis-"
SHUTDOWN_TIMEOUT_S = 10.0
TERM_TIMEOUT_S = 5.0
KILL_TIMEOUT_S = 5.0
POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class ServerProcess:
    """Which process serves a folder; the start time tells it from a later one with the same number."""

    pid: int
    started: float
    socket: str

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"unix://{self.socket}"

    @property
    def alive(self) -> bool:
        """Whether that very process still runs."""
        try:
            return abs(processes.started_at(self.pid) - self.started) < 1.0 and processes.is_running(self.pid)
        except ProcessLookupError:
            return False


def identify(process: subprocess.Popen[bytes], socket: str) -> ServerProcess:
    """Describe a server that was just started."""
    return ServerProcess(process.pid, processes.started_at(process.pid), socket)


def write_identity(folder: Path, identity: ServerProcess | None) -> None:
    """Write into the folder which process serves it; never half a file."""
    if identity is None:
        (folder / IDENTITY).unlink(missing_ok=True)
        return
    draft = folder / (IDENTITY + ".new")
    with os.fdopen(create_anew(draft, 0o600), "wb") as file:
        file.write(orjson.dumps(asdict(identity)))
    draft.replace(folder / IDENTITY)


def read_identity(folder: Path) -> ServerProcess | None:
    """Return who served the folder last; it may be gone. A process that does not work in the folder is not it.

    Raises UsageError where somebody else wrote the file: it would name a process to end and a socket to trust.
    """
    try:
        stored = orjson.loads(read_own(folder / IDENTITY, LARGEST_BYTES))
        found = ServerProcess(int(stored["pid"]), float(stored["started"]), str(stored["socket"]))
    except (OSError, ValueError, KeyError, TypeError):
        # No file, or one that no farm wrote: then there is no process to stop.
        return None
    return None if found.alive and processes.works_elsewhere(found.pid, folder) else found


def answers(socket: str) -> bool:
    """Whether the server is there and has loaded its data."""
    client = build_sync(f"unix://{socket}", timeout_s=1.0)
    try:
        return bool(client.ping())
    except FOREIGN:
        return False
    finally:
        client.close()


async def end(server: ServerProcess, process: subprocess.Popen[bytes] | None = None) -> None:
    """Shut the server down, else terminate, else kill it; then remove its socket's folder."""
    await asyncio.to_thread(_ask_to_leave, server.socket)
    if not await _gone(server, process, SHUTDOWN_TIMEOUT_S):
        _signal(server, signal.SIGTERM)
        if not await _gone(server, process, TERM_TIMEOUT_S):
            _signal(server, signal.SIGKILL)
            await _gone(server, process, KILL_TIMEOUT_S)
    home = Path(server.socket).parent
    if home.name.startswith(SOCKET_FOLDER):
        shutil.rmtree(home, ignore_errors=True)


def _ask_to_leave(socket: str) -> None:
    client = build_sync(f"unix://{socket}", timeout_s=SHUTDOWN_TIMEOUT_S)
    try:
        client.shutdown(nosave=True)  # the append-only file is flushed all the same
    except FOREIGN:
        return
    finally:
        client.close()


def _signal(server: ServerProcess, number: signal.Signals) -> None:
    # Only that very process: by now its number may be another's.
    if server.alive:
        with contextlib.suppress(ProcessLookupError):
            os.kill(server.pid, number)


async def _gone(server: ServerProcess, process: subprocess.Popen[bytes] | None, within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while process.poll() is None if process is not None else server.alive:
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(POLL_S)
    return True
