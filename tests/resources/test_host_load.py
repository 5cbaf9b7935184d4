"""The farm's own slowness is distinguished from that of sites."""

import pytest

from farm.model.event import Reclaimed
from farm.resources import host_load
from farm.resources.host_load import HostLoad
from tests.clock import ManualClock


@pytest.fixture
def spent(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Put total and idle seconds in place of the machine's."""
    times = [100.0, 50.0]
    monkeypatch.setattr(host_load, "_times", lambda: (times[0], times[1]))
    return times


def test_a_busy_processor_is_the_farms_own_slowness(spent: list[float]) -> None:
    """For the time since it was asked last."""
    load = HostLoad(ManualClock())
    spent[:] = [102.0, 50.1]
    assert load.is_overloaded()
    spent[:] = [104.0, 51.1]
    assert not load.is_overloaded()


@pytest.mark.parametrize(("measure", "is_felt"), [("shed", True), ("recycle", True), ("collect", False)])
def test_contexts_that_are_shed_disturb_the_others(spent: list[float], measure: str, is_felt: bool) -> None:
    """For a few seconds; collecting garbage disturbs nobody."""
    clock = ManualClock(10.0)
    load = HostLoad(clock)
    load.fold(Reclaimed(9.0, measure, "01", "tight", 0))
    assert load.is_overloaded() == is_felt
    clock.now = 20.0
    assert not load.is_overloaded()


def test_the_machines_own_figures_are_read() -> None:
    """Idle is a part of the whole."""
    total, idle = host_load._times()
    assert 0 < idle < total
    assert host_load.core_count() >= 1
