"""Seeds into a crawl: read from the arguments and a file, they widen the scope on every node and are queued."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from farm.frontier.crawl import Crawl
from farm.frontier.frontier import RedisFrontier
from farm.model.errors import UsageError
from farm.model.url import HashRoutes
from farm.scope.canonical import has_credentials
from farm.scope.rules import ScopeRules
from farm.scope.seeds import Seed, parse_seed, read_seeds
from farm.settings.options import ScopeSettings
from farm.settings.units import parse_hash_routes

_BASIC = "give them by --header 'Authorization: Basic ...'"


def given_seeds(
    urls: Sequence[str], file: str | None, *, hash_routes: HashRoutes, keep_params: Collection[str]
) -> tuple[tuple[Seed, ...], tuple[str, ...]]:
    """Return the seeds, unique by URL, and a sentence for each bad line of the file.

    A user and a password in a URL are not part of the seed; a sentence says so once.

    Raises UsageError where the file has lines and none of them is a URL: it is another file than was meant.
    """
    given = (parse_seed(url, hash_routes=hash_routes, keep_params=keep_params) for url in urls)
    found = {seed.url: seed for seed in given}
    if file is None:
        return _without_credentials(found.values(), ())
    read = read_seeds(file, hash_routes=hash_routes, keep_params=keep_params)
    name = "standard input" if file == "-" else file
    said = tuple(f"{name}, line {bad.number}: {bad.sentence}" for bad in read.bad)
    if read.more_bad:
        said += (f"{name}: {read.more_bad} more lines are no URLs",)
    if read.bad and not read.seeds:
        raise UsageError(f"{said[0]}; no line of the file is a URL.")
    for seed in read.seeds:
        found.setdefault(seed.url, seed)
    return _without_credentials(found.values(), said)


def _without_credentials(
    found: Iterable[Seed], said: tuple[str, ...]
) -> tuple[tuple[Seed, ...], tuple[str, ...]]:
    """Return seeds and sentences, with one about the first seed whose user and password are not sent."""
    seeds = tuple(found)
    url = next((seed.url for seed in seeds if has_credentials(seed.raw)), None)
    return seeds, said if url is None else (
        *said,
        f"{url} is visited without its user and password; {_BASIC}",
    )


def seeds_of(settings: ScopeSettings, seeds: tuple[Seed, ...], agreed: Mapping[str, Any]) -> tuple[Seed, ...]:
    """Return a node's seeds as its crawl writes URLs: they were read before the crawl was known."""
    routes, keep = parse_hash_routes(agreed["hash_routes"]), tuple(agreed["keep_params"])
    if (routes, set(keep)) == (settings.hash_routes, set(settings.keep_params)):
        return seeds
    reparsed = (seed.reparsed(hash_routes=routes, keep_params=keep) for seed in seeds)
    return tuple({seed.url: seed for seed in reparsed}.values())


async def add_seeds(crawl: Crawl, frontier: RedisFrontier, seeds: Sequence[Seed]) -> tuple[ScopeRules, int]:
    """Add the seeds; return the crawl's rules, which know what other nodes' seeds brought, and how many were new.

    The scope is told before the URLs are there to be leased: a node that visits one must follow its links.
    """
    agreed = crawl.settings
    rules = ScopeRules(
        agreed["scope"], [seed.url for seed in seeds], agreed["include"], agreed["exclude"], agreed["depth"]
    )
    for scope_unit in {rules.scope_unit(seed.url) for seed in seeds} - {None}:
        await frontier.extend_scope(scope_unit or "")
    for extension in await frontier.scope_sites():
        rules.extend(extension)
    return rules, await frontier.add([seed.task(crawl.key) for seed in seeds])
