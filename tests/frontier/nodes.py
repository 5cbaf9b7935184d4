"""A real Redis Cluster of three masters, which tests stop, kill and start again."""

import signal
import socket
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis
from redis.crc import key_slot

from tests.frontier.support import eventually_async

MASTERS = 3
SLOTS = 16384
SHARE = SLOTS // MASTERS + 1


def free_ports() -> list[int]:
    """Ports whose bus ports (10,000 above) are free as well."""
    found: list[int] = []
    while len(found) < MASTERS:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port < 50_000 and port not in found:
            found.append(port)
        elif port >= 50_000:
            found.append(port - 30_000)
    return found


def _start(folder: Path, port: int) -> subprocess.Popen[bytes]:
    folder.mkdir(parents=True, exist_ok=True)
    options = [
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--dir",
        str(folder),
        "--save",
        "",
        "--appendonly",
        "yes",
    ]
    cluster = ["--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf", "--logfile", "log"]
    return subprocess.Popen(["redis-server", *options, *cluster], start_new_session=True)


def _joined(ports: list[int]) -> bool:
    try:
        states = [redis.Redis(port=port).cluster("info") for port in ports]
    except redis.RedisError:
        return False
    return all(s["cluster_state"] == "ok" and s["cluster_known_nodes"] == str(MASTERS) for s in states)


@dataclass
class Nodes:
    """The masters, by their ports."""

    folder: Path
    ports: list[int]
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Where the first of them listens."""
        return f"redis+cluster://127.0.0.1:{self.ports[0]}"

    def start(self, place: int) -> None:
        """Start one, on what it left behind."""
        port = self.ports[place]
        self.processes[place : place + 1] = [_start(self.folder / str(port), port)]

    def owner(self, key: str) -> int:
        """Return which of them has a key's slot."""
        return key_slot(key.encode()) // SHARE

    async def revive(self, place: int, *, was_killed: bool) -> None:
        """Bring back one that was stopped or killed, and wait until the others know."""
        process = self.processes[place]
        process.send_signal(signal.SIGCONT)
        if was_killed:
            process.wait()
            self.start(place)
        await self.joined()

    async def joined(self) -> None:
        """Wait until all of them know each other."""

        async def joined() -> bool:
            return _joined(self.ports)

        await eventually_async(joined)

    async def form(self) -> None:
        """Share the slots out among them, once they answer."""

        async def up() -> bool:
            try:
                return all(redis.Redis(port=port).ping() for port in self.ports)
            except redis.RedisError:
                return False

        await eventually_async(up)
        for place, port in enumerate(self.ports):
            node: Any = redis.Redis(port=port)
            last = min(SLOTS, (place + 1) * SHARE) - 1
            node.execute_command("CLUSTER", "ADDSLOTSRANGE", place * SHARE, last)
            node.execute_command("CLUSTER", "MEET", "127.0.0.1", self.ports[0])
        await self.joined()
