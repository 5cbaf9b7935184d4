"""The doctor asks of Redis what a run will need, and no more."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from farm.app.doctor import Check, examine
from farm.frontier.connect import connect
from farm.frontier.embedded import EmbeddedRedis
from farm.settings.commands import DoctorSettings


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[str]:
    """Start a server whose user bob may only touch the crawl of the default name; return its socket."""
    server = EmbeddedRedis(tmp_path / "redis")
    url = await server.start()
    client = await connect(url)
    await client.command("ACL SETUSER", "bob", "on", ">pw", "~{default:*", "+@all")
    await client.close()
    yield url.removeprefix("unix://")
    await server.stop()


async def _said_of_redis(server: str, crawl: str = "") -> Check:
    settings = DoctorSettings(redis=f"unix://bob:pw@{server}", crawl=crawl, sandbox=False)
    (said,) = [finding async for finding in examine(settings) if finding.subject == "redis"]
    return said


async def test_a_user_with_rights_to_the_crawl_alone_is_fit(server: str) -> None:
    """The crawl that a run without --crawl would work on."""
    assert (await _said_of_redis(server)).verdict == "ok"


@pytest.mark.parametrize(
    ("crawl", "code", "words"), [("other", 3, "ACL SETUSER"), ("a b}c", 2, "cannot be used")]
)
async def test_a_crawl_that_a_run_could_not_work_on_is_told(
    server: str, crawl: str, code: int, words: str
) -> None:
    """Somebody else's, or a name that cannot stand in a key."""
    finding = await _said_of_redis(server, crawl)
    assert (finding.verdict, finding.exit_code) == ("error", code)
    assert words in finding.text
