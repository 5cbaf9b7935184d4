"""What a node tells of the others."""

from typing import Any

from farm.model.crawl import NodeSeen
from farm.model.event import NodesRead, Notice
from farm.runtime.node_watch import LOST_S, NodeWatch
from tests.clock import ManualClock

ME = NodeSeen("me", "running", 4, 0.0)


async def told(*readings: list[NodeSeen]) -> list[Any]:
    """Return what is emitted over these readings."""
    emitted: list[Any] = []
    left = list(readings)

    async def seen() -> list[NodeSeen]:
        return [ME, *left.pop(0)]

    watch = NodeWatch(seen, "me", emitted.append, ManualClock())
    for _ in readings:
        await watch.look()
    return emitted


async def test_the_others_are_told_and_not_the_node_itself() -> None:
    """Those at work, and those that were lost lately; who ended is gone."""
    a, b = NodeSeen("a", "running", 4, 1.0), NodeSeen("b", "draining", 4, 1.0)
    lost, long_lost = NodeSeen("c", "lost", 4, 20.0), NodeSeen("d", "lost", 4, LOST_S)
    [event] = await told([a, b, lost, long_lost, NodeSeen("e", "ended", 4, 1.0)])
    assert event == NodesRead(0.0, (a, b, lost))


async def test_a_node_that_is_lost_or_back_is_told_once() -> None:
    """One that was lost before this node began is no news."""
    alive, lost = NodeSeen("a", "running", 4, 1.0), NodeSeen("a", "lost", 4, 12.0)
    old = NodeSeen("old", "lost", 4, 50.0)
    notices = [
        one
        for one in await told([alive, old], [lost, old], [lost], [alive], [alive])
        if isinstance(one, Notice)
    ]
    assert [(one.level, one.text.partition(":")[0]) for one in notices] == [
        ("warning", "node a is lost"),
        ("info", "node a is back"),
    ]
