"""Templates of addresses that all show the same content: counted as pages are visited, then skipped.

What a template is: `policy/url_template.py`. Invariants: a page with new content weighs more than one that
repeats another, so that a catalogue of different pages is crawled whole; a stopped template is visited now and
then, and is visited again when it shows new content (the site may have been out of order); memory is bounded. Each
node has its own counts, so that several nodes let a few more pages through. Pages of a cheaper renderer that
nothing has compared with the browser's stop no template by themselves: all are the same where a site begins to
leave its content to scripts, and a URL that is skipped for that is not visited again when the difference is found.

The hash routes of a document (`/app#/a`) are judged together, and sooner: that its script listens to the fragment
does not say that it shows anything else for it. There the text alone counts, and the document without a route too.
"""

import logging
from collections import Counter, OrderedDict
from dataclasses import dataclass
from hashlib import blake2b
from http import HTTPStatus

from farm.model.page import ContentHash, RenderedPage
from farm.model.tiers import Evidence
from farm.policy.url_template import template_of

log = logging.getLogger("farm.scope")


@dataclass(frozen=True, slots=True)
class DuplicateParams:
    """A template is stopped at a score of `most`.

    A page that repeats another adds 1 to the score, a new one takes `new_page_credit` off; the last `certain` must
    be pages that the browser, or another renderer by the user's own word, has brought. Of the addresses of a
    stopped template one in `revisit_every` is visited. A text of fewer than `short` characters says little about a
    page: there the HTML is compared. `remembered` pages, with addresses of `remembered_chars` in all, and
    `templates` are kept in memory.

    The routes of a document are stopped once `routes_most` of them show nothing new, and `repeats_per_route` times
    as many as show something new.
    """

    most: int = 50
    certain: int = 3
    new_page_credit: int = 10
    revisit_every: int = 50
    short: int = 100
    remembered: int = 50_000
    remembered_chars: int = 8_000_000
    templates: int = 20_000
    routes_most: int = 3
    repeats_per_route: int = 10


class DuplicateTemplates:
    """Learns from every kept page which addresses need no visit."""

    def __init__(self, params: DuplicateParams | None = None, *, hash_routes: bool = False) -> None:
        """`hash_routes` says that fragments are part of addresses only where they are found to be routes."""
        self._params = params or DuplicateParams()
        self._judges_routes = hash_routes
        self._routes: OrderedDict[bytes, tuple[int, int]] = OrderedDict()
        """By document how many routes showed something new, and how many did not."""
        self._stopped_routes: set[bytes] = set()
        self._shown: OrderedDict[bytes, str] = OrderedDict()
        self._shown_chars = 0
        self._scores: OrderedDict[bytes, int] = OrderedDict()
        self._stopped: set[bytes] = set()
        """Those of `_scores` that have reached `most`: usually none, and then a link costs nothing here."""
        self._skipped: Counter[bytes] = Counter()
        self.repeated = 0

    def note_page(
        self, url: str, page: RenderedPage, content: ContentHash, *, is_requested: bool
    ) -> str | None:
        """Count a page as `note` does, unless it is an error's, or `is_requested` is False: that says nothing."""
        if page.status != HTTPStatus.OK or not is_requested:
            return None
        notes = page.tiers.notes if page.tiers is not None else ()
        is_certain = all(one.evidence is not Evidence.TAKEN for one in notes)
        has_router = page.hash_router is not None
        return self.note(url, page.title, content, page.html, has_router=has_router, is_certain=is_certain)

    def note(
        self,
        url: str,
        title: str,
        content: ContentHash,
        html: str,
        *,
        has_router: bool = False,
        is_certain: bool = True,
    ) -> str | None:
        """Count a page; return the address that showed the same content before, None if none did.

        `has_router` says that the page's script routes by the fragment, `is_certain` that a browser shows no more
        of the page, as far as that is known.
        """
        template = template_of(url)
        document, mark, _ = url.partition("#")
        if self._judges_routes and (mark or has_router):
            digest = _digest(f"{document}#\n{content.hex or html}")
        else:
            shown = content.hex if content.chars >= self._params.short else html
            site = template.partition("/")[0]
            digest = _digest(f"{site}\n{title}\n{shown}")
        first = self._shown.get(digest)
        if first is None:
            first = self._shown[digest] = url
            self._shown_chars += len(url)
        self._shown.move_to_end(digest)
        is_new = first == url
        self.repeated += not is_new
        change = -self._params.new_page_credit if is_new else 1
        self._score(template, change, self._params.most - (0 if is_certain else self._params.certain))
        if mark and self._judges_routes:
            self._count_route(document, is_new=is_new)
        while len(self._shown) > self._params.remembered or self._shown_chars > self._params.remembered_chars:
            self._shown_chars -= len(self._shown.popitem(last=False)[1])
        return None if is_new else first

    def is_stopped(self, url: str) -> bool:
        """Return whether the address belongs to a stopped template, or to a document whose routes are stopped."""
        if self._stopped_routes and self._is_stopped_route(url):
            return True
        return bool(self._stopped) and _digest(template_of(url)) in self._stopped

    def should_skip(self, url: str) -> bool:
        """Return whether to skip a visit: its template is stopped, and no revisit is due."""
        if self._stopped_routes and self._is_stopped_route(url):
            return True
        if not self._stopped or (template := _digest(template_of(url))) not in self._stopped:
            return False
        self._skipped[template] += 1
        return self._skipped[template] % self._params.revisit_every != 0

    def _is_stopped_route(self, url: str) -> bool:
        document, mark, _ = url.partition("#")
        return bool(mark) and _digest(document) in self._stopped_routes

    def _count_route(self, document: str, *, is_new: bool) -> None:
        key = _digest(document)
        new, repeats = self._routes.pop(key, (0, 0))
        new, repeats = self._routes[key] = (new + is_new, repeats + (not is_new))
        if repeats >= max(self._params.routes_most, self._params.repeats_per_route * new):
            if key not in self._stopped_routes:
                log.info("%s shows the same at all its #/ addresses; they are skipped from now on", document)
            self._stopped_routes.add(key)
        elif key in self._stopped_routes:
            # Of a visit that was under way.
            self._stopped_routes.discard(key)
            log.info("%s shows something new at a #/ address; they are visited again", document)
        while len(self._routes) > self._params.templates:
            self._stopped_routes.discard(self._routes.popitem(last=False)[0])

    def _score(self, template: str, change: int, most: int) -> None:
        """Change a template's score, which rises to `most` at most."""
        key = _digest(template)
        before = self._scores.pop(key, 0)
        if before >= most and change > 0:
            # These visits were under way when the template was stopped, or are revisits.
            change = 0
        after = self._scores[key] = max(0, before + change)
        if before < self._params.most <= after:
            self._stopped.add(key)
            log.info("%s shows the same content at all its addresses; it is skipped from now on", template)
        elif after < self._params.most <= before:
            self._stopped.discard(key)
            del self._skipped[key]
            log.info("%s shows new content; it is visited again", template)
        while len(self._scores) > self._params.templates:
            oldest, _ = self._scores.popitem(last=False)
            self._stopped.discard(oldest)
            self._skipped.pop(oldest, None)


def _digest(text: str) -> bytes:
    return blake2b(text.encode("utf-8", "replace"), digest_size=12).digest()
