"""Headers, storage states and time zones: what cannot be meant is one sentence, and no value is repeated in it."""

import json
from pathlib import Path

import pytest

from farm.app.preflight import preflight
from farm.app.rendering import check_timezone, credentials, read_state, state_of_site
from farm.app.run_summary import shown_settings
from farm.model.errors import UsageError
from farm.settings.commands import RunSettings

SECRET = "open-sesame"
COOKIE = {"name": "a", "value": SECRET, "domain": ".shop.example", "path": "/"}
ORIGIN = {"origin": "https://www.shop.example", "localStorage": [{"name": "b", "value": SECRET}]}


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        (SECRET, "write it as 'Name: value'"),
        (f"Bad name: {SECRET}", "write it as 'Name: value'"),
        (f"X-A: {SECRET}\x00", "write it as 'Name: value'"),
        (f": {SECRET}", "write it as 'Name: value'"),
        (f"Cookie: {SECRET}", "--storage-state"),
        (f"user-agent: {SECRET}", "--user-agent"),
        (f"Host: {SECRET}", "the browser's own"),
    ],
)
def test_what_is_no_header_of_the_users_is_refused(text: str, remedy: str) -> None:
    """Without its value, which may be a password."""
    with pytest.raises(UsageError) as said:
        credentials(RunSettings(header=("X-Good: yes", text)))
    assert remedy in str(said.value)
    assert SECRET not in str(said.value)


def test_headers_are_read_as_they_are_written() -> None:
    """The value may have colons, or be empty."""
    given = credentials(RunSettings(header=("Authorization: Basic a:b", "X-Empty:", "x-trimmed:  v  ")))
    assert given.headers == {"Authorization": "Basic a:b", "X-Empty": "", "x-trimmed": "v"}
    assert "Basic" not in repr(given)


def test_no_secret_is_in_the_settings_that_are_shown(tmp_path: Path) -> None:
    """`summary.json` is sent around."""
    state = tmp_path / "state.json"
    state.write_text(json.dumps({"cookies": [COOKIE], "origins": [ORIGIN]}))
    settings = RunSettings(
        urls=("https://shop.example/",),
        header=(f"Authorization: {SECRET}", "X-Other: 1"),
        storage_state=state,
        output=tmp_path,
    )
    plan = preflight(settings)
    assert SECRET not in json.dumps(shown_settings(plan))
    assert shown_settings(plan)["header"] == ["Authorization: ***", "X-Other: ***"]
    assert SECRET not in repr(plan.secrets)
    assert SECRET not in repr(plan)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"cookies": {}}',
        '{"cookies": [{"name": "a"}]}',
        '{"origins": [{"origin": 7}]}',
        *(
            json.dumps({"cookies": [{**COOKIE, **wrong}]})
            for wrong in (
                {"expires": "tomorrow"},
                {"expires": 0},
                {"expires": -2},
                {"expires": 1e20},
                {"expires": True},
                {"expires": None},
                {"httpOnly": "yes"},
                {"secure": 1},
                {"sameSite": "lax"},
            )
        ),
        '{"origins": [{"origin": "https://a.example", "localStorage": [{"name": "b"}]}]}',
    ],
)
def test_what_is_no_storage_state_is_refused(tmp_path: Path, content: str) -> None:
    """With how to make one."""
    path = tmp_path / "state.json"
    path.write_text(content)
    with pytest.raises(UsageError, match="is no storage state; give a file that Playwright"):
        read_state(path)


def test_a_storage_state_that_is_not_there_is_named(tmp_path: Path) -> None:
    """One sentence."""
    with pytest.raises(UsageError, match=r"state\.json cannot be read \(No such file"):
        read_state(tmp_path / "state.json")


def test_each_site_gets_its_own_part_of_the_state() -> None:
    """Subdomains are of the same site; nobody else gets anything."""
    other = {**COOKIE, "domain": "pay.example"}
    of = state_of_site({"cookies": [COOKIE, other], "origins": [ORIGIN]})
    assert of("https://api.shop.example/x") == {"cookies": [COOKIE], "origins": [ORIGIN]}
    assert of("https://pay.example/") == {"cookies": [other], "origins": []}
    assert of("https://evil-shop.example/") is None
    assert of("https://shop.example.evil.example/") is None


@pytest.mark.parametrize("zone", ["Mars/Olympus", "../etc/passwd", "", "Europe/"])
def test_a_time_zone_that_there_is_not_is_refused(zone: str) -> None:
    """Chromium would refuse it at every page."""
    with pytest.raises(UsageError, match="Europe/Berlin"):
        check_timezone(zone)


def test_time_zones_that_there_are_pass() -> None:
    """By their usual names."""
    for zone in (None, "UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires"):
        check_timezone(zone)


def test_a_storage_state_as_playwright_writes_it_is_taken(tmp_path: Path) -> None:
    """With and without an end, whole seconds or not."""
    more = {"httpOnly": True, "secure": False, "sameSite": "Lax"}
    cookies = [{**COOKIE, **more, "expires": end} for end in (-1, 1893456000, 1893456000.25)]
    path = tmp_path / "state.json"
    path.write_text(json.dumps({"cookies": [*cookies, COOKIE], "origins": []}))
    assert len(read_state(path)["cookies"]) == 4
