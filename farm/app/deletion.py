"""Deleting a crawl: its keys in Redis and, if requested, the files that its runs wrote to an output folder."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from farm.app.access import CRAWLS, DEFAULT_CRAWL, PRIVATE, crawl_folder, redis_url, short_patience_s
from farm.frontier.client import RedisClient
from farm.frontier.connect import connect
from farm.frontier.crawl import delete_crawl, find_crawl, is_there
from farm.frontier.embedded import EmbeddedRedis
from farm.frontier.frontier import RedisFrontier
from farm.model.errors import CrawlUnreadable, FrontierRefused, NoSuchCrawl, OutputUnwritable, UsageError
from farm.monitor.log import FAILURE_REPORT, LOG_NAME
from farm.resources.files import FolderLock, folder_bytes, read_own, write_atomically
from farm.settings.commands import DeleteSettings
from farm.settings.options import EMBEDDED
from farm.settings.stored import FILE, kept_sinks
from farm.sinks.address import DEFAULT, SinkAddress, parse_sink
from farm.sinks.output import clear_output

RUN_FILES = ("summary.json", LOG_NAME, f"{LOG_NAME}.[0-9]", f"{FAILURE_REPORT}*.txt")
"""What runs have written besides their records, as patterns."""
_BEGUN = "deletion"
"""A file of the folder: the crawl whose deletion was begun, and its Redis, so that it can be repeated."""
_MARK_BYTES = 4_096
_CLEARED = frozenset({"jsonl", "csv", "parquet", "warc"})
"""The kinds of sinks whose files belong to one crawl; a database may have the records of other crawls."""


@dataclass(frozen=True, slots=True)
class DeletableCrawl:
    """A crawl that may be deleted, since no node works on it. `what` describes to a person what is deleted."""

    what: str
    crawl: str
    redis: RedisClient | None
    folder: Path | None
    with_records: bool


@asynccontextmanager
async def deletable(settings: DeleteSettings) -> AsyncIterator[DeletableCrawl]:
    """Find the crawl, and lock its output folder against runs meanwhile.

    Raises UsageError if there is none, or a run or a node works on it.
    """
    with ExitStack() as stack:
        if settings.redis == EMBEDDED:
            folder = crawl_folder(settings)
            if not (folder / PRIVATE).is_dir():
                raise UsageError(f"There is no crawl in {folder}; name its folder with --output.")
            _hold(folder, stack)
            size_bytes = await asyncio.to_thread(folder_bytes, folder)
            records = f" and its records ({size_bytes:,} bytes in all)" if settings.records else ""
            yield DeletableCrawl(f"the crawl in {folder}{records}", "", None, folder, settings.records)
            return
        folder_or_none = _records_folder(settings)
        if folder_or_none is not None:
            _hold(folder_or_none, stack)
        name = settings.crawl or DEFAULT_CRAWL
        patience_s = short_patience_s(settings)
        client = await connect(redis_url(settings), first_patience_s=patience_s, patience_s=patience_s)
        try:
            records = f" and the records in {folder_or_none}" if folder_or_none is not None else ""
            try:
                what = f"the crawl {name!r} in Redis at {client.place}{await _known(client, name)}{records}"
            except NoSuchCrawl:
                if folder_or_none is None or _begun(folder_or_none / PRIVATE) != _mark(name, client):
                    raise
                what = f"the records in {folder_or_none}, whose crawl {name!r} is deleted already"
            yield DeletableCrawl(what, name, client, folder_or_none, settings.records)
        finally:
            await client.close()


def _records_folder(settings: DeleteSettings) -> Path | None:
    """Return the folder whose records are deleted too; None if they stay. Raises UsageError if it is not known."""
    if not settings.records:
        return None
    folder = settings.output or (CRAWLS / settings.crawl if settings.crawl else None)
    if folder is None or not (folder / PRIVATE).is_dir():
        raise UsageError(
            "--records deletes those of one output folder, and there is none that is known; name it with --output."
        )
    return folder


def _hold(folder: Path, stack: ExitStack) -> None:
    lock = FolderLock(folder / PRIVATE / "lock")
    lock.take()
    stack.callback(lock.release)


def _mark(crawl: str, client: RedisClient) -> str:
    return f"{crawl} {client.place}"


def _begun(private: Path) -> str:
    """Return the mark of the deletion that was begun in a folder; empty if none was."""
    try:
        return read_own(private / _BEGUN, _MARK_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""


async def _known(client: RedisClient, name: str) -> str:
    """Return warnings to show before the deletion; raises UsageError if nodes work on the crawl."""
    try:
        frontier = RedisFrontier(client, await find_crawl(client, name))
        at_work = [node.name for node in await frontier.nodes.list() if node.is_alive]
        ledger = (await frontier.stats()).ledger
    except NoSuchCrawl:
        if await is_there(client, name):
            return ", which is there in part"
        raise
    except (CrawlUnreadable, FrontierRefused):
        return ", which cannot be read, so nodes may be working on it"
    if at_work:
        raise UsageError(
            f"The crawl {name!r} is worked on by {', '.join(at_work[:3])}; end its nodes with `farm drain`, and "
            "delete it then."
        )
    return f" ({ledger.done:,} done, {ledger.open:,} open, {ledger.dead:,} dead)"


async def delete(target: DeletableCrawl) -> tuple[int, list[str]]:
    """Delete it; return how many keys of Redis went, and what stays: names in the output folder, files elsewhere.

    Raises OutputUnwritable if a file cannot be removed; what is left is deleted by another attempt.
    """
    keys = 0
    if target.redis is not None:
        if target.folder is not None:
            _begin(target.folder / PRIVATE, _mark(target.crawl, target.redis))
        keys = await delete_crawl(target.redis, target.crawl)
    if target.folder is None:
        return keys, []
    if target.redis is None:
        await EmbeddedRedis.end_left(target.folder / PRIVATE / "redis")
    return keys, await asyncio.to_thread(_delete_files, target.folder, with_records=target.with_records)


def _begin(private: Path, mark: str) -> None:
    """Note that a crawl is being deleted. Raises OutputUnwritable."""
    try:
        write_atomically(private / _BEGUN, mark.encode())
    except OSError as error:
        raise _undeleted(private, error) from None


def _delete_files(folder: Path, *, with_records: bool) -> list[str]:
    private = folder / PRIVATE
    try:
        if not with_records:
            shutil.rmtree(private / "redis", ignore_errors=not (private / "redis").exists())
            (private / FILE).unlink(missing_ok=True)
            return []
        files = [one for one in _sinks(private) if one.kind in _CLEARED and not one.remote]
        inside = [one for one in files if one.path is None or one.path.is_relative_to(folder.absolute())]
        clear_output(folder, inside)
        for pattern in RUN_FILES:
            for path in folder.glob(pattern):
                path.unlink(missing_ok=True)
        # What another attempt needs goes last.
        for path in private.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif path.name not in {FILE, _BEGUN}:
                path.unlink()
        shutil.rmtree(private)
        with suppress(OSError):
            folder.rmdir()
        left = [path.name for path in folder.iterdir()] if folder.is_dir() else []
        return sorted([*left, *(str(one.path) for one in files if one not in inside)])
    except OSError as error:
        raise _undeleted(folder, error) from None


def _undeleted(path: Path, error: OSError) -> OutputUnwritable:
    return OutputUnwritable(
        f"{error.filename or path} cannot be removed ({error.strerror}); check its permissions, and "
        "delete the crawl again."
    )


def _sinks(private: Path) -> list[SinkAddress]:
    """Return the sinks of the folder's runs; those with secrets are kept masked, and are not files."""
    found = []
    for text in kept_sinks(private):
        with suppress(ValueError):
            found.append(parse_sink(text))
    return found or [DEFAULT]
