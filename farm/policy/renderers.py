"""Which renderer visits a URL, as the user has said it: for all pages, for a site, or for the paths of a site."""

import fnmatch
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from farm.model.page import Renderer
from farm.model.url import covering, path_of, site_of


@dataclass(frozen=True, slots=True)
class SiteRenderers:
    """What the user says of one site; `pages` are globs of paths, of which the first that matches counts."""

    renderer: Renderer | None = None
    pages: Sequence[tuple[str, Renderer]] = ()


@dataclass(frozen=True, slots=True)
class RendererRules:
    """`default` is what visits a page that no site says anything about; `sites` go by the names of site tables."""

    default: Renderer = Renderer.BROWSER
    sites: Mapping[str, SiteRenderers] = field(default_factory=dict)
    _patterns: dict[str, re.Pattern[str]] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def named(self) -> frozenset[Renderer]:
        """All renderers that a page may be visited by."""
        own = {one.renderer or self.default for one in self.sites.values()}
        pages = {renderer for one in self.sites.values() for _, renderer in one.pages}
        return frozenset({self.default, *own, *pages})

    def of(self, url: str) -> Renderer:
        """Return the renderer of a canonical URL."""
        own = covering(self.sites, site_of(url)) if self.sites else None
        if own is None:
            return self.default
        path = path_of(url) if own.pages else ""
        for glob, renderer in own.pages:
            if self._pattern(glob).match(path):
                return renderer
        return own.renderer or self.default

    def _pattern(self, glob: str) -> re.Pattern[str]:
        found = self._patterns.get(glob)
        if found is None:
            found = self._patterns[glob] = re.compile(fnmatch.translate(glob))
        return found
