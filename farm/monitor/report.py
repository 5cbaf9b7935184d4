"""The report at the end of a run, in a few lines for a person."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from farm.model.crawl import Stats
from farm.model.url import site_of
from farm.monitor.figures import amount, clock, counted, escaped, lapse, rate, shortened, size
from farm.monitor.snapshot import SiteView
from farm.policy.error_bound import CONFIDENCE, most_wrong

_LABEL = 9
_URL_CHARS = 100
_DETAIL_CHARS = 120
_MOST = 6
_MOST_SITES = 3
_MANY = 0.05
"""If at least this share of the records miss scripts, the report has a line about it."""
_REMEDIES = {
    "private_network": "open the network with --allow-network CIDR[:port]",
    "robots": "the site's robots.txt forbids it; where you may, give --robots ignore",
    "out_of_scope": "it leads out of the scope; a wider one is --scope domain",
    "excluded": "see --include and --exclude",
    "depth": "see --depth",
    "nofollow": "the page asks for it; --robots ignore follows all the same",
    "duplicate_content": "pages of that kind all show the same",
}
_LOOPBACK = ("localhost", "127.", "[::1]")


@dataclass(frozen=True, slots=True)
class RunReport:
    """The facts at the end; counts by reason with an example of each, and commands.

    `without_scripts` counts pages that miss scripts; `script_hosts` says by host how many miss one of it, with a
    page and the error. `left` is how many URLs are still open. `recorded` is of this run.
    """

    why: str
    elapsed_s: float
    recorded: int
    stored: Sequence[tuple[str, int, int | None]]
    """For each store its name, how many records this run wrote to it, and how many it has, if known."""
    bytes_received: int
    items: int = 0
    item_places: Sequence[str] = ()
    """The number of items of this run, and where they are; no place if the pages have none."""
    settled: int = 0
    accepted: int = 0
    """How many of how many URLs are done or given up, over all nodes and runs."""
    page_ms: tuple[int, int] = (0, 0)
    """The median and the 95th percentile of the last pages' times."""
    memory_bytes: tuple[int, int] = (0, 0)
    """The peak of the memory use, and the budget."""
    failing: Sequence[SiteView] = ()
    """The sites of this run's visits, for those where most of them failed."""
    statuses: Mapping[int, int] = field(default_factory=dict)
    blocked: Mapping[str, int] = field(default_factory=dict)
    renderers: Mapping[str, Any] = field(default_factory=dict)
    """The renderers as in `summary.json`, over all nodes and runs; empty without `--render auto`."""
    refused: Mapping[str, tuple[int, str]] = field(default_factory=dict)
    skipped: Mapping[str, int] = field(default_factory=dict)
    left_out: int = 0
    redis_is_full: bool = False
    dead: Mapping[str, tuple[int, str, str]] = field(default_factory=dict)
    without_scripts: int = 0
    script_hosts: Mapping[str, tuple[int, str, str]] = field(default_factory=dict)
    selectors: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """Option and selector -> the numbers of pages on which it matched nothing, and something."""
    troubles: Sequence[str] = ()
    unvisited_routes: Mapping[str, int] = field(default_factory=dict)
    """By site, how many linked `#/` addresses are not pages because of `--hash-routes off`."""
    most_routes: int = 1_000
    """How many of a site are counted at most."""
    left: int = 0
    go_on: str = ""
    where: str = ""
    """The flags that name the crawl to any command."""


def report_lines(report: RunReport) -> list[str]:
    """Return the report, a line each; every text from outside is escaped."""
    pace = report.recorded / report.elapsed_s if report.elapsed_s > 0 else 0.0
    recorded = f"{_pages(report.recorded)} recorded, {rate(pace)}, {size(report.bytes_received)} received"
    lines = [f"{_words(report.why)} after {clock(report.elapsed_s)}: {recorded}", *_reached(report)]
    if report.statuses:
        ordered = sorted(report.statuses.items(), key=lambda item: (-item[1], item[0]))
        lines.append(_row("status", _list([(str(code), count) for code, count in ordered])))
    if report.blocked:
        lines.append(_row("blocked", f"{_by_count(report.blocked)} (`blocked_by` in the records)"))
    lines += rendered(report.renderers)
    lines += _missing_scripts(report)
    lines += _unmatched(report)
    for reason in _largest({name: one[0] for name, one in report.refused.items()}):
        count, url = report.refused[reason]
        lines.append(_row("refused", f"{reason} {amount(count)}: {_address(url)}; {_remedy(reason, url)}"))
    if report.skipped:
        # Only the queue knows which URLs were accepted, and links that lead too deep are not sent to it.
        shorter = (
            "; depth: by those links, a shorter way may have led there" if "depth" in report.skipped else ""
        )
        lines.append(_row("skipped", f"{_by_count(report.skipped)} (skipped.jsonl says which{shorter})"))
    if report.left_out:
        remedy = (
            "give Redis more memory" if report.redis_is_full else "raise --max-queued or --max-site-queued"
        )
        links = "link" if report.left_out == 1 else "links"
        lines.append(
            _row("left out", f"{amount(report.left_out)} {links} that found no place in the queue; {remedy}")
        )
    for reason in _largest({name: one[0] for name, one in report.dead.items()}):
        count, url, detail = report.dead[reason]
        told = f" ({escaped(detail)[:_DETAIL_CHARS]})" if detail else ""
        example = f": {_address(url)}{told}" if url else ""
        lines.append(_row("dead", f"{reason} {amount(count)}{example}{_dead_remedy(report, reason, detail)}"))
    if report.dead and report.where:
        again = f"once the cause is gone: farm dead replay {report.where}"
        lines.append(_row("", f"all of them: farm dead list {report.where}; {again}"))
    lines += _failing(report.failing)
    lines += [_row("note", escaped(trouble)) for trouble in report.troubles]
    lines += [_row("note", sentence) for sentence in _unvisited(report)]
    lines += [_row("records", _stored(*one)) for one in report.stored]
    lines += [
        _row("items", f"{amount(report.items)} of this run in {escaped(one)}") for one in report.item_places
    ]
    if report.left:
        how = f"go on with: {report.go_on}"
        if any(not matched for _, matched in report.selectors.values()):
            how = f"correct the selector first (another one begins anew, with --fresh), then: {report.go_on}"
        lines.append(_row("left", f"{amount(report.left)} URL{'' if report.left == 1 else 's'}; {how}"))
    return lines


def _reached(report: RunReport) -> list[str]:
    """Return the progress of the crawl and its cost in one line; none if unknown."""
    parts = []
    if report.accepted:
        share = 100 * report.settled // report.accepted
        urls = "URL" if report.accepted == 1 else "URLs"
        parts.append(f"{amount(report.settled)} of {amount(report.accepted)} {urls} settled ({share} %)")
    median_ms, slow_ms = report.page_ms
    if median_ms:
        parts.append(f"a page took {lapse(median_ms)}, one in twenty more than {lapse(slow_ms)}")
    most, budget = report.memory_bytes
    if most and budget:
        parts.append(f"at most {size(most)} of {size(budget)} used")
    return [_row("reached", "; ".join(parts))] if parts else []


def _failing(sites: Sequence[SiteView]) -> list[str]:
    """Return what failed most, by site: visits, so that a page that was tried again counts each time."""
    found = []
    for site in sorted(sites, key=lambda one: (-failures_of(one), one.site)):
        counts = ((site.server_errors, "5xx"), (site.throttled, "put off (429, 503)"), (site.failed, "other"))
        words = [f"{amount(count)} {what}" for count, what in counts if count]
        if words:
            visits = site.pages + site.client_errors + failures_of(site)
            found.append(f"{_address(site.site)} {', '.join(words)} of {counted(visits, 'visit')}")
    return [_row("failed", "; ".join(found[:_MOST_SITES]))] if found else []


def failures_of(site: SiteView) -> int:
    """Return how many visits to a site failed."""
    return site.server_errors + site.throttled + site.failed


def renderers_of(stats: Stats) -> dict[str, object]:
    """Return the renderers of pages over all nodes and runs, and how many pages may differ from the browser's."""
    tiers = stats.tiers
    pages = {str(name): count for name, count in tiers.pages.items()}
    pages = {"browser": max(0, stats.rendered - tiers.cheap), **pages}
    return {
        "pages": pages,
        "audits": tiers.audits,
        "differed": tiers.differed,
        "compared": tiers.compared,
        "requeued": tiers.requeued,
        "templates": tiers.templates,
        "most_wrong": most_wrong(tiers.pages_by_share, tiers.differed, CONFIDENCE),
        "confidence": CONFIDENCE,
    }


def rendered(renderers: Mapping[str, Any]) -> list[str]:
    """Return the renderers of the crawl's pages, and how many may differ from the browser's, a line each."""
    if not renderers:
        return []
    pages = _list([(name, count) for name, count in renderers["pages"].items() if count])
    lines = [_row("rendered", f"by {pages}")] if pages else []
    cheap = sum(count for name, count in renderers["pages"].items() if name != "browser")
    if cheap or renderers["audits"]:
        told = f"{amount(renderers['audits'])} audits, {amount(renderers['differed'])} differed"
        if renderers["requeued"]:
            told += f", {_pages(renderers['requeued'])} visited again by the browser"
        most, sure = renderers["most_wrong"], f"{renderers['confidence']:.0%} confidence"
        lines.append(_row("", f"{told}; at most {_pages(most)} of {amount(cheap)} may differ ({sure})"))
    return lines


def _stored(name: str, written: int, records: int | None) -> str:
    where = escaped(name if "://" in name else name.removeprefix("jsonl:"))
    return f"{_pages(written)} of this run in {where}" if records is None else f"{_pages(records)} in {where}"


def nothing_recorded(report: RunReport) -> str:
    """Return a sentence that says why no page was recorded, with the remedy."""
    refused = [(count, reason, url, "") for reason, (count, url) in report.refused.items()]
    dead = [(count, reason, url, detail) for reason, (count, url, detail) in report.dead.items()]
    found = max([*refused, *dead], key=lambda one: one[0], default=None)
    if found is None:
        return "not one page was recorded: no URL was accepted; see skipped.jsonl, and give another URL"
    _, reason, url, detail = found
    if reason in report.refused:
        again = " (and --fresh: what was refused counts as visited)" if report.where else ""
        return f"not one page was recorded: {_address(url)} was refused ({reason}); {_remedy(reason, url)}{again}"
    told = f": {escaped(detail)[:_DETAIL_CHARS]}" if detail else ""
    remedy = _dead_remedy(report, reason, detail)
    remedy += f"; see `farm dead list {report.where}`" if report.where else ""
    return f"not one page was recorded: {_address(url)} was given up ({reason}{told}){remedy}"


def nothing_new(stats: Stats, where: str) -> str:
    """Return that there is nothing to do, and how to add work."""
    ledger = stats.ledger
    if not stats.rendered and not ledger.dead:
        return (
            f"nothing new: the crawl is finished, and {_all(ledger.done)} refused "
            "(skipped.jsonl says why); --fresh begins again, with other settings if they are given"
        )
    remedy = f"`farm dead replay {where}` tries the dead again, " if ledger.dead else ""
    return (
        f"nothing new: the crawl is finished ({ledger.done:,} done, {ledger.dead:,} dead), no page was fetched; "
        f"give another URL to continue, {remedy}--fresh starts anew"
    )


def _unvisited(report: RunReport) -> list[str]:
    counts = report.unvisited_routes
    sentences = []
    for site in _largest(counts):
        is_cut = counts[site] > report.most_routes
        number = f"more than {amount(report.most_routes)}" if is_cut else amount(counts[site])
        pages, were, them = ("page", "was", "it") if counts[site] == 1 else ("pages", "were", "them")
        sentences.append(
            f"{_address(site)} has {number} {pages} behind #/ addresses that {were} not visited; "
            f"--hash-routes auto visits {them}"
        )
    more = len(counts) - len(sentences)
    return [*sentences, f"so have {amount(more)} other sites"] if more > 0 else sentences


def _unmatched(report: RunReport) -> list[str]:
    """Return a line for each selector that matched nothing; a click that is only on some pages has none."""
    found = sorted(report.selectors.items(), key=lambda one: (-one[1][0], one[0]))
    return [
        _row("selector", f"{escaped(name)[:_URL_CHARS]} matched nothing on {_share(without, matched)}")
        for name, (without, matched) in found[:_MOST]
        if without and not (matched and name.startswith("--click "))
    ]


def _share(without: int, matched: int) -> str:
    return (
        f"{amount(without)} of {_pages(without + matched)}"
        if matched
        else f"any page ({amount(without)} tried)"
    )


def _missing_scripts(report: RunReport) -> list[str]:
    """Return in one line that many pages miss scripts, with the host that most of them miss; else no line."""
    if not report.script_hosts or report.without_scripts < _MANY * report.recorded:
        return []
    host, (count, url, detail) = max(report.script_hosts.items(), key=lambda one: one[1][0])
    misses = "misses" if report.without_scripts == 1 else "miss"
    told = f"{escaped(host)[:_URL_CHARS]} on {amount(count)} ({escaped(detail)[:_DETAIL_CHARS]})"
    return [_row("scripts", f"{_pages(report.without_scripts)} {misses} scripts: {told}: {_address(url)}")]


def _remedy(reason: str, url: str) -> str:
    host = site_of(url)
    if reason == "private_network" and host.startswith(_LOOPBACK):
        network = "[::1]/128" if host.startswith("[") else "127.0.0.0/8"
        return f"open this machine's own addresses with --allow-network {network}"
    return _REMEDIES.get(reason, "see skipped.jsonl")


def _dead_remedy(report: RunReport, reason: str, detail: str) -> str:
    if reason != "tls" or "ERR_CERT_" not in detail:
        return ""
    trusted = "trust its authority with --ca-file FILE, or " if "AUTHORITY_INVALID" in detail else ""
    again = f", after `farm dead replay {report.where}`" if report.where else ""
    return f"; {trusted}accept any certificate with --insecure{again}"


def _row(label: str, text: str) -> str:
    return f"  {label:<{_LABEL}}{text}"


def _address(url: str) -> str:
    text = escaped(url)
    return text if len(text) <= _URL_CHARS else shortened(text, _URL_CHARS)


def _largest(counts: Mapping[str, int]) -> list[str]:
    return sorted(counts, key=lambda name: (-counts[name], name))[:_MOST]


def _by_count(counts: Mapping[str, int]) -> str:
    return _list(sorted(counts.items(), key=lambda one: (-one[1], one[0])))


def _list(counts: Sequence[tuple[str, int]]) -> str:
    shown = [f"{escaped(name)} {amount(count)}" for name, count in counts[:_MOST]]
    more = len(counts) - _MOST
    return ", ".join([*shown, f"{more} more"] if more > 0 else shown)


def _pages(number: int) -> str:
    return f"{amount(number)} page{'' if number == 1 else 's'}"


def _words(why: str) -> str:
    return {
        "finished": "finished",
        "nothing_new": "nothing new: finished",
        "limit": "stopped by --limit",
        "time_limit": "stopped by --time-limit",
        "disk_limit": "stopped by --max-disk",
        "proxy_bytes": "stopped by --proxy-bytes",
        "stopped": "stopped by `farm stop` or `farm drain`",
        "at_once": "stopped at once (the next run visits again what was under way)",
        "sigint": "stopped by Ctrl-C",
        "sigterm": "stopped by SIGTERM",
        "sighup": "stopped by SIGHUP",
        "usage_error": "ended by a setting that cannot be used",
        "frontier_unavailable": "ended because Redis was away",
        "frontier_unwritable": "ended because the private Redis cannot write its data",
        "frontier_refused": "ended because the crawl in Redis refused",
        "crawl_unreadable": "ended because the crawl in Redis cannot be read",
        "crawl_gone": "ended because the crawl was begun anew or deleted",
        "browser_unavailable": "ended because no browser could be started",
        "output_unwritable": "ended because the output cannot be written",
        "all_proxies_down": "ended because every proxy is down",
    }.get(why, why.replace("_", " "))


def _all(urls: int) -> str:
    return "its one URL was" if urls == 1 else f"all of its {urls:,} URLs were"
