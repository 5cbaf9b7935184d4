"""Workers die, Redis dies, a worker sleeps past its lease: the graph is crawled, each page once in a sink."""

import asyncio
import os
import random
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from farm.frontier.connect import connect
from farm.frontier.crawl import open_crawl
from farm.frontier.frontier import RedisFrontier
from farm.frontier.lease_renewer import RedisLeaseRenewer
from farm.frontier.terms import Terms
from farm.model.outcome import Ack, Settled
from farm.model.task import Lease, LeaseRequest
from tests.frontier.servers import Server
from tests.frontier.support import eventually_async
from tests.frontier.worker_process import task_of, url_of

TERMS = Terms(visibility_s=3, clock_step_s=1)
KILL_EVERY_S = 0.5
WORKERS = 6


def _start(server: Server, sink: Path, pages: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.frontier.worker_process"]
    return subprocess.Popen([*command, server.url, "storm", sink.stem, str(sink), str(pages)])


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("pages", [2_000, int(os.environ.get("STORM_PAGES", "100000"))])
async def test_a_storm_of_kills_loses_nothing(server: Server, tmp_path: Path, pages: int) -> None:
    """One of six workers dies every half second, Redis is restarted twice, once by force."""
    chance = random.Random(pages)
    client = await connect(server.url, patience_s=120)
    frontier = RedisFrontier(client, await open_crawl(client, "storm", {}, terms=TERMS))
    await frontier.add([task_of(0, frontier._crawl.key)])
    sinks = [tmp_path / f"w{n}.sqlite" for n in range(WORKERS)]
    workers = [_start(server, sink, pages) for sink in sinks]
    restarts = [(pages // 3, signal.SIGTERM), (2 * pages // 3, signal.SIGKILL)]
    kills = 0

    async def wait() -> bool:
        """Whether the crawl is over; what fails is the outside world's doing."""
        nonlocal kills
        await asyncio.sleep(KILL_EVERY_S)
        done = (await frontier.stats()).ledger.done
        if restarts and done >= restarts[0][0]:
            await server.end(restarts.pop(0)[1])
            await server.start()
        if not restarts and (await frontier.stats()).ledger.open == 0:
            return True
        victim = chance.randrange(WORKERS)
        workers[victim].kill()
        workers[victim].wait()
        workers[victim] = _start(server, sinks[victim], pages)
        kills += 1
        return False

    try:
        await eventually_async(wait, within_s=800)
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    visited: set[str] = set()
    repeats = 0
    for sink in sinks:
        with sqlite3.connect(sink) as records:
            rows = records.execute("SELECT url FROM pages").fetchall()
            repeats += records.execute("SELECT count(*) FROM repeats").fetchone()[0] + len(rows)
        visited |= {row[0] for row in rows}
    stats = await frontier.stats()
    print(f"{pages} pages, {kills} kills, {stats.expired} expired, {repeats - pages} repeats")  # noqa: T201
    assert kills >= pages // 10_000
    assert visited == {url_of(n) for n in range(pages)}
    assert (stats.ledger.accepted, stats.ledger.done) == (pages, pages)
    assert await frontier.audit() == []
    await client.close()


ZOMBIE = """
import sys
from farm.frontier.lease_renewer import RedisLeaseRenewer
from farm.frontier.keys import Handle
from farm.model.task import Lease, UrlTask
url, generation, fingerprint, token = sys.argv[1:]
lease = Lease(UrlTask("http://a/1", "a", fingerprint), "zombie", int(token))
keeper = RedisLeaseRenewer(url, Handle("test", generation))
print(keeper.renew([lease])[0], flush=True)
for _ in sys.stdin:
    print(keeper.renew([lease])[0], flush=True)
"""


async def test_a_worker_that_slept_past_its_lease_is_told(server: Server) -> None:
    """SIGSTOP, expiry, SIGCONT: renewing says lost, acking says stale, and the page is done once."""
    client = await connect(server.url, patience_s=30)
    crawl = await open_crawl(client, "test", {}, terms=Terms(visibility_s=0.5))
    frontier = RedisFrontier(client, crawl)
    task = task_of(1, crawl.key)
    await frontier.add([task])
    lease = await frontier.lease(LeaseRequest("zombie", "r1"))
    assert isinstance(lease, Lease)
    zombie = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", ZOMBIE.replace("http://a/1", task.url).replace('"a"', f'"{task.site}"')),
        *(server.url, crawl.generation, lease.id, str(lease.token)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert zombie.stdin is not None
    assert zombie.stdout is not None
    heard = [await zombie.stdout.readline()]
    zombie.send_signal(signal.SIGSTOP)
    zombie.stdin.write(b"renew\n")
    await eventually_async(lambda: _comes_home(frontier))
    current = await frontier.lease(LeaseRequest("other", "r2"))
    assert isinstance(current, Lease)
    zombie.send_signal(signal.SIGCONT)
    heard.append(await zombie.stdout.readline())
    zombie.stdin.close()
    await zombie.wait()
    assert heard[-1] == b"False\n"
    assert (await frontier.ack(lease, Ack()))[0] is Settled.STALE
    keeper = RedisLeaseRenewer(server.url, crawl)
    assert await asyncio.to_thread(keeper.renew, [lease, current]) == [False, True]
    keeper.close()
    assert (await frontier.ack(current, Ack()))[0] is Settled.OK
    assert await frontier.audit() == []
    await client.close()


async def _comes_home(frontier: RedisFrontier) -> bool:
    return await frontier.maintain() == 1
