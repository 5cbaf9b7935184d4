"""A simulated farm behind a real server, what was asked of it, and who asks."""

import http.client
import json
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from farm.model.errors import FrontierUnavailable, UsageError
from farm.monitor.metrics_server import MetricsServer
from tests.clock import ManualClock

from .simulated import simulated

TOKEN = "a-token-of-some-length"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
LETTER = {
    "id": "0123456789abcdef",
    "reason": "http_5xx",
    "at": "2026-03-01T12:00:00.123Z",
    "detail": "status 500\u202e\n" + "x" * 10_000,
    "attempts": 4,
    "task": {"url": "http://a.example/" + "y" * 10_000, "site": "a.example", "meta": {"k": 1}},
}
GARBLED = {"id": "\\xff", "reason": "corrupt", "at": None, "detail": "", "attempts": 0, "task": None}


class Told:
    """What was asked of the crawl."""

    def __init__(self) -> None:
        self.states: list[str] = []
        self.is_away = False
        self.letters_asked: list[tuple[Mapping[str, str], int, int]] = []

    async def letters(self, which: Mapping[str, str], start: int, size: int) -> Mapping[str, Any]:
        """Have two."""
        self.letters_asked.append((which, start, size))
        if self.is_away:
            raise FrontierUnavailable("Redis is away")
        if which.get("reason") == "bored":
            raise UsageError("There is no reason 'bored'")
        return {"letters": [LETTER, GARBLED], "total": 1_000_000}

    async def set_state(self, state: str) -> None:
        """Keep it."""
        if self.is_away:
            raise FrontierUnavailable("Redis is away")
        self.states.append(state)


@contextmanager
def serving(told: Told, folder: Path) -> Iterator[MetricsServer]:
    """Serve a simulated farm with this output folder."""
    with MetricsServer(
        simulated(8, 30, sites=2).snapshot,
        ManualClock(130.0),
        "1",
        "127.0.0.1",
        0,
        "shops",
        TOKEN,
        told.set_state,
        letters=told.letters,
        folder=folder,
    ) as running:
        yield running


def ask(
    server: MetricsServer,
    method: str,
    path: str,
    body: object = None,
    headers: Mapping[str, str] | None = None,
) -> tuple[int, dict[str, str], bytes]:
    """Return the status, the headers and the body of an answer; of a stream the first line."""
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)) as connection:
        sent = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        connection.request(method, path, sent, dict(headers or {}))
        answer = connection.getresponse()
        is_stream = answer.headers.get_content_type() == "text/event-stream"
        text = answer.readline() if is_stream else answer.read()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, text
