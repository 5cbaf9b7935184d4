"""Every notation of an address, every scheme and every hop of a redirect, tried by a page in a browser."""

import asyncio
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from farm.model.egress import EgressFault
from farm.model.errors import RenderError, SlotLost
from tests.browser.conftest import visit
from tests.browser.test_no_way_around import one_slot
from tests.egress.listeners import forbidden
from tests.egress.servers import Talk, answering, listening, ok, read_head
from tests.egress.test_refusal import HOSTS

HTML = b"Content-Type: text/html"
MORE_HOSTS = (
    "%31%32%37.0.0.1",
    "①②⑦.0.0.1",
    "127。0。0。1",
    "0x7f.0.0.0x1",
    "017700000001",
    "[0:0:0:0:0:ffff:127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]",
    "app.localhost",
)
TRIES = """<!DOCTYPE html><meta charset="utf-8"><title>notations</title><p>all of them</p><script>
const reached = [], tried = [];
for (const host of HOSTS) {
  const base = `http://${host}:PORT`;
  const image = new Image();
  image.src = base + "/image";
  tried.push(fetch(base + "/fetch", { mode: "no-cors" }).then(() => reached.push(host), () => {}));
  tried.push(new Promise((done) => {
    try {
      const socket = new WebSocket(`ws://${host}:PORT/socket`);
      socket.onopen = () => { reached.push(host); done(); };
      socket.onerror = done;
    } catch (error) { done(); }
  }));
}
Promise.all(tried).then(() => {
  const told = document.createElement("p");
  told.id = "told";
  told.textContent = `${tried.length} tried, ${reached.length} reached`;
  document.body.append(told);
});
</script>"""


async def test_no_notation_leads_inside(tmp_path: Path) -> None:
    """By pictures, calls and WebSockets; the one port that is allowed serves the page."""
    hosts = [*HOSTS, *MORE_HOSTS]
    async with forbidden() as inside:
        page = TRIES.replace("HOSTS", repr(hosts)).replace("PORT", str(inside.port))
        async with (
            listening(answering(ok(page.encode(), HTML))) as site,
            one_slot(tmp_path / "e", site.port) as (slot, slot_proxy, _),
        ):
            await visit(slot, f"{site.url}/")
            assert slot.tab is not None
            # A browser lets WebSockets that fail wait for each other, for longer than a visit takes.
            told = slot.tab.page.locator("#told")
            assert await told.inner_text(timeout=60_000) == f"{2 * len(hosts)} tried, 0 reached"
            refused = slot_proxy.failure(f"http://127.0.0.1:{inside.port}/")
        assert inside.came == []
    assert refused is not None
    assert refused.fault is EgressFault.REFUSED


LEAVING = {
    "view-source": 'location.href = "view-source:http://HOST/"',
    "chrome": 'location.href = "chrome://version"',
    "devtools": 'location.href = "devtools://devtools/bundled/inspector.html?ws=HOST/"',
    "file": 'location.href = "file:///etc/passwd"',
    "a link to a file": 'const a = document.createElement("a"); a.href = "file:///etc/passwd"; a.click()',
    "a window": 'window.open("http://HOST/window"); window.open("file:///etc/passwd")',
    "a form": """document.body.innerHTML += '<form action="http://HOST/form" method="post"></form>';
      document.forms[0].submit()""",
    "a redirect's third hop": 'location.href = "/hop/3"',
    "a frame's redirect": """document.body.innerHTML += '<iframe src="/hop/2"></iframe>'""",
    "a worker's import": """new Worker(URL.createObjectURL(new Blob(["importScripts('http://HOST/import')"])))""",
    "a service worker": 'navigator.serviceWorker.register("/worker.js")',
    "a preconnection": """document.head.innerHTML += '<link rel="preconnect" href="http://HOST">'""",
    "another protocol": 'location.href = "ftp://HOST/"',
}


def hop(inside: str, page: str) -> Talk:
    """Serve the page, and redirects that count down and then lead inside."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            path = (await read_head(reader)).split(b" ")[1].decode()
            if path.startswith("/hop/"):
                left = int(path.removeprefix("/hop/"))
                there = f"/hop/{left - 1}" if left > 1 else f"http://{inside}/hop"
                status = (301, 302, 307)[left % 3]
                head = f"HTTP/1.1 {status} Moved\r\nLocation: {there}\r\nContent-Length: 0\r\n\r\n"
                writer.write(head.encode())
            elif path == "/worker.js":
                work = f"self.addEventListener('install', () => fetch('http://{inside}/installed'))"
                writer.write(ok(work.encode(), b"Content-Type: text/javascript"))
            else:
                writer.write(ok(page.encode(), HTML))

    return talk


@pytest.mark.parametrize("road", LEAVING)
async def test_a_page_that_leaves_gets_nowhere(tmp_path: Path, road: str) -> None:
    """Nobody comes to the listener, and nothing of this machine is on the page."""
    async with forbidden() as inside:
        host = f"127.0.0.1:{inside.port}"
        work = LEAVING[road].replace("HOST", host)
        page = f"<!DOCTYPE html><title>leaves</title><body><p>here</p><script>{work}</script>"
        async with (
            listening(hop(host, page)) as site,
            one_slot(tmp_path / "e", site.port) as (slot, _, _),
        ):
            with suppress(RenderError, SlotLost):
                seen = await visit(slot, f"{site.url}/")
                assert seen.final_url.startswith(site.url)
                assert "root:" not in seen.text
        assert inside.came == []


@pytest.mark.skipif(sys.platform != "linux", reason="needs a second loopback address")
async def test_a_name_that_changes_its_address_leads_nowhere(tmp_path: Path) -> None:
    """The page's own host means the inside from the second answer of its name server on."""
    asked: list[str] = []

    async def lookup(name: str) -> Sequence[str]:
        asked.append(name)
        return ("127.0.0.2",) if len(asked) == 1 else ("127.0.0.1",)

    page = b"""<!DOCTYPE html><title>rebinds</title><body><script>
    fetch("/secret").then(() => "inside", () => "refused").then((how) => { document.body.append(how); });
    </script>"""
    once = ok(page, HTML, b"Connection: close")

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(once)
        await writer.drain()

    async with (
        listening(talk, "127.0.0.2") as outside,
        listening(answering(ok(b"secret")), "127.0.0.1", outside.port) as inside,
        one_slot(tmp_path / "e", outside.port, host="127.0.0.2", lookup=lookup) as (slot, slot_proxy, _),
    ):
        seen = await visit(slot, f"http://rebind.example:{outside.port}/")
        refused = slot_proxy.failure(f"http://rebind.example:{outside.port}/")
        assert inside.connections == 0
    assert seen.text == "refused"
    assert len(asked) >= 2
    assert refused is not None
    assert refused.fault is EgressFault.REFUSED
