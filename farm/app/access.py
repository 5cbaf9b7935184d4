"""Access to a crawl from its settings: its folder, its Redis, and the existing crawl."""

import shlex
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

from farm.app.limits import differ_in_limits
from farm.browser import trust
from farm.frontier.address import check_url, is_encrypted, with_authority
from farm.frontier.connect import FIRST_PATIENCE_S, connect
from farm.frontier.crawl import Crawl, contradictions, find_crawl
from farm.frontier.embedded import EmbeddedRedis
from farm.frontier.frontier import RedisFrontier
from farm.frontier.retention import keep_crawl
from farm.model.errors import UsageError
from farm.model.url import host_of
from farm.policy.renderers import RenderMode
from farm.resources.files import FolderLock
from farm.scope.rules import ScopeRules
from farm.scope.seeds import Seed
from farm.settings.commands import RunSettings
from farm.settings.options import EMBEDDED, CrawlSettings, FolderSettings, RedisSettings
from farm.settings.origin import holds_without_flag

DEFAULT_CRAWL = "default"
CRAWLS = Path("crawls")
"""The folder of the output folders."""
PRIVATE = ".farm"
"""The folder in an output folder that holds the farm's own files: the lock, the private Redis."""
_NAMED = 5


def output_folder(settings: RunSettings, seeds: tuple[Seed, ...]) -> Path:
    """Return the folder of the crawl: as given, named after the crawl, or after the first seed's host.

    A port that is not the default one of its scheme belongs to the name: `crawls/127.0.0.1_8080`.
    Raises UsageError if its name, or that of a file of the settings, is not UTF-8: they are kept as JSON.
    """
    folder = _folder_of(settings, seeds)
    files = [value for value in dict(settings).values() if isinstance(value, Path)]
    for path in (folder, *files, *(sink.path for sink in settings.sink if sink.path is not None)):
        whole = path.absolute()
        try:
            str(whole).encode()
        except UnicodeEncodeError:
            raise UsageError(f"The name of {whole} is not UTF-8; give another folder or file.") from None
    return folder


def _folder_of(settings: RunSettings, seeds: tuple[Seed, ...]) -> Path:
    if settings.output is not None:
        return settings.output
    if settings.crawl:
        return CRAWLS / settings.crawl
    if seeds:
        host, port = host_of(seeds[0].site), seeds[0].site.removeprefix(host_of(seeds[0].site))
        return CRAWLS / f"{host.strip('[]')}{port}".replace(":", "_")
    return CRAWLS / DEFAULT_CRAWL


def redis_url(settings: RedisSettings) -> str:
    """Return the URL of the user's Redis, with the authorities that verify its certificate.

    Raises UsageError if the URL or the file of authorities is invalid.
    """
    url, authorities = settings.redis.reveal(), settings.redis_ca_file
    check_url(url)
    if authorities is None:
        return url
    if not is_encrypted(url):
        raise UsageError("--redis-ca-file is for TLS; write rediss:// in --redis, or leave the file out.")
    check_authorities("--redis-ca-file", authorities)
    url = with_authority(url, authorities)
    check_url(url)
    return url


def check_authorities(option: str, path: Path) -> None:
    """Raise UsageError if the file that an option names holds no certificate, or a malformed one."""
    try:
        text = path.read_text(encoding="ascii")
        found = trust.certificates(text)
        ssl.create_default_context(cadata=text)
    except OSError as error:
        raise UsageError(f"{option} {path} cannot be read ({error.strerror}); give a PEM file.") from None
    except ValueError:
        found = []
    if not found:
        raise UsageError(f"{option} {path} holds no certificate; give a file in PEM format.")


def short_patience_s(settings: RedisSettings) -> float:
    """Return how many seconds a first connection waits for Redis: the address may be wrong, and a person waits.

    It applies to the first connection of a run and to commands that read a crawl from outside. The user's
    `--redis-patience` overrides it: a machine may start its nodes before its Redis.
    """
    return settings.redis_patience if "redis_patience" in settings.model_fields_set else FIRST_PATIENCE_S


@asynccontextmanager
async def open_existing_crawl(
    settings: CrawlSettings, *, goes_on: bool = False
) -> AsyncIterator[tuple[Crawl, RedisFrontier]]:
    """Open an existing crawl and its embedded Redis: that of a live run, else one that is started for the command.

    With `goes_on` a crawl that would expire is kept.
    A run waits for minutes until Redis answers again; a command reports at once that it does not.
    """
    async with AsyncExitStack() as stack:
        is_private = settings.redis == EMBEDDED
        url = await _embedded(settings, stack) if is_private else redis_url(settings)
        patience_s = short_patience_s(settings)
        client = await connect(url, first_patience_s=patience_s, patience_s=patience_s, is_private=is_private)
        stack.push_async_callback(client.close)
        name = settings.crawl or DEFAULT_CRAWL
        if goes_on:
            await keep_crawl(client, name)
        crawl = await find_crawl(client, name)
        yield crawl, RedisFrontier(client, crawl)


async def _embedded(settings: CrawlSettings, stack: AsyncExitStack) -> str:
    output = crawl_folder(settings)
    folder = output / PRIVATE / "redis"
    if not folder.is_dir():
        raise UsageError(f"There is no crawl in {output}; name its folder with --output.")
    running = EmbeddedRedis.running_url(folder)
    if running is not None:
        return running
    # The run has ended: no other one may start in this folder while this command serves its data.
    lock = FolderLock(output / PRIVATE / "lock")
    lock.take()
    stack.callback(lock.release)
    server = EmbeddedRedis(folder)
    stack.push_async_callback(server.stop)
    return await server.start()


def check_at_work(settings: CrawlSettings) -> None:
    """Raise UsageError if the crawl has a private Redis and no run has started it: no node works on it then."""
    if settings.redis != EMBEDDED:
        return
    output = crawl_folder(settings)
    if EmbeddedRedis.running_url(output / PRIVATE / "redis") is None:
        raise UsageError(
            f"No run is at work in {output}; `farm status --output {shlex.quote(str(output))}` has its numbers."
        )


def crawl_folder(settings: FolderSettings) -> Path:
    """Return the given output folder, that of the named crawl, or that of the only crawl.

    Raises UsageError if there is none or more than one.
    """
    if settings.output is not None:
        return settings.output
    if settings.crawl:
        return CRAWLS / settings.crawl
    found = crawl_folders()
    if len(found) == 1:
        return found[0]
    if not found:
        raise UsageError(f"There is no crawl under {CRAWLS}; name its folder with --output.")
    raise UsageError(f"There are {len(found)} crawls, {listed(found)}; name one with --output.")


def crawl_folders() -> list[Path]:
    """Return the output folders below `crawls` that have a crawl with a private Redis."""
    return [path for path in sorted(CRAWLS.glob("*")) if (path / PRIVATE / "redis").is_dir()]


def crawl_flags(settings: RedisSettings, crawl: str, output: Path | None) -> str:
    """Return the flags that name a crawl to any command, ready for a shell.

    A password is masked; a Redis with one that the environment or `farm.toml` has is left out.
    """
    parts, redis = [], settings.redis
    if redis != EMBEDDED and (
        str(redis) == redis.reveal() or not holds_without_flag("redis", redis.reveal())
    ):
        parts += ["--redis", str(redis)]
    if settings.redis_ca_file is not None:
        parts += ["--redis-ca-file", str(settings.redis_ca_file)]
    if crawl != DEFAULT_CRAWL:
        parts += ["--crawl", crawl]
    return shlex.join([*parts, *(["--output", str(output)] if output is not None else [])])


def listed(folders: Sequence[Path]) -> str:
    """Return the names of folders in a sentence: the first few, and how many more there are."""
    more = f" and {len(folders) - _NAMED} more" if len(folders) > _NAMED else ""
    return f"{', '.join(map(str, folders[:_NAMED]))}{more}"


async def add_seeds(crawl: Crawl, frontier: RedisFrontier, seeds: Sequence[Seed]) -> tuple[ScopeRules, int]:
    """Add the seeds; return the crawl's rules, extended by the seeds of other nodes, and how many seeds were new.

    Before the URLs can be leased the scope is extended, since a node that visits one must follow its links, and
    the renderers are stored that they ask for.
    """
    agreed = crawl.settings
    rules = ScopeRules(
        agreed["scope"], [seed.url for seed in seeds], agreed["include"], agreed["exclude"], agreed["depth"]
    )
    units = {rules.scope_unit(seed.url) for seed in seeds}
    await frontier.scope.add([unit for unit in units if unit is not None])
    await frontier.tiers.ask({RenderMode(seed.render) for seed in seeds if seed.render is not None})
    for extension in await frontier.scope_sites():
        rules.extend(extension)
    return rules, await frontier.add([seed.task(crawl.key) for seed in seeds])


def another_crawl(output: Path, stored: Mapping[str, Any], given: Mapping[str, Any]) -> UsageError:
    """Return the error that says how the settings differ, with an unused folder for the other crawl."""
    why = "its limits cannot change" if differ_in_limits(stored, given) else "that is another crawl"
    return UsageError(
        f"The crawl in {output} was created with {contradictions(stored, given)}: {why}; "
        f"give it a folder of its own with --output {shlex.quote(str(_free(output)))}, leave the option out "
        "to go on with the crawl that is there, or start it anew with --fresh."
    )


def _free(folder: Path) -> Path:
    """Return the first of `NAME-2`, `NAME-3`, ... beside the folder that does not exist."""
    names = (folder.with_name(f"{folder.name}-{number}") for number in count(2))
    return next(path for path in names if not path.exists())
