"""Three nodes of two processes each, of which something dies or stands still every five seconds."""

import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from email.message import Message
from pathlib import Path

import psutil
import psycopg
import pytest

from farm.frontier.terms import Terms
from fixtures.sites import Answer, served
from tests.e2e.farm_process import Running, farm, start, until
from tests.e2e.redis_server import RedisServer
from tests.processes import alive, command_of
from tests.sinks.postgres_server import PostgresServer

PAGES = int(os.environ.get("STORM_SITE_PAGES", "2000"))
NODES = ("one", "two", "three")
EVERY_S = 5.0
LINKS = 10
STANDS_STILL = "a process that stands still"
SIGNATURES = {
    "process": ("farm.cli.process",),
    "driver": ("run-driver",),
    "browser": ("--headless", "--user-data-dir"),
    STANDS_STILL: ("farm.cli.process",),
}


@contextmanager
def _site(pages: int, render: str) -> Iterator[str]:
    """Serve a tree of pages that a script completes, or the server for `auto`; yield the URL of its root."""

    def answer(path: str, _headers: Message) -> Answer:
        number = path.removeprefix("/page/") if path != "/" else "0"
        known = number.isdigit() and int(number) < pages
        return Answer(_page(int(number), pages, render)) if known else Answer(status=404)

    with served(answer, keeps_open=True) as origin:
        yield f"{origin}/"


def _page(number: int, pages: int, render: str) -> bytes:
    linked = range(LINKS * number + 1, min(LINKS * number + LINKS + 1, pages))
    links = "".join(f"<a href=/page/{one}>page {one}</a> " for one in linked)
    if render == "auto":
        return f"<title>Page {number}</title><main><h1>Page {number}</h1>{links}</main>".encode()
    script = f"document.querySelector('main').insertAdjacentHTML('beforeend', {links!r})"
    return (
        f"<title>Page {number}</title><main><h1>Page {number}</h1></main><script>{script}</script>".encode()
    )


def _urls(root: str, pages: int) -> set[str]:
    return {root, *(f"{root}page/{number}" for number in range(1, pages))}


class Storm:
    """Keeps the nodes running while it kills what they consist of; `told` counts what it did."""

    def __init__(self, url: str, redis: RedisServer, store: str, folder: Path, render: str) -> None:
        self._url = url
        self._render = render
        self._redis = redis
        self._store = store
        self._folder = folder
        self._chance = random.Random(20)
        self._still: list[tuple[float, psutil.Process]] = []
        self.seen: set[psutil.Process] = set()
        self.told: Counter[str] = Counter()
        self.nodes = {name: self._begun(name) for name in NODES}

    def _begun(self, name: str) -> Running:
        flags = ("--contexts", "4", "--processes", "2", "--ramp-up", "0s", "--live", "off", "--node", name)
        shared = ("--redis", self._redis.url, "--crawl", "storm", "--redis-patience", "2m")
        out = self._folder / name
        where = ("--output", str(out), "--allow-network", "127.0.0.0/8", "--render", self._render)
        return start(
            "run", self._url, *flags, *shared, *where, folder=out, environment={"FARM_SINK": self._store}
        )

    def step(self) -> None:
        """Kill or stop something, and let go on what has stood still for long enough."""
        name = self._chance.choice(NODES)
        kind = self._chance.choice(("supervisor", *SIGNATURES))
        node = self.nodes[name]
        self.seen |= node.family()
        if kind == "supervisor":
            node.process.kill()
        else:
            found = [one for one in node.family() if _is(one, SIGNATURES[kind])]
            if not found:
                return
            victim = self._chance.choice(sorted(found, key=lambda one: one.pid))
            with suppress(psutil.NoSuchProcess):
                victim.send_signal(signal.SIGSTOP if kind == STANDS_STILL else signal.SIGKILL)
            if kind == STANDS_STILL:
                self._still.append((time.monotonic() + 1.5 * Terms().visibility_s, victim))
        self.told[kind] += 1

    def kill_redis(self) -> None:
        """Kill Redis, and start it again with its data."""
        self._redis.kill()
        self._redis.start()
        self.told["redis"] += 1

    def tend(self) -> bool:
        """Start again what was killed; return whether all nodes have finished."""
        now = time.monotonic()
        for until_s, process in [one for one in self._still if one[0] <= now]:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGCONT)
            self._still.remove((until_s, process))
        for name, node in self.nodes.items():
            code = node.process.poll()
            if code is None:
                self.seen |= node.family()
            elif code == -signal.SIGKILL:
                node.finish()
                self.nodes[name] = self._begun(name)
            else:
                assert code == 0, node.finish().output
        return all(node.process.poll() == 0 for node in self.nodes.values())


def _is(process: psutil.Process, signature: tuple[str, ...]) -> bool:
    command = " ".join(command_of(process))
    return all(part in command for part in signature) and "--type=" not in command


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("render", ["browser", "auto"])
def test_a_storm_over_three_nodes_loses_nothing(redis: RedisServer, tmp_path: Path, render: str) -> None:
    """Supervisors, processes, drivers, browsers and Redis die, others sleep past their leases: every page once."""
    postgres = PostgresServer()
    try:
        store = postgres.database("storm")
        with _site(PAGES, render) as url, psycopg.connect(store, autocommit=True) as connection:

            def stored() -> int:
                table = connection.execute("SELECT to_regclass('pages')").fetchone()
                if table is None or table[0] is None:
                    return 0
                row = connection.execute("SELECT count(*) FROM pages").fetchone()
                return int(row[0]) if row else 0

            storm, due = Storm(url, redis, store, tmp_path, render), time.monotonic() + EVERY_S

            def over() -> bool:
                nonlocal due
                if time.monotonic() >= due:
                    due = time.monotonic() + EVERY_S
                    done = stored()
                    if done > PAGES // 2 and not storm.told["redis"]:
                        storm.kill_redis()
                    elif done < 0.9 * PAGES:
                        storm.step()
                return storm.tend()

            until(over, "the end of the crawl", 1500)
            found = connection.execute("SELECT url, rendered_by, text FROM pages").fetchall()
        rows, by = Counter(row[0] for row in found), Counter(row[1] for row in found)
        print(f"{PAGES} pages by {dict(by)}; {dict(storm.told)}")  # noqa: T201
        assert (by["browser"] == PAGES) == (render == "browser"), by
        empty = [row[0] for row in found if "Page" not in row[2]]
        assert empty == []
        assert rows == dict.fromkeys(_urls(url, PAGES), 1)
        outputs = [node.finish().output for node in storm.nodes.values()]
        assert all("Traceback" not in output for output in outputs), outputs
        status = farm("status", "--json", "--redis", redis.url, "--crawl", "storm", folder=tmp_path / "none")
        ledger = json.loads(status.output)["ledger"]
        assert ledger["done"] == ledger["accepted"] == PAGES, ledger
        audit = farm("doctor", "--audit", "--redis", redis.url, "--crawl", "storm", folder=tmp_path / "none")
        assert audit.code == 0, audit.output
        until(lambda: alive(storm.seen) == [], "the end of all processes")
    finally:
        postgres.remove()
