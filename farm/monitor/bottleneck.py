"""The bottleneck of a crawl now, in words with numbers: the view's answer to `why is it not faster?`."""

from farm.model.event import Phase
from farm.monitor.figures import amount, lapse, one_line, rate, size, span
from farm.monitor.snapshot import SiteView, Snapshot

_MUCH_LAG_S = 0.1
_LATELY_S = 60.0
_ADMISSION = {
    "ramp": "the ramp-up",
    "memory": "the memory budget",
    "cpu": "the processor",
    "rate": "the rate limit",
    "places": "the places in flight",
    "proxies": "the proxies",
    "keys": "what was set by hand",
}
_VERDICTS = {
    "refused": "it answered 429 or 503",
    "slow": "its latency rose",
    "failing": "many visits fail",
    "held": "its latency rose",
}
_IDLE = frozenset({Phase.IDLE, Phase.LEASING})


def bottleneck(snapshot: Snapshot) -> str:
    """Return the bottleneck in a few words, with its numbers; texts from outside are escaped."""
    return _halted(snapshot) or _slowed(snapshot)


def _halted(snapshot: Snapshot) -> str:
    """Return what keeps all new pages from starting; empty if some may start."""
    if snapshot.away_since is not None:
        away_s = max(0.0, snapshot.now - snapshot.away_since)
        return f"Redis: no answer for {span(away_s)}, no page is leased"
    for store, since in snapshot.sinks_away.items():
        return f"the sink {one_line(store)}: takes no records since {span(max(0.0, snapshot.now - since))}"
    state, ledger = snapshot.stats.state, snapshot.stats.ledger
    if snapshot.is_ending:
        return f"the end: {snapshot.at_work} pages under way are finished"
    if state in {"paused", "draining", "stopped"}:
        return f"the crawl is {state}: no new page is taken"
    if ledger.accepted and not ledger.open:
        return "nothing: every URL is settled"
    return ""


def _slowed(snapshot: Snapshot) -> str:
    """Return what limits the number of pages under way."""
    slots, ledger = len(snapshot.slots), snapshot.stats.ledger
    if snapshot.admission.limit < slots and ledger.queued:
        return _admission(snapshot, slots)
    waiting = [slot for slot in snapshot.slots if slot.phase in _IDLE and not slot.url]
    if len(waiting) * 4 >= slots > 0:
        return _empty(snapshot) if not ledger.queued else _sites(snapshot, len(waiting))
    late_s = snapshot.loop_lag.recent_s
    if late_s >= _MUCH_LAG_S:
        return f"the farm's own event loop: {lapse(1000 * late_s)} late"
    return _pages(snapshot) if snapshot.at_work else "not known yet"


def _admission(snapshot: Snapshot, slots: int) -> str:
    admission, memory = snapshot.admission, snapshot.memory
    held = f"{amount(admission.limit)} of {amount(slots)} contexts may work"
    name = _ADMISSION.get(admission.binding, one_line(admission.binding))
    match admission.binding:
        case "memory":
            return f"{name}: {size(memory.used_bytes)} of {size(memory.budget_bytes)}, {held}"
        case "cpu" if (busy := snapshot.processor_share) is not None:
            return f"{name}: {100 * busy:.0f} % busy, {held}"
    return f"{name}: {held}"


def _empty(snapshot: Snapshot) -> str:
    ledger = snapshot.stats.ledger
    if ledger.delayed and not ledger.leased:
        urls = f"{amount(ledger.delayed)} URL{'' if ledger.delayed == 1 else 's'}"
        blocked = _blocked_longest(snapshot)
        until = f"; {blocked[0]} is blocked for {blocked[1]}" if blocked else ""
        return f"the wait before another try: {urls}, none is queued{until}"
    return f"an empty queue: {amount(ledger.leased)} under way, {amount(ledger.delayed)} wait for another try"


def _blocked_longest(snapshot: Snapshot) -> tuple[str, str] | None:
    """Return the site that is blocked for longest, and for how long; None if none is."""
    blocked = [site for site in snapshot.sites if site.blocked_until > snapshot.now]
    if not blocked:
        return None
    longest = max(blocked, key=lambda site: site.blocked_until)
    return one_line(longest.site), span(max(1.0, longest.blocked_until - snapshot.now))


def _sites(snapshot: Snapshot, waiting: int) -> str:
    """Return the site that keeps contexts waiting though URLs are queued."""
    waits = "1 context waits" if waiting == 1 else f"{amount(waiting)} contexts wait"
    blocked = _blocked_longest(snapshot)
    if blocked:
        return f"site limit of {blocked[0]}: it answered 429 or 503, {blocked[1]} left; {waits}"
    limited = [site for site in snapshot.sites if site.limit and site.in_flight >= site.limit]
    if limited:
        site = max(limited, key=lambda one: one.per_s)
        return f"site limit of {one_line(site.site)}: {_limit(site)}; {waits}"
    paced = [site for site in snapshot.sites if site.rate]
    if paced:
        site = max(paced, key=lambda one: one.per_s)
        return f"site limit of {one_line(site.site)}: {rate(site.rate)}{_because(site)}; {waits}"
    refused = [
        site for site in snapshot.sites if site.throttled and snapshot.now - site.throttled_at < _LATELY_S
    ]
    if refused:
        last = max(refused, key=lambda site: site.throttled_at)
        ago = span(max(0.0, snapshot.now - last.throttled_at))
        return f"site limit of {one_line(last.site)}: it answered 429 or 503 {ago} ago; {waits}"
    return f"the sites' limits: of {amount(snapshot.stats.ledger.queued)} queued URLs none may be leased; {waits}"


def _limit(site: SiteView) -> str:
    return f"{amount(site.in_flight)} of {amount(site.limit)} at once{_because(site)}"


def _because(site: SiteView) -> str:
    return f" since {_VERDICTS[site.verdict]}" if site.verdict in _VERDICTS else ""


def _pages(snapshot: Snapshot) -> str:
    """Return that all contexts are busy, and their longest phase."""
    flow, phases = snapshot.flow, {name: ms for name, ms in snapshot.phase_ms.items() if name != "total"}
    words = f"the pages: {amount(snapshot.at_work)} of {amount(len(snapshot.slots))} contexts at work"
    if flow.per_s:
        words += f", {lapse(1000 * flow.took_s)} a page"
    total = sum(phases.values())
    if total > 0:
        slowest = max(phases, key=lambda name: phases[name])
        words += f", most of it {one_line(slowest)} ({100 * phases[slowest] / total:.0f} %)"
    return words
