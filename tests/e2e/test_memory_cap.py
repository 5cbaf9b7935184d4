"""A page that needs more than its renderer may hold is given up with that reason, and with the remedy."""

from pathlib import Path

from fixtures.sites import serving
from tests.e2e.farm_process import crawl, farm

PAGE = """<!doctype html><title>grows</title><script>
setInterval(() => {
  const more = document.createElement("div");
  more.innerHTML = "<p>a row <b>of</b> a list</p>".repeat(3000);
  document.body.append(more);
}, 20);
</script>"""


def test_a_page_over_the_cap_is_named_with_the_remedy(out: Path) -> None:
    """In the dead letter, the log and the report."""
    with serving(PAGE) as url:
        limits = {"memory": "2GiB", "retries": "0", "settle_timeout": "50s", "scope": "page"}
        finished = crawl(out, url, **limits).finish()
    assert finished.code == 8, finished.output
    cause = "more than the renderer's 256 MiB; give more by --memory"
    assert cause in finished.output
    assert cause in (out / "farm.log").read_text()
    letters = farm("dead", "list", "--json", "--output", str(out), folder=out.parent)
    assert cause in letters.output, letters.output
