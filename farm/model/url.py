"""Identities made from a canonical URL: its fingerprint in the frontier and its id in a sink.

Both are functions of the canonical text alone (and of a key), so that any node computes the same.
Making a URL canonical is scope's work; here every URL is taken as canonical already.
"""

from hashlib import blake2b

FINGERPRINT_BYTES = 8
RECORD_ID_BYTES = 16


def fingerprint(url: str, key: bytes) -> str:
    """Return the 64-bit keyed fingerprint of a canonical URL as 16 hex digits.

    The key is secret and belongs to the crawl: without it nobody can construct two URLs that collide,
    so that a hostile site cannot hide pages from the crawl.
    """
    return blake2b(url.encode(), digest_size=FINGERPRINT_BYTES, key=key).hexdigest()


def record_id(crawl: str, url: str) -> str:
    """Return a record's id, 32 hex digits: a function of the crawl's name and the canonical URL."""
    return blake2b(f"{crawl}\0{url}".encode(), digest_size=RECORD_ID_BYTES).hexdigest()
