"""The tables of `farm.toml` for single sites: what they may hold, and what is said of what they may not."""

import re
from pathlib import Path

import pytest

from farm.model.errors import UsageError
from farm.model.url import names_covering
from farm.settings.commands import RunSettings
from farm.settings.load import load
from farm.settings.sites import MOST_TABLES, SiteTable, check_tables, parse_site_name
from tests.tree import ROOT

SECRET = "s3cret"
URL = "http://shop.example/"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work where there is no `farm.toml` but the test's own."""
    monkeypatch.chdir(tmp_path)


def loaded(text: str) -> RunSettings:
    """Return the settings of a run beside this `farm.toml`."""
    Path("farm.toml").write_text(text)
    return load(RunSettings, [URL], "farm run", "")


def test_a_table_has_the_forms_of_the_flags() -> None:
    """And is found by the name that the frontier has for the site; its headers are shown to nobody."""
    settings = loaded(f"""
        rate = "5/s"
        [site."Shop.example:443"]
        rate = "2/s"
        concurrency = 3
        wait = "css:.price"
        block = "images,media"
        headers = ["X-Token: {SECRET}"]
        [[site."Shop.example:443".page]]
        match = "/product/*"
        wait = "load"
        [site."*.bücher.example:8443"]
        block = "none"
        headers = "X-A: {SECRET}"
    """)
    assert set(settings.site) == {"shop.example", "*.xn--bcher-kva.example:8443"}
    table, other = settings.site.values()
    assert table.rate is not None
    assert (table.rate.per_s, table.concurrency, table.wait) == (2.0, 3, "css:.price")
    assert table.block == ("images", "media")
    assert [(rule.match, rule.wait) for rule in table.page] == [("/product/*", "load")]
    assert (other.block, other.rate, other.wait, len(other.headers)) == ((), None, None, 1)
    shown = settings.model_dump_json()
    assert SECRET not in shown + repr(settings)
    assert '"headers":["X-Token: ***"]' in shown


def test_the_example_in_the_documents_is_one() -> None:
    """With every key that there is."""
    found = re.search(r"```toml\n(.+?)```", (ROOT / "docs/options.md").read_text("utf-8"), re.DOTALL)
    assert found is not None
    [table] = loaded(found[1]).site.values()
    assert all(getattr(table, name) for name in SiteTable.model_fields)
    assert table.block == ("images", "media", "fonts", "trackers")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[site."a.example"]\nrate = "5"', '[site."a.example"]: rate = 5: write a rate such as 5/s'),
        ('[site."a.example"]\nrates = "5/s"', "'rates', which is not a setting of it (did you mean rate?)"),
        ('[site."a.example"]\nconcurrency = 0', "concurrency = 0: should be greater than or equal to 1"),
        ('[site."a.example"]\nwait = "css:"', "wait = css:: it needs a selector"),
        ('[site."a.example"]\nblock = "image"', "block = image: image is not one of images"),
        ('[site.a.example]\nrate = "5/s"', 'write the host in quotes, such as [site."shop.example"]'),
        ('[site."http://a.example/"]', '[site."http://a.example/"]: write a host, such as shop.example'),
        ('[site."*"]', "write a host"),
        ('[site."a.example:x"]', "write a host"),
        ('[site."*.127.0.0.1"]', "an address has no subdomains"),
        ('[site."a.example"]\n[site."A.example:80"]', "a.example has another table"),
        ("site = 5", "write tables in farm.toml"),
        ('site = {"a.example" = 5}', '[site."a.example"]: it must be a table'),
        (
            '[site]\n"a.example".page = [{match = "/x", wait = "load"}, {match = "/y", wait = "lod"}]',
            '[[site."a.example".page]] number 2: wait = lod: write settle, load,',
        ),
        ('[[site."a.example".page]]\nwait = "load"', "number 1: it needs match"),
        ('[[site."a.example".page]]\nmatch = "/x"', "number 1: it needs wait or render"),
        ('[site."a.example"]\nrender = "chrome"', "render = chrome: "),
        ('[[site."a.example".page]]\nmatch = "x"\nwait = "load"', "write the path of a URL"),
    ],
)
def test_what_is_wrong_is_blamed_on_its_table(text: str, said: str) -> None:
    """In one sentence, with the remedy."""
    with pytest.raises(UsageError) as caught:
        loaded(text)
    assert said in str(caught.value)
    assert str(caught.value).startswith("farm.toml")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        f'[site."a.example"]\nheaders = {{ Authorization = "{SECRET}" }}',
        f'[site."a.example"]\nheaders = [{{ Authorization = "{SECRET}" }}]',
        f'[site."a.example"]\nheader = "Authorization: {SECRET}"',
        f'header = {{ Authorization = "{SECRET}" }}',
    ],
)
def test_a_header_that_is_wrong_is_not_shown(text: str) -> None:
    """Whatever was put in its place."""
    with pytest.raises(UsageError) as caught:
        loaded(text)
    assert "header" in str(caught.value)
    assert SECRET not in str(caught.value)


def test_tables_are_neither_a_flag_nor_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """They would not be found again in what is wrong."""
    with pytest.raises(UsageError, match="--site is not an option"):
        load(RunSettings, ["--site", "x", URL], "farm run", "")
    monkeypatch.setenv("FARM_SITE", "{}")
    with pytest.raises(UsageError, match=r"write tables in farm\.toml"):
        load(RunSettings, [URL], "farm run", "")


def test_there_is_a_most_of_tables() -> None:
    """Each is a key in Redis, and is looked at by every node."""
    some: dict[str, dict[str, str]] = {f"{number}.example": {} for number in range(MOST_TABLES)}
    assert len(check_tables(some)) == MOST_TABLES
    with pytest.raises(ValueError, match="no more than 10,000"):
        check_tables({**some, "one.more.example": {}})


@pytest.mark.parametrize(
    ("site", "names"),
    [
        ("shop.example", ("shop.example", "*.example")),
        ("a.b.example:81", ("a.b.example:81", "*.b.example:81", "*.example:81")),
        ("localhost", ("localhost",)),
        ("[::1]:80", ("[::1]:80",)),
        ("a." * 500 + "example", ("a." * 500 + "example",)),
    ],
)
def test_a_site_is_meant_by_its_name_and_those_above_it(site: str, names: tuple[str, ...]) -> None:
    """The most special first; what is no name of DNS has only its own."""
    assert names_covering(site) == names


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("SHOP.example:80", "shop.example"),
        ("[::1]:8080", "[::1]:8080"),
        ("127.0.0.1:8080", "127.0.0.1:8080"),
        ("*.Shop.example", "*.shop.example"),
    ],
)
def test_a_site_is_named_as_the_frontier_names_it(given: str, name: str) -> None:
    """A table that is never found would be silently without effect."""
    assert parse_site_name(given) == name
