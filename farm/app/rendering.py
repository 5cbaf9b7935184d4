"""How pages are rendered, from the settings: what may be wrong is found before anything is started.

What is secret in it (headers, storage state) goes only where it belongs: a header to the seeds' sites, cookies and
storage to the site that they are of.
"""

import re
import zoneinfo
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import orjson

from farm import __version__
from farm.app.site_rendering import loads_images, own_params, renders
from farm.browser.acting import ActParams
from farm.browser.blocking import blocked_urls
from farm.browser.context import SlotParams
from farm.browser.intercept import InterceptParams
from farm.browser.pictures import PictureParams
from farm.browser.render import RenderParams
from farm.browser.tab import TabParams
from farm.model.errors import UsageError
from farm.model.secret import SecretHeader
from farm.model.url import (
    ANY_SUBDOMAIN,
    PORTS,
    HashRoutes,
    endpoint_of,
    hostname_of,
    is_address,
    names_covering,
    site_of,
)
from farm.policy.recycle import RecycleParams
from farm.scope.rules import registrable_domain
from farm.settings.commands import RunSettings

_HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*)")
_NOT_OURS = {
    "cookie": "give cookies by --storage-state",
    "user-agent": "give it by --user-agent",
    **dict.fromkeys(("host", "content-length", "connection", "transfer-encoding"), "it is the browser's own"),
}
_ZONE = re.compile(r"[A-Za-z]+(/[A-Za-z0-9_+-]+)*")
SESSION = -1
"""What Playwright writes as `expires` of a cookie that ends with its session."""
LATEST = 253_402_300_800
"""The year 10,000, in seconds."""
State = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Credentials:
    """What the user gave that must not be shown: request headers, and a storage state as Playwright has it."""

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    site_headers: Mapping[str, Mapping[str, str]] = field(default_factory=dict, repr=False)
    """Those of the site tables, by their names."""
    state: State | None = field(default=None, repr=False)


def credentials(settings: RunSettings) -> Credentials:
    """Read headers and storage state; raises UsageError, which never repeats a value."""
    check_timezone(settings.timezone)
    headers = _headers("--header", settings.header)
    own = {
        name: _headers(f'farm.toml, [site."{name}"]: headers', table.headers)
        for name, table in settings.site.items()
        if table.headers
    }
    state = read_state(settings.storage_state) if settings.storage_state is not None else None
    return Credentials(headers, own, state)


def _headers(where: str, given: Iterable[SecretHeader]) -> dict[str, str]:
    return dict(_header(where, number, text.reveal()) for number, text in enumerate(given, 1))


def _header(where: str, number: int, text: str) -> tuple[str, str]:
    found = _HEADER.fullmatch(text)
    if found is None:
        raise UsageError(f"{where} number {number} is no header; write it as 'Name: value'.")
    name, value = found.groups()
    remedy = _NOT_OURS.get(name.lower())
    if remedy is not None:
        raise UsageError(f"{where} cannot be {name}: {remedy}.")
    return name, value.strip()


def check_timezone(zone: str | None) -> None:
    """Raise UsageError for a time zone that there is not."""
    if zone is None:
        return
    known = zoneinfo.available_timezones()
    # Where the system has no list of them, only the form can be checked.
    if not (zone in known if known else _ZONE.fullmatch(zone)):
        raise UsageError(f"--timezone {zone} is no time zone; write a name such as Europe/Berlin or UTC.")


def read_state(path: Path) -> State:
    """Return a storage state; raises UsageError when it cannot be read or is something else."""
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
            f"--storage-state {path} is no storage state; "
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
    """Whether Playwright would take it: what it has besides its texts is of the right type, and in range."""
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


def state_of_site(state: State) -> Callable[[str], State | None]:
    """Return what gives each URL the part of the state that is its site's; None where there is none."""

    def of(url: str) -> State | None:
        owner = _owner(url)
        cookies = [one for one in state["cookies"] if registrable_domain(one["domain"].lstrip(".")) == owner]
        origins = [one for one in state["origins"] if _owner(one["origin"]) == owner]
        return {"cookies": cookies, "origins": origins} if cookies or origins else None

    return of


def _owner(url: str) -> str:
    return registrable_domain(hostname_of(url) or "")


@dataclass(frozen=True, slots=True)
class HeaderScope:
    """Where a seed's headers may go: its own host and subdomains, at its own port, and never unencrypted.

    A seed on http may move to https, each at its usual port: that is the same site, better kept.
    """

    host: str
    port: int
    is_secure: bool
    subdomains_only: bool = False

    @classmethod
    def of(cls, url: str) -> "HeaderScope | None":
        """Return the scope of a seed; None where the URL has no host."""
        endpoint = endpoint_of(url)
        if endpoint is None:
            return None
        scheme, host, port = endpoint
        return cls(host, port, scheme == "https")

    def covers(self, url: str) -> bool:
        """Whether the headers may go with a request to the URL."""
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
        """The addresses that may be covered, as CDP writes them."""
        shown = f"[{self.host}]" if ":" in self.host else self.host
        below = () if is_address(self.host) else (f"*.{shown}",)
        names = below if self.subdomains_only else (shown, *below)
        return tuple(f"*://{name}{port}/*" for name in names for port in ("", f":{self.port}"))


def header_params(headers: Mapping[str, str], seeds: Iterable[str]) -> InterceptParams:
    """Return how the headers go to the seeds' own hosts, their subdomains included, and nowhere else."""
    return _limited_to(headers, {scope for scope in map(HeaderScope.of, seeds) if scope is not None})


def site_header_params(
    headers: Mapping[str, Mapping[str, str]], seeds: Iterable[str]
) -> dict[str, InterceptParams]:
    """Return how the headers of the site tables go, each to its host and the subdomains.

    Never unencrypted, except where a seed of that site is: a table does not say by which scheme a site is reached.
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


def slot_params(
    settings: RunSettings,
    secrets: Credentials,
    seeds: Iterable[str],
    machine_bytes: int,
    hash_routes: HashRoutes = HashRoutes.OFF,
) -> SlotParams:
    """Return what all slots have in common; `seeds` are their URLs, `hash_routes` is the crawl's."""
    rule, _, selector = settings.wait.partition(":")
    tables, images = settings.site, loads_images(settings.block, settings.site)
    render = RenderParams(
        wait=rule,
        selector=selector,
        page_timeout_s=settings.page_timeout,
        settle_timeout_s=settings.settle_timeout,
        act=ActParams(settings.click, settings.click_times, settings.scroll),
        pictures=PictureParams(settings.screenshot, settings.pdf),
        # With `on` every such link is a page, whatever its script does.
        find_router=hash_routes is not HashRoutes.ON,
    )
    own_headers = site_header_params(secrets.site_headers, seeds)
    held = header_params(secrets.headers, seeds)
    file_bytes = settings.max_download.of(machine_bytes) if settings.download else 0
    return SlotParams(
        TabParams(
            viewport=settings.viewport,
            user_agent=settings.user_agent,
            user_agent_suffix=f" CrawlFarm/{__version__}",
            blocked_urls=blocked_urls(settings.block, images=images),
            images=images,
            insecure=settings.insecure,
            locale=settings.locale,
            timezone=settings.timezone,
            intercept=InterceptParams(held.headers, held.patterns, held.may_see, file_bytes),
            state_for=state_of_site(secrets.state) if secrets.state is not None else None,
            own_for=own_params(tables, own_headers, images=images),
        ),
        render,
        RecycleParams(pages=settings.recycle_pages, per_url=settings.isolation == "url"),
        renders(tables, render),
    )
