"""What a proxies file says: one upstream proxy a line.

What always holds: user and password are behind `Secret`, so that neither a repr, a log line nor an error shows
them; a bad line is reported by its number and never quoted, since what is wrong with it may be the password.
Which proxy a slot uses, and how well each does, is decided elsewhere.
"""

from dataclasses import dataclass
from urllib.parse import SplitResult, unquote, urlsplit

from farm.model.secret import Secret

DEFAULT_PORTS = {"http": 80, "https": 443, "socks4": 1080, "socks5": 1080}
_ALIASES = {"socks5h": "socks5", "socks4a": "socks4", "socks": "socks5"}
_MAX_SOCKS_FIELD = 255


_NONE = Secret("")


@dataclass(frozen=True, slots=True)
class Upstream:
    """A proxy behind the gateway; `str` gives its address without credentials."""

    scheme: str
    host: str
    port: int
    user: Secret = _NONE
    password: Secret = _NONE

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    @property
    def is_socks(self) -> bool:
        """Whether it speaks SOCKS; otherwise it speaks HTTP, over TLS or not."""
        return self.scheme.startswith("socks")

    @classmethod
    def parse(cls, text: str) -> "Upstream":
        """Read `scheme://[user[:password]@]host[:port]`; raises `ValueError` without quoting the text."""
        try:
            parts = urlsplit(text.strip())
            port = parts.port
            host = parts.hostname
        except ValueError:
            raise ValueError("it is not a URL") from None
        scheme = _ALIASES.get(parts.scheme, parts.scheme)
        if "://" not in text or scheme not in DEFAULT_PORTS:
            raise ValueError("it must begin with http://, https://, socks4:// or socks5://")
        if not host or any(c.isspace() for c in host):
            raise ValueError("it names no host")
        if parts.path not in {"", "/"} or parts.query or parts.fragment:
            raise ValueError("something follows the port")
        if port == 0:
            raise ValueError("the port must be 1 to 65535")
        user, password = _credentials(parts, scheme)
        return cls(scheme, host, port or DEFAULT_PORTS[scheme], Secret(user), Secret(password))


def _credentials(parts: SplitResult, scheme: str) -> tuple[str, str]:
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    if any(ord(c) < ord(" ") for c in user + password):
        raise ValueError("user and password must not have control characters")
    if not scheme.startswith("socks"):
        if ":" in user:
            raise ValueError("a user of an HTTP proxy must not have a colon")
        return user, password
    # What the protocol cannot carry is said here, not at the first page.
    if not (user + password).isascii() or max(len(user), len(password)) > _MAX_SOCKS_FIELD:
        raise ValueError("user and password of a SOCKS proxy must be ASCII and at most 255 characters")
    if scheme == "socks5" and bool(user) != bool(password):
        raise ValueError("a SOCKS5 proxy takes a user and a password, or neither")
    if scheme == "socks4" and password:
        raise ValueError("a SOCKS4 proxy takes a user, but no password")
    return user, password


@dataclass(frozen=True, slots=True)
class BadProxyLine:
    """A line that could not be read: its number, from 1, and what is wrong, without the line."""

    number: int
    reason: str

    def __str__(self) -> str:
        return f"line {self.number}: {self.reason}"


@dataclass(frozen=True, slots=True)
class ProxyList:
    """What a file gave: every proxy once, in its order, and the lines that gave none."""

    upstreams: tuple[Upstream, ...]
    bad: tuple[BadProxyLine, ...] = ()


def parse_proxies(text: str) -> ProxyList:
    """Read a proxies file: one URL a line; blank lines and lines that begin with `#` are skipped."""
    upstreams: dict[Upstream, None] = {}
    bad: list[BadProxyLine] = []
    for number, line in enumerate(text.lstrip("\ufeff").splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            upstreams[Upstream.parse(line)] = None
        except ValueError as error:
            bad.append(BadProxyLine(number, str(error)))
    return ProxyList(tuple(upstreams), tuple(bad))
