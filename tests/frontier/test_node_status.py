"""The nodes as `farm status` counts them: processes together, those at work first."""

from farm.frontier.node_status import ENDED_SHOWN, NodeStatus, ProcessStatus, status_of_nodes
from farm.frontier.nodes import NodeEntry, NodeFlow
from farm.policy.capacity import Flow


def entry(
    name: str, state: str = "running", silent_s: float = 1.0, leased: int = 0, **facts: object
) -> NodeEntry:
    """Return an entry of the registry."""
    return NodeEntry(name, "i", silent_s, state, leased, facts)


def test_the_processes_of_a_node_are_one_node() -> None:
    """What they hold is summed; those that were replaced are not listed."""
    entries = [
        entry("n", version="1", host="h", contexts=3, pid=1, settings="s"),
        entry("n/1", leased=2, pid=11, contexts=2),
        entry("n/2", leased=1, pid=12, contexts=1),
        entry("n/3", "lost", pid=13, contexts=1),
    ]
    flows = [
        NodeFlow(name, 0.0, Flow(), memory_bytes=size) for name, size in {"n": 5, "n/1": 7, "n/2": 9}.items()
    ]
    processes = (ProcessStatus(11, 2), ProcessStatus(12, 1))
    assert status_of_nodes(entries, flows) == [
        NodeStatus("n", "running", 1.0, "1", "h", 3, 3, 21, "s", processes)
    ]


def test_a_node_of_one_process_is_its_own_process() -> None:
    """So that whoever reads the list need not tell the two apart."""
    [node] = status_of_nodes([entry("n", pid=4, contexts=8, leased=3)], [])
    assert (node.processes, node.contexts, node.leased) == ((ProcessStatus(4, 8),), 8, 3)


def test_nodes_at_work_come_first_and_the_last_ones_that_are_gone_after_them() -> None:
    """A node whose supervisor ended is gone, whatever its processes were; of many only some are told."""
    gone = [entry(f"g{n}", "ended", 100.0 + n) for n in range(30)]
    found = status_of_nodes([*gone, entry("b", "draining"), entry("a", "lost", 20.0), entry("c")], [])
    assert [(one.name, one.state) for one in found[:4]] == [
        ("b", "draining"),
        ("c", "running"),
        ("a", "lost"),
        ("g0", "ended"),
    ]
    assert len(found) == 2 + ENDED_SHOWN


def test_what_a_node_has_told_wrong_is_left_out() -> None:
    """Anybody may write to Redis."""
    [node] = status_of_nodes([entry("n", version=7, contexts="x", pid=None)], [])
    assert (node.version, node.contexts, node.processes) == ("", 0, (ProcessStatus(0, 0),))
