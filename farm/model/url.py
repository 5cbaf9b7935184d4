"""The parts of a URL, and the identities made from it: its fingerprint in the frontier and its id in a sink.

`site_of`, `origin_of` and `relative_url_of` cut a canonical URL as text, without parsing it; `hostname_of` and
`path_of` parse any URL. None of them raises. The identities are functions of the canonical text alone (and of a
key), so that any node computes the same. `scope/canonical.py` makes a URL canonical.
"""

from collections.abc import Mapping
from enum import StrEnum
from hashlib import blake2b
from ipaddress import ip_address
from typing import TypeVar
from urllib.parse import urlsplit

T = TypeVar("T")
FINGERPRINT_BYTES = 8
RECORD_ID_BYTES = 16
PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
"""The default ports of the schemes of the web."""
ANY_SUBDOMAIN = "*."
MOST_LABELS = 127
"""A name in DNS has no more."""


class HashRoutes(StrEnum):
    """Which fragments of the form `#/…` or `#!…` are part of an address, so that each is a page."""

    OFF = "off"
    ON = "on"
    """All of them, as they are written."""
    AUTO = "auto"
    """Those that a page's script routes by, in one form each."""


def site_of(url: str) -> str:
    """Return the site of a canonical URL or an origin: `host`, or `host:port` if the port is not the default."""
    return url.partition("://")[2].partition("/")[0]


def origin_of(url: str) -> str:
    """Return the origin of a canonical URL, without a slash at its end: `https://shop.example:8443`."""
    scheme, mark, rest = url.partition("://")
    return scheme + mark + rest.partition("/")[0]


def relative_url_of(url: str) -> str:
    """Return what follows the origin of a canonical URL: path, query and fragment; `/` if nothing does."""
    return "/" + url.partition("://")[2].partition("/")[2]


def host_of(site: str) -> str:
    """Return the host of a site, without the port; an IPv6 address keeps its brackets."""
    host, colon, _ = site.rpartition(":")
    return host if colon and not site.endswith("]") else site


def is_address(host: str) -> bool:
    """Return whether a host, an IPv6 address with or without brackets, is an IP address: it has no subdomains."""
    try:
        ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


def names_covering(site: str) -> tuple[str, ...]:
    """Return the table names that cover a site, the most specific first.

    `a.b.example:81` is covered by its own name, by `*.b.example:81` and by `*.example:81`.
    """
    names, rest = [site], site
    if site.count(".") < MOST_LABELS:
        while (rest := rest.partition(".")[2]) != "":
            names.append(ANY_SUBDOMAIN + rest)
    return tuple(names)


def covering(named: Mapping[str, T], site: str) -> T | None:
    """Return the value of the most specific name that covers a site; None if none does."""
    return next((named[name] for name in names_covering(site) if name in named), None) if named else None


def hostname_of(url: str) -> str | None:
    """Return the host of any URL in lower case, an IPv6 address in brackets.

    Returns "" if the URL has no host, and None if it cannot be parsed.
    """
    try:
        hostname = urlsplit(url).hostname or ""
    except ValueError:
        return None
    return f"[{hostname}]" if ":" in hostname else hostname


def endpoint_of(url: str) -> tuple[str, str, int] | None:
    """Return scheme, host (without brackets) and port of any URL with a host; the scheme's default port if none.

    Returns None if the URL cannot be parsed, has no host, or its scheme is none of the web.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or PORTS.get(parts.scheme)
    except ValueError:
        return None
    return None if parts.hostname is None or port is None else (parts.scheme, parts.hostname, port)


def site_in(url: str) -> str | None:
    """Return the site of any URL, as `site_of` has it of a canonical one; None if it has none."""
    endpoint = endpoint_of(url)
    if endpoint is None:
        return None
    scheme, host, port = endpoint
    name = f"[{host}]" if ":" in host else host
    return name if port == PORTS.get(scheme) else f"{name}:{port}"


def path_of(url: str) -> str:
    """Return the path of any URL, without query and fragment; "" if the URL cannot be parsed."""
    try:
        return urlsplit(url).path
    except ValueError:
        return ""


def fingerprint(url: str, key: bytes) -> str:
    """Return the 64-bit keyed fingerprint of a canonical URL as 16 hex digits.

    The key is secret and belongs to the crawl: without it nobody can construct two URLs that collide,
    so that a hostile site cannot hide pages from the crawl.
    """
    return blake2b(url.encode(), digest_size=FINGERPRINT_BYTES, key=key).hexdigest()


def record_id(crawl: str, url: str) -> str:
    """Return a record's id, 32 hex digits: a function of the crawl's name and the canonical URL."""
    return blake2b(f"{crawl}\0{url}".encode(), digest_size=RECORD_ID_BYTES).hexdigest()
