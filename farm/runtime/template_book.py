"""A node's cache of the renderers' counts at each template of addresses, and the plans of visits from it.

Redis needs no extra request: the answer to an acknowledgement of a page has the counts of its template. A node
learns the counts of a template with the first page of it that it visits.
"""

import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b

from farm.model.page import Renderer
from farm.model.task import Lease
from farm.model.tiers import TierState
from farm.policy.renderers import RendererRules, RenderMode
from farm.policy.tiers import BY_BROWSER, RenderPlan, TierParams, chances_of, plan_visit
from farm.policy.url_template import template_of

log = logging.getLogger("farm.renderers")
MOST_TEMPLATES = 20_000
_KEY_CHARS = 200
"""A longer template is known by its hash: a site can make them as long as addresses are."""
Known = Mapping[Renderer, TierState]


class TemplateBook:
    """Plans the visits of a node.

    `renderers` are those beside the browser, the cheapest first; `rules` say of which pages the renderer is to be
    chosen. `chances` returns the two random numbers in [0, 1) of a URL, by its fingerprint.
    """

    def __init__(
        self,
        renderers: Sequence[Renderer],
        params: TierParams,
        rules: RendererRules,
        chances: Callable[[str], tuple[float, float]] = chances_of,
    ) -> None:
        self._renderers = renderers
        self._rules = rules
        self._chances = chances
        self.params = params
        self._known: OrderedDict[str, Known | None] = OrderedDict()
        self._is_full_told = False

    def heard(self, template: str, known: Known | None) -> None:
        """Store the current counts of a template; None if Redis has no place for it."""
        if known is None and not self._is_full_told:
            self._is_full_told = True
            log.warning(
                "too many kinds of page to learn how each is rendered: %s and others are left to the browser",
                template[:_KEY_CHARS],
            )
        key = _key(template)
        before = self._known.pop(key, None)
        # A visit that compares one renderer says nothing of the others.
        self._known[key] = known if known is None else {**(before or {}), **known}
        if len(self._known) > MOST_TEMPLATES:
            self._known.popitem(last=False)

    def plan(self, lease: Lease) -> tuple[str, RenderPlan]:
        """Return a page's template, and the plan of its visit.

        One that was taken wrongly is the browser's, and one whose first visit failed: what failed may be that the
        renderer does not show what the user's code asks of the page. So is one that its site has put off, which it
        may do to those clients alone that are no browsers.
        """
        task = lease.task
        template, mode = template_of(task.url), self._rules.of_task(task)
        if mode is not RenderMode.AUTO:
            return template, RenderPlan(mode.renderer)
        known = self._known.get(_key(template), {})
        if task.revision or lease.attempt > 1 or lease.throttled or known is None:
            return template, BY_BROWSER
        chance, other_chance = self._chances(task.fingerprint)
        return template, plan_visit(known, self._renderers, chance, other_chance, self.params)


def _key(template: str) -> str:
    return template if len(template) <= _KEY_CHARS else blake2b(template.encode(), digest_size=16).hexdigest()
