"""What is done to pages and taken of them, from the command line to the files in the output folder."""

import json
import re
from collections import Counter
from pathlib import Path
from urllib.parse import urljoin

from fixtures import catalogue
from fixtures.shop import Shop
from tests.e2e.farm_process import crawl, start

SECRET = "open-sesame"


def test_a_run_leaves_the_files_that_its_records_name(shop: Shop, out: Path) -> None:
    """Pictures of pages, bytes of what is none; and the secrets are nowhere in the output."""
    state = out.parent / "state.json"
    cookie = {"name": "session", "value": SECRET, "domain": "127.0.0.1", "path": "/"}
    more = {"expires": -1, "httpOnly": False, "secure": False, "sameSite": "Lax"}
    state.write_text(json.dumps({"cookies": [{**cookie, **more}], "origins": []}))
    running = crawl(
        out,
        *(shop.at(f"/faults/{name}") for name in ("pdf", "cookie", "headers")),
        *("--screenshot", "--pdf", "--download", "--har", "--header", f"X-Token: {SECRET}-too"),
        *("--click", "#nothing", "--click", "body", "--locale", "de-CH", "--timezone", "UTC"),
        scope="page",
        scroll="2",
        storage_state=str(state),
    )
    done = running.finish()
    assert done.code == 0, done.output
    records = {record["url"].rpartition("/")[2]: record for record in done.records}
    assert set(records["pdf"]["files"]) == {"download", "har"}
    assert (out / records["pdf"]["files"]["download"]).read_bytes().startswith(b"%PDF-1.4")
    for name in ("cookie", "headers"):
        record = records[name]
        assert set(record["files"]) == {"screenshot", "pdf", "har"}
        for path in record["files"].values():
            assert (out / path).stat().st_size > 500
            assert Path(path).stem == record["id"]
        assert record["actions"] == {"clicked": {"#nothing": 0, "body": 1}, "scrolled": 1}
        assert record["truncated"] == []
    # The page shows what it was asked with: both secrets came, the language too.
    assert f"{SECRET}-too" in records["headers"]["text"]
    assert f"session={SECRET}" in records["headers"]["text"]
    assert "de-CH" in records["headers"]["text"]
    shown = (out / "summary.json").read_text() + (out / "farm.log").read_text() + done.output
    assert SECRET not in shown + "".join(path.read_text() for path in out.glob("hars/*/*.har"))
    assert list((out / ".farm" / "drafts").iterdir()) == []


def test_a_wrong_selector_ends_the_run_at_its_first_page(shop: Shop, out: Path) -> None:
    """Only a browser can tell; it is the user's fault all the same, and no page is given up for it."""
    finished = crawl(out, shop.url, "--click", "a[", scope="page").finish()
    assert finished.code == 2
    assert "'a[' is not a valid selector" in finished.output
    assert finished.summary["ledger"]["dead"] == 0
    assert "Traceback" not in finished.output


def test_a_selector_that_matches_nothing_is_named_in_the_report(shop: Shop, out: Path) -> None:
    """Going on would wait for it on every other page."""
    flags = ("--click", ".no-such", "--settle-timeout", "500ms")
    finished = crawl(out, shop.url, *flags, wait="css:.missing", limit="2").finish()
    assert finished.code == 5
    for option in ("--wait css:.missing", "--click .no-such"):
        assert f"{option} matched nothing on any page (2 tried)" in finished.output
    assert "go on with" not in finished.output
    assert "correct the selector first (another one begins anew, with --fresh)" in finished.output


def test_a_crawl_goes_on_with_what_it_was_begun_with(shop: Shop, out: Path) -> None:
    """No URL is burnt as `private_network` because the flag that opened the network was not given again."""
    begun = crawl(out, shop.url, "--no-html", depth="1", limit="2").finish()
    assert begun.code == 5
    resumed = start("run", "--output", str(out), "--live", "off", "--contexts", "2", folder=out).finish()
    assert resumed.code == 0, resumed.output
    assert "using options of earlier runs: --allow-network 127.0.0.0/8" in resumed.output
    assert Counter(resumed.urls) == dict.fromkeys(shop.oracle.within(1), 1)
    assert {record["html"] for record in resumed.records} == {None}
    assert "private_network" not in resumed.summary["skipped"]


def test_the_images_of_a_page_are_listed(shop: Shop, out: Path) -> None:
    """By their canonical addresses, in order, with what the page says of them; none are loaded for it."""
    product = catalogue.products()[0]
    finished = crawl(out, urljoin(shop.url, product.path), "--images", scope="page").finish()
    assert finished.code == 0, finished.output
    [record] = finished.records
    small = {"alt": "", "width": 400, "height": 400}
    assert record["images"] == [
        {"url": f"{shop.url}images/mark.svg", "alt": "", "width": 32, "height": 32},
        {"url": f"{shop.url}images/{product.slug}.svg", "alt": product.name, "width": 400, "height": 400},
        {
            "url": f"{shop.url}images/swatch-{product.series.lower()}.png",
            "alt": "Swatch",
            "width": 48,
            "height": 48,
        },
        *({"url": f"{shop.url}images/{other.slug}.svg", **small} for other in catalogue.related(product)),
    ]
    assert record["media"] == []


def test_what_a_pages_scripts_fetch_is_kept(shop: Shop, out: Path) -> None:
    """Each answer whose path matches, as it came; the shop's navigation is another one."""
    product = catalogue.products()[0]
    flags = ("--capture", "json:/api/products/*")
    finished = crawl(out, urljoin(shop.url, product.path), *flags, scope="page").finish()
    assert finished.code == 0, finished.output
    [record] = finished.records
    [answer] = record["responses"]
    assert answer["url"] == f"{shop.url}api/products/{product.slug}"
    assert (answer["method"], answer["status"], answer["truncated"]) == ("GET", 200, False)
    assert product.name in str(json.loads(answer["body"]))


def test_another_scope_for_the_same_host_is_offered_a_folder(shop: Shop, out: Path) -> None:
    """Two lines of the README, one after the other."""
    flags = ("--allow-network", "127.0.0.0/8", "--contexts", "1", "--live", "off")
    first = start("run", shop.url, *flags, "--scope", "page", folder=out).finish()
    assert first.code == 0, first.output
    second = start("run", shop.url, *flags, "--scope", "prefix", folder=out).finish()
    assert second.code == 2
    offered = re.search(r"--output (\S+)-2,", second.output)
    assert offered is not None, second.output
    limited = (*flags, "--scope", "prefix", "--limit", "1", "--output", f"{offered[1]}-2")
    assert start("run", shop.url, *limited, folder=out).finish().code == 5


def test_a_disk_quota_ends_the_run_with_work_left(shop: Shop, out: Path) -> None:
    """And says so; the next run, with more room, goes on."""
    ended = crawl(out, shop.url, "--screenshot", depth="1", max_disk="1KiB").finish()
    assert ended.code == 5, ended.output
    assert "stopped by --max-disk" in ended.output
    assert ended.summary["exit_reason"] == "disk_limit"
    resumed = crawl(out, limit="1").finish()
    assert resumed.code == 5, resumed.output
    assert len(resumed.records) >= 1


def test_two_ports_of_a_host_have_folders_of_their_own(shop: Shop, whole_shop: Shop, out: Path) -> None:
    """They are two sites: the second crawl must not go on with the first."""
    for one in (shop, whole_shop):
        flags = ("--scope", "page", "--contexts", "1", "--allow-network", "127.0.0.0/8")
        finished = start("run", one.at("about"), *flags, folder=out).finish()
        assert finished.code == 0, finished.output
        folder = out.parent / "crawls" / f"127.0.0.1_{one.port}"
        records = [json.loads(line) for line in (folder / "pages.jsonl").read_text().splitlines()]
        assert [record["url"] for record in records] == [one.at("about")]
