"""The proxies file: read at the start, and again whenever it changes.

What always holds: every proxy has a label without credentials, unique in the file, by which the rest of the farm
names it; a file that has become unreadable or empty leaves the last good list in force.
"""

from collections import Counter
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path

from farm.egress.proxies import BadProxyLine, ProxyList, Upstream, parse_proxies
from farm.model.errors import UsageError

LARGEST_BYTES = 10_000_000


class ProxyFile:
    """A path, and what stood there last."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.upstreams: Mapping[str, Upstream] = {}
        self.bad: tuple[BadProxyLine, ...] = ()
        self._seen: tuple[int, int, int] | None = None

    def read(self) -> None:
        """Read it; raises UsageError where it gives no proxy, and leaves what was known then."""
        try:
            about = self.path.stat()
            self._seen = (about.st_mtime_ns, about.st_size, about.st_ino)
            with self.path.open(encoding="utf-8") as file:
                found = parse_proxies(file.read(LARGEST_BYTES))
        except OSError as error:
            raise UsageError(f"--proxies {self.path} cannot be read ({error.strerror}).") from None
        except UnicodeDecodeError:
            raise UsageError(f"--proxies {self.path} is no text in UTF-8.") from None
        self.bad = found.bad
        if not found.upstreams:
            why = f"{found.bad[0]}; " if found.bad else ""
            raise UsageError(f"--proxies {self.path} names no proxy; {why}write one URL a line.")
        self.upstreams = labelled(found)

    def changed(self) -> bool:
        """Whether the file is another than the one that was read last."""
        try:
            about = self.path.stat()
        except OSError:
            return False  # it is being replaced, or gone: the list that is known stays
        return (about.st_mtime_ns, about.st_size, about.st_ino) != self._seen


def labelled(found: ProxyList) -> dict[str, Upstream]:
    """Name each proxy by its address; those that share one and differ in credentials get a mark as well."""
    times = Counter(str(upstream) for upstream in found.upstreams)
    return {
        str(upstream) if times[str(upstream)] == 1 else f"{upstream}#{_mark(upstream)}": upstream
        for upstream in found.upstreams
    }


def _mark(upstream: Upstream) -> str:
    """Return the same mark for the same credentials on every node; it is too short to tell anything of them."""
    pair = f"{upstream.user.reveal()}\n{upstream.password.reveal()}"
    return blake2b(pair.encode(), digest_size=3).hexdigest()
