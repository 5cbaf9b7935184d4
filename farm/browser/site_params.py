"""The rendering parameters of single sites: headers, cookies and storage, waits, blocked resources.

Invariants: a header is sent only to the host that it was given for and its subdomains, cookies and storage only to
their own site, and no message here contains a value. If several names cover a site, the most specific one applies,
but its headers are added to those of the others.
"""

import fnmatch
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson

from farm.browser.intercept import IMAGES, InterceptParams, blocked_urls
from farm.browser.render import RenderParams
from farm.browser.tab import OwnParams
from farm.model.errors import UsageError
from farm.model.secret import SecretHeader
from farm.model.url import (
    ANY_SUBDOMAIN,
    PORTS,
    covering,
    endpoint_of,
    hostname_of,
    is_address,
    names_covering,
    path_of,
    site_of,
)

_HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*)")
_NOT_OURS = {
    "cookie": "give cookies by --storage-state",
    "user-agent": "give it by --user-agent",
    **dict.fromkeys(("host", "content-length", "connection", "transfer-encoding"), "it is the browser's own"),
}
SESSION = -1
"""Playwright's value of `expires` for a session cookie."""
LATEST = 253_402_300_800
"""The year 10,000, in seconds."""
State = Mapping[str, Any]
"""A storage state in Playwright's format: `cookies` and `origins`."""
SECRET_CHARS = 6
"""Shorter values are not masked: they occur in any page."""
MOST_SECRETS = 1_000
"""How many secrets are masked in a snapshot, the longest first."""


def secret_values(state: State) -> set[str]:
    """Return the values of a state's cookies and of its local storage."""
    stored = (one["value"] for origin in state.get("origins", ()) for one in origin.get("localStorage", ()))
    return {*(one["value"] for one in state.get("cookies", ())), *stored}


def longest_first(secrets: Iterable[str]) -> tuple[str, ...]:
    """Return those secrets that are masked, in the order in which they are: one may be a part of another."""
    long = (one for one in secrets if len(one) >= SECRET_CHARS)
    return tuple(sorted(long, key=len, reverse=True)[:MOST_SECRETS])


@dataclass(frozen=True, slots=True)
class SiteRules:
    """How the pages of one site are rendered; the crawl's rules apply to anything that it lacks.

    `pages` are globs of paths with the rules by which their pages are waited for; the first that matches applies.
    """

    wait: str = ""
    block: tuple[str, ...] | None = None
    pages: tuple[tuple[str, str], ...] = ()


def read_headers(where: str, given: Iterable[SecretHeader]) -> dict[str, str]:
    """Return the headers by name; raises UsageError, which names `where`, for a header that users cannot set."""
    return dict(_header(where, number, text.reveal()) for number, text in enumerate(given, 1))


def _header(where: str, number: int, text: str) -> tuple[str, str]:
    found = _HEADER.fullmatch(text)
    if found is None:
        raise UsageError(f"{where} number {number} is not a header; write it as 'Name: value'.")
    name, value = found.groups()
    remedy = _NOT_OURS.get(name.lower())
    if remedy is not None:
        raise UsageError(f"{where} cannot be {name}: {remedy}.")
    return name, value.strip()


def read_state(path: Path) -> State:
    """Return a storage state; raises UsageError if the file cannot be read or is not one."""
    try:
        state = orjson.loads(path.read_bytes())
    except OSError as error:
        raise UsageError(
            f"--storage-state {path} cannot be read ({error.strerror}); "
            "give a file that Playwright's storage_state(path=...) has written."
        ) from None
    except orjson.JSONDecodeError:
        state = None
    if not _is_state(state):
        raise UsageError(
            f"--storage-state {path} is not a storage state; "
            "give a file that Playwright's storage_state(path=...) has written."
        )
    checked: State = {"cookies": state.get("cookies", []), "origins": state.get("origins", [])}
    return checked


def _is_state(state: Any) -> bool:
    if not isinstance(state, dict) or not state.keys() & {"cookies", "origins"}:
        return False
    cookies, origins = state.get("cookies", []), state.get("origins", [])
    return (
        isinstance(cookies, list)
        and isinstance(origins, list)
        and all(map(_is_cookie, cookies))
        and all(_has(one, "origin") and isinstance(one.get("localStorage", []), list) for one in origins)
        and all(hostname_of(one["origin"]) is not None for one in origins)
        and all(_has(item, "name", "value") for one in origins for item in one.get("localStorage", []))
    )


def _is_cookie(one: Any) -> bool:
    """Return whether Playwright would accept it: values that are not texts have the right type and range."""
    if not _has(one, "name", "value", "domain", "path"):
        return False
    expires = one.get("expires", SESSION)
    is_number = isinstance(expires, int | float) and not isinstance(expires, bool)
    return (
        is_number
        and (expires == SESSION or 0 < expires < LATEST)
        and all(isinstance(one.get(name, False), bool) for name in ("httpOnly", "secure"))
        and one.get("sameSite", "Lax") in {"Strict", "Lax", "None"}
    )


def _has(value: Any, *names: str) -> bool:
    return isinstance(value, dict) and all(isinstance(value.get(name), str) for name in names)


def state_of_site(state: State, domain_of: Callable[[str], str]) -> Callable[[str], State | None]:
    """Return the function that returns the part of the state for a URL's site; None if there is none.

    `domain_of` returns the registrable domain of a host: everything below it is one site.
    """

    def owner_of(url: str) -> str:
        return domain_of(hostname_of(url) or "")

    def of(url: str) -> State | None:
        owner = owner_of(url)
        cookies = [one for one in state["cookies"] if domain_of(one["domain"].lstrip(".")) == owner]
        origins = [one for one in state["origins"] if owner_of(one["origin"]) == owner]
        return {"cookies": cookies, "origins": origins} if cookies or origins else None

    return of


@dataclass(frozen=True, slots=True)
class HeaderScope:
    """Where a seed's headers may be sent: to its own host and subdomains, at its own port, never unencrypted.

    A seed on http may redirect to https, each at its default port: that is the same site, encrypted.
    """

    host: str
    port: int
    is_secure: bool
    subdomains_only: bool = False

    @classmethod
    def of(cls, url: str) -> "HeaderScope | None":
        """Return the scope of a seed; None if the URL has no host."""
        endpoint = endpoint_of(url)
        if endpoint is None:
            return None
        scheme, host, port = endpoint
        return cls(host, port, scheme == "https")

    def covers(self, url: str) -> bool:
        """Return whether the headers may be sent with a request to the URL."""
        endpoint = endpoint_of(url)
        if endpoint is None:
            return False
        scheme, host, port = endpoint
        is_secure = scheme in {"https", "wss"}
        if self.is_secure and not is_secure:
            return False
        moved = is_secure and not self.is_secure and (self.port, port) == (PORTS["http"], PORTS["https"])
        if port != self.port and not moved:
            return False
        if host == self.host:
            return not self.subdomains_only
        return host.endswith(f".{self.host}") and not is_address(self.host)

    @property
    def patterns(self) -> tuple[str, ...]:
        """The addresses that may be covered, as CDP patterns."""
        shown = f"[{self.host}]" if ":" in self.host else self.host
        below = () if is_address(self.host) else (f"*.{shown}",)
        names = below if self.subdomains_only else (shown, *below)
        return tuple(f"*://{name}{port}/*" for name in names for port in ("", f":{self.port}"))


def header_params(headers: Mapping[str, str], seeds: Iterable[str]) -> InterceptParams:
    """Return the parameters that send the headers to the seeds' own hosts and their subdomains only."""
    return _limited_to(headers, {scope for scope in map(HeaderScope.of, seeds) if scope is not None})


def site_header_params(
    headers: Mapping[str, Mapping[str, str]], seeds: Iterable[str]
) -> dict[str, InterceptParams]:
    """Return the parameters that send the headers of single sites, each to its host and the subdomains.

    Never unencrypted, unless a seed of that site is: a name does not include a scheme.
    """
    sites = {name.removeprefix(ANY_SUBDOMAIN) for name in headers}
    urls = {site: {f"https://{site}/"} for site in sites}
    for seed in seeds if sites else ():
        if seed.startswith("http://"):
            for name in names_covering(site_of(seed)):
                if (site := name.removeprefix(ANY_SUBDOMAIN)) in sites:
                    urls[site].add(seed)
    limited = {}
    for name, own in headers.items():
        site = name.removeprefix(ANY_SUBDOMAIN)
        scopes = {scope for url in urls[site] if (scope := HeaderScope.of(url)) is not None}
        if name != site:
            host = hostname_of(f"https://{site}/")
            scopes = {replace(scope, subdomains_only=scope.host == host) for scope in scopes}
        limited[name] = _limited_to(own, scopes)
    return limited


def _limited_to(headers: Mapping[str, str], scopes: Collection[HeaderScope]) -> InterceptParams:
    patterns = dict.fromkeys(
        pattern
        for scope in sorted(scopes, key=lambda one: (one.host, one.port))
        for pattern in scope.patterns
    )
    return InterceptParams(headers, tuple(patterns), lambda url: any(one.covers(url) for one in scopes))


def loads_images(block: Iterable[str], rules: Mapping[str, SiteRules]) -> bool:
    """Return whether any site's images are loaded: a browser loads those of all sites, or of none."""
    return IMAGES not in block or any(
        own.block is not None and IMAGES not in own.block for own in rules.values()
    )


def renders(rules: Mapping[str, SiteRules], crawls: RenderParams) -> Callable[[str], RenderParams] | None:
    """Return the function that returns the parameters of a URL; None if no rule changes any."""
    waits: dict[str, tuple[list[tuple[re.Pattern[str], RenderParams]], RenderParams]] = {}
    for name, own in rules.items():
        pages = [(re.compile(fnmatch.translate(glob)), waiting(crawls, wait)) for glob, wait in own.pages]
        # Rules that say nothing of it hide wider ones that do.
        waits[name] = pages, waiting(crawls, own.wait) if own.wait else crawls
    if all(not pages and params is crawls for pages, params in waits.values()):
        return None

    def of(url: str) -> RenderParams:
        found = covering(waits, site_of(url))
        if found is None:
            return crawls
        pages, params = found
        path = path_of(url) if pages else ""
        return next((own for pattern, own in pages if pattern.match(path)), params)

    return of


def waiting(params: RenderParams, wait: str) -> RenderParams:
    """Return the parameters with a rule for waiting, such as `load` or `css:SELECTOR`."""
    rule, _, selector = wait.partition(":")
    return replace(params, wait=rule, selector=selector)


def own_params(
    rules: Mapping[str, SiteRules], headers: Mapping[str, InterceptParams], *, images: bool
) -> Callable[[str], OwnParams | None] | None:
    """Return the function that returns a context's parameters for a URL's site; None if none differ.

    `headers` are those of the names that have any; `images` says whether the browser loads images.
    """
    blocked = {
        name: blocked_urls(own.block, images=images) if own.block is not None else None
        for name, own in rules.items()
    }
    if not headers and not any(urls is not None for urls in blocked.values()):
        return None

    def of(url: str) -> OwnParams | None:
        site = site_of(url)
        own = OwnParams(covering(blocked, site), tuple(_of_site(headers, site)))
        return own if own.blocked_urls is not None or own.headers else None

    return of


def _of_site(headers: Mapping[str, InterceptParams], site: str) -> Iterable[InterceptParams]:
    """Yield the headers of every name that covers a site, or whose host is above it; the most specific last."""
    if not headers:
        return
    for name in reversed(names_covering(site)):
        for one in dict.fromkeys((name.removeprefix(ANY_SUBDOMAIN), name)):
            if one in headers:
                yield headers[one]
