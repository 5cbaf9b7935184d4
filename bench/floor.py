"""The floor: the cost of the browser alone. CDP over a pipe, pages reused, and nothing else.

    python -m bench.floor JOB.json

No Playwright, no queue, no isolation, no deadlines, no retries: a farm cannot be as fast, and the difference
is the cost of its features. It waits for the same selector as the peers that need one.
"""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO

import orjson
import uvloop

FLAGS = (
    "--headless",
    "--remote-debugging-pipe",
    "--no-first-run",
    "--disable-gpu",
    "--mute-audio",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-renderer-backgrounding",
    "--disable-background-timer-throttling",
    "--disable-backgrounding-occluded-windows",
    "--disable-dev-shm-usage",
    "--disable-features=PaintHolding,Translate,HttpsUpgrades,OptimizationHints",
)
READ = """new Promise((resolve) => {
  const done = () => document.querySelector(SELECTOR) && resolve({
    html: document.documentElement.outerHTML, links: Array.from(document.links, (link) => link.href) });
  if (!done()) new MutationObserver(done).observe(document, { childList: true, subtree: true });
})"""
READ_AT_MOST = 2**26


class Browser:
    """A headless shell and the pipe to it."""

    def __init__(self, job: dict[str, Any], profile: str) -> None:
        down, self._into = os.pipe()
        self._out_of, up = os.pipe()

        def hand_over() -> None:
            # The browser reads file 3 and writes file 4; both ends may have one of these numbers already.
            kept = os.dup2(os.dup(down), 10), os.dup2(os.dup(up), 11)
            os.dup2(kept[0], 3)
            os.dup2(kept[1], 4)

        flags = [*FLAGS, f"--user-data-dir={profile}", *([] if job["sandbox"] else ["--no-sandbox"])]
        self.process = subprocess.Popen(
            [job["browser"], *flags, "about:blank"],
            preexec_fn=hand_over,  # noqa: PLW1509 - no other thread runs yet
            close_fds=False,
        )
        os.close(down)
        os.close(up)
        self._sink: BinaryIO = os.fdopen(self._into, "wb", buffering=0)
        self._numbers = count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._committed: dict[str, asyncio.Future[None]] = {}
        self._buffer = bytearray()

    async def listen(self) -> None:
        """Start to read the browser's messages."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=READ_AT_MOST)
        await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(self._out_of, "rb", buffering=0)
        )
        self._reading = asyncio.create_task(self._read(reader))

    async def _read(self, reader: asyncio.StreamReader) -> None:
        while data := await reader.read(2**20):
            self._buffer += data
            *messages, rest = self._buffer.split(b"\0")
            self._buffer = bytearray(rest)
            for message in messages:
                self._take(orjson.loads(message))

    def _take(self, said: dict[str, Any]) -> None:
        if "id" in said:
            answer = self._answers.pop(said["id"])
            if not answer.done():
                answer.set_result(said)

    async def ask(self, method: str, session: str | None = None, **params: Any) -> dict[str, Any]:
        """Call CDP and return the result; raises RuntimeError if the browser reports an error."""
        number = next(self._numbers)
        self._answers[number] = answer = asyncio.get_running_loop().create_future()
        call: dict[str, Any] = {"id": number, "method": method, "params": params}
        if session is not None:
            call["sessionId"] = session
        self._sink.write(orjson.dumps(call) + b"\0")
        said = await answer
        if "error" in said:
            raise RuntimeError(f"{method}: {said['error']['message']}")
        result: dict[str, Any] = said["result"]
        return result


async def work(browser: Browser, urls: asyncio.Queue[str], out: BinaryIO, job: dict[str, Any]) -> None:
    """Visit URLs with one page until there are none."""
    context = await browser.ask("Target.createBrowserContext")
    target = await browser.ask(
        "Target.createTarget", url="about:blank", browserContextId=context["browserContextId"]
    )
    attached = await browser.ask("Target.attachToTarget", targetId=target["targetId"], flatten=True)
    session = attached["sessionId"]
    await browser.ask("Network.enable", session, maxTotalBufferSize=0, maxResourceBufferSize=0)
    await browser.ask("Network.setBlockedURLs", session, urls=job["blocked"])
    read = READ.replace("SELECTOR", json.dumps(job["selector"]))
    while not urls.empty():
        url = urls.get_nowait()
        begun = time.perf_counter()
        # It returns when the new document is committed, so the next evaluation runs there.
        await browser.ask("Page.navigate", session, url=url)
        seen = await browser.ask(
            "Runtime.evaluate", session, expression=read, awaitPromise=True, returnByValue=True
        )
        ms = (time.perf_counter() - begun) * 1000
        out.write(orjson.dumps({"url": url, **seen["result"]["value"], "ms": ms}) + b"\n")


async def main(job: dict[str, Any]) -> None:
    """Visit all URLs of the job."""
    with tempfile.TemporaryDirectory(prefix="floor-", ignore_cleanup_errors=True) as profile:
        browser = Browser(job, profile)
        await browser.listen()
        urls: asyncio.Queue[str] = asyncio.Queue()
        for url in job["urls"]:
            urls.put_nowait(url)
        with Path(job["out"]).open("wb") as out:  # noqa: ASYNC230 - small writes to a buffered file
            await asyncio.gather(*(work(browser, urls, out, job) for _ in range(job["workers"])))
        browser.process.terminate()
        await asyncio.to_thread(browser.process.wait)


if __name__ == "__main__":
    uvloop.run(main(json.loads(Path(sys.argv[1]).read_text())))
