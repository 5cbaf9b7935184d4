"""A master and its replica behind one address whose target moves."""

from pathlib import Path

from farm.frontier.client import RedisClient
from farm.frontier.connect import connect
from fixtures.ports import free_ports
from tests.frontier.proxy import FaultyProxy
from tests.frontier.servers import Server
from tests.frontier.support import eventually_async


class Service:
    """`url` leads to the master, whichever that is."""

    def __init__(self, folder: Path) -> None:
        self._ports = free_ports(2)
        self._servers = [
            Server(folder / str(port), "--port", str(port), "--repl-diskless-sync-delay", "0")
            for port in self._ports
        ]
        self._proxy = FaultyProxy(self._servers[0].socket)
        self.url = ""

    async def start(self) -> None:
        """Start both, and the address."""
        for server in self._servers:
            await server.start()
        client = await connect(self._servers[1].url)
        await client.command("REPLICAOF", "127.0.0.1", str(self._ports[0]))
        await client.close()
        self.url = await self._proxy.start()

    async def stop(self) -> None:
        """End both."""
        self._proxy.stop()
        for server in self._servers:
            await server.remove()

    async def promote(self, *, dead: bool = False) -> None:
        """Make the replica the master, once it has everything, and lead the address there."""
        old, new = self._servers
        client = await connect(new.url)
        await eventually_async(lambda: _has_caught_up(client))
        await client.command("REPLICAOF", "NO", "ONE")
        await client.close()
        if not dead:
            client = await connect(old.url)
            await client.command("REPLICAOF", "127.0.0.1", str(self._ports[1]))
            await client.close()
        self._proxy.move(new.socket, dead=dead)


async def _has_caught_up(client: RedisClient) -> bool:
    told = await client.command("INFO", "replication")
    return bool(told["master_link_status"] == "up" and told["slave_read_repl_offset"] > 0)
