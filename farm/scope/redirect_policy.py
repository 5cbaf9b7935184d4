"""Redirects: the final address of a visit is judged, and may add another host of the site to the scope."""

from dataclasses import replace

from farm.model.outcome import RedirectOutcome
from farm.model.page import RenderedPage
from farm.model.task import UrlTask
from farm.scope.canonical import CanonicalUrl
from farm.scope.links import LinkSorter
from farm.scope.robots import directives_of
from farm.scope.rules import ScopeKind, ScopeRules


class RedirectPolicy:
    """Judges final addresses by the rules of the crawl, and extends the scope by the redirects of seeds."""

    def __init__(self, rules: ScopeRules, links: LinkSorter) -> None:
        self._rules = rules
        self._links = links

    def judge(self, task: UrlTask, page: RenderedPage) -> RedirectOutcome:
        """Return what follows from the page's final address for a visit to `task`.

        A page that changes its address itself on its own site (`pushState`) counts as the same page. In a scope of
        kind `page` a redirect may lead anywhere: the user asked for what the address shows.
        """
        outcome = self._judged(task, page)
        nofollow = directives_of(page.headers, page.robots).nofollow
        return replace(outcome, nofollow=True) if nofollow else outcome

    def _judged(self, task: UrlTask, page: RenderedPage) -> RedirectOutcome:
        final = self._links.canonical(page.final_url)
        if not isinstance(final, CanonicalUrl) or (not page.redirects and final.site == task.site):
            return RedirectOutcome()
        addresses = (*page.redirects[1:], page.final_url) if page.redirects else ()
        seen = tuple(self._links.fingerprints(addresses))
        if self._rules.kind is ScopeKind.PAGE:
            return RedirectOutcome(seen)
        extension = None
        if task.depth == 0:
            extension = self._rules.extension(task.url, final.url)
            if extension is not None:
                self._rules.extend(extension)
        reason = self._rules.judge(final.url, task.depth)
        # A skipped address may be reached by another rule or another scope: it is not marked as seen.
        return RedirectOutcome(() if reason else seen, reason, extension)
