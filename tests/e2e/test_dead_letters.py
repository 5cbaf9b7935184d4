"""A run in which a tenth of the pages fails: each is listed with its reason and what it showed, and comes back."""

import base64
import hmac
import json
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any

from fixtures.sites import Answer, served
from tests.e2e.farm_process import Finished, crawl, farm

PAGES = 40
SECRET = "t0ken-of-the-user"
KEY = b"a key of some length"
REASONS = {"/7": "http_5xx", "/17": "http_5xx", "/27": "network", "/37": "timeout"}


@contextmanager
def _shop(mended: Event) -> Iterator[str]:
    """Serve pages of which a tenth fails, in three ways, until they are mended."""

    def answer(path: str, headers: Message) -> Answer | None:
        reason = None if mended.is_set() else REASONS.get(path)
        if reason == "timeout":
            mended.wait(30)
        if reason in {"timeout", "network"}:
            return None
        sent = headers.get("X-Token", "")
        links = "".join(f'<a href="/{n}">{n}</a>' for n in range(PAGES)) if path == "/" else ""
        text = f"<h1>Out of order: {path}</h1>{sent}" if reason else f"<h1>{path}</h1>{links}"
        return Answer(b"" if path == "/robots.txt" else text.encode(), 500 if reason else 200)

    with served(answer) as origin:
        try:
            yield origin
        finally:
            mended.set()


@contextmanager
def _webhook(refused: int) -> Iterator[tuple[str, list[dict[str, Any]], list[dict[str, Any]]]]:
    """Take traces, and events but for the first ones; yield the address, traces, and the events signed well."""
    taken: list[dict[str, Any]] = []
    traces: list[dict[str, Any]] = []
    left = [refused]

    class Takes(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path == "/v1/traces":
                traces.append(json.loads(body))
                self.send_response(200)
                self.end_headers()
                return
            named = f"{self.headers['webhook-id']}.{self.headers['webhook-timestamp']}.".encode()
            signed = base64.b64encode(hmac.digest(KEY, named + body, "sha256")).decode()
            left[0] -= 1
            is_taken = left[0] < 0 and self.headers["webhook-signature"] == f"v1,{signed}"
            if is_taken:
                taken.append(json.loads(body))
            self.send_response(204 if is_taken else 500)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Takes) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", traces, taken
        finally:
            server.shutdown()


def _run(out: Path, *urls: str) -> Finished:
    # Header values that are secret are masked in what is kept.
    token = f"X-Token: {SECRET}"
    return crawl(
        out, *urls, "--snapshots", retries="0", page_timeout="3s", header=token, contexts="4"
    ).finish()


def test_each_failing_url_is_listed_with_its_reason_and_comes_back(out: Path) -> None:
    """What was shown is a picture and HTML without the user's secret; replayed when mended, none is dead.

    The webhook is told of each, signed, though it took nothing at first.
    """
    mended = Event()
    with _shop(mended) as url, _webhook(refused=1) as (hook, traces, told):
        (out.parent / "hook.secret").write_bytes(KEY)
        hooked = (
            "--otlp",
            hook,
            "--webhook",
            f"{hook}/hook",
            "--webhook-secret-file",
            str(out.parent / "hook.secret"),
        )
        first = _run(out, f"{url}/", *hooked)
        assert first.code == 0, first.output
        listed = farm("dead", "list", "--json", "--output", str(out), folder=out)
        letters = {one["task"]["url"]: one for one in map(json.loads, listed.output.splitlines())}
        assert {address.removeprefix(url): one["reason"] for address, one in letters.items()} == REASONS
        assert [one["type"] for one in told].count("dead_letter") == len(told) - 1 == 4
        assert {one["data"]["url"].removeprefix(url): one["data"]["reason"] for one in told[:4]} == REASONS
        assert (told[4]["type"], told[4]["data"]["dead"]) == ("crawl_finished", 4)
        spans = [span for one in traces for span in one["resourceSpans"][0]["scopeSpans"][0]["spans"]]
        assert sum(span["name"] == "visit" for span in spans) == PAGES + 1
        assert sum(span["name"] == "navigating" for span in spans) == PAGES + 1
        for path, reason in REASONS.items():
            id_ = letters[f"{url}{path}"]["id"]
            picture, html = (out / "snapshots" / f"{id_}.{suffix}" for suffix in ("jpg", "html"))
            assert picture.exists() == html.exists() == (reason == "http_5xx"), path
            if reason == "http_5xx":
                assert picture.read_bytes().startswith(b"\xff\xd8\xff")
                assert f"Out of order: {path}" in html.read_text()
                assert SECRET not in html.read_text()
                shown = farm("dead", "show", id_, "--output", str(out), folder=out).output
                assert f"snapshot  {picture}" in shown
                assert "in judge, status 500" in shown
        mended.set()
        replayed = farm("dead", "replay", "--reason", "http_5xx", "--output", str(out), folder=out)
        assert replayed.output.splitlines()[-1] == "2 replayed"
        assert (
            farm("dead", "replay", "--output", str(out), folder=out).output.splitlines()[-1] == "2 replayed"
        )
        again = _run(out)
    assert again.code == 0, again.output
    assert again.summary["ledger"]["dead"] == 0
    assert sorted(again.urls) == sorted({f"{url}/", *(f"{url}/{n}" for n in range(PAGES))})
