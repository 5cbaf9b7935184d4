"""Which renderer visits a URL, as the user has said it: for all pages, a site, the paths of a site, or one URL."""

import fnmatch
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from farm.model.page import Renderer
from farm.model.task import UrlTask
from farm.model.url import covering, path_of, site_of


class RenderMode(StrEnum):
    """The values of `--render`."""

    AUTO = "auto"
    """The cheapest renderer whose results are shown to equal the browser's."""
    BROWSER = "browser"
    LIGHT = "light"
    FETCH = "fetch"

    @property
    def renderer(self) -> Renderer:
        """The renderer of this mode; for `AUTO` the browser, which is always correct."""
        return Renderer.BROWSER if self is RenderMode.AUTO else Renderer(self.value)


@dataclass(frozen=True, slots=True)
class SiteRenderers:
    """The modes of one site; `pages` are globs of paths, of which the first that matches applies."""

    mode: RenderMode | None = None
    pages: Sequence[tuple[str, RenderMode]] = ()


@dataclass(frozen=True, slots=True)
class RendererRules:
    """`default` applies to pages without a mode of their site; `sites` are by the names of site tables.

    `cheap` are the renderers beside the browser that `AUTO` may use, the cheapest first; seeds ask for `asked`.
    """

    default: RenderMode = RenderMode.BROWSER
    sites: Mapping[str, SiteRenderers] = field(default_factory=dict)
    cheap: Sequence[Renderer] = ()
    asked: frozenset[RenderMode] = frozenset()
    _patterns: dict[str, re.Pattern[str]] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def modes(self) -> frozenset[RenderMode]:
        """All modes that any page may have."""
        own = {one.mode or self.default for one in self.sites.values()}
        pages = {mode for one in self.sites.values() for _, mode in one.pages}
        return frozenset({self.default, *own, *pages, *self.asked})

    @property
    def named(self) -> frozenset[Renderer]:
        """All renderers that may visit a page."""
        cheap = self.cheap if RenderMode.AUTO in self.modes else ()
        return frozenset({*(mode.renderer for mode in self.modes), *cheap})

    def of_task(self, task: UrlTask) -> RenderMode:
        """Return what is said about a task: for its URL in particular, else by the settings."""
        return RenderMode(task.render) if task.render is not None else self.of(task.url)

    def of(self, url: str) -> RenderMode:
        """Return the mode of a canonical URL."""
        own = covering(self.sites, site_of(url)) if self.sites else None
        if own is None:
            return self.default
        path = path_of(url) if own.pages else ""
        for glob, mode in own.pages:
            if self._pattern(glob).match(path):
                return mode
        return own.mode or self.default

    def _pattern(self, glob: str) -> re.Pattern[str]:
        found = self._patterns.get(glob)
        if found is None:
            found = self._patterns[glob] = re.compile(fnmatch.translate(glob))
        return found
