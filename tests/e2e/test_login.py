"""`--login`: a site for members is crawled whole, by as few logins as its sessions allow."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from fixtures.members import PASSWORD, USER, Members, serve_members
from tests.e2e.farm_process import FARM, Running, crawl, end_all, farm, start, until
from tests.e2e.redis_server import RedisServer

PAGES = 45
FLOW = f"""
url = "URLlogin"
logged_in = "a[href='/logout']"

[[step]]
fill = "input[name=user]"
with = "{USER}"

[[step]]
fill = "input[name=password]"
with_env = "MEMBERS_PASSWORD"

[[step]]
click = "button[type=submit]"
"""


@pytest.fixture
def members(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Members]:
    """Open the site, and write its login to `login.toml`."""
    monkeypatch.setenv("MEMBERS_PASSWORD", PASSWORD)
    with serve_members(PAGES, 20) as site:
        (tmp_path / "login.toml").write_text(FLOW.replace("URL", site.url))
        yield site
    end_all()


def begin(out: Path, members: Members, *arguments: str, **settings: str) -> Running:
    """Begin a crawl of the site."""
    return crawl(out, members.url, "--login", "login.toml", *arguments, **settings)


def whole(members: Members) -> dict[str, int]:
    """Return the pages of the site, each visited once by a member."""
    return dict.fromkeys(["/", *(f"/p/{number}" for number in range(PAGES))], 1)


def test_a_site_for_members_is_crawled_whole(members: Members, tmp_path: Path) -> None:
    """Each page once, by three sessions of twenty pages; nobody logs out, and no secret is kept."""
    out = tmp_path / "out"
    finished = begin(out, members, contexts="2").finish()
    assert finished.code == 0, finished.output
    assert members.visits == whole(members)
    assert (members.logins, members.refused) == (3, 0)
    assert {one["title"] for one in finished.records} == set(whole(members))
    assert all("secret" in one["text"] and one["attempt"] == 1 for one in finished.records)
    assert {one["url"].rpartition("/")[2]: one["reason"] for one in finished.skips} == {"logout": "excluded"}
    for path in (path for path in out.rglob("*") if path.is_file()):
        assert PASSWORD.encode() not in path.read_bytes(), path
    again = begin(out, members).finish()
    assert "nothing new" in again.output


def test_a_state_is_saved_and_used(members: Members, tmp_path: Path) -> None:
    """By the steps, or by hand at a prompt; for its user alone."""
    network = ("--allow-network", "127.0.0.0/8", "--no-sandbox")
    by_steps = farm("login", "--login", "login.toml", "--save", "one.json", *network, folder=tmp_path / "out")
    assert by_steps.code == 0, by_steps.output
    assert "1 cookie and 0 origins are in one.json" in by_steps.output
    assert (tmp_path / "one.json").stat().st_mode & 0o777 == 0o600
    lines = f"await live.fill('[name=user]', {USER!r}); await live.fill('[name=password]', {PASSWORD!r})\n"
    lines += "await live.click('button')\nt = await live.wait_for_selector('nav')\n"
    by_hand = subprocess.run(
        [*FARM, "login", f"{members.url}login", "--save", "two.json", "--prompt", *network],
        input=lines,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert by_hand.returncode == 0, by_hand.stderr
    assert members.logins == 2
    assert (tmp_path / "one.json").read_text().count("session") == 1
    page = farm(
        "fetch", f"{members.url}p/1", "--storage-state", "two.json", *network, folder=tmp_path / "out"
    )
    assert "The secret of 1." in page.output


APP = """
import os
from playwright.async_api import Page as BrowserPage
from farm import Farm, Page

farm = Farm()


@farm.login("URLlogin", logged_in="a[href='/logout']", secret=os.environ["MEMBERS_PASSWORD"])
async def log_in(page: BrowserPage) -> None:
    await page.fill("[name=user]", "USER")
    await page.fill("[name=password]", os.environ["MEMBERS_PASSWORD"])
    await page.click("button")


@farm.default
async def read(page: Page) -> None:
    page.emit({"secret": page.css("p")[0].text})
    page.follow("a[href^='/p/']")
"""


def test_a_hook_logs_in_for_all_processes(members: Members, tmp_path: Path) -> None:
    """As the steps of a file do; what it raises is told with its line."""
    source = APP.replace("URL", members.url).replace("USER", USER)
    (tmp_path / "members.py").write_text(source)
    arguments = (members.url, "--app", "members:farm", "--processes", "2")
    finished = crawl(tmp_path / "out", *arguments).finish()
    assert finished.code == 0, finished.output
    assert members.visits == whole(members)
    assert members.logins == 3
    (tmp_path / "broken.py").write_text(source.replace("await page.click", "await page.clock"))
    broken = crawl(tmp_path / "broken", members.url, "--app", "broken:farm").finish()
    assert broken.code == 2
    assert (
        "at last: TypeError: 'Clock' object is not callable at broken.py:13 log_in; correct" in broken.output
    )


NEEDED = ("Xvfb", "xdotool", "chromium")
NETWORK = ("--allow-network", "127.0.0.0/8", "--no-sandbox")


@pytest.fixture
def display() -> Iterator[str]:
    """Return the name of a display without a screen."""
    read, write = os.pipe()
    command = ["Xvfb", "-displayfd", str(write), "-screen", "0", "1280x900x24", "-nolisten", "tcp"]
    with subprocess.Popen(command, pass_fds=(write,), stderr=subprocess.DEVNULL) as server:
        os.close(write)
        with os.fdopen(read) as told:
            number = told.readline().strip()
        yield f":{number}"
        server.terminate()


def press(display: str, *arguments: str) -> str:
    """Do with the mouse and the keyboard what a person does; return what xdotool prints."""
    return subprocess.run(
        ["xdotool", *arguments],
        env={**os.environ, "DISPLAY": display},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    ).stdout


@pytest.mark.skipif(
    not all(map(shutil.which, NEEDED)), reason="`apt-get install xvfb xdotool chromium` brings what it needs"
)
@pytest.mark.slow
@pytest.mark.parametrize("end", ["Enter", "the window"])
def test_a_person_logs_in_in_a_window(members: Members, tmp_path: Path, display: str, end: str) -> None:
    """And presses Enter or closes the window; the state is for its user alone, and works in a crawl."""
    with subprocess.Popen(
        [*FARM, "login", f"{members.url}login", "--save", "state.json", *NETWORK],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "DISPLAY": display},
    ) as running:
        assert running.stdout is not None
        assert any("log in in the window" in line for line in running.stdout)
        window, *_ = press(display, "search", "--sync", "--onlyvisible", "--class", "chromium").split()
        press(display, "windowfocus", "--sync", window)
        # Behind the form is the label of its first field.
        press(display, "mousemove", "--window", window, "640", "600", "click", "1")
        press(display, "type", USER)
        press(display, "key", "Tab")
        press(display, "type", PASSWORD)
        press(display, "key", "Return")
        until(lambda: members.logins == 1, "the login")
        if end == "the window":
            press(display, "key", "ctrl+w")
            assert running.wait(60) == 0
        said, _ = running.communicate("\n" if end == "Enter" else None, timeout=60)
    assert running.returncode == 0, said
    assert "1 cookie and 0 origins are in state.json" in said
    assert (tmp_path / "state.json").stat().st_mode & 0o777 == 0o600
    state = ("--storage-state", "state.json", "--exclude", "logout")
    finished = crawl(tmp_path / "out", members.url, *state, limit="3").finish()
    assert finished.code == 5, finished.output
    assert all("secret" in one["text"] for one in finished.records)


def test_without_a_display_the_other_ways_are_named(tmp_path: Path) -> None:
    """In one sentence, before anything is started."""
    nowhere = {"DISPLAY": "", "WAYLAND_DISPLAY": ""}
    arguments = ("login", "https://a.example/", "--save", "state.json")
    done = start(*arguments, folder=tmp_path / "out", environment=nowhere).finish()
    assert done.code == 2
    assert done.output.count("\n") == 1
    assert "There is no display" in done.output
    assert "--login STEPS.toml" in done.output
    assert "--prompt" in done.output
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_two_nodes_share_the_logins(members: Members, tmp_path: Path) -> None:
    """One of them logs in, and both go on."""
    server = RedisServer(tmp_path / "redis")
    server.start()
    try:
        nodes = [
            begin(tmp_path / name, members, "--redis", server.url, "--crawl", "members", "--node", name)
            for name in ("one", "two")
        ]
        ended = [node.finish() for node in nodes]
    finally:
        server.kill()
    assert [one.code for one in ended] == [0, 0], [one.output for one in ended]
    assert members.visits == whole(members)
    assert members.logins == 3
    assert sum(len(one.records) for one in ended) == len(whole(members))


@pytest.mark.slow
def test_a_login_that_fails_ends_the_run(
    members: Members, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the step that failed and without what was filled in; the URL waits for the next run."""
    monkeypatch.setenv("MEMBERS_PASSWORD", "battery staple")
    flow = tmp_path / "login.toml"
    flow.write_text(f"timeout_s = 1\n{flow.read_text()}")
    finished = begin(tmp_path / "out", members).finish()
    assert finished.code == 2
    assert f"The login at {members.url}login failed 3 times" in finished.output
    assert "after the last step: not within 1 s" in finished.output
    assert "battery staple" not in finished.output
    assert members.refused == 3
    assert members.visits == {}
    monkeypatch.setenv("MEMBERS_PASSWORD", PASSWORD)
    assert begin(tmp_path / "out", members, "--limit", "1").finish().code == 5
