"""A page that tries every road to a place where it must not go: nothing arrives, by TCP or UDP.

The page itself comes from the one port that is allowed. The listeners stand on the same machine, where a
connection that went around the gateway would arrive at once.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from farm.browser.chromium import find_browser
from farm.browser.context import ContextSlot, SlotParams
from farm.browser.engine import EngineParams
from farm.browser.pool import Pool, PoolParams
from farm.browser.render import RenderParams
from farm.browser.tab import TabParams
from farm.egress import AllowedNetwork, Gateway, GatewayParams, Guard, SlotProxy, Upstream
from farm.egress.hosts import Lookup, system_lookup
from farm.model.clock import SystemClock
from farm.model.errors import RenderError, SlotLost
from farm.policy.recycle import RecycleParams
from tests.browser.conftest import visit
from tests.egress.listeners import Forbidden, forbidden
from tests.egress.servers import Talk, listening, read_head

ROADS = """<!DOCTYPE html><title>roads</title>
<link rel="preconnect" href="http://HOST"><link rel="dns-prefetch" href="//HOST">
<link rel="prefetch" href="http://HOST/prefetch"><link rel="preload" as="script" href="http://HOST/preload">
<link rel="stylesheet" href="http://HOST/style"><link rel="icon" href="http://HOST/icon">
<link rel="modulepreload" href="http://HOST/module">
<script src="http://HOST/script"></script><script src="https://HOST/script"></script>
<style>@import "http://HOST/import"; body { background: url(http://HOST/background) }
@font-face { font-family: x; src: url(http://HOST/font) } p { font-family: x }</style>
<p>text</p><img src="http://HOST/img"><img src="http://LOCAL/img"><video src="http://HOST/video"></video>
<audio src="http://HOST/audio"></audio><object data="http://HOST/object"></object><embed src="http://HOST/embed">
<iframe src="http://HOST/frame"></iframe><iframe src="http://LOCAL/frame"></iframe>
<iframe src="data:text/html,<img src='http://HOST/nested'>"></iframe>
<iframe src="file:///etc/passwd"></iframe><iframe src="view-source:http://HOST/source"></iframe>
<iframe src="chrome://net-internals"></iframe>
<form id="form" action="http://HOST/form" method="post" target="inner"><input name="a" value="b"></form>
<iframe name="inner"></iframe><a id="ping" href="#x" ping="http://HOST/ping">x</a>
<script>
const tell = [];
const road = (name, walk) => {
  try {
    Promise.resolve(walk()).catch(() => {});
    tell.push(name);
  } catch (error) {
    tell.push(name + " " + error.name);
  }
};
const blob = (text) => URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
const mapped = "http://[::ffff:127.0.0.1]:PORT";
for (const base of ["http://HOST", "https://HOST", "http://LOCAL", "http://DECIMAL", mapped]) {
  road("fetch", () => fetch(base + "/fetch", { mode: "no-cors" }));
}
const late = { mode: "no-cors", keepalive: true, method: "POST", body: "x" };
road("keepalive", () => fetch("http://HOST/keepalive", late));
road("xhr", () => { const asked = new XMLHttpRequest(); asked.open("GET", "http://HOST/xhr"); asked.send(); });
road("beacon", () => navigator.sendBeacon("http://HOST/beacon", "x"));
road("socket", () => { new WebSocket("ws://HOST/socket"); new WebSocket("wss://HOST/socket"); });
road("events", () => { new EventSource("http://HOST/events"); });
road("transport", () => new WebTransport("https://HOST/transport").ready);
road("worker", () => {
  new Worker(blob("fetch('http://HOST/worker', { mode: 'no-cors' }); new WebSocket('ws://HOST/worker')"));
});
road("shared", () => { new SharedWorker(blob("fetch('http://HOST/shared', { mode: 'no-cors' })")); });
road("service", () => navigator.serviceWorker.register("/worker.js"));
road("rtc", async () => {
  const servers = ["stun:HOST", "turn:HOST?transport=udp", "turn:HOST?transport=tcp"];
  const peer = new RTCPeerConnection({
    iceServers: servers.map((urls) => ({ urls, username: "u", credential: "c" })),
  });
  peer.createDataChannel("x");
  await peer.setLocalDescription(await peer.createOffer());
  const answer = new RTCPeerConnection();
  await answer.setRemoteDescription(peer.localDescription);
  await answer.setLocalDescription(await answer.createAnswer());
  await peer.setRemoteDescription(answer.localDescription);
  await peer.addIceCandidate({ candidate: "candidate:1 1 udp 2122260223 127.0.0.1 PORT typ host", sdpMid: "0" });
  await peer.addIceCandidate({
    candidate: "candidate:2 1 tcp 1518280447 127.0.0.1 PORT typ host tcptype passive", sdpMid: "0",
  });
});
road("form", () => document.getElementById("form").submit());
road("ping", () => document.getElementById("ping").click());
road("open", () => { window.open("http://HOST/window"); });
road("redirect", () => fetch("/hop", { mode: "no-cors" }));
road("prerender", () => {
  const rules = document.createElement("script");
  rules.type = "speculationrules";
  rules.textContent = JSON.stringify({ prerender: [{ source: "list", urls: ["http://HOST/prerender"] }] });
  document.head.append(rules);
});
document.title = tell.join(" ");
</script>"""
LEAVING = (
    "<!DOCTYPE html><title>leaving</title><meta http-equiv='refresh' content='0; url=http://HOST/refresh'>"
)


def roads(to: Forbidden, page: str = ROADS) -> Talk:
    """Serve the page towards a listener, with an offer to go on by QUIC; `/hop` leads there by a redirect."""
    text = page.replace("HOST", f"127.0.0.1:{to.port}").replace("LOCAL", f"localhost:{to.port}")
    text = text.replace("DECIMAL", f"2130706433:{to.port}").replace("PORT", str(to.port))

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            path = (await read_head(reader)).split(b" ")[1]
            if path == b"/hop":
                there = (
                    f"HTTP/1.1 302 F\r\nLocation: http://127.0.0.1:{to.port}/hop\r\nContent-Length: 0\r\n\r\n"
                )
                writer.write(there.encode())
                continue
            kind = b"text/javascript" if path == b"/worker.js" else b"text/html"
            body = f"fetch('http://127.0.0.1:{to.port}/sw')" if path == b"/worker.js" else text
            head = b"HTTP/1.1 200 OK\r\nContent-Type: " + kind
            head += b'\r\nAlt-Svc: h3="127.0.0.1:%d"; ma=3600' % to.port
            writer.write(head + b"\r\nContent-Length: %d\r\n\r\n" % len(body.encode()) + body.encode())

    return talk


@asynccontextmanager
async def one_slot(
    folder: Path,
    *allowed: int,
    upstream: Upstream | None = None,
    host: str = "127.0.0.1",
    lookup: Lookup = system_lookup,
) -> AsyncIterator[tuple[ContextSlot, SlotProxy, Gateway]]:
    """Open a slot whose pages may reach these ports of this machine and nothing else of it."""
    guard = Guard([AllowedNetwork.parse(f"{host}/32:{port}") for port in allowed])
    gateway = Gateway(guard, GatewayParams(dns_ttl_s=0), lookup=lookup)
    await gateway.start()
    slot_proxy = await gateway.open("01", upstream)
    pool = Pool(
        PoolParams(1),
        EngineParams(find_browser(), sandbox=os.geteuid() != 0),
        SlotParams(TabParams(), RenderParams(page_timeout_s=30, settle_timeout_s=4), RecycleParams()),
        folder,
        lambda _: None,
        lambda _: None,
        lambda _: None,
        SystemClock(),
    )
    try:
        yield pool.slot("01", slot_proxy.proxy_url), slot_proxy, gateway
    finally:
        await pool.close()
        await gateway.close()


async def test_no_road_leads_where_a_page_must_not_go(tmp_path: Path) -> None:
    """The page is shown, has tried them all, and nobody came."""
    async with forbidden() as inside, listening(roads(inside)) as site:
        async with one_slot(tmp_path / "e", site.port) as (slot, slot_proxy, _):
            page = await visit(slot, f"{site.url}/")
            assert page.status == 200
            assert {"fetch", "socket", "worker", "rtc", "form", "open", "redirect"} <= set(page.title.split())
            # A second visit gives the offer of QUIC and whatever was late their chance.
            await visit(slot, f"{site.url}/again")
            refused = slot_proxy.failure(f"http://127.0.0.1:{inside.port}/")
        assert inside.came == []
    assert refused is not None, "the roads that lead by the gateway were walked"


async def test_a_page_that_sends_its_visitor_inside_is_refused(tmp_path: Path) -> None:
    """By meta refresh."""
    async with forbidden() as inside, listening(roads(inside, LEAVING)) as site:
        async with one_slot(tmp_path / "e", site.port) as (slot, slot_proxy, _):
            with suppress(RenderError, SlotLost):
                await visit(slot, f"{site.url}/")
            assert slot_proxy.failure(f"http://127.0.0.1:{inside.port}/") is not None
        assert inside.came == []


@pytest.mark.parametrize("gone", ["gateway", "upstream"])
async def test_without_the_gateway_or_its_proxy_nothing_goes_direct(tmp_path: Path, gone: str) -> None:
    """Neither what the page does next nor the next visit."""
    async with forbidden() as site, forbidden() as proxy:
        upstream = Upstream.parse(f"http://127.0.0.1:{proxy.port}") if gone == "upstream" else None
        async with one_slot(tmp_path / "e", site.port, upstream=upstream) as (slot, slot_proxy, gateway):
            if gone == "gateway":
                await gateway.close_slot(slot_proxy)
            for _ in range(2):
                with pytest.raises((RenderError, SlotLost)):
                    await visit(slot, f"http://127.0.0.1:{site.port}/")
        assert site.came == []
