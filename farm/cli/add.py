"""`farm add`: more seeds for a crawl, whether it runs or not."""

from collections.abc import Sequence

from farm.app.access import add_seeds, open_existing_crawl
from farm.app.limits import site_terms
from farm.cli.signals import run_interruptible
from farm.cli.streams import tell
from farm.model.errors import UsageError
from farm.scope.seeds import given_seeds
from farm.settings.commands import AddSettings
from farm.settings.load import load
from farm.settings.origin import crawl_flags, with_flags
from farm.settings.stored import FOR_SEEDS, check_shared_settings, stored_tables
from farm.settings.units import parse_hash_routes


def main(arguments: Sequence[str]) -> int:
    """Add the seeds and say how many were new."""
    settings = load(AddSettings, arguments, "farm add", "Add seeds to a crawl.")
    if not settings.urls and settings.seeds is None:
        raise UsageError("There is nothing to add; give a URL, or --seeds FILE.")
    added, given, is_worked = run_interruptible(_add(settings))
    print(f"{added:,} added, {given - added:,} known already")
    if added and not is_worked:
        tell(with_flags("no node is at work on the crawl; `farm run` starts one.", crawl_flags(arguments)))
    return 0


async def _add(settings: AddSettings) -> tuple[int, int, bool]:
    """Return how many seeds were new, how many were given, and whether a live node visits them."""
    async with open_existing_crawl(settings, goes_on=True) as (crawl, frontier):
        check_shared_settings(crawl, frontier.place, *FOR_SEEDS)
        routes = parse_hash_routes(crawl.settings["hash_routes"])
        keep = crawl.settings.get("keep_params", ())
        seeds, said = given_seeds(settings.urls, settings.seeds, hash_routes=routes, keep_params=keep)
        for sentence in said:
            tell(sentence)
        if not seeds:
            raise UsageError(f"There is nothing to add in {settings.seeds}; put a URL on a line of it.")
        # Whoever began the crawl may have died before it said so.
        await frontier.paces.limit_sites(site_terms(stored_tables(crawl.settings, frontier.place)))
        _, added = await add_seeds(crawl, frontier, seeds)
        if await frontier.is_on_disk() is False:
            tell("Redis has not written them to its disk yet; add them again if it dies.")
        return added, len(seeds), any(node.is_alive for node in await frontier.nodes.list())
