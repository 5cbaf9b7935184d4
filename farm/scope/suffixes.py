"""Which part of a host was registered by one owner, by the public suffix list."""

import re
from functools import cache, lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from publicsuffixlist import PublicSuffixList

_IPV4 = re.compile(r"\d+\.\d+\.\d+\.\d+")


@lru_cache(maxsize=16_384)
def registrable_domain(host: str) -> str:
    """Return the registrable domain of a canonical host.

    An IP address, a name without a dot (`localhost`) and a public suffix itself (`github.io`) belong to
    no wider domain: they are their own.
    """
    if host.startswith("[") or "." not in host or _IPV4.fullmatch(host):
        return host
    name = host.rstrip(".")
    return _suffixes().privatesuffix(name) or name


@cache
def _suffixes() -> "PublicSuffixList":
    # Loaded at the first question: it takes some 60 ms, which a crawl of one host never needs to pay.
    from publicsuffixlist import PublicSuffixList

    return PublicSuffixList()
