"""Where a visit ended: redirects lead out of the scope, or show that the site lives on another host."""

from dataclasses import replace

from farm.model.outcome import RedirectOutcome
from farm.model.page import RenderedPage
from farm.model.task import UrlTask
from farm.scope.canonical import CanonicalUrl
from farm.scope.directives import directives_of
from farm.scope.links import LinkSorter
from farm.scope.rules import ScopeKind, ScopeRules


class RedirectPolicy:
    """Judges the end of a visit by the rules of the crawl, and extends them where a seed's redirect says so."""

    def __init__(self, rules: ScopeRules, links: LinkSorter) -> None:
        self._rules = rules
        self._links = links

    def judge(self, task: UrlTask, page: RenderedPage) -> RedirectOutcome:
        """Return what the page's final address means for a visit to `task`.

        A page that changes its address by itself on its own site (`pushState`) has not been left. In a scope of
        kind `page` a redirect is followed wherever it leads: the user asked for what that address shows.
        """
        landing = self._place(task, page)
        nofollow = directives_of(page.headers, page.robots).nofollow
        return replace(landing, nofollow=True) if nofollow else landing

    def _place(self, task: UrlTask, page: RenderedPage) -> RedirectOutcome:
        final = self._links.canonical(page.final_url)
        if not isinstance(final, CanonicalUrl) or (not page.redirects and final.site == task.site):
            return RedirectOutcome()
        stations = (*page.redirects[1:], page.final_url) if page.redirects else ()
        seen = tuple(self._links.fingerprints(stations))
        if self._rules.kind is ScopeKind.PAGE:
            return RedirectOutcome(seen)
        extension = None
        if task.depth == 0:
            extension = self._rules.extension(task.url, final.url)
            if extension is not None:
                self._rules.extend(extension)
        reason = self._rules.judge(final.url, task.depth)
        # What a refused address would have shown may still be wanted by another crawl, or under another rule:
        # it is not marked as seen.
        return RedirectOutcome(() if reason else seen, reason, extension)
