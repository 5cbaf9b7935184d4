"""A renderer without a browser: a real gateway, a real server, and real parser processes."""

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from farm.browser.metadata import metadata_of
from farm.egress import AllowedNetwork, Gateway, Guard, SlotProxy
from farm.egress.document_client import DocumentClient, TlsTrust
from farm.extract.page_reader import DocumentParams
from farm.extract.parser_pool import PageReader, ParserParams, ParserPool
from farm.fetch.renderer import FetchRenderer, FetchRenderParams
from farm.fetch.requests import RequestParams
from farm.model.clock import SystemClock
from farm.model.event import Event, SlotPhases
from farm.model.page import RenderedPage
from farm.model.task import Lease, UrlTask
from farm.model.url import site_of
from farm.scope.rules import registrable_domain
from fixtures.authority import Authority

REQUESTS = RequestParams(lambda: "Mozilla/5.0 (test)", registrable_domain)
PARAMS = FetchRenderParams(REQUESTS, metadata_of, asdict(DocumentParams()), deadline_s=20.0)
OF_REQUESTS = frozenset({"cap_bytes", "locale", "headers_for", "cookies_for"})


@dataclass
class Fetching:
    """A renderer with its port of the gateway; it has told the documents' `heads`, and who was `answering`."""

    renderer: FetchRenderer
    slot_proxy: SlotProxy
    heads: list[tuple[int, str]] = field(default_factory=list)
    answering: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    async def visit(self, url: str) -> RenderedPage:
        """Visit as a worker does: a document waits for its turn, which comes at once."""

        async def ask(host: str) -> bool:
            self.asked.append(host)
            return True

        async def answered(answering: str, status: int, headers: Any) -> None:
            self.heads.append((status, headers.get("content-type", "")))
            self.answering.append(answering)

        self.slot_proxy.begin(url, ask)
        return await self.renderer.render(Lease(UrlTask(url, site_of(url), "0" * 16), "01", 1), answered)


Fetch = Callable[..., Awaitable[Fetching]]


@dataclass(frozen=True)
class Trusted:
    """The sites' side of TLS, and the file with the authority that vouches for them."""

    tls: ssl.SSLContext
    ca_file: Path
    tls_without_http2: ssl.SSLContext


@pytest.fixture(scope="package")
def trust(tmp_path_factory: pytest.TempPathFactory) -> Trusted:
    """Return the certificate of all sites that speak HTTP/2."""
    folder = tmp_path_factory.mktemp("tls")
    authority, ca_file = Authority(), folder / "ca.pem"
    ca_file.write_bytes(authority.pem)
    identity = authority.issue()
    tls = identity.server_context(folder)
    tls.set_alpn_protocols(["h2", "http/1.1"])
    return Trusted(tls, ca_file, identity.server_context(folder))


@cache
def tls_of(trust: TlsTrust) -> Callable[[bool], ssl.SSLContext]:
    """Return the contexts of a trust, each made once: that reads all authorities of the system."""
    return cache(trust.context)


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def parsers() -> AsyncIterator[ParserPool]:
    """Open a pool of one process."""
    pool = ParserPool(ParserParams(1, 512 * 2**20), lambda _: None, lambda _: None)
    yield pool
    await pool.close()


@pytest_asyncio.fixture(loop_scope="package")
async def fetch(parsers: ParserPool) -> AsyncIterator[Fetch]:
    """Open renderers, each with what it is given in place of the usual params."""
    gateway = Gateway(Guard([AllowedNetwork.parse("127.0.0.0/8")]))
    await gateway.start()
    renderers: list[FetchRenderer] = []

    async def opened(trust: TlsTrust | None = None, **params: Any) -> Fetching:
        slot_proxy, events = await gateway.open("01"), list[Event]()
        clock = SystemClock()
        requests = {name: params.pop(name) for name in OF_REQUESTS & params.keys()}
        renderer = FetchRenderer(
            DocumentClient(slot_proxy, tls_of(trust or TlsTrust())),
            PageReader(parsers),
            replace(PARAMS, requests=replace(REQUESTS, **requests), **params),
            SlotPhases("01", events.append, clock),
            clock,
        )
        renderers.append(renderer)
        return Fetching(renderer, slot_proxy)

    yield opened
    for renderer in renderers:
        renderer.retire()
    await gateway.close()
