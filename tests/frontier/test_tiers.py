"""Cheap renderers in Redis: what visits show is counted, and what was taken wrongly is visited again."""

from collections.abc import Sequence
from random import Random
from typing import Any

import pytest

from farm.frontier.frontier import RedisFrontier
from farm.model.outcome import Ack
from farm.model.page import Renderer
from farm.model.task import Lease
from farm.model.tiers import Evidence, TierNote, TierNotes, TierState
from farm.policy.renderers import RenderMode
from tests.frontier.support import Bench
from tests.policy.tier_model import TierModel

TEMPLATE = "a/p/#"


class Tiers:
    """A crawl of one template, with what its node is told."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.told: list[tuple[str, Any]] = []
        bench.frontier.tiers.tell = lambda template, known: self.told.append((template, known))

    async def visit(
        self, kind: Evidence, *, renderer: Renderer = Renderer.FETCH, template: str = TEMPLATE, **more: Any
    ) -> Lease:
        """Visit the next URL, with one note."""
        lease = await self.bench.lease()
        await self.settle(lease, TierNote(renderer, kind, **more), template=template)
        return lease

    async def settle(self, lease: Lease, *notes: TierNote, template: str = TEMPLATE) -> None:
        """Acknowledge a visit with notes."""
        verdict, _ = await self.bench.frontier.ack(lease, Ack(tiers=TierNotes(template, notes)))
        assert verdict == "ok"

    @property
    def state(self) -> TierState:
        """What is known of plain HTTP."""
        known = self.told[-1][1]
        assert known is not None
        state = known[Renderer.FETCH]
        assert isinstance(state, TierState)
        return state

    async def again(self) -> Sequence[Lease]:
        """Lease all that is queued."""
        queued = (await self.bench.frontier.stats()).ledger.queued
        return [await self.bench.lease(f"s{number + 2}") for number in range(queued)]


async def test_what_seeds_ask_for_is_kept_for_later_runs(bench: Bench) -> None:
    """Of all nodes together; nothing is written where none asks, and what no farm wrote is not read."""
    asked = bench.frontier.tiers
    await asked.ask(())
    assert await bench.raw("EXISTS", "@asked") == 0
    assert await asked.asked() == frozenset()
    await asked.ask({RenderMode.FETCH})
    await asked.ask({RenderMode.FETCH, RenderMode.BROWSER})
    await bench.raw("HSET", "@asked", "steam", 1)
    assert await asked.asked() == {RenderMode.FETCH, RenderMode.BROWSER}


@pytest.fixture
async def tiers(bench: Bench) -> Tiers:
    """Open a crawl with forty pages of one template."""
    await bench.add(*(f"a/p/{number}" for number in range(40)))
    return Tiers(bench)


async def test_evidence_adds_up_and_comes_back_with_the_acknowledgement(tiers: Tiers) -> None:
    """For the template, and for the site."""
    await tiers.visit(Evidence.AGREED)
    await tiers.visit(Evidence.AGREED)
    await tiers.visit(Evidence.AGREED, template="a/q/#")
    await tiers.visit(Evidence.TAKEN, share=50)
    assert tiers.told[-1][0] == TEMPLATE
    assert tiers.state == TierState(agreed=2, taken=1, pooled=3, site_taken=1)
    counts = (await tiers.bench.frontier.stats()).tiers
    assert (counts.pages, counts.pages_by_share) == ({Renderer.FETCH: 1}, {50: 1})
    assert (counts.compared, counts.audits, counts.templates) == (3, 0, 2)
    await tiers.bench.ledger()


async def test_a_difference_queues_again_what_no_audit_has_confirmed(tiers: Tiers) -> None:
    """With its revision, under the same id, in one transition; the ledger balances."""
    first = await tiers.visit(Evidence.TAKEN, share=50)
    await tiers.visit(Evidence.AGREED, confirms=1, share=50)
    taken = [await tiers.visit(Evidence.TAKEN, share=50) for _ in range(3)]
    before = await tiers.bench.ledger()
    await tiers.visit(Evidence.DIFFERED, share=50, example="lines: lacks\n2")
    after = await tiers.bench.ledger()
    assert (after.done, after.queued, after.accepted) == (before.done + 1 - 3, before.queued - 1 + 3, 40)
    assert tiers.state == TierState(failures=1, taken=4, confirmed=4, site_taken=4)
    again = [lease for lease in await tiers.again() if lease.task.revision == 1]
    assert {lease.task.url for lease in again} == {lease.task.url for lease in taken} - {first.task.url}
    assert {lease.id for lease in again} == {lease.id for lease in taken}
    counts = (await tiers.bench.frontier.stats()).tiers
    assert (counts.audits, counts.differed, counts.requeued) == (2, 1, 3)
    assert (counts.pages, counts.pages_by_share) == ({Renderer.FETCH: 1}, {50: 1})
    assert (await tiers.bench.frontier.stats()).rendered == 3
    await tiers.bench.ledger()


async def test_a_page_that_was_planned_before_a_difference_is_visited_again(tiers: Tiers) -> None:
    """Another slot found the difference meanwhile: what this one took is as wrong as the others."""
    late = await tiers.bench.lease("s2")
    await tiers.visit(Evidence.DIFFERED)
    await tiers.settle(late, TierNote(Renderer.FETCH, Evidence.TAKEN, failures=0, share=50))
    assert tiers.state.taken == 0
    ledger = await tiers.bench.ledger()
    assert (ledger.done, ledger.queued) == (1, 39)
    assert {lease.task.revision for lease in await tiers.again() if lease.id == late.id} == {1}


async def test_an_audit_confirms_only_what_was_taken_before_it_began(tiers: Tiers) -> None:
    """A page that was taken since may come after the site changed."""
    await tiers.visit(Evidence.TAKEN, share=50)
    await tiers.visit(Evidence.TAKEN, share=50)
    await tiers.visit(Evidence.AGREED, confirms=1, share=50)
    assert tiers.state.pending == 1
    await tiers.visit(Evidence.DIFFERED, share=50)
    assert (await tiers.bench.frontier.stats()).tiers.requeued == 1


async def test_a_renderer_that_is_unfit_again_and_again_is_given_up(tiers: Tiers) -> None:
    """Five visits in a row count as a difference; one that it brings begins the count anew."""
    await tiers.visit(Evidence.TAKEN, share=50)
    for _ in range(4):
        await tiers.visit(Evidence.UNFIT, example="an empty root")
    await tiers.visit(Evidence.AGREED)
    assert (tiers.state.unfit, tiers.state.failures) == (0, 0)
    for _ in range(5):
        await tiers.visit(Evidence.UNFIT, example="an empty root")
    assert tiers.state == TierState(failures=1, taken=1, confirmed=1, site_taken=1)
    assert (await tiers.bench.frontier.stats()).tiers.requeued == 1


async def test_renderers_are_judged_each_by_itself(tiers: Tiers) -> None:
    """A difference of one leaves what the other has shown."""
    lease = await tiers.bench.lease()
    notes = (TierNote(Renderer.FETCH, Evidence.DIFFERED), TierNote(Renderer.LIGHT, Evidence.AGREED))
    await tiers.settle(lease, *notes)
    known = tiers.told[-1][1]
    assert known[Renderer.FETCH] == TierState(failures=1)
    assert known[Renderer.LIGHT] == TierState(agreed=1, pooled=1)


async def test_an_acknowledgement_that_is_repeated_counts_once(tiers: Tiers) -> None:
    """Its reply was lost; the next lease comes all the same."""
    lease = await tiers.bench.lease()
    outcome = Ack(tiers=TierNotes(TEMPLATE, (TierNote(Renderer.FETCH, Evidence.TAKEN, share=50),)))
    await tiers.bench.frontier.ack(lease, outcome)
    verdict, got = await tiers.bench.frontier.ack(lease, outcome, tiers.bench.wish())
    assert verdict == "dup"
    assert isinstance(got, Lease)
    assert (await tiers.bench.frontier.stats()).tiers.pages == {Renderer.FETCH: 1}
    assert len(tiers.told) == 1


async def test_a_site_with_too_many_templates_is_left_to_the_browser(tiers: Tiers) -> None:
    """The templates that it has stay; a page that was taken at another one is visited again."""
    await tiers.visit(Evidence.AGREED)
    await tiers.bench.raw("HSET", "@site:a", "templates", 500)
    await tiers.visit(Evidence.AGREED)
    assert tiers.state.agreed == 2
    await tiers.visit(Evidence.TAKEN, template="a/other", share=50)
    assert tiers.told[-1] == ("a/other", None)
    assert (await tiers.bench.ledger()).done == 2


async def test_pages_that_wait_for_their_confirmation_are_bounded(tiers: Tiers) -> None:
    """Beyond the bound a page is the browser's, and nodes are told that there is no place."""
    await tiers.visit(Evidence.TAKEN, share=50)
    await tiers.bench.raw("HINCRBY", "@tiers", "pending", 200_000)
    await tiers.visit(Evidence.TAKEN, share=50)
    assert tiers.state.crowded
    assert tiers.state.taken == 1
    await tiers.bench.raw("HINCRBY", "@tiers", "pending", -200_000)
    assert (await tiers.bench.ledger()).done == 1


async def test_the_audit_sees_pages_that_wait_and_are_queued_too(tiers: Tiers) -> None:
    """And a number of them that is not what was counted."""
    lease = await tiers.visit(Evidence.TAKEN, share=50)
    (name,) = await tiers.bench.client.keys("*taken:*")
    (page,) = await tiers.bench.client.command("LRANGE", name, 0, -1)
    await tiers.bench.client.command("RPUSH", name, page)
    said = await tiers.bench.frontier.audit()
    assert any(lease.id in one and "taken:fetch" in one for one in said)
    assert any("wait for an audit, counted 1" in one for one in said)


async def test_templates_are_reported_with_the_last_differences(tiers: Tiers) -> None:
    """Each with the page that showed it."""
    for number in range(4):
        example = f"title: '{number}' in place of \ud800'x'"
        await tiers.visit(Evidence.DIFFERED, failures=number, example=example)
    await tiers.visit(Evidence.AGREED, template="a/q/#")
    report, other = sorted(
        [one async for one in tiers.bench.frontier.tiers.templates()], key=lambda one: one.template
    )
    assert other.known[Renderer.FETCH] == TierState(agreed=1, pooled=1)
    assert (report.template, report.site) == (TEMPLATE, "a")
    assert report.known[Renderer.FETCH].failures == 4
    assert [line.split(" ", 1)[1][:10] for line in report.examples[Renderer.FETCH]] == [
        "title: '3'",
        "title: '2'",
        "title: '1'",
    ]
    assert report.since is not None
    assert report.differed_at[Renderer.FETCH] >= report.since


async def test_what_was_under_way_at_a_difference_says_nothing_of_what_follows(tiers: Tiers) -> None:
    """Neither a new proof nor further differences come of it: visits of before it were many at once."""
    late = [await tiers.bench.lease(f"late-{number}") for number in range(8)]
    await tiers.visit(Evidence.DIFFERED, share=50)
    for lease in late[:2]:
        await tiers.settle(lease, TierNote(Renderer.FETCH, Evidence.AGREED, failures=0, share=50))
    for lease in late[2:]:
        await tiers.settle(lease, TierNote(Renderer.FETCH, Evidence.UNFIT, failures=0, share=50))
    assert tiers.state == TierState(failures=1)
    counts = (await tiers.bench.frontier.stats()).tiers
    assert (counts.audits, counts.differed) == (3, 1)
    await tiers.visit(Evidence.AGREED, failures=1)
    assert tiers.state.agreed == 1


async def test_a_page_that_is_visited_again_keeps_what_was_said_of_it(bench: Bench) -> None:
    """Its label, and by what it was to be brought."""
    tiers = Tiers(bench)
    await bench.add("a/p/1", render="auto", label="x")
    await tiers.visit(Evidence.TAKEN, failures=1, share=50)
    (lease,) = await tiers.again()
    assert (lease.task.render, lease.task.label, lease.task.revision) == ("auto", "x", 1)


@pytest.mark.parametrize("seed", range(3))
async def test_the_scripts_do_what_the_simulation_is_made_with(bench: Bench, seed: int) -> None:
    """For any order of visits: the same is known afterwards, and the same pages are visited again."""
    random, model, tiers = Random(seed), TierModel(), Tiers(bench)
    await bench.add(*(f"a/{number}" for number in range(60)))
    for _ in range(150):
        if not (await bench.frontier.stats()).ledger.queued:
            break
        lease = await bench.lease()
        page, template = int(lease.task.url.rpartition("/")[2]), random.choice(["a/x", "a/y"])
        known = model.known(template)
        # The record of a visit is of one renderer: where two are noted, both were compared.
        renderers = random.sample([Renderer.FETCH, Renderer.LIGHT], random.randint(1, 2))
        weights = [8 if len(renderers) == 1 else 0, 6, 1, 3]
        notes = tuple(
            TierNote(
                one,
                random.choices([*Evidence], weights)[0],
                known[one].failures - (known[one].failures > 0 and random.random() < 0.1),
                random.randrange(known[one].taken + 2),
                random.choice([0, 50, 100]),
            )
            for one in renderers
        )
        model.note(TierNotes(template, notes), page)
        await tiers.settle(lease, *notes, template=template)
        told, ought = tiers.told[-1][1], model.known(template)
        assert told == {one.renderer: ought[one.renderer] for one in notes}
    counts = (await bench.frontier.stats()).tiers
    assert (counts.audits, counts.differed) == (model.sums["audits"], model.sums["differed"])
    assert (counts.compared, counts.requeued) == (model.sums["compared"], model.sums["requeued"])
    assert counts.pages_by_share == {share: n for share, n in model.pages_by_share.items() if n}
    await bench.ledger()


async def test_a_crawl_without_notes_keeps_none(bench: Bench) -> None:
    """Nothing of it is written where nobody asks for it."""
    await bench.add("a/1")
    await bench.done(await bench.lease())
    assert await bench.client.keys("*:tier*") == []
    assert isinstance(bench.frontier, RedisFrontier)
