"""Connects to the Redis of a URL: deadlines on every call, and checks of the server before the first lease.

Servers that could lose leases are refused (an eviction policy, a server that is too old); other problems are
returned as warnings.
"""

import asyncio
import ssl
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any
from urllib.parse import parse_qs, urlsplit

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode
from redis.connection import parse_url
from redis.retry import Retry

from farm.frontier.address import (
    DEFAULT_PORT,
    check_url,
    hosts_of,
    is_cluster,
    is_encrypted,
    is_sentinel,
    of_one_host,
    place_of,
    sentinel_login,
    service_of,
)
from farm.frontier.client import RedisClient
from farm.frontier.cluster import ClusterClient
from farm.frontier.faults import never_sent
from farm.frontier.sentinel import (
    AsyncToMaster,
    AsyncToMasterByTls,
    Sentinels,
    SyncToMaster,
    SyncToMasterByTls,
)
from farm.model.errors import FrontierRefused, FrontierUnavailable

CALL_TIMEOUT_S = 5.0
FIRST_PATIENCE_S = 5.0
PATIENCE_S = 300.0
CONNECTIONS = 64
REDIRECTIONS = 3
"""How often one call of a thread to a Cluster follows a moved slot."""
OLDEST = (7, 0)
PROBE_S = 3.0
_SAYS_REDIS = (b"+PONG", b"-NOAUTH", b"-ERR", b"-LOADING", b"-DENIED", b"-NOPERM")
"""How Redis answers the PING of a client that has not authenticated."""


class _Pool(redis.asyncio.BlockingConnectionPool):
    """A pool whose connections can be renewed: they may lead to a server that is no longer the master.

    While no caller waits for a connection, one is taken from a list and put back: redis-py's locks, timers and
    observers cost a third of a call.
    """

    _waiting = 0

    async def get_connection(self, *_: Any, **__: Any) -> Any:
        """Return a connection that is ready to send, as redis-py does; raises `NeverSent` if there is none."""
        try:
            return await self._ready_connection()
        except (redis.ConnectionError, redis.TimeoutError) as error:
            sent = never_sent(error)
            if sent is error:
                raise
            raise sent from error

    async def _ready_connection(self) -> Any:
        if not self._available_connections or self._waiting or self._in_maintenance:
            self._waiting += 1
            try:
                return await super().get_connection()  # type: ignore[no-untyped-call]
            finally:
                self._waiting -= 1
        connection = self._available_connections.pop()
        self._in_use_connections.add(connection)
        try:
            # A connection with something to read is closed or holds the reply of a call that was given up.
            if not connection.is_connected or await connection.can_read():
                await self.ensure_connection(connection)
        except BaseException:
            # Also when cancelled: the pool would have one connection less for good.
            await self.release(connection)
            raise
        return connection

    async def release(self, connection: Any) -> None:
        """Return a connection to the pool; redis-py wakes a waiting caller."""
        if self._waiting or self._in_maintenance or connection.should_reconnect():
            await super().release(connection)
            return
        self._in_use_connections.remove(connection)
        self._available_connections.append(connection)

    async def renew(self) -> None:
        """Close what is idle, and what is in use as soon as it comes back: the next call resolves the name."""
        async with self._lock:
            idle, self._available_connections = self._available_connections, []
        for connection in self._in_use_connections:
            connection.mark_for_reconnect()  # type: ignore[no-untyped-call]
        for connection in idle:
            await connection.disconnect(nowait=True)


class _SyncCluster(redis.RedisCluster):
    """Knows the positions of the keys of an FCALL, for which redis-py would ask the server before each call."""

    def determine_slot(self, *args: Any) -> int | None:
        command, *rest = args
        return super().determine_slot("EVALSHA" if command == "FCALL" else command, *rest)


async def connect(
    url: str,
    *,
    first_patience_s: float = FIRST_PATIENCE_S,
    patience_s: float = PATIENCE_S,
    timeout_s: float = CALL_TIMEOUT_S,
    is_private: bool = False,
) -> RedisClient:
    """Return a client of a server that was looked at; later calls wait up to `patience_s` through an outage.

    Of a private server a disk that takes no writes is not waited for: FrontierUnwritable. Raises
    FrontierUnavailable where the server does not answer, FrontierRefused where leases would not be safe on it.
    """
    client = RedisClient(
        build_async(url, timeout_s=timeout_s),
        url,
        patience_s=first_patience_s,
        is_private=is_private,
    )
    try:
        servers = await _facts(client)
        for place, facts in servers.items():
            refuse_unfit(facts, place, clustered=is_cluster(url))
        client.warnings = (*warnings_of_url(url), *warnings_of_servers(servers))
    except FrontierUnavailable:
        await client.close()
        # One side speaks TLS and the other does not: neither says so, they only fall silent.
        sentence = await _tls_mismatch(url)
        if sentence is None:
            raise
        raise FrontierUnavailable(sentence) from None
    except BaseException:
        # Refused or cancelled: nobody else has the client yet, whose connections would stay open.
        await client.close()
        raise
    client.patience_s = patience_s
    return client


def build_async(url: str, *, timeout_s: float = CALL_TIMEOUT_S) -> Any:
    """Build an asynchronous client; redis-py's own repetitions are off, since `RedisClient` repeats."""
    check_url(url)
    options = {**_options(timeout_s), "max_connections": CONNECTIONS, "timeout": timeout_s}
    options["retry"] = AsyncRetry(NoBackoff(), 0)

    def server(of: str, **more: Any) -> Any:
        return redis.asyncio.Redis.from_pool(_Pool.from_url(of, **options, **more))

    if is_cluster(url):
        return ClusterClient(hosts_of(url), lambda host: server(of_one_host(url, host)))
    if is_sentinel(url):
        # redis-py takes the class from the URL, so that it is set in place of what the URL says.
        pool = _Pool.from_url(_behind(url), **options)
        pool.connection_class = AsyncToMasterByTls if is_encrypted(url) else AsyncToMaster
        pool.connection_kwargs["sentinels"] = _sentinels(url)
        return redis.asyncio.Redis.from_pool(pool)
    return server(url)


def build_sync(url: str, *, timeout_s: float = CALL_TIMEOUT_S, redirections: int = REDIRECTIONS) -> Any:
    """Build redis-py's synchronous client, for a thread of its own."""
    check_url(url)
    options = _options(timeout_s)
    if is_cluster(url):
        first = hosts_of(url)[0]
        nodes = [
            ClusterNode(name, port)  # type: ignore[no-untyped-call]
            for name, port in hosts_of(url)
        ]
        retry = Retry(NoBackoff(), redirections)
        return _SyncCluster.from_url(of_one_host(url, first), startup_nodes=nodes, retry=retry, **options)
    retry = Retry(NoBackoff(), 0)
    if is_sentinel(url):
        pool = redis.ConnectionPool.from_url(_behind(url), retry=retry, **options)
        pool.connection_class = SyncToMasterByTls if is_encrypted(url) else SyncToMaster
        pool.connection_kwargs["sentinels"] = _sentinels(url)
        return redis.Redis(connection_pool=pool)
    return redis.Redis.from_url(url, retry=retry, **options)


def _behind(url: str) -> str:
    """Return the URL of the master behind Sentinels, whose host each connection finds out."""
    return of_one_host(url, ("sentinel", DEFAULT_PORT))


def _sentinels(url: str) -> Sentinels:
    """Return the Sentinels of a URL; of its options they take those of TLS."""
    user, password = sentinel_login(url)
    given = parse_url(_behind(url))  # type: ignore[no-untyped-call]
    options = {name: value for name, value in given.items() if name.startswith("ssl_")}
    return Sentinels(
        hosts_of(url),
        service_of(url),
        {**options, "ssl": is_encrypted(url), "username": user, "password": password},
    )


def refuse_unfit(facts: Mapping[str, Any], place: str, *, clustered: bool = False) -> None:
    """Raise FrontierRefused for a server on which leases would not be safe."""
    version = tuple(int(part) for part in str(facts.get("redis_version", "0")).split(".")[:2])
    if version < OLDEST:
        raise FrontierRefused(
            f"Redis at {place} is version {facts.get('redis_version')}; 7.0 or later is needed."
        )
    policy = facts.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        raise FrontierRefused(
            f"Redis at {place} has the eviction policy {policy}, which deletes leases when memory is short; "
            "set maxmemory-policy noeviction."
        )
    if facts.get("cluster_enabled") and not clustered:
        raise FrontierRefused(f"Redis at {place} is part of a cluster; name it with redis+cluster://.")


def warnings_of_url(url: str) -> tuple[str, ...]:
    """Return a warning about secrets that are sent unencrypted over the network."""
    parts = urlsplit(url)
    if all(_is_loopback(name) for name, _ in hosts_of(url)):
        return ()
    lacks = []
    if not parts.scheme.startswith("rediss"):
        lacks.append("TLS")
    elif parse_qs(parts.query).get("ssl_cert_reqs") == ["none"]:
        lacks.append("a look at its certificate")
    if not parts.password:
        lacks.append("a password")
    if not lacks:
        return ()
    return (f"Redis at {place_of(url)} is reached over the network without {' and '.join(lacks)}.",)


def warnings_of_servers(servers: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
    """Return a warning if a restart of Redis would lose the crawl, or the part on one of its masters."""
    bare = [place for place, facts in servers.items() if not (facts.get("aof_enabled") or facts.get("save"))]
    if not bare:
        return ()
    return (
        f"Redis at {', '.join(bare)} persists nothing (no AOF, no RDB): when it restarts, the crawl is lost.",
    )


async def _facts(client: RedisClient) -> dict[str, dict[str, Any]]:
    """Return each server's INFO, and when it saves, by its address."""
    servers = await client.facts()
    whom = {"target_nodes": "primaries"} if is_cluster(client.url) else {}
    config = await client.ask("CONFIG GET", "save", **whom)
    saves = {} if config is None else client.by_place(config)
    for place, facts in servers.items():
        said = saves.get(place)
        facts["save"] = "unknown" if said is None else said.get("save", said.get(b"save", b""))
    return servers


def _options(timeout_s: float) -> dict[str, Any]:
    return {
        "protocol": 2,
        "socket_timeout": timeout_s,
        "socket_connect_timeout": min(timeout_s, CALL_TIMEOUT_S),
        "client_name": "crawl-farm",
    }


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


async def _tls_mismatch(url: str) -> str | None:
    """Return a sentence if only one side uses TLS; None otherwise, or without an answer.

    Nothing secret is sent: a PING without TLS, or a handshake with TLS.
    """
    parts, hosts = urlsplit(url), hosts_of(url)
    if not hosts:
        return None
    host, port = hosts[0]
    plain = f"{parts.scheme.replace('rediss', 'redis', 1)}://"
    place = f"{parts.scheme}://{host}:{port}"
    try:
        async with asyncio.timeout(PROBE_S):
            if parts.scheme.startswith("rediss"):
                if await _answers_plainly(host, port):
                    return f"Redis at {place} does not speak TLS; write {plain}, or give it a tls-port."
            elif await _speaks_tls(host, port):
                return f"Redis at {place} speaks TLS; write {plain.replace('redis', 'rediss', 1)} in --redis."
    except (OSError, TimeoutError):
        return None
    return None


async def _answers_plainly(host: str, port: int) -> bool:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(b"PING\r\n")
        return (await reader.read(64)).startswith(_SAYS_REDIS)
    finally:
        writer.close()


async def _speaks_tls(host: str, port: int) -> bool:
    """Whether a handshake gets as far as TLS goes: who refuses us for want of a certificate speaks it as well."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    _, writer = await asyncio.open_connection(host, port, ssl=context)
    writer.close()
    return True
