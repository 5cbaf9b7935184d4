"""A worker among fakes of its ports: how it carries verdicts out, and when it takes no lease."""

import asyncio
from dataclasses import replace

import pytest

from farm.model.egress import AllProxiesBanned, EgressFailure, EgressFault
from farm.model.errors import RenderError, SlotLost
from farm.model.event import VisitFailed
from farm.model.outcome import Ack, Bury, FailureKind, RedirectOutcome, Release, Retry, SkipReason
from farm.model.page import Detection, Finding, PageSnapshot, RenderedPage, Renderer
from farm.model.tiers import Evidence, TierNote, TierNotes
from farm.policy.proxies import Outcome
from farm.runtime.control import ExitReason
from farm.runtime.worker import DETAIL_CHARS
from tests.runtime.visit_fakes import DEADLINE_S, GIVEN_BACK, SITE, Bench, lease, page, worked
from tests.turns import turns

CAPTCHA = Detection(Finding.CAPTCHA, "datadome", ("x",))


async def test_a_refused_url_is_skipped_without_a_visit() -> None:
    """The skip is written down and acknowledged; it does not count as a page."""
    bench = Bench(lease("1"))
    bench.site.refusals = [SkipReason.ROBOTS]
    await worked(bench)
    assert bench.slot.rendered == []
    assert [skip.reason for batch in bench.sink.batches for skip in batch.skips] == [SkipReason.ROBOTS]
    assert bench.frontier.settled == [("1", Ack(rendered=False))]


async def test_robots_txt_is_asked_again_where_a_redirect_led() -> None:
    """The pace of the site is learnt all the same; the page is not kept."""
    bench = Bench(lease("1"))
    bench.site.refusals = [None, SkipReason.ROBOTS]
    bench.slot.pages = [page(redirects=(f"http://{SITE}/1",), final_url=f"http://{SITE}/secret")]
    await worked(bench)
    assert bench.frontier.settled == [("1", Ack(rendered=False))]
    assert (bench.records, bench.site.noted) == ([], [(SITE, 200)])


async def test_where_a_redirect_led_out_of_scope_nothing_is_kept() -> None:
    """Only the skip is."""
    bench = Bench(lease("1"))
    bench.site.landing = RedirectOutcome(skip=SkipReason.OUT_OF_SCOPE)
    await worked(bench)
    assert bench.records == []
    assert bench.frontier.settled == [("1", Ack(rendered=False))]


async def test_a_throttled_url_waits_as_long_as_its_site_is_blocked() -> None:
    """One delay, computed once, whatever chance there is in it."""
    bench = Bench(lease("1"))
    bench.slot.pages = [page(429)]
    await worked(bench)
    [(site, block_s)], [(_, settlement)] = bench.frontier.blocks, bench.frontier.settled
    assert site == SITE
    assert settlement == Retry(FailureKind.THROTTLED, block_s, "status 429", throttled=True)
    assert bench.records == []


@pytest.mark.parametrize(
    ("error", "settlement", "noted"),
    [
        (RenderError(FailureKind.NETWORK, "reset"), FailureKind.NETWORK, [(SITE, 0)]),
        (SlotLost(FailureKind.CRASH, "crashed"), FailureKind.CRASH, []),
    ],
)
async def test_a_failed_visit_is_retried(
    error: Exception, settlement: FailureKind, noted: list[tuple[str, int]]
) -> None:
    """And what it says of the site is learnt."""
    bench = Bench(lease("1"))
    bench.slot.pages = [error]
    await worked(bench)
    [(_, retry)] = bench.frontier.settled
    assert isinstance(retry, Retry)
    assert retry.reason is settlement
    assert bench.site.noted == noted


@pytest.mark.parametrize(
    ("answer", "reason", "phase", "status"),
    [
        (RenderError(FailureKind.NETWORK, "reset"), "network", "navigate", 0),
        (page(500), "http_5xx", "judge", 500),
        (page(429), "throttled", "judge", 429),
    ],
)
async def test_a_failed_visit_is_told_of_with_its_place(
    answer: Exception | RenderedPage, reason: str, phase: str, status: int
) -> None:
    """How far it came, where, by which proxy; its URL keeps that in its history."""
    bench = Bench(lease("1"))
    bench.slot.pages, bench.route.label = [answer], "proxy-1"
    await worked(bench)
    [visit] = bench.frontier.failed
    assert visit is not None
    assert (visit.reason, visit.phase, visit.status) == (reason, phase, status)
    assert (visit.node, visit.context, visit.proxy) == ("node", "01", "proxy-1")
    assert {"lease", "wait", "total"} <= visit.timings_ms.keys()


async def test_a_visit_that_fails_after_its_answer_has_the_status() -> None:
    """Its page did not settle, or could not be read."""
    bench = Bench(lease("1"))
    bench.slot.pages = [page(206)]
    bench.steps.failures["settle"] = SlotLost(FailureKind.CRASH, "the page crashed")
    await worked(bench)
    [visit] = bench.frontier.failed
    assert visit is not None
    assert (visit.reason, visit.phase, visit.status) == ("crash", "settle", 206)


@pytest.mark.parametrize(("failing", "phase"), [("robots", "robots"), ("commit", "commit")])
async def test_what_fails_beside_the_page_is_told_of_too(failing: str, phase: str) -> None:
    """Robots.txt before it, the record after it."""
    bench = Bench(lease("1"))
    if failing == "robots":
        bench.site.refusals = [Bury(FailureKind.NETWORK, "robots.txt: reset")]
    else:
        bench.steps.failures["commit"] = RenderError(FailureKind.CORRUPT, "no JSON")
    await worked(bench)
    [visit] = bench.frontier.failed
    assert visit is not None
    assert visit.phase == phase
    [(_, settlement)] = bench.frontier.settled
    assert isinstance(settlement, Bury)
    assert (visit.reason, visit.detail) == (settlement.reason, settlement.detail)


async def test_what_a_page_showed_is_durable_before_its_url_is_given_up() -> None:
    """And the history names it."""
    bench = Bench(lease("1", attempt=4), snapshot_s=5.0)
    bench.slot.pages, bench.slot.shown = [page(500)], PageSnapshot(b"picture", "<p>broken")
    await worked(bench)
    assert bench.steps.made.index("commit") < bench.steps.made.index("nack")
    [batch] = bench.sink.batches
    assert batch.snapshots == {"1": bench.slot.shown}
    [visit] = bench.frontier.failed
    assert visit is not None
    assert visit.snapshot == ("snapshots/1.jpg", "snapshots/1.html")


@pytest.mark.parametrize(
    ("attempt", "snapshot_s", "status"), [(1, 5.0, 500), (4, 0.0, 500), (4, 5.0, 404)], ids=str
)
async def test_nothing_else_has_a_snapshot(attempt: int, snapshot_s: float, status: int) -> None:
    """Neither what is tried again, nor a page that is kept; and none is taken unless it is requested."""
    bench = Bench(lease("1", attempt=attempt), snapshot_s=snapshot_s)
    bench.slot.pages, bench.slot.shown = [page(status)], PageSnapshot(b"picture", "<p>broken")
    await worked(bench)
    assert "snapshot" not in bench.steps.made
    assert [batch.snapshots for batch in bench.sink.batches if batch.snapshots] == []


async def test_a_blocked_context_is_closed_after_its_snapshot() -> None:
    """The site knows it by its cookies."""
    bench = Bench(lease("1"), snapshot_s=5.0)
    bench.route.label, bench.route.count, bench.detected = "p1", 6, [CAPTCHA]
    bench.slot.pages, bench.slot.shown = [page(403)], PageSnapshot(b"captcha", "<p>prove it")
    await worked(bench)
    assert [batch.snapshots for batch in bench.sink.batches] == [{"1": bench.slot.shown}]
    assert bench.slot.retired == 1


async def test_of_a_page_without_a_browser_its_html_is_kept() -> None:
    """Masked as the node's settings say."""
    bench = Bench(lease("1", attempt=4), snapshot_s=5.0)
    bench.slot.pages = [page(500, html="<p>broken")]
    await worked(bench)
    assert [batch.snapshots for batch in bench.sink.batches] == [{"1": PageSnapshot(html="<p>broken")}]


async def test_an_innocent_loss_gives_the_url_back() -> None:
    """Nobody is blamed for it."""
    bench = Bench(lease("1"))
    bench.slot.pages = [SlotLost(FailureKind.CRASH, "the engine died", innocent=True)]
    await worked(bench)
    assert bench.frontier.settled == [("1", Release("the engine died"))]


async def test_a_visit_that_does_not_end_is_ended() -> None:
    """By its deadline, which is not mistaken for a lost lease."""
    bench = Bench(lease("1"), stop_at="render", visit_s=0.01)
    await worked(bench)
    [(_, retry)] = bench.frontier.settled
    assert isinstance(retry, Retry)
    assert (retry.reason, retry.detail) == (FailureKind.TIMEOUT, "the visit took more than 0.01 s")
    assert bench.site.noted == [(SITE, 0)]


async def test_the_gateway_is_asked_about_the_address_that_failed() -> None:
    """After a redirect it is another one than the URL's."""
    bench = Bench(lease("1"))
    bench.slot.pages = [RenderError(FailureKind.NETWORK, "reset", "http://b.example/")]
    bench.egress.found = EgressFailure(EgressFault.REFUSED, "private")
    await worked(bench)
    assert bench.egress.asked_for == ["http://b.example/"]
    assert bench.frontier.settled == [("1", Ack(rendered=False))]


async def test_what_is_told_of_a_failure_has_a_bound() -> None:
    """Some of it is what a server has sent: the log, the view and the traces hold it for a while."""
    bench = Bench(lease("1"))
    bench.slot.pages = [RenderError(FailureKind.NETWORK, "illegal header: " + "x" * 1_000_000)]
    await worked(bench)
    [failed] = [event for event in bench.events if isinstance(event, VisitFailed)]
    assert failed.detail.startswith("illegal header: xxx")
    assert len(failed.detail) == DETAIL_CHARS


async def test_a_block_costs_the_context_and_goes_to_another_proxy() -> None:
    """Its cookies would be known again; the page is not kept."""
    bench = Bench(lease("1"))
    bench.route.label, bench.detected = "p1", [CAPTCHA]
    await worked(bench)
    assert bench.route.reports == [("1", Outcome.BLOCKED)]
    assert bench.slot.retired == 1
    [(_, settlement)] = bench.frontier.settled
    assert isinstance(settlement, Release)
    assert bench.records == []


async def test_a_page_by_a_proxy_names_it_and_a_direct_one_reports_nothing() -> None:
    """Without proxies there is nothing to be learnt of them."""
    bench = Bench(lease("1"))
    bench.route.label = "p1"
    await worked(bench)
    assert bench.route.reports == [("1", Outcome.GOOD)]
    assert bench.sink.batches[0].records[0].fields["proxy"] == "p1"
    direct = await worked(Bench(lease("1")))
    assert direct.route.reports == []


async def test_a_site_without_a_usable_proxy_is_not_visited() -> None:
    """Its URL waits for one."""
    bench = Bench(lease("1"))
    bench.route.all_banned = AllProxiesBanned(60.0, by_site=False)
    await worked(bench)
    assert bench.slot.rendered == []
    [(_, retry)] = bench.frontier.settled
    assert isinstance(retry, Retry)
    assert (retry.delay_s, retry.throttled) == (60.0, True)


async def test_the_worker_of_a_farm_that_ends_takes_no_other_lease() -> None:
    """Also not with the ack of the page that it just kept."""
    bench = Bench(lease("1"), lease("2"))
    bench.steps.hooks["land"] = lambda: bench.control.end(ExitReason.SIGTERM)
    await worked(bench)
    assert bench.records == ["1"]
    assert bench.frontier.leases == [lease("2")]


async def test_a_slot_beyond_the_limit_waits_without_a_context() -> None:
    """And without a route, until the limit grows."""
    bench = Bench(lease("1"))
    bench.control.admit(0)
    task = asyncio.create_task(bench.worker.run())
    await turns(3)
    assert (bench.slot.retired, bench.route.released, bench.steps.made) == (1, 1, [])
    bench.control.admit(1)
    async with asyncio.timeout(DEADLINE_S):
        await task
    assert bench.records == ["1"]


async def test_a_worker_without_a_usable_proxy_waits_for_one() -> None:
    """It asks for no lease that it could not visit."""
    bench = Bench(lease("1"))
    bench.route.usable = False
    task = asyncio.create_task(bench.worker.run())
    await turns(3)
    assert (bench.route.waited, bench.steps.made) == (1, [])
    bench.route.usable = True
    bench.control.notify_all()
    async with asyncio.timeout(DEADLINE_S):
        await task
    assert bench.records == ["1"]


async def test_an_outage_that_ends_with_the_farm_gives_the_lease_back() -> None:
    """All slots waited for their leases; this one waits to resume when the farm has to end."""
    bench = Bench(lease("1"))
    bench.worker._params = replace(bench.worker._params, spread_s=1000.0)

    def outage() -> None:
        bench.clock.now += 60.0

    bench.steps.hooks["lease"] = outage
    task = asyncio.create_task(bench.worker.run())
    await turns(5)
    bench.control.end(ExitReason.SIGTERM)
    async with asyncio.timeout(DEADLINE_S):
        await task
    assert bench.frontier.settled == GIVEN_BACK
    assert bench.slot.rendered == []


async def test_what_a_skipped_page_has_shown_of_the_renderers_counts() -> None:
    """A browser that is led out of scope where plain HTTP was not: that is a difference. A page taken is none."""
    bench = Bench(lease("1"))
    notes = (
        TierNote(Renderer.FETCH, Evidence.DIFFERED, 0, 0, 50, "x"),
        TierNote(Renderer.LIGHT, Evidence.TAKEN),
    )
    bench.slot.pages = [page(tiers=TierNotes("t", notes))]
    bench.site.landing = RedirectOutcome(skip=SkipReason.OUT_OF_SCOPE)
    await worked(bench)
    assert bench.frontier.settled == [("1", Ack(rendered=False, tiers=TierNotes("t", notes[:1])))]


async def test_what_another_site_answers_after_a_redirect_holds_nothing_else_up() -> None:
    """It is blocked itself; of the URL's own site nothing is blocked or learnt."""
    bench = Bench(lease("1"))
    bench.slot.pages = [page(429, redirects=(f"http://{SITE}/1",), final_url="http://b.example/")]
    await worked(bench)
    [(site, block_s)], [(_, settlement)] = bench.frontier.blocks, bench.frontier.settled
    assert site == "b.example"
    assert settlement == Retry(
        FailureKind.THROTTLED, block_s, "status 429", throttled=True, blocks_site=False
    )
    assert bench.site.noted == []
    bench = Bench(lease("1"), domain_of=lambda _: "one.example")
    bench.slot.pages = [page(429, redirects=(f"http://{SITE}/1",), final_url="http://b.example/")]
    await worked(bench)
    assert bench.frontier.blocks[0][0] == SITE, "of the same domain it answers for the whole site"
    assert bench.frontier.settled == [
        ("1", replace(settlement, delay_s=bench.frontier.blocks[0][1], blocks_site=True))
    ]
    assert bench.site.noted == [(SITE, 429)]


@pytest.mark.parametrize("status", [429, 500])
async def test_what_leads_out_of_scope_is_skipped_whatever_is_answered_there(status: int) -> None:
    """It would not be kept either; a redirect of a seed extends the scope all the same."""
    bench = Bench(lease("1"))
    bench.slot.pages = [page(status, redirects=(f"http://{SITE}/1",), final_url="http://b.example/")]
    bench.site.landing = RedirectOutcome(skip=SkipReason.OUT_OF_SCOPE)
    await worked(bench)
    assert bench.frontier.settled == [("1", Ack(rendered=False))]
    seed = Bench(lease("1"))
    seed.slot.pages = [page(status, redirects=(f"http://{SITE}/1",), final_url="http://www.a.example/")]
    seed.site.landing = RedirectOutcome(extension="www.a.example")
    await worked(seed)
    assert isinstance(seed.frontier.settled[0][1], Retry)
    assert seed.frontier.extensions == ["www.a.example"]
