"""A real master with its replica under three Sentinels, which make the replica the master when it is gone."""

import subprocess
from pathlib import Path
from typing import Any

import redis

from fixtures.ports import free_ports
from tests.frontier.support import eventually_async

SENTINELS = 3


class SentinelService:
    """A master and a replica, both with a password, and three Sentinels with another."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.ports = free_ports(2)
        self.sentinels = free_ports(SENTINELS)
        self.processes: dict[int, subprocess.Popen[bytes]] = {}
        self._folder = folder
        for number, port in enumerate(self.ports):
            options = ["replicaof", "127.0.0.1", str(self.ports[0])] if number else []
            self._run(port, [f"--{' '.join(options[:1])}", *options[1:]] if options else [])
        for port in self.sentinels:
            file = folder / f"sentinel-{port}.conf"
            file.write_text(
                f"port {port}\nbind 127.0.0.1\ndir {folder}\nlogfile sentinel-{port}.log\nrequirepass watch\n"
                "sentinel sentinel-pass watch\n"
                f"sentinel monitor mymaster 127.0.0.1 {self.ports[0]} 2\n"
                "sentinel auth-pass mymaster pw\nsentinel down-after-milliseconds mymaster 500\n"
                "sentinel failover-timeout mymaster 5000\n"
            )
            self.processes[port] = subprocess.Popen(["redis-server", str(file), "--sentinel"])

    @property
    def url(self) -> str:
        """Name the Sentinels, after one that is not there."""
        hosts = ",".join(f"127.0.0.1:{port}" for port in (1, *self.sentinels))
        return f"redis+sentinel://:pw@{hosts}/mymaster/2?sentinel_password=watch"

    def _run(self, port: int, options: list[str]) -> None:
        folder = self._folder / str(port)
        folder.mkdir(exist_ok=True)
        login = ["--requirepass", "pw", "--masterauth", "pw", "--repl-diskless-sync-delay", "0"]
        log = ["--dir", str(folder), "--save", "", "--appendonly", "yes", "--logfile", "log"]
        command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", *login, *log, *options]
        self.processes[port] = subprocess.Popen(command)

    def master(self) -> int:
        """Return the master's port, as the first Sentinel has it."""
        sentinel: Any = redis.Redis(port=self.sentinels[0], password="watch")
        return int(sentinel.sentinel_get_master_addr_by_name("mymaster")[1])

    async def ready(self) -> None:
        """Wait until all Sentinels know each other and the replica."""

        async def known() -> bool:
            try:
                for port in self.sentinels:
                    sentinel: Any = redis.Redis(port=port, password="watch")
                    told = sentinel.sentinel_master("mymaster")
                    if told["num-other-sentinels"] != SENTINELS - 1 or told["num-slaves"] != 1:
                        return False
            except redis.RedisError:
                return False
            return True

        await eventually_async(known)

    async def fail_over(self) -> None:
        """Kill the master, wait for its replica to take its place, and bring it back as a replica."""
        killed = self.master()
        await self._replicated(killed)
        self.processes[killed].kill()
        self.processes[killed].wait()

        async def replaced() -> bool:
            return self.master() != killed

        await eventually_async(replaced)
        self._run(killed, [])

    async def _replicated(self, port: int) -> None:
        """Wait until the replica has what the master has: before its first copy it knows no crawl."""

        async def holds() -> bool:
            master: Any = redis.Redis(port=port, password="pw")
            master.set("written", 1)
            return bool(master.wait(1, 100) == 1)

        await eventually_async(holds)

    def end(self) -> None:
        """Kill all of them."""
        for process in self.processes.values():
            process.kill()
            process.wait()
