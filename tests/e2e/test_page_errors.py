"""A site whose scripts do not come: its pages are kept, and records and report say what they miss."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tests.e2e.farm_process import crawl

DEAD = "127.0.0.1:2"
PAGE = f"""<!doctype html><title>shell</title><div id=root></div>
<script src=http://{DEAD}/app.js></script><script src=http://10.255.0.1/inner.js></script>
<a href=/1>one</a><a href=/2>two</a>"""


class Answers(BaseHTTPRequestHandler):
    """Answers everything with the page, but robots.txt."""

    def do_GET(self) -> None:
        """Answer."""
        body = b"" if self.path == "/robots.txt" else PAGE.encode()
        self.send_response(200 if body else 404)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def site() -> Iterator[str]:
    """Serve the pages."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def test_records_and_report_say_what_pages_miss(site: str, out: Path) -> None:
    """With the cause that the gateway knows, also where it is the farm's own refusal."""
    finished = crawl(out, site).finish()
    assert finished.code == 0, finished.output
    assert len(finished.records) == 3
    for record in finished.records:
        assert (record["status"], record["settle_reason"]) == (200, "quiet")
        found = {one["url"]: one["message"] for one in record["page_errors"]}
        assert set(found) == {f"http://{DEAD}/app.js", "http://10.255.0.1/inner.js"}
        assert found[f"http://{DEAD}/app.js"].startswith("script: connect: 127.0.0.1:2: ")
        assert found["http://10.255.0.1/inner.js"].startswith("script: refused: 10.255.0.1")
    assert "  scripts  3 pages miss scripts: " in finished.output
