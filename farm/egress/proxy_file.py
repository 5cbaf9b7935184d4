"""The proxies file, which lists upstream proxies, one URL a line.

The file is read at the start, and again whenever it changes. `runtime/proxy_pool.py` chooses the proxy of a slot.

Invariants:
- A bad line is reported by its number and never quoted, since what is wrong with it may be the password.
- Every proxy has a label without credentials, unique in the file, by which the rest of the farm names it.
- If the file becomes unreadable or empty, the last good list stays in force.
"""

import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from farm.egress.upstream import Upstream
from farm.model.errors import UsageError

log = logging.getLogger("farm.proxies")
LARGEST_BYTES = 10_000_000


@dataclass(frozen=True, slots=True)
class BadProxyLine:
    """A line that cannot be parsed: its number, from 1, and what is wrong. Never quotes the line."""

    number: int
    reason: str

    def __str__(self) -> str:
        return f"line {self.number}: {self.reason}"


@dataclass(frozen=True, slots=True)
class ProxyList:
    """The parsed file: each proxy once, in file order, and the lines that cannot be parsed."""

    upstreams: tuple[Upstream, ...]
    bad: tuple[BadProxyLine, ...] = ()


def parse_proxies(text: str) -> ProxyList:
    """Parse a proxies file. Blank lines and lines that begin with `#` are skipped."""
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


class ProxyFile:
    """The file at `path`, with the proxies (`upstreams`, by label) and bad lines that it had when last read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.upstreams: Mapping[str, Upstream] = {}
        self.bad: tuple[BadProxyLine, ...] = ()
        self._seen: tuple[int, int, int] | None = None

    def read(self) -> None:
        """Read the file. Raises UsageError, and keeps the previous list, if it names no proxy."""
        try:
            about = self.path.stat()
            self._seen = (about.st_mtime_ns, about.st_size, about.st_ino)
            with self.path.open(encoding="utf-8") as file:
                found = parse_proxies(file.read(LARGEST_BYTES))
        except OSError as error:
            raise UsageError(
                f"--proxies {self.path} cannot be read ({error.strerror}); give a file with one URL a line."
            ) from None
        except UnicodeDecodeError:
            raise UsageError(f"--proxies {self.path} is not UTF-8 text.") from None
        self.bad = found.bad
        if not found.upstreams:
            why = f"{found.bad[0]}; " if found.bad else ""
            raise UsageError(f"--proxies {self.path} names no proxy; {why}write one URL a line.")
        self.upstreams = labelled(found)

    def refresh(self) -> bool:
        """Read the file again if it has changed; return whether that gave a list. Logs what is wrong."""
        if not self._changed():
            return False
        try:
            self.read()
        except UsageError as error:
            log.warning("%s The list before it stays in force.", error)
            return False
        for bad in self.bad:
            log.warning("%s, %s", self.path, bad)
        log.info("%s was read again: %d proxies", self.path, len(self.upstreams))
        return True

    def _changed(self) -> bool:
        try:
            about = self.path.stat()
        except OSError:
            return False  # it is being replaced, or gone: keep the current list
        return (about.st_mtime_ns, about.st_size, about.st_ino) != self._seen


def labelled(found: ProxyList) -> dict[str, Upstream]:
    """Return the proxies by label: the address, plus a hash of the credentials if several share the address."""
    times = Counter(str(upstream) for upstream in found.upstreams)
    return {
        str(upstream) if times[str(upstream)] == 1 else f"{upstream}#{_credentials_hash(upstream)}": upstream
        for upstream in found.upstreams
    }


def _credentials_hash(upstream: Upstream) -> str:
    """Return a short hash of the credentials, the same on every node and too short to reveal them."""
    pair = f"{upstream.user.reveal()}\n{upstream.password.reveal()}"
    return blake2b(pair.encode(), digest_size=3).hexdigest()
