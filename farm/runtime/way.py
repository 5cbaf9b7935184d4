"""One slot's way out: direct, or by a proxy that is chosen between visits. Both satisfy the worker's `Way`."""

from collections.abc import Callable

from farm.model.proxy import ShutOut
from farm.policy.proxy_score import Outcome
from farm.runtime.proxies import Proxies, Rotation


class Direct:
    """The way out of a slot without proxies."""

    label: str | None = None
    address = ""

    def ready(self, site: str | None) -> bool:  # noqa: ARG002
        """Say yes: there is always the direct way."""
        return True

    def bear(self) -> None:
        """Never asked."""

    def take(self, site: str) -> ShutOut | None:  # noqa: ARG002
        """Every site."""
        return None

    def report(self, url_id: str, site: str, outcome: Outcome, latency_ms: float | None = None) -> int:  # noqa: ARG002
        """Learn nothing."""
        return 0

    def rest(self, site: str | None) -> None:
        """Stay."""

    def leave(self) -> None:
        """Stay."""


class ProxyWay:
    """One slot's way out by the proxies; satisfies the worker's `Way`."""

    def __init__(self, slot: str, proxies: Proxies, switch: Callable[[str | None], None]) -> None:
        self._slot = slot
        self._proxies = proxies
        self._switch = switch
        self._pages = 0
        self.label: str | None = None

    @property
    def address(self) -> str:
        """What the frontier calls this way; a site's own proxy is not known before the site is."""
        by_site = self._proxies.params.rotation is Rotation.SITE
        return "" if by_site else self.label or ""

    def ready(self, site: str | None) -> bool:
        """Be ready for a lease: with a proxy that works, another one where it is time for it."""
        params = self._proxies.params
        # A proxy that was taken and served no page yet has not had its turn.
        keeps = self.label is not None and (params.rotation is not Rotation.PAGE or self._pages == 0)
        if keeps and params.rotation is Rotation.CONTEXT and self._pages >= params.pages:
            keeps = False
        if keeps and self.label is not None and self._proxies.usable(self.label, site, self._slot):
            # A slot that looks for work tries who was out: nobody else would come to it.
            keeps = not self._proxies.trial_due(site)
        else:
            keeps = False
        if not keeps:
            self._pages = 0
            self._go_by(self._proxies.pick(self._slot, site) or self._proxies.pick(self._slot, None))
        return self.label is not None

    def bear(self) -> None:
        """Bear that no proxy works; raises AllProxiesDown once the patience is over."""
        self._proxies.none_works()

    def take(self, site: str) -> ShutOut | None:
        """Have a proxy for this site, or say why there is none."""
        by_site = self._proxies.params.rotation is Rotation.SITE
        if by_site or self.label is None or not self._proxies.usable(self.label, site, self._slot):
            self._go_by(self._proxies.pick(self._slot, site))
        self._pages += 1
        return None if self.label is not None else self._proxies.shut_out(site)

    def report(self, url_id: str, site: str, outcome: Outcome, latency_ms: float | None = None) -> int:
        """Tell how the visit went; return how often this URL has met with the same."""
        if self.label is None:
            return 0
        count = self._proxies.report(self.label, url_id, site, outcome, latency_ms)
        if outcome not in {Outcome.GOOD, Outcome.UNCLEAR}:
            self.leave()
        return count

    def rest(self, site: str | None) -> None:
        """Give up a proxy that is tried again: only a visit shows whether it is back, and others may have one."""
        if self.label is not None and self._proxies.is_tried(self.label, site):
            self.leave()

    def leave(self) -> None:
        """Go by none until there is work again."""
        self._proxies.leave(self._slot)
        self._go_by(None)

    def _go_by(self, label: str | None) -> None:
        # Without a proxy the gate stays with the last one: never does anything go direct.
        if label is not None and label != self.label:
            self._switch(label)
        self.label = label
