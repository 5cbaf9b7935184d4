"""A crawl in a real Redis, and the commands that look into it: in this process, by their own arguments."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest

from farm.app.preflight import preflight
from farm.app.session import open_session
from farm.cli.main import main
from farm.frontier import keys
from farm.frontier.client import RedisClient
from farm.frontier.connect import connect
from farm.frontier.crawl import find_crawl
from farm.frontier.frontier import RedisFrontier
from farm.model.outcome import Bury, FailedVisit, FailureKind, Retry
from farm.model.task import Lease, LeaseRequest
from farm.runtime.reaper import Reaper
from farm.settings.commands import RunSettings

T = TypeVar("T")
NAME = "t"
MARK = "{t:0}:"
"""What the crawl's keys begin with; but for `crawl` the generation follows."""


@dataclass
class Said:
    """The result of a command."""

    code: int
    out: str
    err: str

    @property
    def sentence(self) -> str:
        """The one line that it ended with, on the error output, and nothing else."""
        assert self.out == "", self.out
        assert self.err.startswith("farm: "), self.err
        assert self.err.count("\n") == 1, self.err
        return self.err.removeprefix("farm: ").rstrip("\n")


class Outside:
    """A crawl `t` at `url`, from outside a run; nothing runs between two calls."""

    def __init__(self, url: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.url = url
        self.crawl: tuple[str, ...] = ("--redis", url, "--crawl", NAME)
        self.folder = folder
        self._capsys = capsys

    def farm(self, *arguments: str) -> Said:
        """Run a command on the crawl."""
        self._capsys.readouterr()
        code = main([*arguments, *self.crawl])
        out, err = self._capsys.readouterr()
        return Said(code, out, err)

    def redis(self, *arguments: str | bytes | float) -> Any:
        """Send one command; `@name` stands for the crawl's key of that name."""

        async def send(client: RedisClient) -> Any:
            generation = b""
            if any(isinstance(a, str) and a.startswith("@") and a != "@crawl" for a in arguments):
                generation = await client.command("HGET", f"{MARK}crawl", "generation")
            crawl = keys.Handle(NAME, generation.decode())
            special = {"@crawl": keys.crawl(NAME), "@flow": keys.flow(crawl)}
            return await client.command(
                *(
                    special.get(a, keys.prefix(crawl) + a[1:]) if isinstance(a, str) and a[:1] == "@" else a
                    for a in arguments
                )
            )

        return self._with(send)

    def create(self, *urls: str) -> None:
        """Create the crawl as a run does."""

        async def opened() -> None:
            reaper = Reaper()
            plan = preflight(
                RunSettings(urls=urls, redis=self.url, crawl=NAME, output=self.folder, sandbox=False)
            )
            try:
                async with open_session(plan, reaper):
                    pass
            finally:
                reaper.close()

        asyncio.run(opened())

    def bury(self, reasons: Sequence[FailureKind]) -> list[str]:
        """Lease a URL for each reason and give it up; return the ids."""

        async def buried(client: RedisClient) -> list[str]:
            frontier = RedisFrontier(client, await find_crawl(client, NAME))
            ids = []
            for n, reason in enumerate(reasons):
                lease = await frontier.lease(LeaseRequest("s", f"r{n}"))
                assert isinstance(lease, Lease), lease
                await frontier.nack(lease, Bury(reason, "said so"))
                ids.append(lease.id)
            return ids

        return self._with(buried)

    def fail(self, *visits: tuple[FailureKind, FailedVisit]) -> str:
        """Lease a URL and have each of the visits fail, the last one for good; return its id."""

        async def failed(client: RedisClient) -> str:
            frontier = RedisFrontier(client, await find_crawl(client, NAME))
            ids = []
            for n, (kind, visit) in enumerate(visits, 1):
                lease = await frontier.lease(LeaseRequest("s", f"f{n}", "a.example"))
                assert isinstance(lease, Lease), lease
                outcome = Bury(kind, visit.detail) if n == len(visits) else Retry(kind, 0, visit.detail)
                await frontier.nack(lease, outcome, visit)
                ids.append(lease.id)
            return ids[-1]

        return self._with(failed)

    def register(self, name: str, incarnation: str) -> None:
        """Register a node, as a run does when it begins."""

        async def registered(client: RedisClient) -> None:
            frontier = RedisFrontier(client, await find_crawl(client, NAME))
            await frontier.nodes.register(name, incarnation)

        self._with(registered)

    def unregister(self, name: str, incarnation: str) -> None:
        """Remove a node, as a run does when it ends."""

        async def removed(client: RedisClient) -> None:
            frontier = RedisFrontier(client, await find_crawl(client, NAME))
            await frontier.nodes.unregister(name, incarnation)

        self._with(removed)

    def audit(self) -> list[str]:
        """Return what does not hold."""

        async def audited(client: RedisClient) -> list[str]:
            return await RedisFrontier(client, await find_crawl(client, NAME)).audit()

        return self._with(audited)

    def frontier(self, do: Callable[[RedisFrontier], Awaitable[T]]) -> T:
        """Do something to the crawl as a node does."""

        async def done(client: RedisClient) -> T:
            return await do(RedisFrontier(client, await find_crawl(client, NAME)))

        return self._with(done)

    def _with(self, do: Callable[[RedisClient], Awaitable[T]]) -> T:
        async def done() -> T:
            client = await connect(self.url, patience_s=5)
            try:
                return await do(client)
            finally:
                await client.close()

        return asyncio.run(done())
