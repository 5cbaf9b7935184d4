"""What a page waits for that the platform does elsewhere: each way of the web that answers later is waited for."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from farm.browser.render import RenderParams
from fixtures.pages import ADD, ARRIVED, SLOW_MS, Answer, serving
from tests.browser.conftest import Browsing, pool_of_a_module, seen, visit

pytestmark = pytest.mark.asyncio(loop_scope="module")

# A module that imports `e.draw` and exports `main`, which calls it.
WASM = (
    b"\0asm\1\0\0\0\x01\x04\x01\x60\x00\x00\x02\x0a\x01\x01e\x04draw\x00\x00"
    b"\x03\x02\x01\x00\x07\x08\x01\x04main\x00\x01\x0a\x06\x01\x04\x00\x10\x00\x0b"
)
MODULE = "new Uint8Array([" + ",".join(str(one) for one in WASM) + "])"


BEGINNING_MS = 1800
"""Longer than a page counts as alive after its last change."""


def _later(thread: str) -> str:
    """Return a URL of a script for another thread."""
    return f"URL.createObjectURL(new Blob([`{thread}`]))"


WAYS = {
    "body reader": (
        "fetch('/slow').then(async (answer) => { const reader = answer.body.getReader();"
        f" while (!(await reader.read()).done); {ADD}; }});"
    ),
    "body iterated": (
        f"fetch('/slow').then(async (answer) => {{ for await (const piece of answer.body); {ADD}; }});"
    ),
    "body piped": (
        f"fetch('/slow').then((answer) => answer.body.pipeTo(new WritableStream())).then(() => {{ {ADD}; }});"
    ),
    "body decoded": (
        "fetch('/slow').then(async (answer) => {"
        " const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();"
        f" while (!(await reader.read()).done); {ADD}; }});"
    ),
    "bytes": f"fetch('/slow').then((answer) => answer.bytes()).then(() => {{ {ADD}; }});",
    "module streamed": (
        f"const e = {{ draw() {{ {ADD}; }} }};"
        "WebAssembly.instantiateStreaming(fetch('/module'), { e })"
        ".then((made) => made.instance.exports.main());"
    ),
    "key derived": (
        "(async () => {"
        " const key = await crypto.subtle.importKey('raw', new Uint8Array(9), 'PBKDF2', false, ['deriveBits']);"
        " const how = { name: 'PBKDF2', hash: 'SHA-256', salt: new Uint8Array(9), iterations: 900000 };"
        f" await crypto.subtle.deriveBits(how, key, 256); {ADD}; }})();"
    ),
    "task with a delay": f"scheduler.postTask(() => {{ {ADD}; }}, {{ delay: {SLOW_MS} }});",
    "shared worker": (
        "const shared = new SharedWorker("
        + _later(f"onconnect = (e) => setTimeout(() => e.ports[0].postMessage(1), {SLOW_MS})")
        + f"); shared.port.onmessage = () => {{ {ADD}; }};"
    ),
    "shared worker asked": (
        "const shared = new SharedWorker("
        + _later(
            "onconnect = (e) => { const port = e.ports[0]; port.postMessage(0);"
            f" port.onmessage = () => setTimeout(() => port.postMessage(1), {SLOW_MS}); }}"
        )
        + "); shared.port.onmessage = (m) => {"
        f" if (m.data) {{ {ADD}; }} else shared.port.postMessage(1); }};"
    ),
    "style sheet of a script": (
        "addEventListener('load', () => { const link = document.createElement('link');"
        f" link.rel = 'stylesheet'; link.href = '/sheet'; link.onload = () => {{ {ADD}; }};"
        " document.head.append(link); });"
    ),
    "letters by an interval": (
        "const text = document.body.appendChild(document.createElement('p')); let length = 0;"
        " const typing = setInterval(() => { text.textContent += 'x'; length += 1;"
        f" if (length === 8) {{ clearInterval(typing); {ADD}; }} }}, 150);"
    ),
    "letters by timers": (
        "const text = document.body.appendChild(document.createElement('p')); let length = 0;"
        " (function type() { text.textContent += 'x'; length += 1;"
        f" if (length < 15) setTimeout(type, 150); else {{ {ADD}; }} }})();"
    ),
    "worker that answers in parts": (
        "const worker = new Worker("
        + _later(
            f"onmessage = () => {{ postMessage('begun'); setTimeout(() => postMessage('done'), {SLOW_MS}); }}"
        )
        + "); worker.postMessage(1);"
        f" worker.onmessage = (m) => {{ if (m.data === 'done') {{ {ADD}; }} }};"
    ),
    "worker that is slow to begin": (
        "const worker = new Worker("
        + _later(f"onmessage = () => setTimeout(() => postMessage('done'), {BEGINNING_MS})")
        + f"); worker.postMessage(1); worker.onmessage = () => {{ {ADD}; }};"
    ),
    "XMLHttpRequest, synchronous": (
        "const asked = new XMLHttpRequest(); asked.open('GET', '/slow', false); asked.send();" + ADD + ";"
    ),
    "XMLHttpRequest, opened again": (
        "const asked = new XMLHttpRequest(); asked.open('GET', '/slow'); asked.send();"
        f"asked.open('GET', '/slow?again'); asked.onload = () => {{ {ADD}; }}; asked.send();"
    ),
}
# What is mostly there in a moment: that it is counted meanwhile is asked of the hook itself. Each is a promise.
_DB = (
    "const db = await new Promise((done) => { const asked = indexedDB.open('shop', 1);"
    " asked.onupgradeneeded = () => asked.result.createObjectStore('rows');"
    " asked.onsuccess = () => done(asked.result); });"
)
CALLS = {
    "IndexedDB opened": ("", "new Promise((done) => { indexedDB.open('a').onsuccess = done; })"),
    "IndexedDB deleted": ("", "new Promise((done) => { indexedDB.deleteDatabase('b').onsuccess = done; })"),
    "IndexedDB listed": ("", "indexedDB.databases()"),
    "IndexedDB asked": (
        _DB,
        (
            "new Promise((done) => { const t = db.transaction('rows', 'readwrite');"
            " t.objectStore('rows').put(1, 1); t.oncomplete = done; })"
        ),
    ),
    "cache opened": ("", "caches.open('shop')"),
    "cache asked": ("const cache = await caches.open('shop');", "cache.match('/row')"),
    "cache filled": ("const cache = await caches.open('shop');", "cache.put('/row', new Response('x'))"),
    "module compiled": (f"const bytes = {MODULE};", "WebAssembly.compile(bytes)"),
    "module made": (f"const bytes = {MODULE};", "WebAssembly.instantiate(bytes, { e: { draw() {} } })"),
    "digest": ("", "crypto.subtle.digest('SHA-256', new Uint8Array(9))"),
    "task": ("", "scheduler.postTask(() => {})"),
    "task in the background": ("", "scheduler.postTask(() => {}, { priority: 'background' })"),
    "way made for others": ("", "scheduler.yield()"),
    "broadcast": (
        "const [one, other] = [new BroadcastChannel('shop'), new BroadcastChannel('shop')];",
        "new Promise((done) => { other.onmessage = () => setTimeout(done, 150); one.postMessage(0); })",
    ),
    "port of a worker": (
        "const worker = new Worker("
        + _later(
            "postMessage(1); onmessage = (m) => { const port = m.data;"
            " if (port.postMessage) port.onmessage = () => port.postMessage(1); }"
        )
        + "); const { port1, port2 } = new MessageChannel(); worker.postMessage(port2, [port2]);",
        "new Promise((done) => { port1.onmessage = done; port1.postMessage(1); })",
    ),
    "blob": ("", "new Blob(['x']).text()"),
    "image bitmap": ("", "createImageBitmap(new ImageData(4, 4))"),
    "origin's files": ("", "navigator.storage.getDirectory()"),
    "file of the origin": (
        "const home = await navigator.storage.getDirectory();",
        "home.getFileHandle('a', { create: true })",
    ),
    "storage": ("", "navigator.storage.estimate()"),
    "permissions": ("", "navigator.permissions.query({ name: 'geolocation' })"),
    "lock": ("", "navigator.locks.request('shop', () => 1)"),
    "user agent": ("", "navigator.userAgentData.getHighEntropyValues(['model'])"),
    "media devices": ("", "navigator.mediaDevices.enumerateDevices()"),
    "media capabilities": (
        "",
        "navigator.mediaCapabilities.decodingInfo({ type: 'file', audio: { contentType: 'audio/mpeg' } })",
    ),
    "cookie store": ("", "cookieStore.set('row', '1')"),
    "fonts": ("", "document.fonts.load('12px Shop')"),
}
COUNT = """
async (nonce) => {
  const count = () => {
    let found = '';
    const reply = (event) => (found = event.detail);
    addEventListener(nonce, reply);
    dispatchEvent(new CustomEvent(nonce + '?'));
    removeEventListener(nonce, reply);
    return Number(found.split(' ')[0]);
  };
  const idle = async () => {
    const since = performance.now();
    while (count() > 0 && performance.now() - since < 9000) await new Promise((done) => {
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = done;
      port2.postMessage(0);
    });
    return count();
  };
  SETUP
  await idle();
  dispatchEvent(new CustomEvent(nonce + '!'));
  const before = count();
  const coming = ASK;
  const during = count();
  await coming.catch(() => null);
  return [before, during, await idle()];
}
"""
PAGES: dict[str, str | Answer] = {
    **{
        name.replace(" ", "-").replace(",", ""): f"<script>{script}</script>" for name, script in WAYS.items()
    },
    "slow-script": "<script src=/late-script></script>",
    "slow-deferred-script": "<script defer src=/late-script></script>",
    "slow-module-script": "<script type=module src=/late-script></script>",
    "slow-inserted-script": (
        "<script>addEventListener('load', () => document.head.append("
        "Object.assign(document.createElement('script'), { src: '/late-script' })));</script>"
    ),
    "slow-imported-module": "<script>addEventListener('load', () => import('/late-script'));</script>",
    "answer": Answer("words", content_type="text/plain", delay_ms=SLOW_MS),
    "late-script": Answer(
        raw=f"fetch('/answer').then((a) => a.text()).then(() => {{ {ADD}; }});".encode(),
        content_type="text/javascript",
        delay_ms=BEGINNING_MS,
    ),
    "module": Answer(raw=WASM, content_type="application/wasm", delay_ms=SLOW_MS, pieces=3),
    "sheet": Answer("p {}", content_type="text/css", delay_ms=SLOW_MS),
}
PARTS = {"module", "sheet", "answer", "late-script"}
# Work that was given up, or that nobody answers: nothing is waited for that will not come.
IDLE = {
    "given-up": (
        "<script>const x = new XMLHttpRequest(); x.open('GET', '/slow'); x.send();"
        f" x.open('GET', '/'); {ADD}</script>"
    ),
    "lock-held": f"<script>navigator.locks.request('a', () => new Promise(() => {{}}));{ADD}</script>",
    "silent-stream": (f"<script>new ReadableStream({{ start() {{}} }}).getReader().read();{ADD}</script>"),
    "silent-channel": f"<script>new BroadcastChannel('shop').postMessage(1);{ADD}</script>",
    "silent-shared-worker": f"<script>new SharedWorker({_later('')});{ADD}</script>",
}
CAP_S = 15.0


browser = pool_of_a_module(RenderParams(page_timeout_s=30.0, settle_timeout_s=CAP_S))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site() -> AsyncIterator[str]:
    """Serve the pages; the origin."""
    async with serving({**PAGES, **IDLE}) as origin:
        yield origin


@pytest.mark.parametrize("way", [name for name in PAGES if name not in PARTS])
async def test_what_the_platform_does_elsewhere_is_waited_for(browser: Browsing, site: str, way: str) -> None:
    """Each takes longer than the page would have to be quiet."""
    page = await seen(browser, f"{site}/{way}")
    assert ARRIVED in page.text
    assert page.settled


@pytest.mark.parametrize("name", CALLS)
async def test_what_is_asked_of_the_platform_counts_until_it_is_there(
    browser: Browsing, site: str, name: str
) -> None:
    """By the hook's own count, which is back where it was afterwards."""
    slot = await browser.slot(name)
    await visit(slot, f"{site}/sheet")
    assert slot.tab is not None
    setup, ask = CALLS[name]
    tab = slot.tab
    script = COUNT.replace("SETUP", setup).replace("ASK", ask)
    async with asyncio.timeout(20.0):
        before, during, after = await tab.page.evaluate(script, tab.nonce)
    slot.retire()
    assert (before, during > 0, after) == (0, True, 0)


@pytest.mark.parametrize("way", IDLE)
async def test_what_will_not_be_answered_is_not_waited_for(browser: Browsing, site: str, way: str) -> None:
    """It counts for a moment at the most, and the page settles."""
    page = await seen(browser, f"{site}/{way}")
    assert ARRIVED in page.text
    assert page.settled
