"""Which renderer visits a page by `--render auto`, and when its page is compared with the browser's.

A renderer that costs less than the browser is used for a template of addresses once enough comparisons agree, and
goes on being audited. Two bounds decide, both of them one-sided exact binomial bounds (Clopper and Pearson, 1934)
for a run of comparisons none of which differs: of a share p of pages that differ, n in a row agree with a chance
of (1 - p)^n. So n comparisons without a difference show at the confidence 1 - a that at most 1 - a^(1/n) differ.

- `LEARNING`: the browser's pages are kept; its visits are compared, all at first, fewer after each difference.
- `PROVISIONAL`: the site's comparisons show that at most `first_tolerance` of its pages differ. The renderer is
  used and audited often; none of its pages is confirmed before the template is proven, so that all are visited
  again if an audit differs. Comparisons of all templates of the site that have no difference count together, so
  that a uniform site is learnt in about 30 pages.
- `PROVEN`: at most `tolerance` differ. An audit that agrees confirms the pages before it.

A difference returns the template to `LEARNING`, and the next proof must hold at half of the risk, so that the
risk of all attempts together stays below 1 - `confidence`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cache
from math import ceil, log

from farm.model.page import Renderer
from farm.model.tiers import MOST_PENDING, Evidence, TierNote, TierState


@dataclass(frozen=True, slots=True)
class TierParams:
    """At most `tolerance` of a template's pages may differ from the browser's, at this `confidence`.

    `first_tolerance` is enough to use a renderer provisionally, after `least` comparisons of the template's own.
    `own_tolerance` is what the template's own comparisons have to show where the site's count with them. The
    shares are those of audits: while provisional, at first, and in the end. Between the last two the share is
    `steady` by the pages that were taken at the site, so that the bound on what differs stays the same share of
    them. `rare` is the least share of comparisons that a renderer gets that has differed often.
    """

    tolerance: float = 0.02
    confidence: float = 0.95
    first_tolerance: float = 0.1
    own_tolerance: float = 0.05
    least: int = 5
    provisional_share: float = 0.1
    first_share: float = 0.05
    last_share: float = 0.01
    steady: float = 150.0
    rare: float = 0.01


class Stage(IntEnum):
    """How well a renderer's results are shown to equal the browser's."""

    LEARNING = 0
    PROVISIONAL = 1
    PROVEN = 2


@dataclass(frozen=True, slots=True)
class RenderPlan:
    """How a page is visited: the record is that of `renderer`.

    Where `compared` names renderers, the record is the browser's, and theirs are compared with it. `share` is the
    chance per mille with which the visit is an audit of the renderer in use, 0 where none is in use. `used` is
    that renderer, whoever renders the record, and `known` are the counts of each when the visit was planned.
    """

    renderer: Renderer
    compared: tuple[Renderer, ...] = ()
    used: Renderer | None = None
    share: int = 0
    known: Mapping[Renderer, TierState] = field(default_factory=dict, repr=False)

    def note(self, renderer: Renderer, evidence: Evidence, params: TierParams, example: str = "") -> TierNote:
        """Return the visit's result for a renderer, as it is stored."""
        state = self.known.get(renderer, TierState())
        is_used = renderer is self.used
        confirms = state.taken if is_used and stage_of(state, params) is Stage.PROVEN else 0
        return TierNote(renderer, evidence, state.failures, confirms, self.share if is_used else 0, example)


BY_BROWSER = RenderPlan(Renderer.BROWSER)


@cache
def needed(tolerance: float, risk: float) -> int:
    """Return how many comparisons have to agree in a row to show that at most `tolerance` differ."""
    return ceil(log(risk) / log(1 - tolerance))


def stage_of(state: TierState, params: TierParams) -> Stage:
    """Return the stage of the renderer at the template."""
    risk = (1 - params.confidence) / 2 ** min(state.failures + 1, 64)
    if state.agreed >= needed(params.tolerance, risk):
        return Stage.PROVEN
    if state.failures:
        return Stage.PROVISIONAL if state.agreed >= needed(params.first_tolerance, risk) else Stage.LEARNING
    if state.pooled >= needed(params.tolerance, risk) and state.agreed >= needed(params.own_tolerance, risk):
        return Stage.PROVEN
    first = needed(params.first_tolerance, 1 - params.confidence)
    return Stage.PROVISIONAL if state.pooled >= first and state.agreed >= params.least else Stage.LEARNING


def chances_of(fingerprint: str) -> tuple[float, float]:
    """Return the two random numbers in [0, 1) of a URL, from its fingerprint under the crawl's secret key.

    They are the same on each visit: an audit that is lost, with its node or its lease, is an audit when the URL is
    visited again. With new numbers those that take longest, which are those that differ, would be lost more often.
    """
    bits = int(fingerprint or "0", 16)
    return (bits >> 32 & 0xFFFFFFFF) / 2**32, (bits & 0xFFFFFFFF) / 2**32


def audit_share(state: TierState, stage: Stage, params: TierParams) -> int:
    """Return the chance per mille with which a visit by this renderer is an audit."""
    if stage is Stage.LEARNING:
        return 0
    if stage is Stage.PROVISIONAL:
        return round(1000 * params.provisional_share)
    falling = params.steady / max(state.site_taken, 1)
    return round(1000 * min(params.first_share, max(params.last_share, falling)))


def learning_share(state: TierState, params: TierParams) -> float:
    """Return the share of visits in which a renderer that is not used is compared."""
    return max(params.rare, 0.5 ** min(state.failures, 64))


def plan_visit(
    known: Mapping[Renderer, TierState],
    renderers: Sequence[Renderer],
    chance: float,
    other_chance: float,
    params: TierParams,
) -> RenderPlan:
    """Return how the next page of a template is visited.

    `known` are the counts of each renderer there, none of one that is missing; `renderers` are the available ones
    beside the browser, the cheapest first; `chance` and `other_chance` are random numbers in [0, 1).
    """
    states = {one: known.get(one, TierState()) for one in renderers}
    stages = {one: stage_of(state, params) for one, state in states.items()}
    used = next((one for one in renderers if stages[one] is not Stage.LEARNING), None)
    # What costs more than the renderer in use is of no use itself.
    cheaper = renderers if used is None else renderers[: renderers.index(used)]
    learning = tuple(one for one in cheaper if other_chance < learning_share(states[one], params))
    if used is None:
        return RenderPlan(Renderer.BROWSER, learning, known=states)
    share = audit_share(states[used], stages[used], params)
    # Pages are not to wait for their confirmation in any number: where chance is late, the audit is certain.
    most = MOST_PENDING // (4 if stages[used] is Stage.PROVEN else 2)
    if states[used].crowded or states[used].pending >= most:
        return RenderPlan(Renderer.BROWSER, (*learning, used), used, 1000, states)
    if chance * 1000 < share:
        return RenderPlan(Renderer.BROWSER, (*learning, used), used, share, states)
    return RenderPlan(used, (), used, share, states)
