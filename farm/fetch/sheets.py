"""The style sheets of a node's pages, fetched once for each site: they decide what is visible.

Invariants: their number and size have a bound, and the oldest are dropped first; sheets of one site are not
used for another.
"""

from collections import OrderedDict
from collections.abc import Sequence

MOST_SHEETS = 500
MOST_BYTES = 32 * 2**20
MOST_SITES = 500
TRY_AGAIN_PAGES = 50
"""After so many pages of its site a sheet that could not be had is asked for again."""


class SheetCache:
    """The sheets by site and address; one that could not be fetched is empty."""

    def __init__(self) -> None:
        self._sheets: OrderedDict[tuple[str, str], bytes] = OrderedDict()
        self._lacking: dict[tuple[str, str], int] = {}
        self._used: OrderedDict[str, tuple[str, ...]] = OrderedDict()
        self._bytes = 0

    def expected(self, site: str) -> dict[str, bytes]:
        """Return the sheets of the site's last page that are in the cache."""
        known = ((url, self._sheets.get((site, url))) for url in self._used.get(site, ()))
        return {url: sheet for url, sheet in known if sheet is not None}

    def missing(self, site: str, urls: Sequence[str]) -> list[str]:
        """Note which sheets a page of the site has; return those that are missing in the cache."""
        self._used[site] = tuple(dict.fromkeys(urls))
        self._used.move_to_end(site)
        if len(self._used) > MOST_SITES:
            self._used.popitem(last=False)
        for url in self._used[site]:
            key = site, url
            if key in self._sheets:
                self._sheets.move_to_end(key)
            if key in self._lacking:
                self._lacking[key] -= 1
                if not self._lacking[key]:
                    del self._lacking[key], self._sheets[key]
        return [url for url in self._used[site] if (site, url) not in self._sheets]

    def keep(self, site: str, url: str, sheet: bytes | None) -> None:
        """Keep a sheet of the site; None: it could not be had, and is missing again later."""
        key, kept = (site, url), sheet or b""
        self._bytes += len(kept) - len(self._sheets.pop(key, b""))
        self._sheets[key] = kept
        self._lacking.pop(key, None)
        if sheet is None:
            self._lacking[key] = TRY_AGAIN_PAGES
        while len(self._sheets) > MOST_SHEETS or self._bytes > MOST_BYTES:
            oldest, gone = self._sheets.popitem(last=False)
            self._bytes -= len(gone)
            self._lacking.pop(oldest, None)
