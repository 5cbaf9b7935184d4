"""When a context is replaced before its next URL: by rule, or because of its resource use."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median

from farm.model.memory import MIB

_EARLY = 3
"""A context counts as new up to this many pages."""
_KEPT = 8


@dataclass(frozen=True, slots=True)
class RecycleParams:
    """A context serves at most `pages` visits; with `per_url` every URL has a context of its own.

    The others are limits of its use: its age, the growth of its memory (in bytes, and as a multiple of a new
    context), and how many times slower its navigations are than those of the other contexts.
    """

    pages: int = 100
    per_url: bool = False
    age_s: float = 1800.0
    grown_bytes: int = 96 * MIB
    grown_times: float = 2.5
    slower_times: float = 3.0
    slower_ms: float = 250.0


@dataclass(frozen=True, slots=True)
class ContextUsage:
    """The resource use of a context. `navigate_ms` are its last navigations."""

    opened_at: float = 0.0
    pages: int = 0
    early_bytes: int = 0
    used_bytes: int = 0
    navigate_ms: tuple[int, ...] = ()

    def after(self, navigate_ms: int | None) -> "ContextUsage":
        """Return the usage after one more page; `navigate_ms` is None if the navigation failed."""
        kept = self.navigate_ms if navigate_ms is None else (*self.navigate_ms, navigate_ms)[-_KEPT:]
        return replace(self, pages=self.pages + 1, navigate_ms=kept)

    def measured(self, used_bytes: int) -> "ContextUsage":
        """Return the usage after a reading of its memory; it is compared with the smallest of its first pages."""
        early = self.early_bytes
        if early == 0 or self.pages <= _EARLY:
            early = min(early, used_bytes) if early and self.pages else used_bytes
        return replace(self, used_bytes=used_bytes, early_bytes=early)

    @property
    def pace_ms(self) -> float | None:
        """The median of its last navigations; None while there are too few."""
        return median(self.navigate_ms) if len(self.navigate_ms) == _KEPT else None


def reason_to_recycle(
    served: int, context_site: str | None, next_site: str, params: RecycleParams
) -> str | None:
    """Return why the context must be closed before it visits `next_site`: `site`, `pages`, `url`, or None.

    A context never serves two sites: cookies and storage of one must not reach the other.
    """
    if served == 0:
        return None
    if context_site != next_site:
        return "site"
    if params.per_url:
        return "url"
    return "pages" if served >= params.pages else None


def reason_to_replace(
    usage: ContextUsage, now: float, others_pace_ms: Sequence[float], params: RecycleParams
) -> str | None:
    """Return why the context should be replaced once its successor is open: `age`, `memory`, `slow`, or None."""
    if usage.pages and now - usage.opened_at >= params.age_s:
        return "age"
    grown = usage.used_bytes - usage.early_bytes
    if grown >= params.grown_bytes and usage.used_bytes >= params.grown_times * usage.early_bytes > 0:
        return "memory"
    if usage.pace_ms is not None and others_pace_ms:
        usual = median(others_pace_ms)
        if usage.pace_ms >= params.slower_times * usual and usage.pace_ms - usual >= params.slower_ms:
            return "slow"
    return None
