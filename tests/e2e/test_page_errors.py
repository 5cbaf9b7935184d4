"""A site whose scripts do not come: its pages are kept, and records and report say what they miss."""

from pathlib import Path

from fixtures.sites import serving
from tests.e2e.farm_process import crawl

DEAD = "127.0.0.1:2"
PAGE = f"""<!doctype html><title>shell</title><div id=root></div>
<script src=http://{DEAD}/app.js></script><script src=http://10.255.0.1/inner.js></script>
<a href=/1>one</a><a href=/2>two</a>"""


def test_records_and_report_say_what_pages_miss(out: Path) -> None:
    """With the cause that the gateway knows, also where it is the farm's own refusal."""
    with serving(PAGE) as url:
        finished = crawl(out, url).finish()
    assert finished.code == 0, finished.output
    assert len(finished.records) == 3
    for record in finished.records:
        assert (record["status"], record["settle_reason"]) == (200, "quiet")
        found = {one["url"]: one["message"] for one in record["page_errors"]}
        assert set(found) == {f"http://{DEAD}/app.js", "http://10.255.0.1/inner.js"}
        assert found[f"http://{DEAD}/app.js"].startswith("script: connect: 127.0.0.1:2: ")
        assert found["http://10.255.0.1/inner.js"].startswith("script: refused: 10.255.0.1")
    assert "  scripts  3 pages miss scripts: " in finished.output
