"""A site without end that shows the same everywhere is left after a while."""

from pathlib import Path

from fixtures.origin import serve_origin
from tests.e2e.farm_process import crawl


def test_a_family_that_shows_the_same_everywhere_ends_the_crawl_by_itself(out: Path) -> None:
    """Its pages are counted and named in the records; what is queued of it is skipped without a visit."""
    with serve_origin(latency_s=0.0) as origin:
        (bears,) = origin.bears.values()
        bears.same = True
        finished = crawl(out, *origin.urls, contexts="4").finish()
        asked = len(origin.arrivals)
    assert finished.code == 0, finished.output
    assert 50 <= asked <= 80
    first, *others = finished.records
    assert first["duplicate_of"] is None
    assert {record["duplicate_of"] for record in others} == {first["url"]}
    summary = finished.summary
    assert summary["duplicate_content"] == len(others)
    assert summary["skipped"]["duplicate_content"] > 50
    assert summary["ledger"]["done"] == summary["ledger"]["accepted"]
    assert "shows the same content at all its addresses" in finished.output


def test_parameters_that_look_like_tracking_stay_on_demand(out: Path) -> None:
    """They are part of the address then."""
    with serve_origin(latency_s=0.0) as origin:
        (url,) = origin.urls
        seeds = [f"{url}?gclid={number}&utm_source=a" for number in range(2)]
        finished = crawl(out, *seeds, keep_params="GCLID,fbclid", limit="2", scope="page").finish()
    assert sorted(finished.urls) == [f"{url}?gclid={number}" for number in range(2)]
