"""A private Redis for one output folder: started and stopped with the farm; its data are kept.

It listens only on a unix socket, in a short private folder (a socket's path is limited to 107 bytes).
A small file in the data folder identifies its process, so that the next run can end the Redis of a killed farm.
"""

import asyncio
import contextlib
import logging
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson

from farm.frontier.connect import build_sync
from farm.frontier.faults import FOREIGN
from farm.model.errors import FrontierUnavailable, OutputUnwritable
from farm.model.secret import kept
from farm.resources import processes
from farm.resources.files import create_anew, opened, own_folder, read_own, write_atomically

log = logging.getLogger("farm.redis")
SERVERS = ("redis-server", "valkey-server")
LOG = "redis.log"
LONGEST_SOCKET = 107
LARGEST_BYTES = 1 << 16
IDENTITY = "redis.json"
PROBE, PROBE_BYTES = "room", 1 << 14
"""Bytes of a test file that shows whether the disk accepts writes: a little more than a starting Redis writes."""
SOCKET_FOLDER = "farm-redis-"
SHUTDOWN_TIMEOUT_S = 10.0
TERM_TIMEOUT_S = 5.0
KILL_TIMEOUT_S = 5.0
POLL_S = 0.02
WATCH_S = 0.5
DEATHS, DEATHS_S = 5, 60.0
"""A server that ends this often within this time is not started again."""
START_TIMEOUT_S = 120.0
"""Long, because a large append-only file loads slowly; a server that died is noticed immediately."""


@dataclass(frozen=True, slots=True)
class ServerProcess:
    """The process that serves a folder; its start time distinguishes it from a later one with the same number."""

    pid: int
    started: float
    socket: str

    @property
    def url(self) -> str:
        """The path of its socket."""
        return f"unix://{self.socket}"

    @property
    def alive(self) -> bool:
        """Whether this process still runs."""
        try:
            return abs(processes.started_at(self.pid) - self.started) < 1.0 and processes.is_running(self.pid)
        except ProcessLookupError:
            return False


class EmbeddedRedis:
    """One redis-server (or valkey-server) whose data live in `folder`.

    `own` is called with its process and its socket's folder once it is started, before it has loaded its data.
    """

    def __init__(self, folder: Path, own: Callable[[int, Path], None] | None = None) -> None:
        self._folder = folder.absolute()
        self._own = own
        self._process: subprocess.Popen[bytes] | None = None
        self._identity: ServerProcess | None = None
        self._program = ""

    @property
    def pid(self) -> int | None:
        """The server's process, while it runs."""
        return None if self._identity is None else self._identity.pid

    def pids(self) -> tuple[int, ...]:
        """Return the processes that belong to the farm: the server's, while it runs."""
        return () if self.pid is None else (self.pid,)

    @staticmethod
    def running_url(folder: Path) -> str | None:
        """Return the URL of the live server of a folder, for commands that read the crawl from outside."""
        identity = read_identity(folder)
        return identity.url if identity is not None and identity.alive else None

    @staticmethod
    async def end_left(folder: Path) -> None:
        """End the server of a folder that a killed farm left running, if there is one."""
        left = read_identity(folder)
        if left is not None:
            await end(left)

    async def start(self) -> str:
        """Start the server and return its URL; a predecessor on the same folder is stopped first."""
        program = next((found for name in SERVERS if (found := shutil.which(name))), None)
        if program is None:
            raise FrontierUnavailable(
                "There is no redis-server on the PATH; install it (Debian: apt install redis-server), "
                "or name a running Redis with --redis."
            )
        self._make_folder()
        predecessor = read_identity(self._folder)
        if predecessor is not None:
            await end(predecessor)
        socket, self._program = _private_socket(), program
        log_size = self._log_size()
        try:
            self._identity = self._spawn(socket)
            await self._wait_until_ready(log_size)
        except BaseException:
            # Also when cancelled: the server would go on, and hold its folder against the next run.
            await self._discard(socket)
            raise
        return self._identity.url

    async def keep(self) -> None:
        """Start the server again, on its socket and its data, whenever it ends before `stop`; returns after that.

        Nobody else would: it is killed where memory is short, and whoever waits for it would wait in vain. Raises
        FrontierUnavailable where it ends again and again.
        """
        deaths: deque[float] = deque(maxlen=DEATHS)
        log_size = self._log_size()
        while (identity := self._identity) is not None and self._process is not None:
            status = self._process.poll()
            if status is not None:
                now = time.monotonic()
                self._check_room()
                if len(deaths) == DEATHS and now - deaths[0] < DEATHS_S:
                    raise FrontierUnavailable(
                        f"The private Redis has ended {DEATHS} times in a minute: {self._last_words(log_size)}."
                    )
                deaths.append(now)
                how = f"by signal {-status}" if status < 0 else f"with status {status}"
                log.warning("the private Redis was ended %s; it is started again", how)
                log_size = self._log_size()
                self._identity = self._spawn(identity.socket)
            await asyncio.sleep(WATCH_S)

    async def stop(self) -> None:
        """Tell the server to write its data and shut down; if it does not, terminate it, and then kill it."""
        identity, self._identity = self._identity, None
        if identity is None:
            return
        await end(identity, self._process)
        self._process = None
        write_identity(self._folder, None)

    def _make_folder(self) -> None:
        try:
            own_folder(self._folder)
            os.close(opened(self._folder / LOG, os.O_WRONLY | os.O_CREAT))
        except OSError as error:
            raise self._unwritable(error) from None

    def _unwritable(self, error: OSError) -> OutputUnwritable:
        return OutputUnwritable(
            f"The folder {self._folder} for Redis's data cannot be written ({error.strerror}); "
            "free some space, check its permissions, or name another with --output."
        )

    def _check_room(self) -> None:
        """Raise OutputUnwritable if the disk accepts no writes: a server that ended for this cannot say so."""
        probe = self._folder / PROBE
        try:
            write_atomically(probe, bytes(PROBE_BYTES))
        except OSError as error:
            raise self._unwritable(error) from None
        finally:
            with contextlib.suppress(OSError):
                probe.unlink()

    def _spawn(self, socket: str) -> ServerProcess:
        arguments = {
            "port": "0",
            "unixsocket": socket,
            "unixsocketperm": "700",
            "dir": "./",
            "logfile": LOG,
            "daemonize": "no",
            "appendonly": "yes",
            "appendfsync": "everysec",
            "aof-load-truncated": "yes",
            "save": "",
            "maxmemory-policy": "noeviction",
        }
        line = [part for name, value in arguments.items() for part in (f"--{name}", value)]
        # A session of its own: Ctrl-C in the terminal is the farm's to answer, not the server's.
        self._process = subprocess.Popen(
            [self._program, *line],
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            env=kept(os.environ),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            # At a limit of the size of files it hears of an error, as on a full disk; SIGXFSZ would kill it.
            restore_signals=False,
        )
        if self._own is not None:
            self._own(self._process.pid, Path(socket).parent)
        self._identity = identity = identify(self._process, socket)
        try:
            write_identity(self._folder, identity)
        except OSError as error:
            raise self._unwritable(error) from None
        return identity

    async def _wait_until_ready(self, log_size: int) -> None:
        if self._identity is None or self._process is None:
            raise AssertionError("nothing was started")
        deadline = time.monotonic() + START_TIMEOUT_S
        while not await asyncio.to_thread(answers, self._identity.socket):
            if self._process.poll() is not None:
                self._check_room()
                raise FrontierUnavailable(f"The private Redis did not start: {self._last_words(log_size)}.")
            if time.monotonic() > deadline:
                raise FrontierUnavailable(
                    f"The private Redis was not ready in {START_TIMEOUT_S:.0f} s: {self._last_words(log_size)}."
                )
            await asyncio.sleep(POLL_S)

    async def _discard(self, socket: str) -> None:
        if self._identity is None:
            shutil.rmtree(Path(socket).parent, ignore_errors=True)
        else:
            await self.stop()

    def _log_size(self) -> int:
        return (self._folder / LOG).stat().st_size

    def _last_words(self, log_size: int) -> str:
        text = (self._folder / LOG).read_bytes()[log_size:].decode(errors="replace")
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        telling = [line for line in lines if " # " in line and "WARNING" not in line and "oO0" not in line]
        words = (telling or lines or ["it said nothing; see redis.log"])[-1]
        return words.rpartition(" # ")[2].rstrip(".")


def identify(process: subprocess.Popen[bytes], socket: str) -> ServerProcess:
    """Describe a server that was just started."""
    return ServerProcess(process.pid, processes.started_at(process.pid), socket)


def write_identity(folder: Path, identity: ServerProcess | None) -> None:
    """Write the process that serves the folder into it; never a part of a file."""
    if identity is None:
        (folder / IDENTITY).unlink(missing_ok=True)
        return
    draft = folder / (IDENTITY + ".new")
    with os.fdopen(create_anew(draft, 0o600), "wb") as file:
        file.write(orjson.dumps(asdict(identity)))
    draft.replace(folder / IDENTITY)


def read_identity(folder: Path) -> ServerProcess | None:
    """Return the process that served the folder last, if it still runs with the folder as its working directory.

    Raises UsageError if somebody else wrote the file: it would name a process to end and a socket to trust.
    """
    try:
        stored = orjson.loads(read_own(folder / IDENTITY, LARGEST_BYTES))
        found = ServerProcess(int(stored["pid"]), float(stored["started"]), str(stored["socket"]))
    except (OSError, ValueError, KeyError, TypeError):
        # No file, or one that no farm wrote: then there is no process to stop.
        return None
    return None if found.alive and processes.works_elsewhere(found.pid, folder) else found


def answers(socket: str) -> bool:
    """Whether the server answers and has loaded its data."""
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


def _private_socket() -> str:
    for parent in (None, "/tmp"):  # noqa: S108 - only where TMPDIR is too long for a socket
        folder = tempfile.mkdtemp(prefix=SOCKET_FOLDER, dir=parent)
        socket = f"{folder}/s"
        if len(os.fsencode(socket)) <= LONGEST_SOCKET:
            return socket
        shutil.rmtree(folder, ignore_errors=True)
    raise FrontierUnavailable("No folder is short enough for the private Redis's socket; set TMPDIR to /tmp.")


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
