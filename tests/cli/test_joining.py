"""Joining a crawl from the command line: refusals differ from missing crawls."""

import pytest

from farm.frontier.crawl import SCHEMA
from farm.settings import stored
from tests.cli.outside import Outside


@pytest.mark.parametrize(("schema", "said"), [(SCHEMA + 1, "newer farm"), (SCHEMA - 1, "older farm")])
def test_a_crawl_of_another_farm_is_not_said_to_be_missing(outside: Outside, schema: int, said: str) -> None:
    """To a run that brings no URL, either."""
    outside.redis("HSET", "@crawl", "schema", schema)
    done = outside.farm("run", "--no-sandbox")
    assert done.code == 2
    assert said in done.sentence


@pytest.mark.parametrize("command", [("run", "--no-sandbox"), ("add", "http://e.example/")])
def test_a_farm_that_writes_urls_in_another_way_is_refused(
    outside: Outside, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    """With the difference: two ways in one crawl would visit pages twice, and pass over others."""
    monkeypatch.setattr(stored, "CANONICALISATION", stored.CANONICALISATION + 1)
    done = outside.farm(*command)
    assert done.code == 2
    assert "canonicalisation = 1, here 2" in done.sentence
    assert "use that version of the farm" in done.sentence


def test_a_run_without_a_url_needs_a_crawl(outside: Outside) -> None:
    """And says that there is none of that name."""
    outside.redis("FLUSHALL")
    done = outside.farm("run", "--no-sandbox")
    assert done.code == 2
    assert "no URL to start from and no crawl named 't'" in done.sentence
