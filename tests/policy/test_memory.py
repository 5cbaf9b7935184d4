"""The memory governor, by properties and by simulation on a manual clock."""

import itertools
import random
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from farm.model.memory import MIB, Measure, MemoryReading, RendererUse
from farm.policy import memory
from farm.policy.memory import Band, MemoryParams

GIB = 1024 * MIB
PARAMS = MemoryParams(renderer_cap_bytes=400 * MIB)


def reading(share: float, contexts: int = 4, budget: int = GIB) -> MemoryReading:
    """Return a reading of so much of the budget, half of it spread evenly over contexts."""
    used = int(share * budget)
    each = used // 2 // max(1, contexts)
    renderers = tuple(RendererUse(100 + n, each, "engine-1", f"{n:02d}") for n in range(contexts))
    return MemoryReading(used, 10 + contexts, renderers, {"engine-1": used // 4, "engine-2": used // 4})


@given(st.lists(st.floats(0, 2), min_size=1, max_size=80), st.integers(1, 50))
def test_never_nobody_and_never_more_than_there_are(shares: list[float], slots: int) -> None:
    """Whatever the readings."""
    state = memory.MemoryState(slots)
    for number, share in enumerate(shares):
        state = memory.step(state, reading(share), GIB, state.limit, slots, number * 0.25, PARAMS)
        assert 1 <= state.limit <= slots


@given(st.lists(st.floats(0, 2), min_size=1, max_size=80))
def test_a_measure_is_taken_only_in_its_band(shares: list[float]) -> None:
    """Nothing is killed, shed, recycled or collected while there is memory."""
    state = memory.MemoryState(8)
    bands = {
        Measure.COLLECT: Band.COLLECT,
        Measure.RECYCLE: Band.RECYCLE,
        Measure.SHED: Band.SHED,
        Measure.ENGINE: Band.ENGINE,
        Measure.KILL: Band.KILL,
    }
    for number, share in enumerate(shares):
        state = memory.step(state, reading(share), GIB, 4, 8, number * 0.25, PARAMS)
        for action in (*state.actions, *filter(None, [state.shed])):
            assert state.band >= bands[action.measure] or action.used_bytes > PARAMS.renderer_cap_bytes


@given(st.floats(0.0, 1.0), st.floats(-0.01, 0.01))
def test_a_reading_that_hovers_changes_the_band_once_at_most(share: float, wobble: float) -> None:
    """Bands overlap by more than the wobble."""
    state, seen = memory.MemoryState(8), []
    for number in range(40):
        now_share = max(0.0, share + (wobble if number % 2 else -wobble))
        state = memory.step(state, reading(now_share), GIB, 4, 8, number * 0.25, PARAMS)
        seen.append(state.band)
    assert sum(one is not other for one, other in itertools.pairwise(seen)) <= 1


def test_what_is_over_the_cap_is_killed_in_any_band() -> None:
    """The others are not touched."""
    renderers = (RendererUse(1, 401 * MIB, "engine-1", "01"), RendererUse(2, 50 * MIB, "engine-1", "02"))
    state = memory.step(
        memory.MemoryState(2), MemoryReading(500 * MIB, 5, renderers), 4 * GIB, 2, 2, 0.0, PARAMS
    )
    assert [(action.measure, action.pid) for action in state.actions] == [(Measure.KILL, 1)]
    assert state.band is Band.GROW


def test_a_kill_is_not_repeated_while_its_victim_is_still_counted() -> None:
    """Nor does it cost another page its renderer."""
    renderers = (RendererUse(1, 390 * MIB, "e", "01"), RendererUse(2, 350 * MIB, "e", "02"))
    full = MemoryReading(GIB, 5, renderers)
    first = memory.step(memory.MemoryState(2), full, GIB, 2, 2, 0.0, PARAMS)
    second = memory.step(first, full, GIB, 2, 2, 0.1, PARAMS)
    assert [action.pid for action in first.actions if action.measure is Measure.KILL] == [1]
    assert [action.pid for action in second.actions if action.measure is Measure.KILL] == []


def test_the_only_page_may_have_the_whole_budget() -> None:
    """A budget that a single page exceeds slows the crawl, and does not stop it."""
    full = MemoryReading(GIB, 5, (RendererUse(1, 300 * MIB, "e", "01"),))
    state = memory.step(memory.MemoryState(1), full, GIB, 1, 1, 0.0, PARAMS)
    assert Measure.KILL not in {action.measure for action in state.actions}


def test_a_slot_is_admitted_only_where_its_page_has_room() -> None:
    """Four contexts of 128 MiB under 1 GiB leave room for one more below the holding band."""
    renderers = tuple(RendererUse(n, 128 * MIB, "e", f"{n:02d}") for n in range(4))
    params = MemoryParams(hold=0.7, page_bytes=128 * MIB, grow_every_s=0.0)
    state = memory.MemoryState(40)
    for number in range(20):
        now = number * 0.25
        state = memory.step(state, MemoryReading(560 * MIB, 9, renderers), GIB, 4, 40, now, params)
    assert state.limit == 5


def test_a_full_container_counts_like_a_full_budget() -> None:
    """The kernel of a container kills whom it likes."""
    tight = MemoryReading(100 * MIB, 5, limit_share=0.91)
    assert memory.step(memory.MemoryState(8), tight, GIB, 8, 8, 0.0, PARAMS).band is Band.SHED


@dataclass
class Site:
    """A farm on a manual clock whose pages leak: what the governor actions has its effect after a moment."""

    budget: int
    slots: int
    leak_bytes: int
    page_s: float = 2.0
    base_bytes: int = 300 * MIB
    fresh_bytes: int = 30 * MIB
    held: dict[int, int] = field(default_factory=dict)
    recycling: set[int] = field(default_factory=set)
    actions: list[Measure] = field(default_factory=list)
    peak: float = 0.0
    limits: list[int] = field(default_factory=list)

    def run(self, seconds: float, every_s: float, seed: int) -> None:
        """Let virtual time pass; each context turns a page every `page_s`, not in step with the others."""
        chance = random.Random(seed)
        state = memory.MemoryState(self.slots)
        params = MemoryParams(renderer_cap_bytes=self.budget // 8)
        now = 0.0
        while now < seconds:
            now += every_s
            for slot in range(self.slots):
                self._turn(slot, state.limit, every_s, chance)
            used = self.base_bytes + sum(self.held.values())
            self.peak = max(self.peak, used / self.budget)
            renderers = tuple(RendererUse(slot, held, "e", str(slot)) for slot, held in self.held.items())
            seen = MemoryReading(used, 10, renderers)
            state = memory.step(state, seen, self.budget, len(self.held), self.slots, now, params)
            self.limits.append(state.limit)
            for action in state.actions:
                self.actions.append(action.measure)
                if action.measure is Measure.RECYCLE:
                    self.recycling.add(int(action.target))
                if action.measure is Measure.KILL:
                    self.held.pop(action.pid, None)

    def _turn(self, slot: int, limit: int, every_s: float, chance: random.Random) -> None:
        if slot >= limit:
            self.held.pop(slot, None)
        elif slot not in self.held:
            # Not more than four a second: the ramp.
            if chance.random() < every_s * 4 / self.slots:
                self.held[slot] = self.fresh_bytes
        elif chance.random() < every_s / self.page_s:
            self.held[slot] += self.leak_bytes
            if slot in self.recycling:
                self.recycling.discard(slot)
                self.held[slot] = self.fresh_bytes


@given(st.integers(0, 40), st.integers(0, 1_000))
@settings(max_examples=10, deadline=None)
def test_a_leaking_site_never_exceeds_the_budget(leak_mib: int, seed: int) -> None:
    """Not in half a virtual hour, whatever each page leaks, by more than a moment's growth."""
    site = Site(2 * GIB, 20, leak_mib * MIB)
    site.run(1800.0, 1.0, seed)
    moment = site.slots * site.leak_bytes / site.budget
    assert site.peak <= 1.0 + moment


def test_hours_of_leaking_need_no_kill_and_keep_most_slots() -> None:
    """Recycling the worst is enough for a common leak; the slots that fit stay at work."""
    site = Site(3 * GIB, 30, 2 * MIB)
    site.run(7200.0, 0.5, 7)
    assert Measure.KILL not in site.actions
    assert site.peak <= 1.0
    late = site.limits[len(site.limits) // 2 :]
    # At half a cap of 384 MiB each, hardly more than ten of the fattest would fit.
    assert sum(late) / len(late) >= 10


def test_full_concurrency_comes_back_when_memory_does() -> None:
    """And the limit does not flap on the way."""
    state, params = memory.MemoryState(20), MemoryParams()
    now = 0.0
    for share in [0.9] * 40 + [0.3] * 200:
        now += 0.25
        contexts = min(state.limit, 20)
        state = memory.step(state, reading(share, contexts, 4 * GIB), 4 * GIB, contexts, 20, now, params)
    assert state.limit == 20


def test_a_light_engine_is_replaced_where_memory_is_tight_and_killed_over_the_cap() -> None:
    """Between its pages, the largest alone, and not again while its last page goes on."""
    light = {"light-1": 150 * MIB, "light-2": 120 * MIB}

    def actions(
        share: float, light: dict[str, int], state: memory.MemoryState, now: float
    ) -> memory.MemoryState:
        tight = MemoryReading(int(share * GIB), 5, light=light)
        return memory.step(state, tight, GIB, 2, 2, now, PARAMS)

    wide = actions(0.5, light, memory.MemoryState(2), 0.0)
    assert wide.actions == ()
    first = actions(0.87, light, memory.MemoryState(2), 0.0)
    assert [(one.measure, one.target, one.pid) for one in first.actions] == [(Measure.RECYCLE, "light-1", 0)]
    assert actions(0.87, light, first, 1.0).actions == ()
    assert [one.target for one in actions(0.87, light, first, 11.0).actions] == ["light-1"]
    assert actions(0.87, {"light-1": 50 * MIB}, memory.MemoryState(2), 0.0).actions == ()
    over = actions(0.5, {"light-1": 401 * MIB}, memory.MemoryState(2), 0.0)
    assert [(one.measure, one.target) for one in over.actions] == [(Measure.KILL, "light-1")]
    assert actions(0.5, {"light-1": 401 * MIB}, over, 0.2).actions == ()
