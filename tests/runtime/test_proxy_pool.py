"""Who goes by which proxy, and what visits do to that; on a clock of its own."""

import pytest

from farm.model.egress import Ban
from farm.model.errors import AllProxiesDown
from farm.model.event import Event, Notice
from farm.policy.proxies import Outcome, Rotation
from farm.runtime.egress_route import ProxyRoute
from farm.runtime.proxy_pool import MOST_TOLD, ProxyParams, ProxyPool
from tests.clock import ManualClock

SITE = "shop.example"
LABELS = ("a", "b", "c")


class Slots:
    """Proxies and the routes of some slots, with the proxies that their slot proxies were switched to."""

    def __init__(self, rotation: Rotation = Rotation.CONTEXT, labels: tuple[str, ...] = LABELS) -> None:
        self.clock = ManualClock()
        self.events: list[Event] = []
        params = ProxyParams(rotation, pages=2, patience_s=10)
        self.proxies = ProxyPool(labels, params, self.events.append, self.clock)
        self.switched: dict[str, list[str | None]] = {}

    def route(self, slot: str) -> ProxyRoute:
        """Return a slot's route."""
        return ProxyRoute(slot, self.proxies, self.switched.setdefault(slot, []).append)


def spoil(route: ProxyRoute, outcome: Outcome, times: int = 1, site: str = SITE) -> None:
    """Have visits end badly, whatever proxy the slot takes for them."""
    for number in range(times):
        assert route.acquire(site)
        assert route.acquire_for(site) is None
        route.report(f"{number}", site, outcome)


def test_a_reading_says_how_the_proxies_are() -> None:
    """The banned ones first, with the time that is left; the counts are of all of them."""
    slots = Slots()
    route = slots.route("s")
    assert route.acquire(SITE)
    used = route.label
    bad = next(label for label in LABELS if label != used)
    for number in range(4):
        slots.proxies.report(bad, f"{number}", SITE, Outcome.DOWN, None)
    for number in range(4):
        slots.proxies.report(used or "", f"x{number}", "other.example", Outcome.BLOCKED, None)
    read = slots.proxies.reading()
    first = read.proxies[0]
    assert (first.state, first.bans) == ("banned", 1)
    assert first.banned_s > 0
    assert {one.label for one in read.proxies if one.state == "banned"} == {bad}
    assert {one.label: one.slots for one in read.proxies}[used or ""] == 1
    assert {one.label: one.sites for one in read.proxies}[used or ""] == 1
    assert dict(read.states) == {"available": 2, "banned": 1}
    assert read.proxies[-1].score > first.score


def test_of_very_many_proxies_only_some_are_told() -> None:
    """A reading is bounded; its counts are whole."""
    read = Slots(labels=tuple(f"p{number}" for number in range(MOST_TOLD + 7))).proxies.reading()
    assert len(read.proxies) == MOST_TOLD
    assert dict(read.states) == {"available": MOST_TOLD + 7}


def test_slots_spread_over_the_proxies() -> None:
    """Each proxy has as many users."""
    slots = Slots()
    for number in range(6):
        assert slots.route(f"s{number}").acquire(None)
    assert sorted(switched[0] or "" for switched in slots.switched.values()) == ["a", "a", "b", "b", "c", "c"]


def test_a_context_keeps_its_proxy_for_its_pages() -> None:
    """Then the slot takes another one."""
    slots = Slots()
    route = slots.route("s")
    labels = []
    for _ in range(4):
        assert route.acquire(SITE)
        assert route.acquire_for(SITE) is None
        labels.append(route.label)
        route.report("x", SITE, Outcome.GOOD, 50)
    assert labels == ["a", "a", "b", "b"]


def test_every_page_has_another_proxy_where_that_is_wanted() -> None:
    """In turn."""
    slots = Slots(Rotation.PAGE)
    route = slots.route("s")
    labels = []
    for _ in range(6):
        assert route.acquire(SITE)
        assert route.acquire_for(SITE) is None
        labels.append(route.label)
        route.report("x", SITE, Outcome.GOOD, 50)
    assert labels == ["a", "b", "c", "a", "b", "c"]


def test_a_site_has_one_proxy_for_all_slots() -> None:
    """And on every node, since it follows from the names alone."""
    one, other = Slots(Rotation.SITE), Slots(Rotation.SITE, tuple(reversed(LABELS)))
    for site in (f"{number}.example" for number in range(20)):
        labels = set()
        for slots in (one, other):
            route = slots.route("s")
            assert route.acquire(None)
            assert route.acquire_for(site) is None
            assert route.address == ""
            labels.add(route.label)
        assert len(labels) == 1


def test_a_dead_proxy_is_left_after_three_failures_and_tried_by_one_slot_later() -> None:
    """After its cooldown one slot goes to it; a success brings it back for all."""
    slots = Slots(labels=("a", "b"))
    one, two = slots.route("one"), slots.route("two")
    assert one.acquire(SITE)
    assert two.acquire(SITE)
    assert (one.label, two.label) == ("a", "b")
    for _ in range(3):
        slots.proxies.report("a", "x", SITE, Outcome.DOWN, None)
    assert one.acquire(SITE)
    assert one.label == "b"
    slots.clock.now += 61
    assert one.acquire(SITE)
    assert two.acquire(SITE)
    assert (one.label, two.label) == ("a", "b"), "one tries, the other stays"
    one.acquire_for(SITE)
    one.report("x", SITE, Outcome.GOOD, 50)
    assert [event.text for event in slots.events if isinstance(event, Notice)][-1] == "proxy a works again"


def test_one_that_failed_once_is_tried_again_though_all_others_work() -> None:
    """Slots keep proxies that work: without a trial no slot would use it before it is needed."""
    slots = Slots(labels=("a", "b"))
    one, two = slots.route("one"), slots.route("two")
    assert one.acquire(SITE)
    assert one.acquire_for(SITE) is None
    one.report("x", SITE, Outcome.DOWN)
    assert one.acquire(SITE)
    assert two.acquire(SITE)
    assert (one.label, two.label) == ("b", "b")
    slots.clock.now += 61
    assert one.acquire(SITE)
    assert two.acquire(SITE)
    assert (one.label, two.label) == ("a", "b")


def test_a_pair_whose_time_is_over_is_tried_by_one_slot() -> None:
    """At that site: the other slots stay away until the first has seen a page."""
    slots = Slots(labels=("a", "b"))
    one, two = slots.route("one"), slots.route("two")
    spoil(one, Outcome.BLOCKED)
    for route in (one, two):
        assert route.acquire(SITE)
    assert (one.label, two.label) == ("b", "b")
    slots.clock.now += 61
    assert one.acquire(SITE)
    assert one.label == "a"
    assert not slots.proxies.usable("a", SITE, "two")
    assert slots.proxies.usable("a", "other.example", "two")
    assert one.acquire_for(SITE) is None
    one.report("y", SITE, Outcome.GOOD, 50)
    assert slots.proxies.usable("a", SITE, "two")


@pytest.mark.parametrize("outcome", [Outcome.BLOCKED, Outcome.DOWN])
def test_a_slot_without_work_leaves_a_trial_to_others(outcome: Outcome) -> None:
    """It may wait for long, and until a visit has shown that the proxy works no other slot may use it."""
    slots = Slots(labels=("a", "b"))
    idle, busy = slots.route("idle"), slots.route("busy")
    for number in range(3):
        slots.proxies.report("a", f"{number}", SITE, outcome, None)
    assert busy.acquire(SITE)
    assert busy.label == "b"
    slots.clock.now += 61
    assert idle.acquire(SITE)
    assert idle.label == "a"
    assert busy.acquire(SITE)
    assert busy.label == "b"
    idle.yield_trial(SITE)
    assert busy.acquire(SITE)
    assert busy.label == "a"
    busy.yield_trial(SITE)
    assert idle.acquire(SITE)
    assert idle.acquire_for(SITE) is None
    idle.report("y", SITE, Outcome.GOOD, 50)
    idle.yield_trial(SITE)
    assert idle.label == "a", "what works is kept"


def test_a_block_drops_the_pair_and_not_the_proxy() -> None:
    """The proxy goes on for another site."""
    slots = Slots(labels=("a", "b"))
    route = slots.route("s")
    spoil(route, Outcome.BLOCKED)
    assert route.acquire(SITE)
    assert route.label == "b"
    assert slots.proxies.usable("a", "other.example", "s")
    assert not slots.proxies.usable("a", SITE, "s")


def test_a_site_that_blocks_every_proxy_is_put_off() -> None:
    """For as long as the first of them is out; other sites are visited meanwhile."""
    slots = Slots(labels=("a", "b"))
    route = slots.route("s")
    spoil(route, Outcome.BLOCKED)
    slots.clock.now += 10
    spoil(route, Outcome.BLOCKED)
    assert route.acquire(SITE), "there may be work for another site"
    all_banned = route.acquire_for(SITE)
    assert all_banned is not None
    assert (all_banned.wait_s, all_banned.by_site) == (50, True)
    assert route.acquire(None)
    assert route.acquire_for("other.example") is None


def test_three_sites_that_drop_a_proxy_end_it_everywhere() -> None:
    """One that shows captchas is no use for the fourth site either."""
    slots = Slots(labels=("a",))
    for number in range(3):
        spoil(slots.route("s"), Outcome.BLOCKED, site=f"{number}.example")
    assert not slots.proxies.usable("a", "another.example", "s")


def test_the_wait_for_a_proxy_ends_with_the_patience() -> None:
    """The reason is shown, one slot is enough to look, and any success begins the patience anew."""
    slots = Slots(labels=("a",))
    route = slots.route("s")
    assert slots.proxies.limits == {}
    spoil(route, Outcome.DOWN, 3)
    assert not route.acquire(SITE)
    route.wait_or_fail()
    assert slots.proxies.limits == {"proxies": 1}
    assert "none of the 1 proxies is available" in str(slots.events[-1])
    slots.clock.now += 9
    route.wait_or_fail()
    slots.clock.now += 2
    with pytest.raises(AllProxiesDown, match="--proxy-patience"):
        route.wait_or_fail()
    slots.clock.now += 60
    assert route.acquire(SITE)
    route.acquire_for(SITE)
    route.report("x", SITE, Outcome.GOOD, 50)
    assert slots.proxies.limits == {}


def test_a_slot_proxy_without_a_proxy_is_never_told_to_go_direct() -> None:
    """It stays with the last one until it is given another."""
    slots = Slots(labels=("a",))
    route = slots.route("s")
    spoil(route, Outcome.DOWN, 3)
    assert not route.acquire(SITE)
    route.release()
    assert None not in slots.switched["s"]


def test_after_a_failure_others_are_tried_first_for_a_while() -> None:
    """One failure is no ban: a minute later it is as good as the others."""
    slots = Slots(labels=("a", "b"))
    one, two = slots.route("one"), slots.route("two")
    spoil(one, Outcome.DOWN)
    assert one.acquire(SITE)
    assert two.acquire(SITE)
    assert (one.label, two.label) == ("b", "b")
    slots.clock.now += 61
    two.release()
    assert two.acquire(SITE)
    assert two.label == "a"


def test_a_proxy_that_the_file_no_longer_names_is_left() -> None:
    """What is known of the others is kept."""
    slots = Slots(labels=("a", "b"))
    route = slots.route("s")
    spoil(route, Outcome.BLOCKED)
    slots.proxies.replace(("a", "c"))
    assert route.acquire(SITE)
    assert route.label == "c"


def test_what_is_found_here_is_told_and_what_others_found_counts() -> None:
    """Bans of proxies and of pairs; what another node tells of proxies that are not here is skipped."""
    here, there = Slots(), Slots()
    spoil(here.route("s"), Outcome.BLOCKED)
    for _ in range(3):
        here.proxies.report("b", "x", SITE, Outcome.DOWN, None)
    news = here.proxies.take_changes()
    assert list(news) == [Ban("a", SITE, 60, 1), Ban("b", None, 60, 1)]
    assert here.proxies.take_changes() == ()
    there.proxies.adopt_bans([*news, Ban("unknown", None, 60, 1)])
    assert [label for label in LABELS if there.proxies.usable(label, SITE, "s")] == ["c"]
    assert there.proxies.usable("a", "other.example", "s")


def test_a_site_that_lacks_something_by_most_proxies_is_not_held_against_them() -> None:
    """After the second of three the count says: take it as it is."""
    slots = Slots()
    assert slots.proxies.report("a", "x", SITE, Outcome.PARTIAL, None) == 1
    assert slots.proxies.report("b", "x", SITE, Outcome.PARTIAL, None) > 1000
    for _ in range(10):
        slots.proxies.report("b", "y", SITE, Outcome.PARTIAL, None)
    assert slots.proxies.usable("b", SITE, "s")


@pytest.mark.parametrize("outcome", [Outcome.BROKEN, Outcome.SLOW, Outcome.DOUBTED, Outcome.PARTIAL])
def test_one_page_takes_no_proxy_out(outcome: Outcome) -> None:
    """However often it is tried, and by whichever proxies: it resets its connection for everybody."""
    slots = Slots()
    route = slots.route("s")
    for _ in range(50):
        assert route.acquire(SITE)
        assert route.acquire_for(SITE) is None, "every proxy is out for the site"
        route.report("the page", SITE, outcome)
    assert slots.proxies.working == len(LABELS)
    assert not [one for one in slots.events if isinstance(one, Notice)]


def test_a_proxy_at_fault_is_told_by_several_pages() -> None:
    """Each page weighs once, and three are enough."""
    slots = Slots(labels=("a",))
    route = slots.route("s")
    spoil(route, Outcome.BROKEN, 3)
    assert not slots.proxies.usable("a", SITE, "s")


def test_a_page_is_counted_each_time_all_the_same() -> None:
    """So that it is given up in the end."""
    slots = Slots()
    route = slots.route("s")
    counts = []
    for _ in range(4):
        assert route.acquire(SITE)
        assert route.acquire_for(SITE) is None
        counts.append(route.report("the page", SITE, Outcome.BROKEN))
    assert counts == [1, 2, 3, 4]
