"""A redis-server that tests stop, kill and start again at the same place."""

import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from farm.frontier.embedded import answers
from tests.frontier.support import eventually_async


class Server:
    """A server with AOF on a socket that stays the same over its restarts."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        self._home = Path(tempfile.mkdtemp(prefix="farm-test-"))
        self.socket = f"{self._home}/s"
        self.url = f"unix://{self.socket}"
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Start, and wait until it answers."""
        self.folder.mkdir(exist_ok=True, parents=True)
        self._process = subprocess.Popen(  # noqa: ASYNC220 - it returns at once
            [
                "redis-server",
                "--port",
                "0",
                "--unixsocket",
                self.socket,
                "--dir",
                "./",
                "--save",
                "",
                "--appendonly",
                "yes",
                "--appendfsync",
                "everysec",
                "--logfile",
                "log",
                *self._options,
            ],
            cwd=self.folder,
            start_new_session=True,
        )
        await eventually_async(self._ready)

    async def _ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.folder / "log").read_text()[-2000:]
        return await asyncio.to_thread(answers, self.socket)

    async def end(self, sign: signal.Signals = signal.SIGTERM) -> None:
        """Make it end, and wait until it has."""
        if self._process is not None and self._process.poll() is None:
            os.kill(self._process.pid, sign)
            await asyncio.to_thread(self._process.wait, 20)

    async def remove(self) -> None:
        """End it and forget its socket."""
        await self.end(signal.SIGKILL)
        shutil.rmtree(self._home)

    @property
    def log(self) -> Path:
        """The append-only file's last part, where new transactions go."""
        return max((self.folder / "appendonlydir").glob("*.incr.aof"), key=lambda path: path.stat().st_mtime)
