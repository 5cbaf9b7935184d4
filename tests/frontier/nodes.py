"""A real Redis Cluster of three masters, with replicas or without: stopped, killed, started again, resharded."""

import signal
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis
from redis.crc import key_slot

from tests.frontier.support import eventually_async

MASTERS = 3
SLOTS = 16384
SHARE = SLOTS // MASTERS + 1


def _start(folder: Path, port: int, timeout_ms: int) -> subprocess.Popen[bytes]:
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
    # What a replica says of itself comes at once, so that no test waits for it.
    cluster += ["--cluster-node-timeout", str(timeout_ms), "--repl-ping-replica-period", "1"]
    cluster += ["--repl-diskless-sync-delay", "0"]
    return subprocess.Popen(["redis-server", *options, *cluster], start_new_session=True)


@dataclass
class Nodes:
    """The masters by their ports, then their replicas, if any, in the masters' order."""

    folder: Path
    ports: list[int]
    timeout_ms: int = 15_000
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    moving: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        """Where the first of them listens."""
        return f"redis+cluster://127.0.0.1:{self.ports[0]}"

    def start(self, place: int) -> None:
        """Start one, on what it left behind."""
        port = self.ports[place]
        self.processes[place : place + 1] = [_start(self.folder / str(port), port, self.timeout_ms)]

    def at(self, place: int) -> Any:
        """Return a client of one of them alone."""
        return redis.Redis(port=self.ports[place], socket_timeout=20)

    def owner(self, key: str) -> int:
        """Return which of them has a key's slot, as they were formed."""
        return key_slot(key.encode()) // SHARE

    def master_of(self, key: str) -> int:
        """Return which of them has a key's slot now, as the first says that answers."""
        slot = key_slot(key.encode())
        for port, process in zip(self.ports, self.processes, strict=True):
            if process.poll() is not None:
                continue
            # One that is stopped takes connections and says nothing.
            node: Any = redis.Redis(port=port, socket_timeout=2)
            try:
                slots = node.execute_command("CLUSTER", "SLOTS", NEVER_DECODE=True)
            except redis.RedisError:
                continue
            for first, last, master, *_ in slots:
                if first <= slot <= last:
                    return self.ports.index(int(master[1]))
        raise AssertionError(f"nobody has the slot of {key}")

    async def kill(self, place: int) -> None:
        """Kill one, once its file has all: a write may be held back for two seconds while the disk is busy."""

        async def written() -> bool:
            return bool(self.at(place).info("persistence")["aof_buffer_length"] == 0)

        await eventually_async(written)
        self.processes[place].kill()
        self.processes[place].wait()

    async def revive(self, place: int, *, was_killed: bool) -> None:
        """Bring back one that was stopped or killed, and wait until the others know."""
        process = self.processes[place]
        process.send_signal(signal.SIGCONT)
        if was_killed:
            process.wait()
            self.start(place)
        await self.joined()

    async def joined(self) -> None:
        """Wait until all of them know each other, and all slots are served."""

        async def joined() -> bool:
            try:
                states = [self.at(place).cluster("info") for place in range(len(self.ports))]
            except redis.RedisError:
                return False
            known = str(len(self.ports))
            return all(s["cluster_state"] == "ok" and s["cluster_known_nodes"] == known for s in states)

        await eventually_async(joined)

    async def replicated(self) -> None:
        """Wait until each replica follows its master, and all know so."""

        async def linked() -> bool:
            try:
                told = [self.at(place).info("replication") for place in range(len(self.ports))]
            except redis.RedisError:
                return False
            if not all(one["role"] == "master" or one["master_link_status"] == "up" for one in told):
                return False
            known = [self.at(place).execute_command("CLUSTER", "NODES") for place in range(len(self.ports))]
            return all(str(one).count("slave") == len(self.ports) - MASTERS for one in known)

        await eventually_async(linked, 60)

    async def form(self) -> None:
        """Share the slots out among the masters, and give each its replicas, once all answer."""

        async def up() -> bool:
            try:
                return all(redis.Redis(port=port).ping() for port in self.ports)
            except redis.RedisError:
                return False

        await eventually_async(up)
        for place, port in enumerate(self.ports):
            node: Any = redis.Redis(port=port)
            if place < MASTERS:
                last = min(SLOTS, (place + 1) * SHARE) - 1
                node.execute_command("CLUSTER", "ADDSLOTSRANGE", place * SHARE, last)
            node.execute_command("CLUSTER", "MEET", "127.0.0.1", self.ports[0])
        await self.joined()
        for place in range(MASTERS, len(self.ports)):
            master = self.at(place % MASTERS).execute_command("CLUSTER", "MYID")
            self.at(place).execute_command("CLUSTER", "REPLICATE", master)
        await self.replicated()

    def move(self, key: str, *, at_once: int = 10, between: Callable[[], None] = lambda: None) -> None:
        """Move a key's slot to the next master, as `redis-cli --cluster reshard` does, a few keys at once."""
        # One after the other: two masters that migrate to each other wait for each other, until MIGRATE times out.
        with self.moving:
            self._move(key, at_once, between)

    def _move(self, key: str, at_once: int, between: Callable[[], None]) -> None:
        slot, source = key_slot(key.encode()), self.master_of(key)
        others = [place for place in range(MASTERS) if place != source]
        target = others[0]
        ids = [self.at(place).execute_command("CLUSTER", "MYID") for place in (source, target)]
        self.at(target).execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[0])
        self.at(source).execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[1])
        port = self.ports[target]
        while keys := self.at(source).execute_command("CLUSTER", "GETKEYSINSLOT", slot, at_once):
            between()
            self.at(source).execute_command("MIGRATE", "127.0.0.1", port, "", 0, 10_000, "KEYS", *keys)
        for place in (target, source, *others[1:]):
            self.at(place).execute_command("CLUSTER", "SETSLOT", slot, "NODE", ids[1])

    def end(self) -> None:
        """Kill all of them."""
        for process in self.processes:
            process.kill()
            process.wait()
