"""Adding, leasing and settling: who holds what."""

import pytest

from farm.frontier import keys
from farm.model.crawl import Ledger
from farm.model.errors import UsageError
from farm.model.outcome import Ack, Bury, FailureKind, Release, Retry, Settled
from farm.model.task import Idle, Lease
from tests.frontier.support import Bench


async def test_a_url_is_accepted_once(bench: Bench) -> None:
    """Whether it is repeated in one call or in another."""
    assert await bench.add("a/1", "a/2", "a/1") == 2
    assert await bench.add("a/2", "a/3") == 1
    assert await bench.ledger() == Ledger(accepted=3, queued=3)
    assert (await bench.frontier.stats()).duplicates == 2


async def test_a_lease_carries_the_task_back(bench: Bench) -> None:
    """Every field survives the way through Redis."""
    task = bench.task("a/x?é=1", depth=3, priority=7, referrer="http://a/y", meta={"k": [1, None, "ü"]})
    await bench.frontier.add([task])
    lease = await bench.lease()
    assert lease.task == task
    assert (lease.attempt, lease.throttled, lease.slot) == (1, 0, "s1")


async def test_a_settled_crawl_is_empty(bench: Bench) -> None:
    """`empty` is said when nothing is queued, delayed or leased, and not before."""
    await bench.add("a/1")
    lease = await bench.lease()
    assert (await bench.idle("s2")).reason == "waiting"
    await bench.done(lease)
    assert await bench.idle() == Idle("empty", 0)
    assert await bench.ledger() == Ledger(accepted=1, done=1)


async def test_the_same_request_gets_the_same_lease(bench: Bench) -> None:
    """A reply that was lost costs nothing."""
    await bench.add("a/1", "a/2")
    wish = bench.wish()
    first = await bench.frontier.lease(wish)
    assert await bench.frontier.lease(wish) == first
    assert (await bench.ledger()).leased == 1


async def test_a_slot_holds_one_lease(bench: Bench) -> None:
    """A new request of a slot that holds a lease takes the old one for abandoned."""
    await bench.add("a/1", "a/2")
    first = await bench.lease()
    second = await bench.lease()
    ledger = await bench.ledger()
    assert (ledger.leased, ledger.queued) == (1, 1)
    assert second.token > first.token
    assert (await bench.frontier.ack(first, Ack()))[0] is Settled.STALE


async def test_an_ack_enqueues_links_and_hands_out_the_next(bench: Bench) -> None:
    """Done, links and the next lease are one round trip."""
    await bench.add("a/1")
    lease = await bench.lease()
    links = [bench.task("a/2", depth=1), bench.task("a/1"), bench.task("b/1")]
    verdict, following = await bench.frontier.ack(lease, Ack(links=links), bench.wish(site_hint="a"))
    assert verdict is Settled.OK
    assert isinstance(following, Lease)
    assert following.task.url == "http://a/2"
    assert await bench.ledger() == Ledger(accepted=3, queued=1, leased=1, done=1)


async def test_a_repeated_ack_is_a_dup_with_the_same_next_lease(bench: Bench) -> None:
    """The whole fused call can be repeated."""
    await bench.add("a/1", "a/2")
    lease = await bench.lease()
    outcome, wish = Ack(links=[bench.task("a/3")]), bench.wish()
    verdict, following = await bench.frontier.ack(lease, outcome, wish)
    assert await bench.frontier.ack(lease, outcome, wish) == (Settled.DUP, following)
    assert verdict is Settled.OK
    assert await bench.ledger() == Ledger(accepted=3, queued=1, leased=1, done=1)


async def test_a_stale_token_cannot_settle(bench: Bench) -> None:
    """A zombie's lease is somebody else's by now: nothing changes, its links are not taken."""
    await bench.add("a/1")
    zombie = await bench.lease("old")
    bench.clock.advance(31)
    current = await bench.lease("new")
    assert current.id == zombie.id
    assert current.token > zombie.token
    before = await bench.ledger()
    assert (await bench.frontier.ack(zombie, Ack(links=[bench.task("a/9")])))[0] is Settled.STALE
    for outcome in (Retry(FailureKind.CRASH, 1), Bury(FailureKind.CRASH), Release("drain")):
        assert await bench.frontier.nack(zombie, outcome) is Settled.STALE
    assert await bench.ledger() == before
    assert (await bench.frontier.ack(current, Ack()))[0] is Settled.OK


async def test_settling_otherwise_afterwards_is_stale(bench: Bench) -> None:
    """A repetition is the same deed, nothing else."""
    await bench.add("a/1")
    lease = await bench.lease()
    assert await bench.frontier.nack(lease, Retry(FailureKind.TIMEOUT, 5)) is Settled.OK
    assert await bench.frontier.nack(lease, Retry(FailureKind.TIMEOUT, 5)) is Settled.DUP
    assert (await bench.frontier.ack(lease, Ack()))[0] is Settled.STALE
    assert await bench.ledger() == Ledger(accepted=1, delayed=1)


async def test_a_retry_comes_back_when_it_is_due(bench: Bench) -> None:
    """With one attempt consumed, unless its site requested the delay."""
    await bench.add("a/1")
    await bench.frontier.nack(await bench.lease(), Retry(FailureKind.TIMEOUT, 5))
    idle = await bench.idle()
    assert idle.reason == "waiting"
    bench.clock.advance(5)
    lease = await bench.lease()
    assert (lease.attempt, lease.throttled) == (2, 0)
    await bench.frontier.nack(lease, Retry(FailureKind.THROTTLED, 3, throttled=True))
    bench.clock.advance(3)
    lease = await bench.lease()
    assert (lease.attempt, lease.throttled) == (2, 1)


@pytest.mark.parametrize("egress", ["", "p1"])
async def test_a_retry_that_the_site_has_not_asked_for_puts_off_the_url_alone(
    bench: Bench, egress: str
) -> None:
    """Another site has, to which a redirect led; no attempt is consumed."""
    await bench.add("a/1", "a/2")
    lease = await bench.lease("s1", egress=egress)
    retry = Retry(FailureKind.THROTTLED, 20, throttled=True, blocks_site=False)
    await bench.frontier.nack(lease, retry)
    await bench.done(await bench.lease("s1", egress=egress))
    await bench.idle("s1", egress=egress)
    bench.clock.advance(20)
    again = await bench.lease("s1", egress=egress)
    assert (again.task, again.attempt, again.throttled) == (lease.task, 1, 1)
    assert await bench.frontier.audit() == []


@pytest.mark.parametrize("egress", ["", "p1"])
async def test_of_a_site_that_never_had_a_url_no_block_is_kept(bench: Bench, egress: str) -> None:
    """Redirects may lead to any number of them."""
    await bench.frontier.block("elsewhere", 3600, egress=egress)
    assert await bench.raw("EXISTS", "@site:elsewhere") == 0
    assert await bench.frontier.audit() == []


async def test_waiting_says_when_the_next_one_is_due(bench: Bench) -> None:
    """So that nobody polls faster than anything can happen."""
    await bench.add("a/1")
    await bench.frontier.nack(await bench.lease(), Retry(FailureKind.TIMEOUT, 0.1))
    assert (await bench.idle()).retry_in_s == pytest.approx(0.1)


async def test_a_release_is_due_at_once_and_costs_nothing(bench: Bench) -> None:
    """It goes to the head of its queue."""
    await bench.add("a/1", "a/2")
    lease = await bench.lease()
    assert await bench.frontier.nack(lease, Release("drain")) is Settled.OK
    again = await bench.lease()
    assert (again.id, again.attempt) == (lease.id, 1)


async def test_buried_urls_are_counted_by_reason(bench: Bench) -> None:
    """Dead is a state of the ledger like any other."""
    await bench.add("a/1", "a/2")
    await bench.frontier.nack(await bench.lease(), Bury(FailureKind.TLS, "bad\ncertificate"))
    await bench.frontier.nack(await bench.lease(), Bury(FailureKind.HTTP_5XX))
    assert (await bench.frontier.stats()).dead_by_reason == {"tls": 1, "http_5xx": 1}
    assert (await bench.ledger()).dead == 2


async def test_what_was_seen_is_never_queued(bench: Bench) -> None:
    """A redirect's target counts as visited, though it was never accepted."""
    await bench.add("a/1")
    target = bench.task("a/target")
    await bench.frontier.ack(await bench.lease(), Ack(seen=[target.fingerprint]))
    assert await bench.frontier.add([target]) == 0
    assert await bench.ledger() == Ledger(accepted=1, done=1)


async def test_more_links_than_fit_one_script(bench: Bench) -> None:
    """They go ahead of the ack, checked by the same token, and a repetition adds nothing."""
    await bench.add("a/0")
    lease = await bench.lease()
    outcome = Ack(links=[bench.task(f"a/{n}") for n in range(1, 1201)])
    assert (await bench.frontier.ack(lease, outcome))[0] is Settled.OK
    assert (await bench.frontier.ack(lease, outcome))[0] is Settled.DUP
    assert await bench.ledger() == Ledger(accepted=1201, queued=1200, done=1)


async def test_a_higher_priority_is_leased_first(bench: Bench) -> None:
    """Bands come before the order of arrival."""
    await bench.add("a/low", priority=1)
    await bench.add("b/high", priority=9)
    await bench.add("c/mid")
    assert [(await bench.lease(f"s{n}")).task.site for n in range(3)] == ["b", "c", "a"]


async def test_a_slot_stays_on_its_site(bench: Bench) -> None:
    """A context that stays renders at half the cost, so its site is preferred while it is eligible."""
    await bench.add("a/1", "b/1", "a/2", "b/2", "b/3")
    lease, sites = await bench.lease(), []
    for _ in range(4):
        sites.append(lease.task.site)
        _, following = await bench.frontier.ack(lease, Ack(), bench.wish(site_hint=lease.task.site))
        assert isinstance(following, Lease)
        lease = following
    assert sites == ["a", "a", "b", "b"]


async def test_paused_draining_and_stopped_hand_out_nothing(bench: Bench) -> None:
    """What is leased can still be settled."""
    await bench.add("a/1", "a/2")
    lease = await bench.lease()
    for state in ("paused", "draining", "stopped"):
        await bench.frontier.set_state(state)
        assert (await bench.idle("s2")).reason == state
        assert await bench.frontier.state() == state
    await bench.done(lease)
    await bench.frontier.set_state("running")
    assert (await bench.frontier.stats()).state == "running"
    await bench.lease("s2")
    with pytest.raises(UsageError, match="not 'gone'"):
        await bench.frontier.set_state("gone")


async def test_the_page_limit_is_never_exceeded(bench: Bench) -> None:
    """Rendered and leased together reach it, over all slots; late skips do not count."""
    await bench.add(*(f"a/{n}" for n in range(6)))
    first, second = await bench.lease("s1", limit=2), await bench.lease("s2", limit=2)
    idle = await bench.idle("s3", limit=2)
    assert idle.reason == "limit"
    assert idle.retry_in_s > 0
    await bench.frontier.ack(first, Ack(rendered=False))
    third = await bench.lease("s1", limit=2)
    await bench.done(second)
    await bench.done(third)
    assert await bench.idle("s1", limit=2) == Idle("limit", 0)


async def test_scope_grows_for_every_node(bench: Bench) -> None:
    """A seed's redirect to another host of its site is known to all."""
    await bench.frontier.extend_scope("www.a")
    await bench.frontier.extend_scope("www.a")
    assert await bench.frontier.scope_sites() == {"www.a"}


async def test_a_token_settles_its_own_url_alone(bench: Bench) -> None:
    """A lease is an id and a token; one that names another URL by a current token is none."""
    await bench.add("a/1", "a/2")
    lease = await bench.lease()
    other = next(task.fingerprint for task in map(bench.task, ("a/1", "a/2")) if task.fingerprint != lease.id)
    args = ("s1", other, lease.token, 1, "", "", 0, "", "000", 0, 1, "", 0)
    assert await bench.client.run("ack", keys.ctl(bench.crawl), bench.clock.ms, *args) == [b"STALE"]
    await bench.done(lease)
