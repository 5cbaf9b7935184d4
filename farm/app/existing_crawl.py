"""A look into a crawl from outside a run: the commands that count, steer or repair it."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from farm.app.paths import CRAWLS, DEFAULT_CRAWL, PRIVATE
from farm.app.redis_access import redis_url, short_patience_s
from farm.frontier.connect import connect
from farm.frontier.crawl import Crawl, find_crawl
from farm.frontier.embedded import EmbeddedRedis
from farm.frontier.frontier import RedisFrontier
from farm.model.errors import UsageError
from farm.resources.files import FolderLock
from farm.settings.options import EMBEDDED, CrawlSettings

_NAMED = 5


@asynccontextmanager
async def open_existing_crawl(settings: CrawlSettings) -> AsyncIterator[tuple[Crawl, RedisFrontier]]:
    """Open an existing crawl, its embedded Redis included: the run's while it lives, else one for the moment.

    A run waits for minutes until Redis is well again; whoever types a command is to be told now that it is not.
    """
    async with AsyncExitStack() as stack:
        is_private = settings.redis == EMBEDDED
        url = await _embedded(settings, stack) if is_private else redis_url(settings)
        patience_s = short_patience_s(settings)
        client = await connect(url, first_patience_s=patience_s, patience_s=patience_s, is_private=is_private)
        stack.push_async_callback(client.close)
        crawl = await find_crawl(client, settings.crawl or DEFAULT_CRAWL)
        yield crawl, RedisFrontier(client, crawl)


async def _embedded(settings: CrawlSettings, stack: AsyncExitStack) -> str:
    output = settings.output or _only_crawl(settings.crawl)
    folder = output / PRIVATE / "redis"
    if not folder.is_dir():
        raise UsageError(f"There is no crawl in {output}; name its folder with --output.")
    running = EmbeddedRedis.running_url(folder)
    if running is not None:
        return running
    # The run is over: nobody else may start on this folder while its data are served to us.
    lock = FolderLock(output / PRIVATE / "lock")
    lock.take()
    stack.callback(lock.release)
    server = EmbeddedRedis(folder)
    stack.push_async_callback(server.stop)
    return await server.start()


def _only_crawl(name: str) -> Path:
    """Return the folder of the named crawl, or of the only one there is."""
    if name:
        return CRAWLS / name
    found = [path for path in sorted(CRAWLS.glob("*")) if (path / PRIVATE / "redis").is_dir()]
    if len(found) == 1:
        return found[0]
    if not found:
        raise UsageError(f"There is no crawl under {CRAWLS}; name its folder with --output.")
    named = ", ".join(map(str, found[:_NAMED]))
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    raise UsageError(f"There are {len(found)} crawls, {named}{more}; name one with --output.")
