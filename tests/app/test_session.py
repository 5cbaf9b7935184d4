"""A crawl is opened with what its settings ask of every lease."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from farm.app import session as module
from farm.app.preflight import RunPlan, preflight
from farm.app.session import note_end, open_session
from farm.frontier.client import RedisClient
from farm.frontier.connect import connect
from farm.frontier.embedded import EmbeddedRedis
from farm.frontier.retention import ends_in_s, expire_crawl
from farm.model.errors import BrowserUnavailable, UsageError
from farm.model.outcome import Ack
from farm.model.task import Idle, Lease, LeaseRequest
from farm.model.url import HashRoutes
from farm.runtime.presence import register
from farm.runtime.reaper import Reaper
from farm.settings.commands import RunSettings
from farm.settings.stored import OF_RECORDS

SEEDS = ("http://a.example/1", "http://a.example/2", "http://b.example/1", "http://b.example/2")


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start a server that nodes share."""
    server = EmbeddedRedis(tmp_path_factory.mktemp("redis"))
    yield asyncio.run(server.start())
    asyncio.run(server.stop())


async def _sites(folder: Path, **settings: Any) -> list[str]:
    """Open a crawl of two sites and return where four slots that ask at once may go."""
    reaper = Reaper()
    try:
        plan = preflight(RunSettings(urls=SEEDS, output=folder / "out", **settings))
        async with open_session(plan, reaper) as session:
            asked = [await session.frontier.lease(LeaseRequest(f"s{n}", f"r{n}")) for n in range(4)]
            assert {one.reason for one in asked if isinstance(one, Idle)} <= {"waiting"}
            return sorted(one.task.site for one in asked if isinstance(one, Lease))
    finally:
        reaper.close()


@pytest.mark.parametrize(
    ("settings", "sites"),
    [
        ({}, ["a.example", "a.example", "b.example", "b.example"]),
        ({"rate": "1/m"}, ["a.example", "b.example"]),
        ({"site_concurrency": 1}, ["a.example", "b.example"]),
        ({"global_rate": "1/m"}, ["a.example"]),
        ({"global_concurrency": 3}, ["a.example", "a.example", "b.example"]),
    ],
)
async def test_the_limits_of_a_crawl_hold_for_every_lease(
    tmp_path: Path, settings: dict[str, Any], sites: list[str]
) -> None:
    """As the options say, whoever asks."""
    assert await _sites(tmp_path, **settings) == sites


async def _notes(folder: Path, **settings: Any) -> str:
    """Open the crawl and return what is told before the first page."""
    reaper = Reaper()
    try:
        async with open_session(preflight(RunSettings(output=folder / "out", **settings)), reaper) as session:
            return "\n".join(session.plan.notes)
    finally:
        reaper.close()


async def test_who_continues_a_crawl_is_told_its_limits(tmp_path: Path) -> None:
    """They hold without being given, and others are refused for what they are."""
    assert "limits" not in await _notes(tmp_path, urls=SEEDS, rate="1/m")
    told = "limits that the crawl was created with: --rate 1/m; only --fresh, with others, changes them"
    assert told in await _notes(tmp_path)
    with pytest.raises(UsageError, match=r'rate = "1/m" \(here "2/m"\): its limits cannot change; .*--fresh'):
        await _notes(tmp_path, rate="2/m")
    with pytest.raises(UsageError, match="that is another crawl"):
        await _notes(tmp_path, rate="2/m", scope="any")
    assert "limits" not in await _notes(tmp_path, urls=SEEDS, rate="2/m", fresh=True)


async def _joined(folder: Path, **settings: Any) -> RunSettings:
    """Open the crawl and return the settings that are in force on this node."""
    reaper = Reaper()
    try:
        plan = preflight(RunSettings(output=folder / "out", **settings))
        async with open_session(plan, reaper) as session:
            return session.plan.settings
    finally:
        reaper.close()


async def _plan(folder: Path, *seeds: dict[str, Any], **settings: Any) -> RunPlan:
    """Open the crawl and return its plan, with what the crawl has added."""
    reaper = Reaper()
    try:
        plan = preflight(RunSettings(output=folder / "out", **settings), seeds)
        async with open_session(plan, reaper) as session:
            return session.plan
    finally:
        reaper.close()


@pytest.mark.parametrize("asked", ["browser", "fetch"])
async def test_what_seeds_ask_for_is_there_in_later_runs(tmp_path: Path, asked: str) -> None:
    """Which have no seeds, or others."""
    default = "fetch" if asked == "browser" else "browser"
    await _plan(tmp_path, {"url": SEEDS[0]}, {"url": SEEDS[1], "render": asked}, render=default)
    for seeds in ((), ({"url": SEEDS[2]},)):
        later = await _plan(tmp_path, *seeds, render=default)
        assert later.asked == {asked}
        assert later.binary is not None
        assert not later.only_requested
    without = await _plan(tmp_path, render=default, browser=tmp_path / "none") if asked == "browser" else None
    assert without is None or (without.binary, without.asked) == (None, frozenset())
    assert without is None or "is not a browser that can be run" in without.warnings[-1]


async def test_a_crawl_without_a_browser_goes_on_without_one(tmp_path: Path) -> None:
    """Who joins need not say again that it has none, and need not have one."""
    await _plan(tmp_path, {"url": SEEDS[0]}, render="fetch")
    joined = await _plan(tmp_path, browser=tmp_path / "none")
    assert (joined.settings.render, joined.binary) == ("fetch", None)
    assert (await _plan(tmp_path)).binary is None


async def test_a_crawl_that_needs_a_browser_is_not_joined_without_one(tmp_path: Path) -> None:
    """In one sentence with the remedy, whether or not there are seeds."""
    await _plan(tmp_path, {"url": SEEDS[0]})
    for seeds in ((), ({"url": SEEDS[1]},)):
        with pytest.raises(BrowserUnavailable, match="is not a browser that can be run"):
            await _plan(tmp_path, *seeds, browser=tmp_path / "none")


RECORDS: dict[str, Any] = {
    "wait": "load",
    "block": ("media",),
    "max_page_size": "10MiB",
    "viewport": "800x600",
    "user_agent": "Farm",
    "click": ("#more",),
    "click_times": 2,
    "consent": "reject",
    "scroll": 3,
    "screenshot": True,
    "pdf": True,
    "download": True,
    "max_download": "1MiB",
    "locale": "de-DE",
    "timezone": "Europe/Berlin",
    "isolation": "url",
    "html": False,
    "text": False,
    "images": True,
    "markdown": True,
    "bodies": True,
    "main_text": True,
    "capture": ("json", "/api/*"),
    "capture_max": "2MiB",
    "har": True,
}
"""What changes a record, each as no default has it."""
NEEDS: dict[str, dict[str, Any]] = {
    "click_times": {"click": ("#more",)},
    "max_download": {"download": True},
    "capture_max": {"capture": ("json",)},
}
"""Without what else a setting has no effect, and is refused for that."""


@pytest.mark.parametrize("unsaid", ["html", "bodies"])
async def test_what_changes_a_record_is_taken_from_the_crawl(tmp_path: Path, unsaid: str) -> None:
    """By a node whose user does not say it; its own deadlines stay its own. HTML left out needs no place."""
    # Most of them need a browser for every page.
    assert set(RECORDS) == set(OF_RECORDS) - {"render"}
    given = {name: value for name, value in RECORDS.items() if name != unsaid}
    first = await _joined(tmp_path, urls=SEEDS, page_timeout="5s", **given)
    second = await _joined(tmp_path, page_timeout="7s")
    assert {name: getattr(second, name) for name in OF_RECORDS} == {
        name: getattr(first, name) for name in OF_RECORDS
    }
    assert second.page_timeout == 7
    again = await _joined(tmp_path, **given)
    assert again.viewport == first.viewport


@pytest.mark.parametrize("name", RECORDS)
async def test_what_changes_a_record_and_contradicts_the_crawl_is_refused(tmp_path: Path, name: str) -> None:
    """With the difference."""
    needed = NEEDS.get(name, {})
    await _joined(tmp_path, urls=SEEDS, **needed)
    with pytest.raises(UsageError, match=rf"was created with .*{name} = .*\(here .*--fresh"):
        await _joined(tmp_path, **needed, **{name: RECORDS[name]})


async def test_a_picture_keeps_its_images_on_every_node(tmp_path: Path) -> None:
    """Where the user does not say what is blocked, nothing is; who joins has it so without saying it."""
    first = await _joined(tmp_path, urls=SEEDS, screenshot=True)
    second = await _joined(tmp_path)
    assert first.block == second.block == ()


@pytest.mark.parametrize(
    ("secret", "said"),
    [
        ({"header": ("X-Key: s3cret",)}, r'header_names = \["x-key"\] \(here \[\]\)'),
        ({"storage_state": "state.json"}, r"with_storage_state = true \(here false\)"),
        ({"login": "login.toml"}, r"with_login = true \(here nothing\)"),
    ],
)
async def test_secrets_are_asked_for_again(tmp_path: Path, secret: dict[str, Any], said: str) -> None:
    """They are not kept in Redis; a node that went on without them would see other pages."""
    (tmp_path / "state.json").write_text('{"cookies": []}')
    (tmp_path / "login.toml").write_text(
        'url = "https://shop.example/"\nlogged_in = "a"\nstep = [{fill = "#user", with = "s3cret"}]\n'
    )
    if "header" not in secret:
        secret = {name: tmp_path / file for name, file in secret.items()}
    await _joined(tmp_path, urls=SEEDS, **secret)
    with pytest.raises(UsageError, match=said) as caught:
        await _joined(tmp_path)
    assert "s3cret" not in str(caught.value)
    await _joined(tmp_path, **secret)


@pytest.mark.parametrize("mode", HashRoutes)
async def test_a_crawl_keeps_which_hash_routes_are_pages(tmp_path: Path, mode: HashRoutes) -> None:
    """Yes and no as crawls have always had them, so that those go on; another mode is a contradiction."""
    await _joined(tmp_path, urls=SEEDS, hash_routes=mode)
    plan = preflight(RunSettings(output=tmp_path / "out"))
    reaper = Reaper()
    try:
        async with open_session(plan, reaper) as session:
            stored = session.crawl.settings["hash_routes"]
    finally:
        reaper.close()
    assert stored is (mode is HashRoutes.ON) or (stored, mode) == ("auto", HashRoutes.AUTO)
    await _joined(tmp_path, hash_routes=mode)
    for other in set(HashRoutes) - {mode}:
        with pytest.raises(UsageError, match="hash_routes = "):
            await _joined(tmp_path, hash_routes=other)


async def test_a_nodes_seeds_are_written_as_the_crawl_writes_urls(tmp_path: Path) -> None:
    """Who joins need not say again that routes are pages, nor which parameters say which page it is."""
    await _joined(tmp_path, urls=SEEDS, hash_routes=HashRoutes.ON, keep_params=("ref",))
    reaper = Reaper()
    try:
        plan = preflight(RunSettings(output=tmp_path / "out", urls=("http://a.example/x?ref=2#/route",)))
        async with open_session(plan, reaper) as session:
            assert [seed.url for seed in session.plan.seeds] == ["http://a.example/x?ref=2#/route"]
            assert (await session.frontier.stats()).ledger.accepted == len(SEEDS) + 1
    finally:
        reaper.close()


@pytest.mark.parametrize(
    ("is_finished", "is_shared", "ends"), [(True, False, True), (False, False, False), (True, True, False)]
)
async def test_redis_forgets_a_finished_crawl_after_its_last_node(
    tmp_path: Path, redis_url: str, is_finished: bool, is_shared: bool, ends: bool
) -> None:
    """Not one that is unfinished, or that another node is at work on; who goes on with it keeps it."""
    reaper = Reaper()
    given: dict[str, Any] = {
        "redis": redis_url,
        "crawl": f"k{is_finished}{is_shared}",
        "keep_for": "10m",
    }
    client = await connect(redis_url, patience_s=5)
    try:
        plan = preflight(RunSettings(urls=("http://a.example/1",), output=tmp_path / "out", **given))
        for _ in range(2):
            async with open_session(plan, reaper) as session:
                assert await ends_in_s(client, plan.crawl) is None
                got = await session.frontier.lease(LeaseRequest("s", str(tmp_path)))
                if isinstance(got, Lease):
                    await session.frontier.ack(got, Ack())
                if is_finished:
                    await note_end(plan, session.frontier)
                if is_shared:
                    await session.frontier.nodes.register("other", "i1")
            assert (await ends_in_s(client, plan.crawl) is not None) == ends
    finally:
        await client.close()
        reaper.close()


@pytest.mark.parametrize("registers", ["before the keys are told to end", "after that"])
async def test_a_node_that_joins_a_crawl_that_is_let_end_keeps_it(
    tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch, registers: str
) -> None:
    """Whoever leaves has seen nobody at work, and the other has seen a crawl that stays."""
    is_before = registers.startswith("before")
    reaper = Reaper()
    given: dict[str, Any] = {"redis": redis_url, "crawl": f"joined{is_before}", "keep_for": "10m"}
    client = await connect(redis_url, patience_s=5)
    plan = preflight(RunSettings(urls=("http://a.example/1",), output=tmp_path / "out", **given))
    ended: list[str] = []
    try:
        async with open_session(plan, reaper) as session:
            got = await session.frontier.lease(LeaseRequest("s", "r"))
            assert isinstance(got, Lease)
            await session.frontier.ack(got, Ack())
            await note_end(plan, session.frontier)
            nodes = session.frontier.nodes

            async def end_late(of: RedisClient, crawl: str, after_s: float) -> None:
                await nodes.register("other", "i1")
                await expire_crawl(of, crawl, after_s)
                ended.append(crawl)

            async def register_late(*args: Any) -> Any:
                await expire_crawl(client, plan.crawl, 600.0)
                ended.append(plan.crawl)
                return await register(*args)

            if is_before:
                monkeypatch.setattr(module, "expire_crawl", end_late)
        if not is_before:
            monkeypatch.setattr(module, "register", register_late)
            async with open_session(plan, reaper) as session:
                assert await ends_in_s(client, plan.crawl) is None
                assert await session.frontier.audit() == []
        else:
            assert await ends_in_s(client, plan.crawl) is None
        assert ended == [plan.crawl]
    finally:
        await client.close()
        reaper.close()
