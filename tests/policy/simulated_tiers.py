"""A crawl by `--render auto` on a clock that counts visits: sites of several minds, and what they were taken for.

A site says what each renderer is shown of a page at a moment, and the simulation knows which records are not what
the browser would have brought at that moment. Several visits are under way at once; they end in any order.
"""

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from farm.model.page import Link, RenderedPage, Renderer
from farm.model.tiers import Evidence, TierNotes
from farm.policy.error_bound import most_wrong
from farm.policy.page_diff import MOST_VISITS, PageFacts, difference
from farm.policy.tiers import BY_BROWSER, RenderPlan, TierParams, plan_visit
from tests.policy.tier_model import TierModel

AT_ONCE = 12
BOUND_EVERY = 100
"""After so many visits the bound is held against the truth."""
Shown = tuple[str, ...] | None
Show = Callable[[Renderer, int, int, Random], Shown]
"""Returns what is shown of a page at a moment (a count of visits): lines; None if the renderer is unfit."""


@dataclass
class Result:
    """What a simulated crawl came to."""

    wrong: int = 0
    """Records that are not what the browser would have brought."""
    bound: int = 0
    is_exceeded: bool = False
    """Whether there were more wrong records than the bound said, at the end or at any look before it."""
    kept: Counter[Renderer] = field(default_factory=Counter)
    """Records by renderer."""
    browser_visits: int = 0
    first_difference: int = 0
    """At which visit an audit differed first; 0 where none did."""
    model: TierModel = field(default_factory=TierModel)


@dataclass(frozen=True)
class _Visit:
    page: int
    template: str
    plan: RenderPlan
    began: int


class Simulation:
    """A crawl of pages 0 to `pages` - 1 of one site; `template_of` says of which kind a page is."""

    def __init__(
        self,
        pages: int,
        show: Show,
        seed: int,
        template_of: Callable[[int], str] = lambda _: "a/#",
        params: TierParams | None = None,
    ) -> None:
        self._random = Random(seed)
        self._show = show
        self._template_of = template_of
        self._params = params or TierParams()
        self._queue = deque((page, False) for page in range(pages))
        self._now = 0
        self._record: dict[int, tuple[Renderer, bool]] = {}
        self.result = Result()

    def run(self) -> Result:
        """Crawl to the end."""
        under_way: list[_Visit] = []
        while self._queue or under_way:
            while self._queue and len(under_way) < AT_ONCE:
                under_way.append(self._begin(*self._queue.popleft()))
            self._end(under_way.pop(self._random.randrange(len(under_way))))
            if self._now % BOUND_EVERY == 0:
                self._look()
        self._look()
        self.result.kept = Counter(renderer for renderer, _ in self._record.values())
        return self.result

    def _look(self) -> None:
        """Hold the bound against the truth of this moment."""
        result, model = self.result, self.result.model
        result.wrong = sum(is_wrong for _, is_wrong in self._record.values())
        result.bound = most_wrong(model.pages_by_share, model.sums["differed"])
        result.is_exceeded = result.is_exceeded or result.wrong > result.bound

    def _begin(self, page: int, is_again: bool) -> _Visit:
        template, draw = self._template_of(page), self._random.random
        known = self.result.model.known(template)
        plan = plan_visit(known, (Renderer.FETCH,), draw(), draw(), self._params)
        self._now += 1
        return _Visit(page, template, BY_BROWSER if is_again else plan, self._now)

    def _end(self, visit: _Visit) -> None:
        result, plan = self.result, visit.plan
        notes = [plan.note(one, self._compared(visit, one), self._params) for one in plan.compared]
        renderer, is_wrong = plan.renderer, False
        if renderer is not Renderer.BROWSER:
            shown = self._shown(renderer, visit)
            evidence = Evidence.TAKEN if shown is not None else Evidence.UNFIT
            notes.append(plan.note(renderer, evidence, self._params))
            is_wrong = shown is not None and self._difference(visit, shown) is not None
            renderer = renderer if shown is not None else Renderer.BROWSER
        result.browser_visits += renderer is Renderer.BROWSER
        self._record[visit.page] = renderer, is_wrong
        for page in result.model.note(TierNotes(visit.template, tuple(notes)), visit.page):
            self._queue.append((page, True))
            # It is known to be uncertain until it is visited again.
            self._record.pop(page, None)
        if result.model.sums["differed"] and not result.first_difference:
            result.first_difference = self._now

    def _compared(self, visit: _Visit, renderer: Renderer) -> Evidence:
        shown = self._shown(renderer, visit)
        if shown is None:
            return Evidence.UNFIT
        return Evidence.DIFFERED if self._difference(visit, shown) is not None else Evidence.AGREED

    def _difference(self, visit: _Visit, shown: tuple[str, ...]) -> str | None:
        """Return the difference as a slot finds it: by further visits of the browser."""
        cheap, browser = [_facts(shown)], [_facts(self._shown(Renderer.BROWSER, visit) or ())]
        found = difference(browser, cheap)
        while found is not None and len(cheap) < MOST_VISITS:
            if len(browser) > 1 and browser[0] == browser[1]:
                break
            renderer, into = (
                (Renderer.FETCH, cheap) if len(cheap) < len(browser) else (Renderer.BROWSER, browser)
            )
            into.append(_facts(self._shown(renderer, visit) or ()))
            found = difference(browser, cheap)
        return found

    def _shown(self, renderer: Renderer, visit: _Visit) -> Shown:
        return self._show(renderer, visit.page, visit.began, self._random)


def _facts(lines: tuple[str, ...]) -> PageFacts:
    page = RenderedPage(
        "http://a/",
        200,
        {},
        "text/html",
        lines[0] if lines else "",
        "\n".join(lines),
        links=(Link("http://a/1"),),
    )
    return PageFacts.of(page, None)
