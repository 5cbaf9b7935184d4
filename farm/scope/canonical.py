"""Canonical URLs: one text for one address, which every other package takes as the URL of a page.

The parser is WHATWG's, as in browsers, because a browser visits the address: a URL that Python's own parser reads
differently would be deduplicated as one page and fetched as another. On top of it: only http and https, no
fragment (unless it is a route), no user name or password, no tracking parameters, no empty query.

Invariants: the canonical text of a canonical URL is itself, and it parses. Unchanged on
purpose: the order of parameters, their percent-encoding and case, a trailing slash, a trailing dot of the host.
A server may distinguish all of these: merging two pages loses content, splitting one costs a visit.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass

from ada_url import join_url, normalize_url

from farm.model.outcome import SkipReason
from farm.model.text import well_formed
from farm.model.url import HashRoutes

VERSION = 1
"""Changes when the same input gets another text: the nodes of a crawl must agree."""

MAX_CHARS = 2000
_UNREAD_CHARS = 65_536
"""Longer inputs (`data:` images, mostly) are judged by their scheme, without being parsed."""

_WEB = ("http://", "https://")
_OTHER_SCHEME = re.compile(r"[\0-\x20]*(?!https?:)[a-z][a-z0-9+.-]*:", re.IGNORECASE)
_USERINFO = re.compile(r"(//)[^/?#\\\s]*@")
ROUTE_MARKS = ("/", "!")
"""A fragment with this beginning is a route if a script routes by it; others are anchors."""
_EMPTY_ROUTES = frozenset({"", "/", "!", "!/"})


@dataclass(frozen=True, slots=True)
class CanonicalUrl:
    """A canonical URL; `site` is its host, with the port where it is not the scheme's default."""

    url: str
    site: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an input cannot be crawled; `url` is its text for logs: without credentials, cut short."""

    reason: SkipReason
    url: str


def canonicalise(
    raw: str,
    base: str | None = None,
    *,
    hash_routes: HashRoutes = HashRoutes.OFF,
    keep_params: Collection[str] = (),
    anchor_params: Collection[str] = (),
) -> CanonicalUrl | Refusal:
    """Return the canonical URL of an address, resolved against `base`, or why it cannot be crawled.

    `hash_routes` says whether a fragment that is a route (`#/…`, `#!…`) is part of the address: as it is
    written (`ON`), or as `route_of` writes it (`AUTO`), without `anchor_params`. `keep_params` are names of
    tracking parameters, in lower case, that this crawl wants kept. What does not parse is refused with the
    reason `scheme`.
    """
    if len(raw) > _UNREAD_CHARS:
        return _refusal(SkipReason.SCHEME if _OTHER_SCHEME.match(raw) else SkipReason.TOO_LONG, raw)
    try:
        href = _parse(raw, base)
    except ValueError:
        return _refusal(SkipReason.SCHEME, raw)
    if not href.startswith(_WEB):
        return _refusal(SkipReason.SCHEME, href)

    address, _, fragment = href.partition("#")
    head, _, query = address.partition("?")
    if query:
        query = without_trackers(query, keep_params)
    scheme, _, authority, path = head.split("/", 3)
    site = authority.rpartition("@")[2]
    url = f"{scheme}//{site}/{path}"
    if query:
        url = f"{url}?{query}"
    if fragment and hash_routes is not HashRoutes.OFF and fragment.startswith(ROUTE_MARKS):
        if hash_routes is HashRoutes.AUTO:
            fragment = route_of(fragment, keep_params, anchor_params)
        if fragment not in _EMPTY_ROUTES:
            url = f"{url}#{fragment}"
    if len(url) > MAX_CHARS:
        return _refusal(SkipReason.TOO_LONG, url)
    return CanonicalUrl(url, site)


def route_of(fragment: str, keep_params: Collection[str] = (), anchor_params: Collection[str] = ()) -> str:
    """Return the canonical form of a route: without an anchor of its own, its parameters sorted by name.

    No server reads them: a script finds a parameter by its name, whatever its position. Values of the same
    name keep their order. Tracking parameters and those named in `anchor_params` are dropped.
    """
    path, _, query = fragment.partition("#")[0].partition("?")
    parts = [part for part in without_trackers(query, keep_params).split("&") if part]
    if anchor_params:
        parts = [part for part in parts if part.partition("=")[0] not in anchor_params]
    parts.sort(key=lambda part: part.partition("=")[0])
    return f"{path}?{'&'.join(parts)}" if parts else path


def _parse(raw: str, base: str | None) -> str:
    try:
        return normalize_url(raw) if base is None else join_url(base, raw)
    except ValueError:
        # The parser takes UTF-8 only. A lone surrogate, which a page's script can put into a link, is
        # read as browsers read it: as the replacement character.
        whole = well_formed(raw)
        if whole == raw:
            raise
        return normalize_url(whole) if base is None else join_url(base, whole)


def has_credentials(raw: str) -> bool:
    """Whether an address names a user or a password before its host."""
    return _USERINFO.search(raw[:MAX_CHARS]) is not None


def _refusal(reason: SkipReason, text: str) -> Refusal:
    # Cut before the search: text beyond the limit is never shown, and a huge input stays cheap.
    shown = well_formed(text[:MAX_CHARS])
    return Refusal(reason, _USERINFO.sub(r"\1", shown))


PREFIXES = ("utm_", "mtm_", "hsa_")
"""Parameters whose names start with these are dropped (Google's and Matomo's campaigns, HubSpot's ads)."""

# Tracking parameters, without names that only look like tracking (`ref`, `source`, `cid`): dropping one that
# selects content would hide pages, keeping one that does not costs a second visit.
NAMES = frozenset(
    {
        # click identifiers of advertising networks
        *("gclid", "gclsrc", "dclid", "gbraid", "wbraid", "gad_source", "gad_campaignid", "srsltid"),
        *("fbclid", "msclkid", "twclid", "ttclid", "li_fat_id", "rdt_cid", "sccid", "epik", "yclid"),
        *("ysclid", "irclickid", "cjevent", "zanpid", "rb_clickid", "wickedid", "ef_id", "s_kwcid"),
        *("_branch_match_id", "_openstat", "igshid", "igsh"),
        # newsletters and marketing automation
        *("mc_cid", "mc_eid", "mkt_tok", "ml_subscriber", "ml_subscriber_hash", "vero_id", "vero_conv"),
        *("oly_anon_id", "oly_enc_id", "_hsenc", "_hsmi", "__hssc", "__hstc", "__hsfp", "hsctatracking"),
        *("_kx", "__s"),
        # analytics that hand a visitor from one host to the next
        *("_ga", "_gl", "pk_campaign", "pk_kwd", "pk_keyword", "pk_source", "pk_medium", "pk_content"),
        *("pk_cid", "guce_referrer", "guce_referrer_sig"),
    }
)

_SUSPECT = re.compile(
    rf"(?:^|&)(?:{'|'.join(PREFIXES)}|(?:{'|'.join(map(re.escape, sorted(NAMES)))})(?:[=&]|$))", re.IGNORECASE
)


def without_trackers(query: str, keep: Collection[str] = ()) -> str:
    """Return the query without its tracking parameters; `keep` names (in lower case) stay.

    The other parameters stay byte for byte and in their order: a server may depend on order and repetition.
    """
    if not _SUSPECT.search(query):
        return query
    return "&".join(part for part in query.split("&") if not _is_tracker(part, keep))


def _is_tracker(part: str, keep: Collection[str]) -> bool:
    name = part.partition("=")[0].lower()
    return (name in NAMES or name.startswith(PREFIXES)) and name not in keep
