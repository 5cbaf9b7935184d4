"""The doctor asks of Redis what a run will need, and no more."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from farm.app.doctor import Check, examine, of_a_run, of_light_engine
from farm.app.preflight import preflight
from farm.app.session import open_session
from farm.frontier.connect import connect
from farm.frontier.embedded import EmbeddedRedis
from farm.resources.installation import install_command
from farm.runtime.reaper import Reaper
from farm.settings.commands import DoctorSettings, RunSettings


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


SHOP = "https://shop.example/"


async def _said_of_tables(folder: Path, config: str) -> Check | None:
    (folder / "farm.toml").write_text(config)
    settings = DoctorSettings(sandbox=False)
    found = [finding async for finding in examine(settings) if finding.subject == "tables"]
    return found[0] if found else None


@pytest.mark.parametrize(
    ("config", "verdict", "words"),
    [
        (f'urls = ["{SHOP}"]', None, ""),
        ('[site."a.example"]\nrate = "1/s"', "ok", "1 table of sites; whether a crawl reaches them"),
        ('[site."a.example"]\nraet = "1/s"', "error", "did you mean rate?"),
        (f'urls = ["{SHOP}"]\n[site."shop.example"]\nrate = "1/s"', "ok", "all of sites in scope"),
        (f'urls = ["{SHOP}"]\n[site."*.example"]\nrate = "1/s"', "ok", "all of sites in scope"),
        (
            f'urls = ["{SHOP}"]\n[site."shpo.example"]\nrate = "1/s"',
            "warning",
            'no site in scope (host: shop.example) is covered by [site."shpo.example"]; correct the name',
        ),
        (f'urls = ["{SHOP}"]\n[site."shop.example:8443"]\nrate = "1/s"', "warning", "shop.example:8443"),
        (
            f'scope = "domain"\nurls = ["{SHOP}"]\n[site."cdn.shop.example:8443"]\nrate = "1/s"',
            "ok",
            "all of sites",
        ),
        ('urls = ["https://a.shop.example/"]\n[site."shop.example"]\nheaders = ["X: y"]', "ok", "all of"),
        ('urls = ["https://a.shop.example/"]\n[site."shop.example"]\nrate = "1/s"', "warning", "shop"),
        (f'scope = "any"\nurls = ["{SHOP}"]\n[site."b.example"]\nrate = "1/s"', "ok", "all of sites"),
    ],
)
async def test_tables_of_sites_are_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: str, verdict: str | None, words: str
) -> None:
    """What is wrong in one, and which of them no seed and no scope reaches."""
    monkeypatch.chdir(tmp_path)
    finding = await _said_of_tables(tmp_path, config)
    assert (finding and finding.verdict) == verdict
    assert words in (finding.text if finding else "")


async def test_tables_are_held_against_the_crawl_that_is_named(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it goes is known there, whatever the file says."""
    monkeypatch.chdir(tmp_path)
    config = 'urls = ["https://b.example/"]\n[site."a.example"]\nrate = "1/s"\n'
    monkeypatch.setenv("FARM_REDIS", f"unix://{server}")
    reaper, url = Reaper(), f"unix://{server}"
    settings = RunSettings(urls=("https://a.example/",), redis=url, output=tmp_path / "out", sandbox=False)
    try:
        async with open_session(preflight(settings), reaper):
            pass
    finally:
        reaper.close()
    found = await _said_of_tables(tmp_path, config)
    assert found is not None
    assert (found.verdict, found.text) == ("ok", "1 table of sites, all of sites in scope")


def _found(settings: DoctorSettings, subject: str) -> list[Check]:
    return [finding for finding in of_a_run(settings) if finding.subject == subject]


@pytest.mark.parametrize(
    ("config", "verdict", "words"),
    [
        ("", "ok", "a run would have"),
        ('contexts = 100000\nmemory = "1GiB"', "error", "farm.toml, line 1: --contexts 100000"),
        ('proxies = "nowhere.txt"', "error", "nowhere.txt"),
        ('extract = "nowhere.toml"', "error", "nowhere.toml"),
        ('seeds = "-"\napp = "nowhere:farm"', "ok", "a run would have"),
        ("insecure = true", "warning", "Certificates are not checked"),
    ],
)
def test_what_a_run_would_refuse_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: str, verdict: str, words: str
) -> None:
    """As the run says it, and where it stands; nothing is created for it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "farm.toml").write_text(config)
    finding = _found(DoctorSettings(sandbox=False), "settings")[0]
    assert (finding.verdict, finding.exit_code) == (verdict, 2 if verdict == "error" else 0)
    assert words in finding.text
    assert [path.name for path in tmp_path.iterdir()] == ["farm.toml"]


def test_an_output_folder_that_cannot_be_written_is_found(tmp_path: Path) -> None:
    """Where it is, or where it would be; one that can is left as it was."""
    writable = tmp_path / "a" / "b"
    (found,) = _found(DoctorSettings(sandbox=False, output=writable), "output")
    assert found.verdict == "ok"
    assert list(tmp_path.iterdir()) == []
    (found,) = _found(DoctorSettings(sandbox=False, output=Path("/proc/nowhere/out")), "output")
    assert (found.verdict, found.exit_code) == ("error", 6)
    assert "choose another --output" in found.text


async def test_the_light_engine_is_started_as_a_run_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """That it is not installed is no fault; that it does not start is one."""
    found = await of_light_engine()
    assert (found.verdict, found.text.endswith("lightpanda starts, confined")) == ("ok", True)
    monkeypatch.setattr("farm.light.program.RESPONSE_BYTES", "none")
    assert (await of_light_engine()).verdict == "warning"
    monkeypatch.setattr("farm.light.program.PACKAGE", "no_such_package")
    found = await of_light_engine()
    assert (found.verdict, install_command("light") in found.text) == ("ok", True)
