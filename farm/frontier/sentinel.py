"""Sentinels: connections to the current master, as the Sentinels know it.

Every new connection asks them, and checks that the server considers itself the master too: Sentinels that were
cut off name the old one. After an error that a failover brings, the pool has the next call connect anew.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

import redis
import redis.asyncio
from redis import exceptions as redis_errors
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from farm.frontier.address import Host
from farm.frontier.faults import FOREIGN, NeverSent, reason_of

ASK_TIMEOUT_S = 1.0
"""The deadline for each Sentinel; a service has three or five."""


class Sentinels:
    """The Sentinels of one service. `options` are those of a connection: TLS, and the Sentinels' own login."""

    def __init__(self, hosts: Sequence[Host], service: str, options: dict[str, Any]) -> None:
        self._hosts = tuple(hosts)
        self.service = service
        self._options = {
            "protocol": 2,
            **options,
            "socket_timeout": ASK_TIMEOUT_S,
            "socket_connect_timeout": ASK_TIMEOUT_S,
        }

    async def master(self) -> Host:
        """Return the address of the master. Raises redis-py's ConnectionError if no Sentinel answers."""
        said = []
        for host in self._hosts:
            client: Any = redis.asyncio.Redis(
                host=host[0], port=host[1], retry=AsyncRetry(NoBackoff(), 0), **self._options
            )
            try:
                async with asyncio.timeout(2 * ASK_TIMEOUT_S):
                    found = await client.execute_command("SENTINEL GET-MASTER-ADDR-BY-NAME", self.service)
                if found:
                    return self._found(host, found)
                said.append(f"{_shown(host)} knows no {self.service!r}")
            except FOREIGN as error:
                said.append(f"{_shown(host)}: {reason_of(error)}")
            finally:
                await client.aclose()
        raise self._nobody(said)

    def master_now(self) -> Host:
        """Return the same from a thread of its own."""
        said = []
        for host in self._hosts:
            client: Any = redis.Redis(
                host=host[0], port=host[1], retry=Retry(NoBackoff(), 0), **self._options
            )
            try:
                found = client.execute_command("SENTINEL GET-MASTER-ADDR-BY-NAME", self.service)
                if found:
                    return self._found(host, found)
                said.append(f"{_shown(host)} knows no {self.service!r}")
            except FOREIGN as error:
                said.append(f"{_shown(host)}: {reason_of(error)}")
            finally:
                client.close()
        raise self._nobody(said)

    def _found(self, asked: Host, found: Sequence[Any]) -> Host:
        # The Sentinel that answers is asked first the next time.
        self._hosts = (asked, *(host for host in self._hosts if host != asked))
        name, port = found
        return (name.decode() if isinstance(name, bytes) else str(name), int(port))

    def _nobody(self, said: Sequence[str]) -> NeverSent:
        return NeverSent(f"no Sentinel names the master of {self.service!r}: {'; '.join(said)}")


class _AsyncToMaster:
    """A connection to the server that is the master when it is made."""

    def __init__(self, *, sentinels: Sentinels, **options: Any) -> None:
        self._sentinels = sentinels
        super().__init__(**options)

    async def _connect(self) -> None:
        self.host, self.port = await self._sentinels.master()
        await super()._connect()  # type: ignore[misc]

    async def on_connect_check_health(self, check_health: bool = True) -> None:
        await super().on_connect_check_health(check_health=check_health)  # type: ignore[misc]
        await self.send_command("ROLE", check_health=False)  # type: ignore[attr-defined]
        _refuse_replica(await self.read_response(), self)  # type: ignore[attr-defined]


class _SyncToMaster:
    """The same."""

    def __init__(self, *, sentinels: Sentinels, **options: Any) -> None:
        self._sentinels = sentinels
        super().__init__(**options)

    def _connect(self) -> Any:
        self.host, self.port = self._sentinels.master_now()
        return super()._connect()  # type: ignore[misc]

    def on_connect_check_health(self, check_health: bool = True) -> None:
        super().on_connect_check_health(check_health=check_health)  # type: ignore[misc]
        self.send_command("ROLE", check_health=False)  # type: ignore[attr-defined]
        _refuse_replica(self.read_response(), self)  # type: ignore[attr-defined]


class AsyncToMaster(_AsyncToMaster, redis.asyncio.Connection):
    """Without TLS."""


class AsyncToMasterByTls(_AsyncToMaster, redis.asyncio.SSLConnection):
    """By TLS."""


class SyncToMaster(_SyncToMaster, redis.Connection):
    """Without TLS."""


class SyncToMasterByTls(_SyncToMaster, redis.SSLConnection):
    """By TLS."""


def _refuse_replica(role: Sequence[Any], connection: Any) -> None:
    if role[0] not in (b"master", "master"):
        raise redis_errors.ConnectionError(
            f"{_shown((connection.host, connection.port))} is not the master that the Sentinels take it for"
        )


def _shown(host: Host) -> str:
    return f"{host[0]}:{host[1]}"
