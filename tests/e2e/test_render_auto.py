"""`--render auto` from outside: pages by plain HTTP where they are the same, by the browser where they are not."""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Condition, Thread

import pytest

from tests.e2e.farm_process import Finished, crawl, farm

WORDS = "A lamp of brass and glass, with a shade and a switch. " * 4


@dataclass
class Site:
    """Pages `/p/N` that the server writes, `/app/N` that a script does; all are from `changes_at` requests on."""

    pages: int
    apps: int
    changes_at: int = 1_000_000
    url: str = ""
    asked: list[str] = field(default_factory=list)
    changed: Condition = field(default_factory=Condition)

    def wait_for(self, requests: int) -> None:
        """Wait until so many pages were requested."""
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.asked) >= requests, 60)

    def page(self, path: str) -> str:
        """Return a page of this moment."""
        with self.changed:
            self.asked.append(path)
            self.changed.notify_all()
            late = len(self.asked) > self.changes_at
        if path == "/":
            paths = [*(f"/p/{n}" for n in range(self.pages)), *(f"/app/{n}" for n in range(self.apps))]
            content = "".join(f'<p><a href="{one}">lamp {one}</a></p>' for one in paths)
        else:
            content = f"<h1>Lamp {path}</h1><p>{WORDS}</p><p>It costs {len(path) * 7} euros.</p>"
        if path.startswith("/app") or (late and path != "/"):
            put = f"document.getElementById('main').innerHTML = {json.dumps(content)}"
            content = f"<div id='main'>Lamps</div><p>{WORDS}</p><script>{put}</script>"
        return f"<!doctype html><title>Lamp {path}</title><body>{content}<footer>lamps</footer>"


@contextmanager
def serving(site: Site) -> Iterator[Site]:
    """Serve the site on loopback, without a robots.txt."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            is_page = self.path == "/" or self.path.startswith(("/p/", "/app/"))
            body = site.page(self.path).encode() if is_page else b""
            self.send_response(200 if is_page else 404)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            return

    class Server(ThreadingHTTPServer):
        request_queue_size = 100

    with Server(("127.0.0.1", 0), Answers) as server:
        site.url = f"http://127.0.0.1:{server.server_port}/"
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield site
        finally:
            server.shutdown()


def assert_right(finished: Finished, site: Site) -> None:
    """Each page once, and with what a browser shows of it; the ledger balances."""
    assert finished.code == 0, finished.output
    paths = ["/", *(f"/p/{n}" for n in range(site.pages)), *(f"/app/{n}" for n in range(site.apps))]
    records = {record["url"]: record for record in finished.records}
    assert Counter(finished.urls) == dict.fromkeys((f"{site.url}{path[1:]}" for path in paths), 1)
    wrong = [url for url, record in records.items() if url != site.url and "euros" not in record["text"]]
    assert wrong == []
    ledger = finished.summary["ledger"]
    assert ledger["done"] == ledger["accepted"] == len(paths)


def test_pages_are_brought_the_cheapest_way_that_is_the_same(out: Path) -> None:
    """Some thirty comparisons, then plain HTTP; what a script writes stays the browser's."""
    with serving(Site(pages=60, apps=6)) as site:
        finished = crawl(out, site.url, render="auto").finish()
        assert_right(finished, site)
    by = Counter((one["rendered_by"], one["url"].split("/")[3]) for one in finished.records)
    assert by["fetch", "app"] == 0
    assert by["fetch", "p"] >= 10
    told = finished.summary["renderers"]
    assert told["pages"] == Counter(one["rendered_by"] for one in finished.records)
    assert told["compared"] >= 30
    assert 0 < told["most_wrong"] <= len(finished.records) - told["pages"]["browser"]
    report = json.loads(farm("render-report", "--json", "--output", str(out), folder=out).output)
    stages = {one["template"].partition("/")[2]: one["renderers"]["fetch"] for one in report["templates"]}
    assert (stages["p/#"]["stage"], stages["app/#"]["stage"]) == ("provisional", "learning")
    assert "/app/" in stages["app/#"]["examples"][0]


@pytest.mark.slow
def test_a_change_of_mind_in_mid_crawl_is_repaired_over_kills(out: Path) -> None:
    """The site turns to scripts while it is crawled, and the farm is killed before and after that."""
    with serving(Site(pages=400, apps=10, changes_at=330)) as site:
        for requests in (150, 380):
            running = crawl(out, site.url, render="auto", contexts="4")
            site.wait_for(requests)
            running.kill()
        finished = crawl(out, site.url, render="auto", contexts="4").finish(180)
        assert_right(finished, site)
    told = finished.summary["renderers"]
    assert told["requeued"] > 0
    assert {one["revision"] for one in finished.records} == {0, 1}
    assert farm("doctor", "--audit", "--output", str(out), folder=out).code == 0
