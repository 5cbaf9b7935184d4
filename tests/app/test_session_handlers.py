"""A crawl that was created with handlers goes on with handlers, and one without goes on without."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from farm import DeadPage, Farm, Page, UsageError
from farm.app.session import open_session
from farm.frontier import keys
from farm.frontier.connect import connect
from farm.frontier.embedded import EmbeddedRedis
from farm.runtime.reaper import Reaper

SEED = "http://a.example/"


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start a server that nodes share."""
    server = EmbeddedRedis(tmp_path_factory.mktemp("redis"))
    yield asyncio.run(server.start())
    asyncio.run(server.stop())


async def read(page: Page) -> None:
    """Do nothing with a page."""


async def mourn(page: DeadPage) -> None:
    """Do nothing with a URL that was given up."""


def farm_of(kind: str, **options: Any) -> Farm:
    """Return a Farm whose code is of this kind."""
    farm = Farm(follow="scope" if kind in {"scope", "meant"} else None, **options)
    if kind in {"handler", "scope"}:
        farm.default(read)
    elif kind == "hook":
        farm.before_navigation(read)
    elif kind == "dead":
        farm.on_dead(mourn)
    return farm


@pytest.fixture(scope="module")
def reaper() -> Iterator[Reaper]:
    """Start one for all crawls."""
    started = Reaper()
    yield started
    started.close()


async def opened(reaper: Reaper, farm: Farm, **settings: Any) -> None:
    """Open the crawl of a Farm, and leave it."""
    plan = farm._plan(SEED)
    plan = replace(plan, settings=plan.settings.model_copy(update=settings))
    async with open_session(plan, reaper):
        pass


WITH = "created with handlers, and this run has none; give them again, or --app none"
WITHOUT = 'created without handlers, .* give their Farm follow="scope" .* another --crawl, or --fresh'
REFUSED = {
    **{(begun, then): WITH for begun in ("handler", "hook") for then in ("none", "dead")},
    ("none", "handler"): WITHOUT,
}
"""What is refused, by how the crawl was begun and how it is to go on."""


@pytest.mark.parametrize("begun", ["handler", "hook", "none"])
async def test_other_links_are_not_followed_without_a_word(
    tmp_path: Path, redis_url: str, reaper: Reaper, monkeypatch: pytest.MonkeyPatch, begun: str
) -> None:
    """By any node that joins, and any run that continues; `--fresh` and who says that it is meant go on."""
    monkeypatch.chdir(tmp_path)
    options: dict[str, Any] = {"redis": redis_url, "crawl": begun, "output": tmp_path / "out"}
    await opened(reaper, farm_of(begun, **options))
    for then in ("none", "dead", "handler", "scope", "meant"):
        refused = REFUSED.get((begun, then))
        if refused is None:
            await opened(reaper, farm_of(then, **options))
        else:
            with pytest.raises(UsageError, match=refused):
                await opened(reaper, farm_of(then, **options))
    await opened(reaper, farm_of("none", **options), app=None)
    await opened(reaper, farm_of("none", **options, fresh=True))
    await opened(reaper, farm_of("none", **options))


async def test_a_crawl_that_does_not_say_how_it_was_begun_goes_on(
    tmp_path: Path, redis_url: str, reaper: Reaper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one of a farm that does not know the difference."""
    monkeypatch.chdir(tmp_path)
    options: dict[str, Any] = {"redis": redis_url, "crawl": "older", "output": tmp_path / "out"}
    await opened(reaper, farm_of("handler", **options))
    client = await connect(redis_url, patience_s=5)
    try:
        assert await client.command("HDEL", keys.crawl("older"), "handlers") == 1
    finally:
        await client.close()
    for then in ("none", "handler"):
        await opened(reaper, farm_of(then, **options))
