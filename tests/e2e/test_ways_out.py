"""Crawls by proxies of every kind, in every bad state, and to sites that speak more than plain HTTP/1.1."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import h2.config
import h2.connection
import h2.events
import pytest
from aiohttp import WSMsgType, web

from fixtures.authority import Authority
from fixtures.pages import served_by
from fixtures.shop import serve_shop
from tests.e2e.farm_process import Finished, crawl
from tests.e2e.test_shop import assert_complete
from tests.egress.proxies import Log, http_proxy, pump, socks5_proxy
from tests.egress.servers import Talk, listening, read_head, silent

LOGIN = "somebody:hunter2"
CREDENTIALS = f"{LOGIN}@"


async def crawled(out: Path, proxies: list[str], *urls: str, **settings: str) -> Finished:
    """Crawl by proxies, in the order of the list, while this loop serves them."""
    if proxies:
        path = out.parent / "proxies.txt"
        path.write_text("\n".join(proxies))
        settings["proxies"] = str(path)
    return await asyncio.to_thread(lambda: crawl(out, *urls, **settings).finish(150))


@pytest.mark.parametrize("tls", [False, True])
async def test_a_whole_crawl_goes_by_socks5_with_credentials(out: Path, tls: bool) -> None:
    """Pages and robots.txt; the proxy is asked for the site and for nothing else."""
    log = Log()
    async with serve_shop(tls=tls) as shop, listening(socks5_proxy(log, LOGIN)) as proxy:
        trusted = {"ca_file": str(shop.ca_file)} if tls else {}
        line = f"socks5://{CREDENTIALS}127.0.0.1:{proxy.port}"
        finished = await crawled(out, [line], shop.url, contexts="3", **trusted)
        assert_complete(finished, shop.oracle)
        assert set(log.asked) == {f"127.0.0.1:{shop.port}"}
    assert {record["proxy"] for record in finished.records} == {f"socks5://127.0.0.1:{proxy.port}"}


async def test_a_socks5_proxy_that_refuses_the_credentials_is_down(out: Path) -> None:
    """Nothing goes direct, and nobody reads the password."""
    async with serve_shop() as shop, listening(socks5_proxy(Log(), LOGIN)) as proxy:
        line = f"socks5://{LOGIN}-wrong@127.0.0.1:{proxy.port}"
        finished = await crawled(out, [line], shop.url, scope="page", proxy_patience="1s")
        assert len(shop.requests) == 0
    assert finished.code == 7
    assert "hunter2" not in finished.output + (out / "farm.log").read_text()


async def refusing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Want credentials, whatever is shown."""
    await read_head(reader)
    writer.write(b'HTTP/1.1 407 No\r\nProxy-Authenticate: Basic realm="x"\r\nContent-Length: 0\r\n\r\n')
    await reader.read()


async def dying(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass on the head of an answer and the beginning of its body, then break off."""
    head = await read_head(reader)
    host, _, port = head.split(b" ")[1].decode().rpartition(":")
    far_reader, far_writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(b"HTTP/1.1 200 Fine\r\n\r\n")
        far_writer.write(await read_head(reader))
        writer.write(await far_reader.readuntil(b"\r\n\r\n") + await far_reader.read(50))
        await writer.drain()
    finally:
        far_writer.transport.abort()


ILL = {"answers 407": refusing, "dies within a body": dying, "hangs": silent}


@pytest.mark.slow
@pytest.mark.parametrize("ill", ILL)
async def test_a_page_that_an_ill_proxy_spoils_is_done_by_another(out: Path, ill: str) -> None:
    """At its first attempt: what the proxy does is not the site's fault, and not the page's."""
    async with serve_shop() as shop, listening(ILL[ill]) as bad, listening(http_proxy(Log())) as good:
        lines = [f"http://{CREDENTIALS}127.0.0.1:{bad.port}", f"http://127.0.0.1:{good.port}"]
        finished = await crawled(
            out, lines, shop.url, scope="page", contexts="1", robots="ignore", log_level="debug"
        )
    assert finished.code == 0, finished.output
    assert bad.connections > 0
    (record,) = finished.records
    assert (record["attempt"], record["proxy"]) == (1, f"http://127.0.0.1:{good.port}")
    assert (record["status"], record["settled"], record["blocked_by"]) == (200, True, None)
    assert finished.summary["dead"] == {}


async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Make tunnels, and pass on what comes out of them in pieces, with a pause before each."""
    head = await read_head(reader)
    host, _, port = head.split(b" ")[1].decode().rpartition(":")
    far_reader, far_writer = await asyncio.open_connection(host, int(port))
    paused = asyncio.StreamReader()

    async def hold_back() -> None:
        never = asyncio.get_running_loop().create_future()
        while data := await far_reader.read(2000):
            await asyncio.wait({never}, timeout=0.02)
            paused.feed_data(data)
        paused.feed_eof()

    writer.write(b"HTTP/1.1 200 Fine\r\n\r\n")
    holding = asyncio.create_task(hold_back())
    try:
        await pump(reader, writer, paused, far_writer)
    finally:
        holding.cancel()
        await asyncio.gather(holding, return_exceptions=True)


async def test_pages_by_a_slow_proxy_are_whole(out: Path) -> None:
    """Scripts and calls that come late are waited for."""
    async with serve_shop() as shop, listening(slow) as proxy:
        finished = await crawled(
            out, [f"http://127.0.0.1:{proxy.port}"], shop.url, limit="4", contexts="1", robots="ignore"
        )
        assert finished.code == 5, finished.output
        for record in finished.records:
            assert record["settled"] is True
            assert all(phrase in record["text"] for phrase in shop.oracle.pages[record["url"]].text)
    assert len(finished.records) == 4


# -- more than HTTP/1.1

SAYS_HOW = b"""<!DOCTYPE html><title>two</title><p id="how"></p><script>
const [visit] = performance.getEntriesByType("navigation");
document.getElementById("how").textContent = "came by " + visit.nextHopProtocol;
</script>"""
CHATS = """<!DOCTYPE html><title>chat</title><p></p><script>
const socket = new WebSocket(`wss://${location.host}/socket`);
socket.onopen = () => socket.send("hello");
socket.onmessage = (message) => {
  const said = document.createElement("p");
  said.id = "said";
  said.textContent = "said " + message.data;
  document.body.append(said);
};
</script>"""


async def by_h2(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer every request by HTTP/2."""
    connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
    connection.initiate_connection()
    writer.write(connection.data_to_send())
    while data := await reader.read(65536):
        for event in connection.receive_data(data):
            if isinstance(event, h2.events.RequestReceived) and event.stream_id is not None:
                head = [(":status", "200"), ("content-type", "text/html")]
                connection.send_headers(event.stream_id, head)
                connection.send_data(event.stream_id, SAYS_HOW, end_stream=True)
        writer.write(connection.data_to_send())


def trusted(folder: Path) -> tuple[ssl.SSLContext, str]:
    """Return a server's side of TLS, and the file with who vouches for it."""
    authority = Authority()
    (folder / "ca.pem").write_bytes(authority.pem)
    return authority.issue().server_context(folder), str(folder / "ca.pem")


@asynccontextmanager
async def chatting(tls: ssl.SSLContext) -> AsyncIterator[int]:
    """Serve a page with a WebSocket that sends back what it hears."""

    async def respond(request: web.Request) -> web.StreamResponse:
        if request.path != "/socket":
            return web.Response(text=CHATS, content_type="text/html")
        answer = web.WebSocketResponse()
        await answer.prepare(request)
        async for message in answer:
            if message.type is WSMsgType.TEXT:
                await answer.send_str(message.data.upper())
        return answer

    async with served_by(respond, tls=tls) as origin:
        yield int(origin.rpartition(":")[2])


def way(name: str, log: Log) -> Talk:
    """Return a proxy by its scheme."""
    return socks5_proxy(log) if name == "socks5" else http_proxy(log)


@pytest.mark.parametrize("scheme", ["", "http", "socks5"])
async def test_http_2_passes_the_gateway(out: Path, tmp_path: Path, scheme: str) -> None:
    """By CONNECT, straight and by proxies: the browser agrees on it with the site, end to end."""
    tls, ca_file = trusted(tmp_path)
    tls.set_alpn_protocols(["h2"])
    async with listening(by_h2, tls=tls) as site, listening(way(scheme, Log())) as proxy:
        lines = [f"{scheme}://127.0.0.1:{proxy.port}"] if scheme else []
        url = f"https://127.0.0.1:{site.port}/"
        finished = await crawled(out, lines, url, scope="page", ca_file=ca_file, robots="ignore")
    assert finished.code == 0, finished.output
    assert [record["text"] for record in finished.records] == ["came by h2"]


async def test_plain_http_speaks_http_2(out: Path, tmp_path: Path) -> None:
    """Without a browser, to a site that speaks nothing else, through a proxy."""
    tls, ca_file = trusted(tmp_path)
    tls.set_alpn_protocols(["h2"])
    async with listening(by_h2, tls=tls) as site, listening(http_proxy(Log())) as proxy:
        lines, url = [f"http://127.0.0.1:{proxy.port}"], f"https://127.0.0.1:{site.port}/"
        finished = await crawled(
            out, lines, url, scope="page", ca_file=ca_file, robots="ignore", render="fetch"
        )
    assert finished.code == 0, finished.output
    assert [(record["title"], record["rendered_by"]) for record in finished.records] == [("two", "fetch")]


@pytest.mark.parametrize("scheme", ["", "http", "socks5"])
async def test_a_websocket_over_tls_passes_the_gateway(out: Path, tmp_path: Path, scheme: str) -> None:
    """What the site said by it stands on the page."""
    tls, ca_file = trusted(tmp_path)
    async with chatting(tls) as port, listening(way(scheme, Log())) as proxy:
        lines = [f"{scheme}://127.0.0.1:{proxy.port}"] if scheme else []
        finished = await crawled(
            out,
            lines,
            f"https://127.0.0.1:{port}/",
            scope="page",
            ca_file=ca_file,
            robots="ignore",
            wait="css:#said",
        )
    assert finished.code == 0, finished.output
    assert [record["text"].strip() for record in finished.records] == ["said HELLO"]
