"""What the API does to a crawl, in a real Redis."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from farm.app.operations import FrontierOperations
from farm.app.preflight import preflight
from farm.app.session import open_session
from farm.frontier.frontier import RedisFrontier
from farm.model.errors import UsageError
from farm.model.outcome import Bury, FailedVisit, FailureKind
from farm.model.task import Lease, LeaseRequest
from farm.runtime.reaper import Reaper
from farm.settings.commands import RunSettings


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[tuple[FrontierOperations, RedisFrontier]]:
    """Open a crawl of one URL."""
    reaper = Reaper()
    try:
        plan = preflight(RunSettings(urls=("http://a.example/1",), output=tmp_path / "out"))
        async with open_session(plan, reaper) as session:
            yield FrontierOperations(session.crawl, session.frontier), session.frontier
    finally:
        reaper.close()


async def test_urls_are_added_and_letters_read_and_replayed(
    opened: tuple[FrontierOperations, RedisFrontier],
) -> None:
    """As the commands do it."""
    operations, frontier = opened
    seeds: list[str | dict[str, object]] = [
        "http://a.example/1",
        {"url": "http://a.example/p+2", "meta": {"k": 1}},
    ]
    assert await operations.add(seeds) == {"added": 1, "known": 1}
    with pytest.raises(UsageError):
        await operations.add(["not a url at all"])
    for number in range(2):
        lease = await frontier.lease(LeaseRequest("s", f"r{number}"))
        assert isinstance(lease, Lease)
        await frontier.nack(lease, Bury(FailureKind.TLS, "refused"), FailedVisit("tls", node="n"))
    told = await operations.letters({"contains": "p+2"}, 0, 10)
    assert told["total"] == 1
    [letter] = told["letters"]
    assert (await operations.letters({"contains": "p.2"}, 0, 10))["total"] == 0
    assert (await operations.letters({"reason": "tls", "site": "a.example"}, 1, 10))["total"] == 2
    shown = await operations.letter(letter["id"])
    assert shown is not None
    assert [past["node"] for past in shown["history"]] == ["n"]
    assert await operations.letter("0" * 16) is None
    status = await operations.status()
    assert status["ledger"]["dead"] == 2
    assert await operations.replay({}, [letter["id"]], 9.0) == {"replayed": 1, "all": True}
    assert await operations.replay({"reason": "tls"}, [], 0.0) == {"replayed": 0, "all": False}
    assert await operations.replay({"reason": "tls"}, [], 9.0) == {"replayed": 1, "all": True}
    await operations.set_state("paused")
    assert (await operations.status())["state"] == "paused"
