"""Fakes of the ports by which a worker goes out: its port of the gateway, and its route."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from farm.model.egress import AllProxiesBanned, EgressFailure
from farm.policy.proxies import Outcome


@dataclass
class FakeSlotEgress:
    """Knows of the failures that the test names."""

    found: EgressFailure | None = None
    lacks: EgressFailure | None = None
    proxy_url: str = "http://127.0.0.1:1"
    bytes_received: int = 123
    waited_s: float = 0.0
    ask: Callable[[str], Awaitable[bool]] | None = None
    asked_for: list[str] = field(default_factory=list)
    retries: list[bool] = field(default_factory=list)

    def begin(
        self, url: str = "", ask: Callable[[str], Awaitable[bool]] | None = None, *, is_retry: bool = False
    ) -> None:
        """Keep what documents wait for, and whether it is a retry."""
        self.ask = ask
        self.retries.append(is_retry)

    def failure(self, url: str) -> EgressFailure | None:
        """Say how the main request failed."""
        self.asked_for.append(url)
        return self.found

    def shortfall(self, url: str) -> EgressFailure | None:
        """Say what the page lacks."""
        return self.lacks


@dataclass
class FakeRoute:
    """A proxy named `label`, or a direct connection; every report is the `count`th of its kind."""

    label: str | None = None
    address: str = ""
    all_banned: AllProxiesBanned | None = None
    usable: bool = True
    count: int = 1
    reports: list[tuple[str, Outcome]] = field(default_factory=list)
    released: int = 0
    waited: int = 0

    def acquire(self, site: str | None) -> bool:
        """Say whether it may be used."""
        return self.usable

    def wait_or_fail(self) -> None:
        """Count it."""
        self.waited += 1

    def acquire_for(self, site: str) -> AllProxiesBanned | None:
        """Say whether the site may be visited."""
        return self.all_banned

    def report(self, url_id: str, site: str, outcome: Outcome, latency_ms: float | None = None) -> int:
        """Note it."""
        self.reports.append((url_id, outcome))
        return self.count

    def yield_trial(self, site: str | None) -> None:
        """Do nothing."""

    def release(self) -> None:
        """Count it."""
        self.released += 1


@dataclass
class FakeRepeatedEgress:
    """Notes each further visit of a page, and whether it was aside; its site puts it off where that is said."""

    is_put_off: bool = False
    again: list[str] = field(default_factory=list)
    _is_aside: bool = False

    def begin_again(self) -> None:
        """Note it."""
        self.again.append("aside" if self._is_aside else "again")

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Note what is visited meanwhile."""
        self._is_aside = True
        try:
            yield
        finally:
            self._is_aside = False
