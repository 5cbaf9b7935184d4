"""What happens to the server: restarts, kills, torn files. Accepted URLs stay, the books balance."""

import asyncio
import signal

import pytest

from farm.frontier.client import RedisClient
from farm.frontier.connect import connect
from farm.frontier.crawl import open_crawl
from farm.frontier.frontier import RedisFrontier
from farm.frontier.terms import Terms
from farm.model.outcome import Ack, Settled
from farm.model.task import Lease, LeaseRequest, UrlTask
from farm.model.url import fingerprint
from tests.frontier.servers import Server
from tests.frontier.support import Bench, eventually_async


async def _frontier(client: RedisClient) -> RedisFrontier:
    """Open a crawl on the server's own clock."""
    crawl = await open_crawl(client, "test", {}, terms=Terms(visibility_s=8, clock_step_s=1))
    return RedisFrontier(client, crawl)


async def _is_written(client: RedisClient) -> bool:
    return bool((await client.command("INFO", "persistence"))["aof_buffer_length"] == 0)


async def _has_failed_to_save(client: RedisClient) -> bool:
    return bool((await client.command("INFO", "persistence"))["rdb_last_bgsave_status"] != "ok")


def _task(frontier: RedisFrontier, url: str) -> UrlTask:
    full = f"http://{url}"
    return UrlTask(full, url.partition("/")[0], fingerprint(full, frontier._crawl.key))


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("outage_s", [0, pytest.param(60, marks=pytest.mark.slow)])
async def test_redis_restarts_and_nothing_is_consumed(
    server: Server, sign: signal.Signals, outage_s: int
) -> None:
    """Cleanly or killed: a call waits the outage out, the leases live on, no attempt and no life is lost."""
    client = await connect(server.url, patience_s=120)
    frontier = await _frontier(client)
    await frontier.add([_task(frontier, f"a/{n}") for n in range(5)])
    lease = await frontier.lease(LeaseRequest("s1", "r1"))
    assert isinstance(lease, Lease)
    await eventually_async(lambda: _is_written(client))
    await server.end(sign)
    waiting = asyncio.create_task(frontier.ack(lease, Ack(links=[_task(frontier, "a/9")])))
    # Longer than a lease by the server's own clock, which nothing but time moves.
    await asyncio.sleep(outage_s)
    await server.start()
    assert (await waiting)[0] is Settled.OK
    assert await frontier.audit() == []
    stats = await frontier.stats()
    assert (stats.ledger.accepted, stats.ledger.done, stats.expired, stats.retried) == (6, 1, 0, 0)
    await client.close()


async def test_tokens_grow_across_a_lost_second(server: Server) -> None:
    """What the disk has not seen rolls back together; a token is never given out twice."""
    client = await connect(server.url, patience_s=30)
    frontier = await _frontier(client)
    await frontier.add([_task(frontier, "a/1")])
    await client.command("CONFIG SET", "appendfsync", "no")
    size = server.log.stat().st_size
    before = await frontier.lease(LeaseRequest("s1", "r1"))
    await server.end(signal.SIGKILL)
    with server.log.open("rb+") as log:
        log.truncate(size)
    await server.start()
    after = await frontier.lease(LeaseRequest("s2", "r2"))
    assert isinstance(before, Lease)
    assert isinstance(after, Lease)
    assert after.id == before.id
    assert after.token > before.token
    assert (await frontier.ack(before, Ack()))[0] is Settled.STALE
    assert (await frontier.ack(after, Ack()))[0] is Settled.OK
    assert await frontier.audit() == []
    await client.close()


@pytest.mark.timeout(900)
@pytest.mark.parametrize("step", [pytest.param(1, marks=pytest.mark.slow), 97])
async def test_the_log_is_torn_at_any_byte(server: Server, step: int) -> None:
    """A transaction is there or it is not: whatever is loaded passes the audit."""
    client = await connect(server.url, patience_s=30)
    bench = await Bench.open(client, server.url)
    await bench.add("a/1", "a/2", "b/1")
    # While the disk is busy Redis puts a write off, and answers before it.
    await eventually_async(lambda: _is_written(client))
    size = server.log.stat().st_size
    lease = await bench.lease()
    await bench.frontier.ack(lease, Ack(links=[bench.task("c/1")]), bench.wish())
    await client.close()
    await server.end()
    whole = server.log.read_bytes()
    for cut in range(len(whole), size - 1, -step):
        server.log.write_bytes(whole[:cut])
        await server.start()
        client = await connect(server.url)
        frontier = RedisFrontier(client, bench.crawl, own_time_ms=bench.clock.read)
        assert await frontier.audit() == []
        assert (await frontier.stats()).ledger.accepted in (3, 4)
        await client.close()
        await server.end(signal.SIGKILL)


async def test_a_server_says_whether_its_log_is_on_disk(server: Server) -> None:
    """From 7.2 on it does; one that is older, or keeps no log, is not believed to."""
    client = await connect(server.url)
    frontier = await _frontier(client)
    await frontier.add([_task(frontier, "a/1")])
    knows = await client.command("COMMAND INFO", "waitaof") != [None]
    assert await frontier.is_on_disk() is (True if knows else None)
    await client.command("CONFIG SET", "appendonly", "no")
    assert await frontier.is_on_disk() is None
    assert await frontier.audit() == []
    await client.close()


async def test_a_server_that_cannot_save_is_waited_out(server: Server) -> None:
    """MISCONF from a real server: it takes nothing until it can write again."""
    client = await connect(server.url, patience_s=30)
    frontier = await _frontier(client)
    in_the_way = server.folder / "dump.rdb"
    in_the_way.mkdir()
    await client.command("CONFIG SET", "save", "3600 1")
    await client.command("CONFIG SET", "appendonly", "no")
    await client.command("BGSAVE")
    await eventually_async(lambda: _has_failed_to_save(client))
    adding = asyncio.create_task(frontier.add([_task(frontier, "a/1")]))
    done, _ = await asyncio.wait([adding], timeout=0.2)
    assert not done
    in_the_way.rmdir()
    await client.command("BGSAVE")
    assert await adding == 1
    await client.close()


async def test_a_server_that_became_a_replica_is_waited_out(server: Server) -> None:
    """READONLY from a real server: a failover that went the wrong way round."""
    client = await connect(server.url, patience_s=30)
    frontier = await _frontier(client)
    await client.command("REPLICAOF", "127.0.0.1", "1")
    adding = asyncio.create_task(frontier.add([_task(frontier, "a/1")]))
    done, _ = await asyncio.wait([adding], timeout=0.2)
    assert not done
    await client.command("REPLICAOF", "NO", "ONE")
    assert await adding == 1
    await client.close()


async def test_a_server_busy_with_a_script_is_waited_out(server: Server) -> None:
    """BUSY from a real server: somebody else's endless script, until it is killed."""
    client = await connect(server.url, patience_s=30)
    other = await connect(server.url, patience_s=0, timeout_s=20)
    # a busy server refuses the handshake of a new connection: what ends the script has one of its own from before
    rescuer = await connect(server.url, patience_s=0)
    frontier = await _frontier(client)
    await client.command("CONFIG SET", "busy-reply-threshold", "50")
    endless = asyncio.create_task(other.command("EVAL", "while true do end", 0))
    async with asyncio.timeout(10):
        while await client.ask("PING") is not None:
            pass
    adding = asyncio.create_task(frontier.add([_task(frontier, "a/1")]))
    done, _ = await asyncio.wait([adding], timeout=0.5)
    assert not done
    await rescuer.command("SCRIPT KILL")
    assert await adding == 1
    await asyncio.gather(endless, return_exceptions=True)
    for each in (client, other, rescuer):
        await each.close()
