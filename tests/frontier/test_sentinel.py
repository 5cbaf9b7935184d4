"""Sentinels: the farm finds the master by them, and follows it when they make another server the master."""

import asyncio
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import uvloop

from farm.frontier.connect import connect
from farm.frontier.crawl import open_crawl
from farm.frontier.frontier import RedisFrontier
from farm.frontier.lease_renewer import RedisLeaseRenewer
from farm.model.crawl import Ledger
from farm.model.errors import FrontierUnavailable
from farm.model.task import Lease, LeaseRequest
from tests.frontier.graph_crawl import GraphCrawl
from tests.frontier.nodes import free_ports
from tests.frontier.support import eventually_async
from tests.frontier.worker_process import task_of

SENTINELS = 3


class Service:
    """A master and a replica, both with a password, and three Sentinels with another."""

    def __init__(self, folder: Path) -> None:
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

    def kill_master(self) -> int:
        """Kill the master; return its port."""
        port = self.master()
        self.processes[port].kill()
        self.processes[port].wait()
        return port

    def revive(self, port: int) -> None:
        """Start a killed one on what it left behind; the Sentinels make it a replica."""
        self._run(port, [])

    def end(self) -> None:
        """Kill all of them."""
        for process in self.processes.values():
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Start a service."""
    service = Service(tmp_path_factory.mktemp("sentinel"))
    asyncio.run(service.ready())
    yield service
    service.end()


async def _crawl(service: Service, pages: int) -> GraphCrawl:
    client = await connect(service.url, patience_s=60)
    try:
        frontier = RedisFrontier(client, await open_crawl(client, "test", {"scope": "any"}, fresh=True))
        crawl = GraphCrawl(frontier, pages)

        async def kill() -> None:
            await crawl.reached(pages // 4)
            killed = service.kill_master()

            async def replaced() -> bool:
                return service.master() != killed

            await eventually_async(replaced)
            service.revive(killed)

        await crawl.run(20, [kill])
        assert await frontier.audit() == []
        assert (await frontier.stats()).ledger == Ledger(accepted=pages, done=pages)
        return crawl
    finally:
        await client.close()


def test_a_crawl_follows_the_master(service: Service) -> None:
    """Its death is an outage and no more, by the loop that the farm runs on."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        crawl = runner.run(_crawl(service, 300))
    assert not crawl.missing()


async def test_the_thread_that_renews_follows_it_too(service: Service) -> None:
    """It has a connection of its own, in the database that the URL names."""
    await service.ready()
    client = await connect(service.url, patience_s=60)
    frontier = RedisFrontier(client, await open_crawl(client, "renew", {"scope": "any"}, fresh=True))
    await frontier.add([task_of(1, frontier._crawl.key)])
    lease = await frontier.lease(LeaseRequest("n/1", "r"))
    assert isinstance(lease, Lease)
    renewer = RedisLeaseRenewer(service.url, frontier._crawl)
    assert await asyncio.to_thread(renewer.renew, [lease]) == [True]
    renewer.close()
    await client.close()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("/mymaster", "/other"), "knows no 'other'"),
        (("password=watch", "password=wrong"), "invalid username-password"),
        ((":pw@", ":wrong@"), "refuses the login"),
    ],
)
async def test_what_sentinels_do_not_say_is_told(
    service: Service, change: tuple[str, str], said: str
) -> None:
    """In one sentence, and at once where a password is wrong."""
    with pytest.raises(FrontierUnavailable, match=said):
        await connect(service.url.replace(*change), first_patience_s=0.1)
