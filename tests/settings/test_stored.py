"""What a crawl was created with is taken up again: by a run that does not say otherwise, and never a secret."""

import json
import os
from pathlib import Path

import pytest

from farm.app.preflight import RunPlan, preflight
from farm.model.errors import UsageError
from farm.settings import stored
from farm.settings.commands import RunSettings
from farm.settings.stored import StoredSettings

URL = "http://shop.example/"
SECRET = "open-sesame"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work where there is no `farm.toml`."""
    monkeypatch.chdir(tmp_path)


def begun(folder: Path, **settings: object) -> RunPlan:
    """Begin a crawl as a run does."""
    plan = preflight(RunSettings(urls=(URL,), output=folder, sandbox=False, **settings))  # type: ignore[arg-type]
    stored.keep(plan.settings, plan.private, plan.crawl, plan.agreed, plan.origins)
    return plan


def test_what_decides_what_is_fetched_is_taken_up_and_named(tmp_path: Path) -> None:
    """Networks, proxies, rendering, what is kept; but not how a run works or when it ends."""
    proxies = tmp_path / "proxies.txt"
    proxies.write_text("http://user:open-sesame@10.0.0.1:8080\n")
    begun(
        tmp_path / "out",
        allow_network=("127.0.0.0/8",),
        proxies=Path("proxies.txt"),
        screenshot=True,
        block=("fonts",),
        viewport="800x600",
        page_timeout="20s",
        max_page_size="20MiB",
        sitemap="auto",
        sitemap_since="2026-01-31",
        html=False,
        isolation="url",
        contexts=3,
        limit=7,
        time_limit="1h",
    )
    plan = begun(tmp_path / "out")
    settings = plan.settings
    assert settings.allow_network == ("127.0.0.0/8",)
    assert plan.proxies is not None
    assert settings.proxies == proxies
    assert settings.page_timeout == 20.0
    assert (settings.sitemap, str(settings.sitemap_since)[:10]) == ("auto", "2026-01-31")
    assert (settings.contexts, settings.limit, settings.time_limit) == (None, 0, None)
    (note,) = plan.notes
    for part in ("--allow-network 127.0.0.0/8", f"--proxies {proxies}", "--page-timeout 20"):
        assert part in note
    assert SECRET not in (tmp_path / "out" / ".farm" / stored.FILE).read_text()


def test_every_setting_that_is_kept_can_be_read_back(tmp_path: Path) -> None:
    """Whatever is added to the options later, too."""
    (tmp_path / "f").write_text("x")
    given = {
        "storage_state": tmp_path / "f",
        "ca_file": tmp_path / "f",
        "proxies": tmp_path / "f",
        "header": (f"X-A: {SECRET}",),
        "max_page_size": "1MiB",
        "click": ("#a", "b,c"),
        "depth": 3,
        "rate": "5/s",
        "locale": "de-CH",
        "timezone": "UTC",
        "user_agent": "x",
    }
    settings = RunSettings(**given)  # type: ignore[arg-type]
    shown = settings.model_dump(mode="json")
    for name in StoredSettings.model_fields.keys() - stored.OF_ONE_RUN - {"header"}:
        taken = StoredSettings.model_validate({name: shown[name]})
        assert getattr(taken, name) == getattr(settings, name), name


def test_who_says_otherwise_wins_and_is_kept(tmp_path: Path) -> None:
    """`none` is otherwise too."""
    begun(tmp_path / "out", allow_network=("127.0.0.0/8",), screenshot=True)
    second = begun(tmp_path / "out", allow_network=("none",), screenshot=False)
    assert (second.settings.allow_network, second.settings.screenshot, second.notes) == ((), False, ())
    third = begun(tmp_path / "out")
    assert (third.settings.allow_network, third.settings.screenshot) == ((), False)


def test_a_secret_that_is_missing_ends_the_run_before_it_begins(tmp_path: Path) -> None:
    """Without it the site would see somebody else."""
    begun(tmp_path / "out", header=(f"Authorization: {SECRET}",))
    text = (tmp_path / "out" / ".farm" / stored.FILE).read_text()
    assert SECRET not in text
    with pytest.raises(UsageError, match="--header Authorization, whose value is not kept; give it again"):
        begun(tmp_path / "out")
    assert begun(tmp_path / "out", header=("Authorization: other",)).secrets.headers
    assert not begun(tmp_path / "out", header=("none",)).secrets.headers
    assert not begun(tmp_path / "out").secrets.headers


@pytest.mark.parametrize("option", ["proxies", "storage_state", "ca_file"])
def test_a_file_that_is_gone_ends_the_run_before_it_begins(tmp_path: Path, option: str) -> None:
    """A crawl by proxies must not go on by the user's own address."""
    private = tmp_path / "out" / ".farm"
    gone = tmp_path / "gone"
    stored.keep(RunSettings(**{option: gone}), private, "default", {}, [])  # type: ignore[arg-type]
    flag = f"--{option.replace('_', '-')}"
    with pytest.raises(UsageError, match=f"{flag} {gone}, with which this crawl was begun, is not there"):
        begun(tmp_path / "out")
    assert getattr(begun(tmp_path / "out", **{option: "none"}).settings, option) is None


def test_another_crawl_and_a_fresh_one_take_nothing_up(tmp_path: Path) -> None:
    """They are not this one."""
    begun(tmp_path / "out", screenshot=True)
    assert not begun(tmp_path / "out", fresh=True).settings.screenshot
    begun(tmp_path / "out", screenshot=True)
    assert not begun(tmp_path / "out", crawl="other").settings.screenshot


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"crawl": "default"}', '{"crawl": "default", "settings": 7}']
)
def test_a_file_that_is_none_of_ours_is_nothing(tmp_path: Path, text: str) -> None:
    """A crash may have left half of it; half of a setting is none."""
    private = tmp_path / "out" / ".farm"
    private.mkdir(parents=True)
    (private / stored.FILE).write_text(text)
    assert begun(tmp_path / "out").notes == ()


def test_settings_of_a_newer_farm_are_not_guessed_at(tmp_path: Path) -> None:
    """A deadline in words that this one does not know."""
    private = tmp_path / "out" / ".farm"
    private.mkdir(parents=True)
    (private / stored.FILE).write_text(json.dumps({"crawl": "default", "settings": {"page_timeout": "soon"}}))
    with pytest.raises(UsageError, match="settings that this farm does not have"):
        begun(tmp_path / "out")


def test_a_file_that_somebody_else_put_there_is_not_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It could open networks: neither by a link, nor by a file of another owner."""
    begun(tmp_path / "out", allow_network=("127.0.0.0/8",))
    path = tmp_path / "out" / ".farm" / stored.FILE
    with monkeypatch.context() as patched:
        patched.setattr(os, "geteuid", lambda: os.getuid() + 1)
        with pytest.raises(UsageError, match="belongs to another user and is not trusted"):
            preflight(RunSettings(urls=(URL,), output=tmp_path / "out", sandbox=False))
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert begun(tmp_path / "out").notes == ()
    assert not path.is_symlink()
