"""The cookies of one slot at one site, by the rules of RFC 6265 that matter to a client without scripts.

Invariants: a cookie goes to the host that set it and, where it says so, to the hosts below one domain that
is no public suffix; one that is `Secure` never goes unencrypted; their number and size have a bound.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

from farm.model.egress import header_text
from farm.model.url import endpoint_of, is_address, path_of

MOST_COOKIES = 180
"""As many a browser keeps of one domain."""
MOST_CHARS = 4_096
_MAX_AGE = re.compile(r"-?[0-9]{1,18}")
_SESSION = float("inf")


@dataclass(frozen=True, slots=True)
class _Cookie:
    value: str
    host_only: bool
    is_secure: bool
    ends: float


class CookieJar:
    """`domain_of` returns the registrable domain of a host; `now` is the wall clock in seconds."""

    def __init__(self, domain_of: Callable[[str], str], now: Callable[[], float]) -> None:
        self._domain_of = domain_of
        self._now = now
        self._cookies: dict[tuple[str, str, str], _Cookie] = {}

    def __len__(self) -> int:
        return len(self._cookies)

    def load(self, cookies: Iterable[Mapping[str, Any]]) -> None:
        """Add the cookies of a storage state as Playwright has it."""
        for one in cookies:
            domain = str(one["domain"])
            expires = one.get("expires", -1)
            cookie = _Cookie(
                header_text(one["value"]),
                not domain.startswith("."),
                bool(one.get("secure", False)),
                _SESSION if expires == -1 else float(expires),
            )
            name = header_text(one["name"])
            self._keep((domain.lstrip(".").lower(), one["path"], name), cookie)

    def take(self, url: str, lines: Iterable[str]) -> None:
        """Store the cookies of the `Set-Cookie` headers of this URL's answer."""
        endpoint = endpoint_of(url)
        if endpoint is None:
            return
        scheme, host, _ = endpoint
        for line in lines:
            self._set(line, scheme, host, _default_path(url))

    def _set(self, line: str, scheme: str, host: str, path: str) -> None:
        pair, *rest = line[: 2 * MOST_CHARS].split(";")
        name, equals, value = pair.partition("=")
        name, value = (name.strip(), value.strip()) if equals else ("", pair.strip())
        said: dict[str, str] = {}
        for part in rest:
            attribute, _, given = part.partition("=")
            said[attribute.strip().lower()] = given.strip()
        is_secure = "secure" in said
        if (
            len(name) + len(value) > MOST_CHARS
            or (not name and not value)
            or (is_secure and scheme != "https")
        ):
            return
        domain = said.get("domain", "").lstrip(".").lower()
        host_only = not domain or is_address(host) or (domain == host and self._is_suffix(host))
        if domain and domain != host and not self._may_set(host, domain):
            return
        if not _fits_prefix(name, said):
            return
        own_path = said.get("path", "")
        key = (domain or host, own_path if own_path.startswith("/") else path, name)
        self._keep(key, _Cookie(value, host_only, is_secure, self._end_of(said)))

    def _may_set(self, host: str, domain: str) -> bool:
        """Return whether a host may set a cookie for a domain above it, which must not be a public suffix."""
        owner = self._domain_of(host)
        return host.endswith(f".{domain}") and (domain == owner or domain.endswith(f".{owner}"))

    def _is_suffix(self, host: str) -> bool:
        """Return whether the hosts below a host are others' own: a site may be a public suffix itself."""
        return self._domain_of(f"www.{host}") != self._domain_of(host)

    def _end_of(self, said: Mapping[str, str]) -> float:
        age = said.get("max-age", "")
        if _MAX_AGE.fullmatch(age):
            return self._now() + int(age)
        if "expires" not in said:
            return _SESSION
        try:
            return parsedate_to_datetime(said["expires"].replace("-", " ")).timestamp()
        except (ValueError, TypeError, OverflowError):
            return _SESSION

    def _keep(self, key: tuple[str, str, str], cookie: _Cookie) -> None:
        self._cookies.pop(key, None)
        if cookie.ends <= self._now():
            return
        self._cookies[key] = cookie
        if len(self._cookies) > MOST_COOKIES:
            del self._cookies[next(iter(self._cookies))]

    def header(self, url: str) -> str:
        """Return the value of `Cookie` for a request to the URL, empty if no cookie goes there."""
        endpoint = endpoint_of(url) if self._cookies else None
        if endpoint is None:
            return ""
        scheme, host, _ = endpoint
        path, now = path_of(url) or "/", self._now()
        sent = [
            (len(key[1]), name, cookie.value)
            for key, cookie in self._cookies.items()
            if cookie.ends > now
            and (not cookie.is_secure or scheme == "https")
            and (key[0] == host or (not cookie.host_only and host.endswith(f".{key[0]}")))
            and _covers(key[1], path)
            for name in (key[2],)
        ]
        sent.sort(key=lambda one: -one[0])
        return "; ".join(f"{name}={value}" if name else value for _, name, value in sent)


def _fits_prefix(name: str, said: Mapping[str, str]) -> bool:
    """Return whether a cookie satisfies the prefix of its name."""
    if name.startswith("__Host-"):
        return "secure" in said and "domain" not in said and said.get("path") == "/"
    return "secure" in said or not name.startswith("__Secure-")


def _default_path(url: str) -> str:
    return path_of(url).rpartition("/")[0] or "/"


def _covers(own: str, path: str) -> bool:
    return path == own or (path.startswith(own) and (own.endswith("/") or path[len(own)] == "/"))
