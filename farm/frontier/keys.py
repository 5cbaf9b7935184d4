"""Every key of a crawl in Redis, and what stands under it.

All keys of one shard share the hash tag `{crawl:shard}`, so that a script may touch them all, on a standalone
server and on a Cluster. Behind the tag of every key but `crawl` stands the generation, which is left out below: a
crawl that is started anew has other keys, and a node that works on the old one finds none of its own. A script is
given the shard's counters as its only declared key and derives the others from it; what it may find there is this
glossary:

    {c:s}:ctl            string  the counters (see `shards`): the ledger, the virtual clock, the terms
    {c:s}:crawl          hash    schema, settings (JSON), key (fingerprint key), created_at, shards, generation,
                                 handlers (the generation, and 1 where it was begun with handlers, else 0)
    {c:s}:site:SITE      hash    b bands queued · f in flight · t theoretical arrival time (GCRA) · x blocked
                                 until · i interval · u burst · l limit (where they differ from the terms) ·
                                 s when the next visit may begin (GCRA of beginnings, t is that of leases) ·
                                 d crawl-delay · o own interval, c own places in flight (of the user's
                                 tables) · a what was learnt of its pace (JSON) · pooled:R comparisons of a
                                 renderer that agreed at templates without a difference, taken:R its pages,
                                 templates how many there are ·
                                 f@ADDRESS, t@ADDRESS, x@ADDRESS, i@ADDRESS, s@ADDRESS, a@ADDRESS the same for
                                 one egress address
    {c:s}:limits         hash    site, or *. and a domain above it -> interval, places in flight, and how many at
                                 first (0: the crawl's)
    {c:s}:out:ADDRESS    hash    an egress address: f in flight · t theoretical arrival time · s as above
                                 (without an address: s of everything together, paces, pairs: of how many
                                 sites, and sites and addresses, a pace is kept)
    {c:s}:q:BAND:SITE    list    the entries of one site and priority band, the oldest first; band `s` are
                                 suspects: URLs that were leased at more than one death of a node
    {c:s}:ready:BAND     zset    the sites that have queued URLs in the band and a free place in flight, by the
                                 time at which they are eligible next (a block counts)
    {c:s}:slot           hash    slot -> last settlement, last request, token, site, egress address, leases in
                                 a row from that site, deadline, entry (a NUL after each but the last); no token
                                 where nothing is leased; deleted when its node is gone
    {c:s}:due            zset    slot -> deadline of its lease, or that of an earlier one: the record's counts
                                 where it is later
    {c:s}:nodes          zset    node -> when its last heartbeat came
    {c:s}:node           hash    node -> its incarnation, and the facts it registered with (JSON)
    {c:s}:left           zset    node that is at work no more -> when that was seen; the last 200
    {c:s}:gone           hash    the same -> lost or ended, and what stood in `node`
    {c:s}:drained        set     nodes that are asked to end, until somebody takes that back; at most 1,000
    {c:s}:alone          hash    node -> its slot that has a suspect, while it leases nothing else
    {c:s}:delayed        zset    site and entry -> when it goes back to its queue
    {c:s}:dead           hash    id -> reason, when (the server's own time in ms), detail, site, entry
                                 (a line each)
    {c:s}:failed         hash    id -> its last visits that failed, a line each: when (likewise), and what is known
                                 of it (JSON); of dead letters and URLs that have counts
    {c:s}:hooks          list    events for the crawl's webhook (JSON), the oldest first
    {c:s}:hooked         hash    there while a node has a webhook: on · lost: how many events found no place
    {c:s}:announced:WHAT  string  that an event was put there, while that counts
    {c:s}:hookclaim      string  shard 0 only: the node that delivers them
    {c:s}:dead:REASON    zset    id -> when it was buried, likewise
    {c:s}:tally          hash    reason -> how many are dead of it
    {c:s}:outbox:SHARD   list    links (and bare fingerprints) for another shard, not yet struck out
    {c:s}:struck         hash    shard -> how many of its outbox were struck out so far
    {c:s}:sent           hash    shard -> how many of its outbox were delivered so far, where some of them are kept
    {c:s}:deliverer      hash    node: who delivers what stands in these outboxes · until: when another may
    {c:s}:received       hash    shard -> how many this one has had of that one's outbox
    {c:s}:gaps           hash    shard -> how many of them were lost with a master
    {c:s}:once:ID        string  what a transfer of page quota came to, or a replay or drop of dead letters, for
                                 an hour
    {c:s}:lending        hash    lender: who lends the limits over all shards; leases: how many were granted here
                                 under a rate over all shards; looked, counted: when a lender looked here, and how
                                 many there were by then; shard 0 also begun, interval, places: when it began,
                                 and what all shards have together
    {c:s}:tier:ID        hash    a template of addresses, by the hash of its text: template, site, since, and of
                                 each renderer beside the browser R: R:agreed (comparisons in a row), R:failures,
                                 R:unfit (in a row), R:taken (pages without a comparison), R:confirmed (so many of
                                 them need no visit again), R:differed_at, R:examples
    {c:s}:taken:R:ID     list    the pages that were taken and are not confirmed: the chance per mille of their
                                 audit, and the entry that visits them again; the oldest first
    {c:s}:tiers          hash    sums over all templates: pages:R, share:PER_MILLE, audits, differed, compared,
                                 requeued, pending, templates
    {c:s}:seen:BUCKET    set     integers: the low 52 bits of the fingerprints that are known, bit 52 set
    {c:s}:bloom:GEN:N    string  127 blocks of a Bloom filter's generation
    {c:s}:bloom          filter  the server's own Bloom filter, in their place
    {c:s}:scope          set     shard 0 only: what redirects of seeds added to the scope
    {c:s}:asked          hash    shard 0 only: a value of --render that a seed asked for -> 1
    {c:s}:finished       string  shard 0 only: from which sitemaps the crawl was fed that came to its end
    {c:s}:bans           hash    shard 0 only: proxy, or proxy and site -> when its ban ends (the server's own time
                                 in ms), bans in a row
    {c:s}:newbans        zset    shard 0 only: the same -> the number of its last ban, by which nodes hear of it
    {c:s}:lastban        string  shard 0 only: the last of these numbers
    {c:s}:banends        zset    shard 0 only: the same as in bans -> when its ban ends
    {c:s}:proxied        hash    shard 0 only: bytes that went by proxies, budget of them (0: none)
    {c:s}:proxied:RUN    string  shard 0 only: how many of them were this run's so far, for a week
    {c:robots}:ORIGIN    string  what is known of an origin's robots.txt, packed, until it expires
    {c:robots}:claim ORIGIN  string  a node is fetching it
    {c:robots}:room PERIOD   string  the bytes of the texts of robots.txt that were stored in a period
    {c:robots}:flow      hash    node -> how its visits flow, and when it reported (JSON)
    {c:robots}:report NODE   string  what a node tells a view of the whole crawl (JSON), for some seconds
    {c:robots}:watched   string  somebody looks at all nodes, until it expires
    {c:robots}:wanted NODE   string  how many contexts are wanted of it by hand, until it has read that
    {c:robots}:feeds     set     nodes that feed the crawl from sitemaps, or died over it
    {c:robots}:feed NODE string  it still does, until the key expires

All other times are virtual milliseconds.
"""

import re
from dataclasses import dataclass
from typing import Protocol

from farm.model.errors import UsageError

_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")
_GENERATION = re.compile(rb"\{[^{}]+\}:([0-9a-f]{11}):")
NO_GENERATION = "0" * 11


class KeyedCrawl(Protocol):
    """A crawl, as far as its keys go. A later generation is the greater text."""

    @property
    def name(self) -> str:
        """What the user calls it."""
        ...

    @property
    def generation(self) -> str:
        """Which of the crawls that had this name, 11 hex digits."""
        ...


class Sharded(KeyedCrawl, Protocol):
    """The same, and how many shards it has."""

    @property
    def shards(self) -> int:
        """How many there are."""
        ...


@dataclass(frozen=True, slots=True)
class Handle:
    """A crawl of which nothing else is known."""

    name: str
    generation: str = NO_GENERATION
    shards: int = 1


def is_name(crawl: str) -> bool:
    """Whether a crawl may have this name, which can stand in a key."""
    return _NAME.match(crawl) is not None


def check_name(crawl: str) -> str:
    """Return the crawl's name when it can stand in a key."""
    if not is_name(crawl):
        raise UsageError(
            f"The crawl name {crawl!r} cannot be used; take 1 to 64 letters, digits, dots, dashes or underscores."
        )
    return crawl


def prefix(of: KeyedCrawl, shard: int = 0) -> str:
    """Return what all keys of a shard begin with."""
    return f"{{{of.name}:{shard}}}:{of.generation}:"


def ctl(of: KeyedCrawl, shard: int = 0) -> str:
    """Return the key of the counters, from which a script derives every other key."""
    return prefix(of, shard) + "ctl"


def guard(key: str) -> str:
    """Return a key in the same slot that never exists."""
    return f"{key[: key.index('}') + 1]}:absent"


def crawl(name: str, shard: int = 0) -> str:
    """Return the key of what every node of a crawl must know; the same for all generations."""
    return f"{{{name}:{shard}}}:crawl"


def dead(of: KeyedCrawl, shard: int) -> str:
    """Return the key of a shard's dead letters."""
    return prefix(of, shard) + "dead"


def failed(of: KeyedCrawl, shard: int) -> str:
    """Return the key of what is known of a shard's failed visits."""
    return prefix(of, shard) + "failed"


def hooks(of: KeyedCrawl, shard: int) -> str:
    """Return the key of the events that wait for the crawl's webhook."""
    return prefix(of, shard) + "hooks"


def hooked(of: KeyedCrawl, shard: int) -> str:
    """Return the key that says that a shard's events are kept."""
    return prefix(of, shard) + "hooked"


def hook_claim(of: KeyedCrawl) -> str:
    """Return the key of the node that delivers the events."""
    return prefix(of) + "hookclaim"


def limits(of: KeyedCrawl, shard: int) -> str:
    """Return the key of what the user's tables say of single sites."""
    return prefix(of, shard) + "limits"


def scope(of: KeyedCrawl) -> str:
    """Return the key of the sites that were added to the crawl's scope."""
    return prefix(of) + "scope"


def asked(of: KeyedCrawl) -> str:
    """Return the key of the renderers that the crawl's seeds ask for."""
    return prefix(of) + "asked"


def proxied(of: KeyedCrawl) -> str:
    """Return the key of how many bytes went by the proxies."""
    return prefix(of) + "proxied"


def finished(of: KeyedCrawl) -> str:
    """Return the key of how the crawl was fed that came to its end."""
    return prefix(of) + "finished"


def robots(of: KeyedCrawl, origin: str) -> str:
    """Return the key of what is known of an origin's robots.txt."""
    return f"{_beside(of)}{origin}"


def robots_claim(of: KeyedCrawl, origin: str) -> str:
    """Return the key that says that an origin's robots.txt is being fetched."""
    return f"{_beside(of)}claim {origin}"


def robots_room(of: KeyedCrawl, period: int) -> str:
    """Return the key of how many bytes of robots.txt were stored in a period."""
    return f"{_beside(of)}room {period}"


def feeds(of: KeyedCrawl) -> str:
    """Return the key of the nodes that feed the crawl from elsewhere."""
    return f"{_beside(of)}feeds"


def feed(of: KeyedCrawl, node: str) -> str:
    """Return the key that says that a node still feeds the crawl."""
    return f"{_beside(of)}feed {node}"


def flow(of: KeyedCrawl) -> str:
    """Return the key of what the nodes have measured."""
    return f"{_beside(of)}flow"


def report(of: KeyedCrawl, node: str) -> str:
    """Return the key of what a node tells a view of the whole crawl."""
    return f"{_beside(of)}report {node}"


def watched(of: KeyedCrawl) -> str:
    """Return the key that says that somebody looks at all nodes."""
    return f"{_beside(of)}watched"


def wanted(of: KeyedCrawl, node: str) -> str:
    """Return the key of how many contexts are wanted of a node by hand."""
    return f"{_beside(of)}wanted {node}"


def every_key(crawl: str) -> str:
    """Return a SCAN pattern for all keys of a crawl."""
    return f"{{{crawl}:*}}:*"


def generation_of(key: bytes) -> str | None:
    """Return the generation that a key belongs to; None for one that belongs to none."""
    match = _GENERATION.match(key)
    return match[1].decode() if match else None


def name_of(key: bytes) -> bytes:
    """Return what stands in a key behind its tag and its generation."""
    match = _GENERATION.match(key)
    return key[match.end() :] if match else key.partition(b"}:")[2]


def _beside(of: KeyedCrawl) -> str:
    return f"{{{of.name}:robots}}:{of.generation}:"
