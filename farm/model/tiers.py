"""Results of visits for the renderers that cost less than the browser, and their sums over all nodes.

A renderer is judged for one template of addresses at a time. Its pages are compared with the browser's: all of
them at first, and a share of them for as long as it is used.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from farm.model.page import Renderer


class Evidence(StrEnum):
    """The result of a visit for a renderer."""

    TAKEN = "taken"
    """Its page was kept, without a comparison."""
    AGREED = "agreed"
    """Its page and the browser's are the same."""
    DIFFERED = "differed"
    """They differ."""
    UNFIT = "unfit"
    """It could not render the page; the browser did."""


@dataclass(frozen=True, slots=True)
class TierNote:
    """The result of one visit for one renderer.

    `failures` is how many of the template's comparisons had differed when the visit was planned: where there are
    more by now, a page that was taken is visited again. `confirms` is how many pages an audit that agrees
    confirms. `share` is the chance per mille that such a visit is an audit, 0 for a comparison of a renderer that
    is not used. `example` says how the pages differ, or why the renderer was unfit.
    """

    renderer: Renderer
    evidence: Evidence
    failures: int = 0
    confirms: int = 0
    share: int = 0
    example: str = ""


@dataclass(frozen=True, slots=True)
class TierNotes:
    """The results of one visit for the renderers at its template."""

    template: str
    notes: tuple[TierNote, ...]

    @property
    def is_taken(self) -> bool:
        """Whether the page is a cheaper renderer's, and was not compared."""
        return any(one.evidence is Evidence.TAKEN for one in self.notes)

    def without_taken(self) -> "TierNotes | None":
        """Return the results that count where no page is kept; None if there are none."""
        notes = tuple(one for one in self.notes if one.evidence is not Evidence.TAKEN)
        return TierNotes(self.template, notes) if notes else None


@dataclass(frozen=True, slots=True)
class TierState:
    """The counts of one renderer at one template, over all nodes.

    `agreed` comparisons in a row have agreed since the last of the `failures`. It was unfit for the last `unfit`
    visits. `taken` pages were kept without a comparison so far; the first `confirmed` of them are
    confirmed, or were queued again. `pooled` comparisons agreed at the site's templates that have no failure, and
    `site_taken` pages were kept at the site without a comparison. `crowded` says that more pages wait for their
    confirmation than may, at all templates of the shard together.
    """

    agreed: int = 0
    failures: int = 0
    unfit: int = 0
    taken: int = 0
    confirmed: int = 0
    pooled: int = 0
    site_taken: int = 0
    crowded: bool = False

    @property
    def pending(self) -> int:
        """How many pages are visited again if the next comparison differs."""
        return self.taken - self.confirmed


@dataclass(frozen=True, slots=True)
class TierCounts:
    """The results of a crawl's cheap renderers.

    `pages` are those that were kept without a comparison, by renderer, and `pages_by_share` the same by the chance
    per mille that their visit had been an audit. Of the `audits`, `differed` did not agree. `requeued` pages were
    queued to be visited again by the browser. `compared` visits were comparisons of a renderer that was not used.
    """

    pages: Mapping[Renderer, int] = field(default_factory=dict)
    pages_by_share: Mapping[int, int] = field(default_factory=dict)
    audits: int = 0
    differed: int = 0
    compared: int = 0
    requeued: int = 0
    templates: int = 0

    @property
    def cheap(self) -> int:
        """How many pages were kept without a comparison."""
        return sum(self.pages.values())


MOST_PENDING = 2_000
"""Pages of one template and renderer that wait for their confirmation: the next ones are the browser's. As in
`lua/lib/tiers.lua`, where the other bounds stand."""
EXAMPLE_CHARS = 300
