"""The benchmark's web server: prepared responses, on one port of any number of addresses.

It runs as a separate process, so that its CPU can be measured separately:

    python -m bench.server JOB.json      prints `ready`, serves until its standard input ends

It implements just enough HTTP/1.1 for browsers: GET, keep-alive, no request bodies. `/__times` returns the times
of the first and last request (monotonic clock, in seconds), and the number of page requests.
"""

import asyncio
import json
import sys
import time
from base64 import b64decode
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

import uvloop

from bench.content import Workload

PIXEL = b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
TIMES = "/__times"
LOST = 404


@dataclass
class Times:
    """When the first and the last request came, and how many there were; pages' are counted apart."""

    first: float = 0.0
    last: float = 0.0
    pages: int = 0
    images: int = 0
    requests: int = 0

    def note(self, path: str) -> None:
        """Write down a request."""
        self.last = time.monotonic()
        if path.startswith("/shelf/"):
            self.first = self.first or self.last
            self.pages += 1
        self.images += path.startswith("/images/")
        self.requests += 1


@dataclass
class Answers:
    """All answers, ready to be sent."""

    by_path: dict[str, bytes]
    times: Times = field(default_factory=Times)

    def answer(self, path: str) -> bytes:
        """Return the answer to a path, which is noted."""
        if path == TIMES:
            return packed("application/json", json.dumps(vars(self.times)).encode())
        self.times.note(path)
        found = self.by_path.get(path)
        if found is None:
            # robots.txt and icons: everything is allowed.
            found = packed("text/plain", b"", LOST)
        return found


class Connection(asyncio.Protocol):
    """One connection: requests are answered in the order in which they come."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._rest = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Answer every request that is complete."""
        self._rest += data
        while self._transport is not None:
            head, end, rest = self._rest.partition(b"\r\n\r\n")
            if not end:
                return
            self._rest = rest
            target = head.split(b" ", 2)[1].decode("ascii", "replace")
            path = target if target.startswith("/") else urlsplit(target).path
            self._transport.write(self._answers.answer(path))

    def connection_lost(self, _exc: Exception | None) -> None:
        """Let the transport go."""
        self._transport = None


def packed(content_type: str, body: bytes, status: int = 200) -> bytes:
    """Compose an answer; everything but pages and data may be kept in the cache, as on most sites."""
    keeps = content_type in {"text/javascript", "text/css", "image/png"}
    head = (
        f"HTTP/1.1 {status} {'OK' if status < LOST else 'Not Found'}\r\nContent-Type: {content_type}\r\n"
        f"Content-Length: {len(body)}\r\nCache-Control: {'max-age=3600' if keeps else 'no-cache'}\r\n\r\n"
    )
    return head.encode() + body


async def serve(workload: Workload, react: list[bytes]) -> None:
    """Serve until the standard input ends."""
    bodies = {path: packed(*answer) for path, answer in workload.bodies(react).items()}
    answers = Answers(bodies | {f"/images/{number}.png": packed("image/png", PIXEL) for number in range(60)})
    loop = asyncio.get_running_loop()
    for origin in workload.origins:
        place = urlsplit(origin)
        await loop.create_server(lambda: Connection(answers), place.hostname, place.port or 80, backlog=512)
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.read)


def main(job: Path) -> None:
    """Read what is to be served and serve it."""
    given = json.loads(job.read_text())
    workload = Workload(given["name"], tuple(given["origins"]), given["pages"], given["heavy"])
    uvloop.run(serve(workload, [Path(path).read_bytes() for path in given["react"]]))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
