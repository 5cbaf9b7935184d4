"""Seeds into a crawl: the scope grows by them on every node, and the frontier takes them."""

from collections.abc import Sequence

from farm.frontier.crawl import Crawl
from farm.frontier.frontier import RedisFrontier
from farm.scope.rules import ScopeRules
from farm.scope.seeds import Seed


async def add_seeds(crawl: Crawl, frontier: RedisFrontier, seeds: Sequence[Seed]) -> tuple[ScopeRules, int]:
    """Add the seeds; return the crawl's rules, which know what other nodes' seeds brought, and how many were new.

    The scope is told before the URLs are there to be leased: a node that visits one must follow its links.
    """
    agreed = crawl.settings
    rules = ScopeRules(
        agreed["scope"], [seed.url for seed in seeds], agreed["include"], agreed["exclude"], agreed["depth"]
    )
    for territory in {rules.territory(seed.url) for seed in seeds} - {None}:
        await frontier.extend_scope(territory or "")
    for extension in await frontier.scope_sites():
        rules.extend(extension)
    return rules, await frontier.add([seed.task(crawl.key) for seed in seeds])
