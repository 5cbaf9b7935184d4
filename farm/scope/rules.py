"""The scope of a crawl: which canonical URLs belong to it, and why another does not.

`page` is the seeds alone; `prefix` the same origin below a seed's folder; `host` the same host and port,
http and https alike; `domain` the same registrable domain, any port; `any` everything. Patterns are
searched in the canonical URL; an exclusion overrides an inclusion, and a seed needs no inclusion: the crawl starts
there even if only pages behind it are wanted.
"""

import re
from collections.abc import Iterable, Sequence
from enum import StrEnum
from functools import cache, lru_cache
from typing import TYPE_CHECKING, assert_never

from farm.model.errors import UsageError
from farm.model.outcome import SkipReason
from farm.model.url import ANY_SUBDOMAIN, host_of, names_covering, origin_of, relative_url_of, site_of


class ScopeKind(StrEnum):
    """How far from its seeds a crawl may go; `--scope` takes its values from here."""

    PAGE = "page"
    PREFIX = "prefix"
    HOST = "host"
    DOMAIN = "domain"
    ANY = "any"


class ScopeRules:
    """Judges canonical URLs. Seeds may be added and the scope extended while the crawl runs."""

    def __init__(
        self,
        kind: ScopeKind | str,
        seeds: Iterable[str],
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        depth: int | None = None,
    ) -> None:
        self.kind = ScopeKind(kind)
        self._include = tuple(_compiled("--include", pattern) for pattern in include)
        self._exclude = tuple(_compiled("--exclude", pattern) for pattern in exclude)
        self._depth = depth
        # What is in scope: canonical URLs, folders, sites or registrable domains, as the kind has it.
        self._inside: set[str] = set()
        self._longest = 0
        self._folder_paths: set[str] = set()
        for url in seeds:
            self.add_seed(url)

    def add_seed(self, url: str) -> None:
        """Add a seed, given as canonical URL."""
        if self.kind is ScopeKind.PREFIX:
            self._folder_paths.add(relative_url_of(_folder(url)))
        unit = self._unit(url)
        if unit is not None:
            self._cover({unit})

    @property
    def hosts(self) -> set[str]:
        """The hosts or registrable domains that the scope covers; empty if it covers everything."""
        return {site_of(unit) if "://" in unit else unit for unit in self._inside}

    def scope_unit(self, seed: str) -> str | None:
        """Return what a seed adds to the scope, as a text for `extend` on other nodes.

        None in a scope of kind `page` or `any`.
        """
        return None if self.kind is ScopeKind.PAGE else self._unit(seed)

    def judge(self, url: str, depth: int) -> SkipReason | None:
        """Return why a canonical URL must not be visited; None if it may be.

        The depth comes last: its reason is for pages that a deeper crawl would visit.
        """
        if not self.covers(url):
            return SkipReason.OUT_OF_SCOPE
        if self._exclude and any(pattern.search(url) for pattern in self._exclude):
            return SkipReason.EXCLUDED
        if depth > 0 and self._include and not any(pattern.search(url) for pattern in self._include):
            return SkipReason.EXCLUDED
        return SkipReason.DEPTH if self.is_too_deep(depth) else None

    def is_too_deep(self, depth: int) -> bool:
        """Return whether a page this many links from a seed is too deep for the crawl."""
        return self._depth is not None and depth > self._depth

    def covers(self, url: str) -> bool:
        """Return whether the kind of the scope covers a canonical URL, whatever the patterns say."""
        if self.kind is ScopeKind.ANY:
            return True
        if self.kind is ScopeKind.PREFIX:
            return any(folder in self._inside for folder in _ancestors(url, self._longest))
        return self._unit(url) in self._inside

    def covers_name(self, name: str) -> bool:
        """Return whether a site that a table covers, by its name or by `*.` and a domain, can be in scope."""
        if self.kind is ScopeKind.ANY:
            return True
        if self.kind is ScopeKind.DOMAIN:
            host = host_of(name.removeprefix(ANY_SUBDOMAIN))
            is_wide = name.startswith(ANY_SUBDOMAIN)
            return registrable_domain(host) in self._inside or (
                is_wide and any(unit.endswith(f".{host}") for unit in self._inside)
            )
        return any(name in names_covering(site) for site in self.hosts)

    def extension(self, seed: str, target: str) -> str | None:
        """Return what to `extend` the scope by after a seed redirected to `target`; None for nothing.

        Only another host, port or scheme of the same registrable domain counts: a seed that redirects to
        `www.` means the same site, one that redirects to another owner's login page does not. Nodes share the
        returned text.
        """
        if self.kind in {ScopeKind.PAGE, ScopeKind.ANY} or self.covers(target):
            return None
        if _registered_domain(site_of(seed)) != _registered_domain(site_of(target)):
            return None
        if self.kind is ScopeKind.PREFIX:
            return origin_of(target) + relative_url_of(_folder(seed))
        return site_of(target)

    def extend(self, site: str) -> None:
        """Cover another site like that of a seed; takes a site or a result of `extension`.

        In a scope of kind `prefix` a bare site is covered, on both schemes, below the paths of the seeds'
        folders.
        """
        match self.kind:
            case ScopeKind.PREFIX:
                self._cover({site} if "://" in site else _on_both_schemes(site, self._folder_paths))
            case ScopeKind.HOST:
                self._cover({site})
            case ScopeKind.DOMAIN:
                self._cover({_registered_domain(site)})
            case ScopeKind.PAGE | ScopeKind.ANY:
                # The seeds alone, and everything already: neither can be extended.
                pass
            case _ as unknown:
                assert_never(unknown)

    def _cover(self, units: set[str]) -> None:
        self._inside |= units
        self._longest = max(self._longest, *map(len, units), 0)

    def _unit(self, url: str) -> str | None:
        """Return the part of a URL that the scope compares; None in a scope that covers everything."""
        match self.kind:
            case ScopeKind.PAGE:
                return url
            case ScopeKind.PREFIX:
                return _folder(url)
            case ScopeKind.HOST:
                return site_of(url)
            case ScopeKind.DOMAIN:
                return _registered_domain(site_of(url))
            case ScopeKind.ANY:
                return None
            case _ as unknown:
                assert_never(unknown)


def _registered_domain(site: str) -> str:
    return registrable_domain(host_of(site))


def _folder(url: str) -> str:
    return url.partition("#")[0].partition("?")[0].rpartition("/")[0] + "/"


def _ancestors(url: str, longest: int) -> Iterable[str]:
    """Yield the folders above a URL up to the length of the longest one in scope: a path may have two thousand."""
    folder = _folder(url)
    end = folder.index("/", 8)
    while 0 <= end < longest:
        yield folder[: end + 1]
        end = folder.find("/", end + 1)


def _on_both_schemes(site: str, paths: Iterable[str]) -> set[str]:
    return {f"{scheme}://{site}{path}" for scheme in ("http", "https") for path in paths}


def _compiled(flag: str, pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise UsageError(
            f"{flag} {pattern!r} is not a regular expression ({error}); "
            "put a backslash before characters that should match themselves"
        ) from None


if TYPE_CHECKING:
    from publicsuffixlist import PublicSuffixList

_IPV4 = re.compile(r"\d+\.\d+\.\d+\.\d+")


@lru_cache(maxsize=16_384)
def registrable_domain(host: str) -> str:
    """Return the registrable domain of a canonical host.

    An IP address, a name without a dot (`localhost`) and a public suffix itself (`github.io`) are their own.
    """
    if host.startswith("[") or "." not in host or _IPV4.fullmatch(host):
        return host
    name = host.rstrip(".")
    return _suffixes().privatesuffix(name) or name


@cache
def _suffixes() -> "PublicSuffixList":
    # Loaded on first use: it takes some 60 ms, which a crawl of one host never needs.
    from publicsuffixlist import PublicSuffixList

    return PublicSuffixList()
