"""The requests of one slot at one site, with the heads, the cookies and the redirects of a browser."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Protocol

from ada_url import join_url

from farm.fetch.cookies import CookieJar
from farm.model.clock import Clock
from farm.model.egress import DocumentAnswer, header_text
from farm.model.errors import RenderError, RendererUnfit
from farm.model.outcome import FailureKind
from farm.model.url import hostname_of, origin_of

REDIRECTED = frozenset({301, 302, 303, 307, 308})
SHEET_REDIRECTS = 3
SHEET_BYTES = 2**20
"""Bytes of a style sheet; the end of a longer one is left out."""
SHEET_S = 5.0
"""How long one may take: a page is read without it then, as a browser shows one in the end."""
_PASSING = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})
_ACCEPT = (
    "text/html,application/xhtml+xml,application/xml;q=0.9,image/jxl,image/avif,image/webp,image/apng,*/*;q=0.8,"
    "application/signed-exchange;v=b3;q=0.7"
)
_OF_A_NAVIGATION = (
    ("Sec-Fetch-Site", "none"),
    ("Sec-Fetch-Mode", "navigate"),
    ("Sec-Fetch-User", "?1"),
    ("Sec-Fetch-Dest", "document"),
)
"""Headers that a browser sends only over secure connections."""
_SHOWN_CHARS = 200

Heads = Callable[[int, Mapping[str, str]], Awaitable[None]]
"""Receives the status and the headers of a document, names in lower case."""
WithoutBody = Callable[[int, Mapping[str, str]], bool]
"""Returns whether the body of an answer is of no use, by its status and headers."""
Headers = list[tuple[str, str]]


class DocumentSource(Protocol):
    """Requests documents by the slot's proxy."""

    async def get(
        self,
        url: str,
        headers: Sequence[tuple[str, str]],
        cap_bytes: int,
        heads: Heads | None = None,
        without_body: WithoutBody | None = None,
    ) -> DocumentAnswer:
        """Request one, without following redirects. Raises RenderError or RendererUnfit."""
        ...

    def close(self) -> None:
        """Close what is open."""
        ...


def _no_headers(_site_url: str, _url: str) -> Mapping[str, str]:
    return {}


def _no_cookies(_site_url: str) -> Sequence[Mapping[str, Any]]:
    return ()


@dataclass(frozen=True, slots=True)
class RequestParams:
    """`cap_bytes` bounds a document without its content coding; `domain_of` returns a host's registrable domain.

    `headers_for` returns what the user adds to a request, by the URL of the visit and that of the request;
    `cookies_for` the cookies that the site of a URL begins with.
    """

    user_agent: Callable[[], str]
    domain_of: Callable[[str], str]
    cap_bytes: int = 32 * 2**20
    locale: str | None = None
    headers_for: Callable[[str, str], Mapping[str, str]] = field(default=_no_headers, repr=False)
    cookies_for: Callable[[str], Sequence[Mapping[str, Any]]] = field(default=_no_cookies, repr=False)


class SiteRequests:
    """Requests documents and style sheets, for one site at a time."""

    def __init__(self, source: DocumentSource, params: RequestParams, clock: Clock) -> None:
        self._source = source
        self._params = params
        self._clock = clock
        self._url = ""
        self._jar = self._empty_jar()

    def begin(self, url: str) -> None:
        """Begin with the site of this URL, without cookies and connections of another one."""
        self.forget()
        self._url = url
        self._jar.load(self._params.cookies_for(url))

    def forget(self) -> None:
        """Forget the cookies, and close the connections."""
        self._jar = self._empty_jar()
        self._source.close()

    def _empty_jar(self) -> CookieJar:
        return CookieJar(self._params.domain_of, lambda: self._clock.wall().timestamp())

    async def document(
        self, url: str, heads: Heads, without_body: WithoutBody | None = None
    ) -> DocumentAnswer:
        """Request a document, and keep its cookies; what is `without_body` is not read.

        Raises RenderError or RendererUnfit.
        """
        headers: Headers = [
            ("Upgrade-Insecure-Requests", "1"),
            ("User-Agent", header_text(self._params.user_agent())),
            ("Accept", _ACCEPT),
            *(_OF_A_NAVIGATION if _is_trusted(url) else ()),
        ]
        sent, cap_bytes = self._with_own(url, headers), self._params.cap_bytes
        answer = await self._source.get(url, sent, cap_bytes, heads, without_body)
        self._jar.take(url, [value for name, value in answer.headers if name == "set-cookie"])
        return answer

    async def sheet(self, url: str, page_url: str) -> bytes | None:
        """Return a style sheet of a page, empty if its server has none; None if it may be had later."""
        agent = header_text(self._params.user_agent())
        headers: Headers = [("User-Agent", agent), ("Accept", "text/css,*/*;q=0.1")]
        if origin_of(url) == origin_of(page_url):
            headers.append(("Referer", page_url.partition("#")[0]))
        try:
            async with asyncio.timeout(SHEET_S):
                for _ in range(SHEET_REDIRECTS + 1):
                    answer = await self._source.get(url, self._with_own(url, headers), SHEET_BYTES)
                    if answer.status not in REDIRECTED:
                        is_passing = (
                            answer.status in _PASSING or answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR
                        )
                        return None if is_passing else answer.body if answer.status == HTTPStatus.OK else b""
                    url = redirect_target(url, answer.header("location"))
        except (RenderError, RendererUnfit, TimeoutError):
            return None
        return b""

    def _with_own(self, url: str, headers: Headers) -> Headers:
        """Return the headers with those that every request has, and those of the user."""
        params = self._params
        codings = "gzip, deflate, br, zstd" if _is_trusted(url) else "gzip, deflate"
        headers = [*headers, ("Accept-Encoding", codings)]
        if params.locale is not None:
            headers.append(("Accept-Language", params.locale))
        cookies = self._jar.header(url)
        if cookies:
            headers.append(("Cookie", cookies))
        more = params.headers_for(self._url, url)
        if more:
            names = {name.lower() for name in more}
            own = [(name, header_text(value)) for name, value in more.items()]
            headers = [*(one for one in headers if one[0].lower() not in names), *own]
        return headers


def redirect_target(url: str, location: str) -> str:
    """Return the target of a redirect. Raises RenderError if that is not a web address."""
    try:
        # Servers write what is not ASCII in UTF-8, which a header is read as Latin-1 from.
        target = join_url(url, location.encode("latin-1").decode("utf-8", "replace"))
    except (ValueError, UnicodeEncodeError):
        target = ""
    if not target.startswith(("http://", "https://")):
        detail = f"it redirects to {location[:_SHOWN_CHARS]!r}, which is no web address"
        raise RenderError(FailureKind.NETWORK, detail, url)
    return target


def _is_trusted(url: str) -> bool:
    """Return whether the connection is secure, so that a browser sends more headers."""
    host = hostname_of(url) or ""
    is_own = host.startswith("127.") or host in {"localhost", "[::1]"} or host.endswith(".localhost")
    return is_own or url.startswith("https:")
