"""`farm pause`, `resume`, `drain` and `stop`: set the state of a crawl, which all its nodes obey."""

from collections.abc import Sequence

from farm.app.access import open_existing_crawl
from farm.cli.signals import run_interruptible
from farm.frontier.frontier import RedisFrontier
from farm.frontier.node_status import node_of
from farm.model.crawl import crawl_state
from farm.model.errors import UsageError
from farm.settings.commands import SteerSettings
from farm.settings.load import load

STATES = {"pause": "paused", "resume": "running", "drain": "draining", "stop": "stopped"}
OF_ONE_NODE = ("drain", "resume")
NAMED = 5
ABOUT = {
    "pause": "Let all nodes of a crawl take no new page, until `farm resume`; they stay.",
    "resume": "Let a crawl go on after `farm pause`, `drain` or `stop`; `farm run` starts nodes that have ended.",
    "drain": "Let all nodes of a crawl finish the pages under way and end; none begins until `farm resume`.",
    "stop": "The same as `farm drain`: all nodes finish the pages under way and end; what is queued stays queued.",
}


def main(arguments: Sequence[str]) -> int:
    """Set the state that the first argument names."""
    word, *rest = arguments
    settings = load(SteerSettings, rest, f"farm {word}", ABOUT[word])
    print(run_interruptible(_steer(settings, word)))
    return 0


async def _steer(settings: SteerSettings, word: str) -> str:
    if settings.one_node is not None and word not in OF_ONE_NODE:
        raise UsageError(
            f"`farm {word}` is for a whole crawl; leave --node out, or end one node with `farm drain --node NAME`."
        )
    async with open_existing_crawl(settings) as (crawl, frontier):
        if settings.one_node is not None:
            await _steer_node(frontier, settings.one_node, word)
            return f"crawl {crawl.name}: node {settings.one_node} {STATES[word]}"
        if word != "resume" and await _is_over(frontier):
            # A state that is set now would block URLs that are added later.
            return f"crawl {crawl.name}: finished; there is nothing to {word}"
        await frontier.set_state(STATES[word])
        if word == "resume":
            await frontier.nodes.resume()
        return f"crawl {crawl.name}: {STATES[word]}"


async def _steer_node(frontier: RedisFrontier, name: str, word: str) -> None:
    """Drain or resume one node; raises UsageError for a name that no node has, or had recently."""
    if word == "resume":
        await frontier.nodes.resume(name)
        return
    known = dict.fromkeys(node_of(entry.name) for entry in await frontier.nodes.history())
    if name not in known:
        named = f"it has {', '.join(list(known)[:NAMED])}" if known else "none has begun yet"
        raise UsageError(f"The crawl has no node named {name!r}, {named}; `farm status` lists them.")
    await frontier.nodes.drain(name)


async def _is_over(frontier: RedisFrontier) -> bool:
    """Whether no URL is left and no node waits for more (`--stay`)."""
    if any(node.is_alive for node in await frontier.nodes.list()):
        return False
    stats = await frontier.stats()
    return crawl_state(stats, is_fed=await frontier.feeders.any(), is_worked=False) == "finished"
