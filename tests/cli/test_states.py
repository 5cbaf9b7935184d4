"""What `farm status` says of a crawl, and what a run's end is called."""

import json

import pytest

from farm.cli.run import exit_code
from farm.model.crawl import Ledger, Stats, crawl_state
from farm.model.event import Event, Notice, StatsRead
from farm.model.outcome import FailureKind
from farm.monitor.event_log import StateReporter
from farm.runtime.control import ExitReason
from tests.cli.outside import Outside

OPEN = Ledger(accepted=2, queued=1, done=1)
OVER = Ledger(accepted=2, done=1, dead=1)


@pytest.mark.parametrize(
    ("ledger", "state", "is_fed", "is_worked", "said"),
    [
        (OVER, "running", False, False, "finished"),
        (OVER, "running", False, True, "finished"),
        (OVER, "stopped", False, False, "finished"),
        (OVER, "running", True, True, "running"),
        (OPEN, "running", False, False, "running"),
        (OPEN, "paused", False, True, "paused"),
        (OPEN, "draining", False, True, "draining"),
        (OPEN, "draining", False, False, "stopped"),
        (Ledger(), "running", False, False, "running"),
    ],
)
def test_the_state_is_what_a_person_would_call_it(
    ledger: Ledger, state: str, is_fed: bool, is_worked: bool, said: str
) -> None:
    """Finished when nothing is open and nothing can come; stopped when a drain is over."""
    assert crawl_state(Stats(ledger, state=state), is_fed=is_fed, is_worked=is_worked) == said


def test_status_says_finished_when_the_crawl_is(outside: Outside) -> None:
    """And that nobody works on one that is not."""
    assert "(running, no node at work)" in outside.farm("status").out
    outside.bury([FailureKind.NETWORK] * 4)
    assert json.loads(outside.farm("status", "--json").out)["state"] == "finished"
    assert "crawl t (finished)" in outside.farm("status").out


def test_a_node_is_at_work_from_its_registration_to_its_end(outside: Outside) -> None:
    """Also before it has measured anything; its last figures are not shown when it has ended."""
    told = {
        "at": int(outside.redis("TIME")[0]),
        "flow": {},
        "sites": {"a.example": {"per_s": 2.0, "took_s": 0.5, "under_way": 1.0}},
        "limit": 1,
        "binding": "ramp",
    }
    outside.register("n1", "life")
    assert "crawl t (running)" in outside.farm("status").out
    outside.redis("HSET", "@flow", "n1", json.dumps(told))
    assert "1 context, held by ramp" in outside.farm("status").out
    outside.unregister("n1", "life")
    over = outside.farm("status").out
    assert "crawl t (running, no node at work)" in over
    assert "held by" not in over
    assert json.loads(outside.farm("status", "--json").out)["flow"]["nodes"] == {}


@pytest.mark.parametrize(
    ("reason", "stats", "code"),
    [
        (ExitReason.FINISHED, Stats(OVER, rendered=1), 0),
        (ExitReason.FINISHED, Stats(OVER, rendered=0), 8),
        (ExitReason.FINISHED, Stats(Ledger(), rendered=0), 8),
        (ExitReason.LIMIT, Stats(OPEN, rendered=1), 5),
        (ExitReason.LIMIT, Stats(OVER, rendered=1), 0),
        (ExitReason.SIGINT, Stats(OVER, rendered=0), 130),
        (ExitReason.SIGTERM, Stats(OPEN), 143),
        (ExitReason.SIGHUP, Stats(OPEN), 129),
    ],
)
def test_the_exit_code_of_an_end(reason: ExitReason, stats: Stats, code: int) -> None:
    """8 where not one page was recorded, by no node and in no run."""
    assert exit_code(reason, stats) == code


def test_a_change_of_state_is_told_once() -> None:
    """Whoever looks at the lines sees that somebody paused the crawl."""
    said: list[Event] = []
    news = StateReporter(said.append, "--output x")
    for state in ("running", "paused", "paused", "running", "draining"):
        news.fold(StatsRead(1.0, Stats(state=state)))
    texts = [event.text for event in said if isinstance(event, Notice)]
    assert [text.split(":")[0] for text in texts] == [
        "the crawl was paused",
        "the crawl goes on",
        "the crawl is drained",
    ]
    assert "`farm resume --output x`" in texts[0]


def test_a_crawl_that_is_over_is_not_fetched_again(outside: Outside) -> None:
    """It says so, and the figures of the run that did the work stay."""
    outside.bury([FailureKind.NETWORK] * 4)
    folder = outside.folder
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "summary.json").write_text('{"pages_per_s": 9.5}')
    done = outside.farm("run", "--no-sandbox", "--output", str(folder))
    assert done.code == 8
    assert "nothing new" in done.err
    assert "farm dead list --redis" in done.err
    assert (folder / "summary.json").read_text() == '{"pages_per_s": 9.5}'


@pytest.mark.parametrize("word", ["pause", "drain", "stop"])
def test_a_finished_crawl_is_not_steered(outside: Outside, word: str) -> None:
    """A state that nobody sees would hold up the URLs that are added next; a node that waits for them is told."""
    outside.bury([FailureKind.NETWORK] * 4)
    assert outside.farm(word).out == f"crawl t: finished; there is nothing to {word}\n"
    assert outside.farm("resume").out == "crawl t: running\n"
    outside.register("waits", "life")
    assert "finished" not in outside.farm(word).out


def test_the_nodes_are_listed_and_one_is_drained_and_resumed(outside: Outside) -> None:
    """For people and for machines; a name that no node has is refused."""
    outside.register("n1", "life")
    outside.register("n2", "life")
    assert outside.farm("drain", "--node", "n1").out == "crawl t: node n1 draining\n"
    told = {node["name"]: node for node in json.loads(outside.farm("status", "--json").out)["nodes"]}
    assert {name: told[name]["state"] for name in ("n1", "n2")} == {"n1": "draining", "n2": "running"}
    keys = {"name", "state", "last_seen", "version", "contexts", "leased", "memory_bytes", "processes"}
    assert keys <= told["n1"].keys()
    assert told["n1"]["last_seen"].endswith("Z")
    shown = outside.farm("status").out
    assert "node n1" in shown
    assert "draining, 0 leased" in shown
    assert "no node named 'n3', it has" in outside.farm("drain", "--node", "n3").sentence
    assert "`farm pause` is for a whole crawl" in outside.farm("pause", "--node", "n1").sentence
    assert outside.farm("resume", "--node", "n1").out == "crawl t: node n1 running\n"
    again = json.loads(outside.farm("status", "--json").out)["nodes"]
    assert {node["state"] for node in again if node["name"] in {"n1", "n2"}} == {"running"}


def test_what_could_be_leased_is_told(outside: Outside) -> None:
    """Nothing in a crawl that is paused."""
    assert json.loads(outside.farm("status", "--json").out)["eligible"] > 0
    outside.farm("pause")
    assert json.loads(outside.farm("status", "--json").out)["eligible"] == 0
