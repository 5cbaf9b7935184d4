"""Every key of a crawl in Redis, and what stands under it.

All keys of one shard share the hash tag `{crawl:shard}`, so that a script may touch them all, on a
standalone server and on a Cluster. A script is given the shard's counters as its only declared key and
derives the others from it; what it may find there is this glossary:

    {c:s}:ctl            string  the counters (see `counters`): the ledger, the virtual clock, the terms
    {c:s}:crawl          hash    shard 0 only: schema, settings (JSON), key (fingerprint key), created_at, shards
    {c:s}:site:SITE      hash    b bands queued · f in flight · t theoretical arrival time (GCRA) · x blocked
                                 until · i interval · u burst · l limit (where they differ from the terms) ·
                                 s when the next visit may begin (GCRA of beginnings, t is that of leases) ·
                                 d crawl-delay · a what was learnt of its pace (JSON) ·
                                 f@ADDRESS, t@ADDRESS, x@ADDRESS, i@ADDRESS, s@ADDRESS, a@ADDRESS the same for
                                 one egress address
    {c:s}:out:ADDRESS    hash    an egress address: f in flight · t theoretical arrival time · s as above
                                 (without an address: s of everything together)
    {c:s}:q:BAND:SITE    list    the entries of one site and priority band, the oldest first
    {c:s}:ready:BAND     zset    the sites that have queued URLs in the band and room in flight, by the
                                 time at which they are eligible next (a block counts)
    {c:s}:slot           hash    slot -> last settlement, last request, token, site, egress address, leases in
                                 a row from that site, deadline, entry (a NUL after each but the last); no token
                                 where nothing is leased
    {c:s}:due            zset    slot -> deadline of its lease, or that of an earlier one: the record's counts
                                 where it is later
    {c:s}:delayed        zset    site and entry -> when it goes back to its queue
    {c:s}:dead           hash    id -> reason, when (the server's own time in ms), detail, site, entry
                                 (a line each)
    {c:s}:dead:REASON    zset    id -> when it was buried, likewise
    {c:s}:tally          hash    reason -> how many are dead of it
    {c:s}:outbox:SHARD   list    links (and bare fingerprints) for another shard, not yet delivered
    {c:s}:struck         hash    shard -> how many of its outbox were delivered and struck out so far
    {c:s}:once:ID        string  what a transfer of page quota came to, for an hour
    {c:s}:seen:BUCKET    set     integers: the low 52 bits of the fingerprints that are known, bit 52 set
    {c:s}:bloom:GEN:N    string  127 blocks of a Bloom filter's generation (`bloom` alone: the server's own filter)
    {c:s}:scope          set     shard 0 only: what redirects of seeds added to the scope
    {c:s}:bans           hash    shard 0 only: proxy, or proxy and site -> when its ban ends (the server's own time
                                 in ms), bans in a row
    {c:robots}:ORIGIN    string  what is known of an origin's robots.txt, packed, until it expires
    {c:robots}:claim ORIGIN  string  somebody is fetching it
    {c:robots}:flow      hash    node -> how its visits flow, and when it said so (JSON)
    {c:robots}:feeds     set     nodes that feed the crawl from sitemaps, or died over it
    {c:robots}:feed NODE string  it still does, until the key expires

All other times are virtual milliseconds. A generation (recrawl) has its place in front of the shard's number.
"""

import re

from farm.model.errors import UsageError

_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")


def check_name(crawl: str) -> str:
    """Return the crawl's name when it can stand in a key."""
    if not _NAME.match(crawl):
        raise UsageError(
            f"The crawl name {crawl!r} cannot be used; take 1 to 64 letters, digits, dots, dashes or underscores."
        )
    return crawl


def prefix(crawl: str, shard: int = 0) -> str:
    """Return what all keys of a shard begin with."""
    return f"{{{crawl}:{shard}}}:"


def ctl(crawl: str, shard: int = 0) -> str:
    """Return the key of the counters, from which a script derives every other key."""
    return prefix(crawl, shard) + "ctl"


def crawl(name: str) -> str:
    """Return the key of what every node of a crawl must know."""
    return prefix(name) + "crawl"


def dead(crawl: str, shard: int) -> str:
    """Return the key of a shard's dead letters."""
    return prefix(crawl, shard) + "dead"


def scope(crawl: str) -> str:
    """Return the key of the sites that were added to the crawl's scope."""
    return prefix(crawl) + "scope"


def robots(crawl: str, origin: str) -> str:
    """Return the key of what is known of an origin's robots.txt."""
    return f"{{{crawl}:robots}}:{origin}"


def robots_claim(crawl: str, origin: str) -> str:
    """Return the key that says that an origin's robots.txt is being fetched."""
    return f"{{{crawl}:robots}}:claim {origin}"


def feeds(crawl: str) -> str:
    """Return the key of the nodes that feed the crawl from elsewhere."""
    return f"{{{crawl}:robots}}:feeds"


def feed(crawl: str, node: str) -> str:
    """Return the key that says that a node still feeds the crawl."""
    return f"{{{crawl}:robots}}:feed {node}"


def flow(crawl: str) -> str:
    """Return the key of what the nodes have measured."""
    return f"{{{crawl}:robots}}:flow"


def every_key(crawl: str) -> str:
    """Return a SCAN pattern for all keys of a crawl."""
    return f"{{{crawl}:*}}:*"
