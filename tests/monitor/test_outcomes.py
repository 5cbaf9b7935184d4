"""The results of a run's visits."""

import logging

from farm.model.event import Committed, Fate, VisitFailed
from farm.model.outcome import SkipReason
from farm.model.record import Batch, Record, Skip
from farm.monitor.outcomes import MOST_HOSTS, MOST_TROUBLES, LoggedTroubles, RunOutcomes
from farm.sinks.record import misses_script


def page(status: int, vendor: str | None = None) -> Batch:
    """Return what a visit with a record leaves: a link was skipped too."""
    record = Record("1" * 32, "http://a.example/", {"status": status, "blocked_by": vendor})
    return Batch((record,), (skip("http://b.example/", SkipReason.OUT_OF_SCOPE),))


def skip(url: str, reason: SkipReason) -> Skip:
    """Return a URL that was skipped."""
    return Skip(url, reason, None, 0)


def test_pages_that_miss_scripts_are_counted_by_host() -> None:
    """Each once, whatever else failed on it; with a bound on the hosts."""
    outcomes = RunOutcomes(misses_script)

    def take(number: int, *errors: tuple[str, str, str]) -> None:
        fields = {
            "status": 200,
            "page_errors": [dict(zip(("kind", "url", "message"), one, strict=True)) for one in errors],
        }
        outcomes.fold(Committed(0.0, Batch((Record("1" * 32, f"http://a.example/{number}", fields),))))

    script = ("request", "http://cdn.example/app.js", "script: dns: unknown")
    take(
        1, ("request", "http://cdn.example/a.css", "stylesheet: answered 404"), ("console", "", "script: no")
    )
    take(2, script, ("request", "http://cdn.example/b.js", "script: answered 404"))
    take(3, script, ("request", "http://other.example/c.js", "script: answered 500"))
    take(4)
    assert outcomes.without_scripts == 2
    assert dict(outcomes.script_hosts) == {"cdn.example": 2, "other.example": 1}
    assert outcomes.script_example["cdn.example"] == ("http://a.example/2", "dns: unknown")
    for number in range(2 * MOST_HOSTS):
        take(number, ("request", f"http://h{number}.example/", "script: net::ERR_FAILED"))
    assert len(outcomes.script_hosts) == len(outcomes.script_example) == MOST_HOSTS
    assert outcomes.without_scripts == 2 + 2 * MOST_HOSTS


def test_pages_that_are_empty_without_a_browser_are_a_note() -> None:
    """Of plain HTTP alone: what the browser shows is what there is."""
    outcomes = RunOutcomes(misses_script)
    shell = {"status": 200, "evidence": {"finding": "empty_shell", "signs": []}}
    for brought in ({"rendered_by": "browser"}, {"rendered_by": "fetch", "evidence": None}):
        outcomes.fold(Committed(0.0, Batch((Record("1" * 32, "http://a.example/", {**shell, **brought}),))))
    assert outcomes.notes == []
    outcomes.trouble("the sitemap was not read")
    record = Record("1" * 32, "http://a.example/", {**shell, "rendered_by": "fetch"})
    outcomes.fold(Committed(0.0, Batch((record,))))
    assert outcomes.notes == [
        "the sitemap was not read",
        "1 page without content, which scripts would fill; give --render auto or browser, and --fresh",
    ]


def test_records_refusals_and_the_dead_are_counted_with_an_example() -> None:
    """A link that is skipped on a page that was kept is no refusal."""
    outcomes = RunOutcomes(misses_script)
    outcomes.fold(Committed(0.0, page(200)))
    outcomes.fold(Committed(0.0, page(403, "cloudflare")))
    for url in ("http://localhost/", "http://localhost/2"):
        outcomes.fold(Committed(0.0, Batch(skips=(skip(url, SkipReason.PRIVATE_NETWORK),))))
    for url in ("http://a.example/x", "http://a.example/y"):
        outcomes.fold(VisitFailed(0.0, "01", url, "network", "reset", Fate.DEAD))
    outcomes.fold(VisitFailed(0.0, "01", "http://a.example/z", "network", "reset", Fate.RETRY))
    assert dict(outcomes.statuses) == {200: 1, 403: 1}
    assert dict(outcomes.blocked) == {"cloudflare": 1}
    assert dict(outcomes.refused) == {"private_network": 2}
    assert outcomes.refused_example == {"private_network": "http://localhost/"}
    assert dict(outcomes.dead) == {"network": 2}
    assert outcomes.dead_example == {"network": ("http://a.example/x", "reset")}
    assert (outcomes.recorded, outcomes.settled) == (2, 6)


def test_troubles_are_bounded_and_told_once() -> None:
    """However many sitemaps are missing."""
    outcomes = RunOutcomes(misses_script)
    for number in range(2 * MOST_TROUBLES):
        outcomes.trouble(f"sitemap {number}")
        outcomes.trouble("sitemap 0")
    assert len(outcomes.troubles) == MOST_TROUBLES


def test_what_a_sitemap_did_not_bring_is_kept_for_the_report() -> None:
    """For as long as the run lasts, and warnings alone."""
    outcomes = RunOutcomes(misses_script)
    log = logging.getLogger("farm.sitemaps")
    with LoggedTroubles("farm.sitemaps", outcomes):
        log.info("%s lists %d pages", "http://a.example/s.xml", 3)
        log.warning("the sitemap %s was not read to its end: %s", "http://a.example/s.xml", "status 404")
    log.warning("later")
    assert outcomes.troubles == ["the sitemap http://a.example/s.xml was not read to its end: status 404"]


def test_selectors_that_match_nothing_are_counted() -> None:
    """Of waits and clicks; with how often they matched."""
    outcomes = RunOutcomes(misses_script)

    def take(reason: str, **clicked: int) -> None:
        fields = {"status": 200, "settle_reason": reason, "actions": {"clicked": clicked} if clicked else {}}
        outcomes.fold(Committed(0.0, Batch((Record("1" * 32, "http://a.example/", fields),))))

    take("quiet")
    assert outcomes.selectors == {}
    take("css", more=2, wall=0)
    take("no element matches .price", more=0, wall=0)
    assert outcomes.selectors == {"--wait css:.price": (1, 1), "--click more": (1, 1), "--click wall": (2, 0)}
