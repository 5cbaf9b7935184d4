"""Segments as objects of a store that fsspec reaches: S3, and what else has a package for it.

Every call has a deadline: those of a sink are made in the thread that writes or uploads, in an event loop of its
own, those of a reader in fsspec's. Only this module knows fsspec. The names of objects have the node and eight
random digits that are kept in the output folder: neither another crawl with a node of this name, nor this node
after its disk is lost, uses a name that was used before.
"""

import asyncio
import contextlib
import importlib
import re
import secrets
import threading
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from time import sleep
from typing import Any

import fsspec
from fsspec.asyn import AsyncFileSystem, get_loop, iothread, sync

from farm.model.errors import OutputUnwritable, UsageError
from farm.model.secret import without_credentials
from farm.resources.files import read_own, write_atomically
from farm.sinks.item_values import ITEMS
from farm.sinks.places import DRAFT_SUFFIX, stem_of
from farm.sinks.store import FIRST_RETRY_S, StoreAway

CALL_S = 30.0
"""Deadline of a call that moves nothing."""
MOST_BYTES = 128 * 2**20
"""Of a log. An upload has as much in memory, and is one request, so that a kill leaves no part of an object."""
LEAST_BYTES_PER_S = 512 * 2**10
"""An upload that is slower than this has failed; the largest takes less than the usual `--sink-patience`."""
MOST_AGE_S = 300.0
"""How long a record is in the log alone at most, as long as records come."""
MOST_OBJECTS, LISTING_S = 100_000, 120.0
"""Of a folder that is read, and for the list of them."""
READ_ATTEMPTS = 6
"""Of a reading call, within some seconds: an export of hours outlives a moment in which the store is busy."""
_CONNECT_S, _ANSWER_S = 5, 25
_CANCEL_S = 2.0
_WORDS_CHARS = 300
_TOKEN = re.compile(r"[0-9a-f]{8}")
_WHOLE_AT_ONCE = frozenset({"s3", "gs", "gcs", "az", "abfs", "abfss", "oss"})
"""Where an object is there when all of it is; elsewhere it gets its name after it was written."""
_FOREIGN: Mapping[str, tuple[str, ...]] = {
    "s3": ("botocore.exceptions:BotoCoreError", "botocore.exceptions:ClientError", "aiohttp:ClientError"),
    "gs": ("gcsfs.retry:HttpError", "google.auth.exceptions:GoogleAuthError", "aiohttp:ClientError"),
    "gcs": ("gcsfs.retry:HttpError", "google.auth.exceptions:GoogleAuthError", "aiohttp:ClientError"),
    "az": ("azure.core.exceptions:AzureError",),
    "abfs": ("azure.core.exceptions:AzureError",),
    "abfss": ("azure.core.exceptions:AzureError",),
}
"""Protocol -> what its package raises besides OSError."""
_REFUSALS = frozenset(
    {
        *("NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError", "ProfileNotFound"),
        *("ParamValidationError", "InvalidRegionError", "GoogleAuthError", "ClientAuthenticationError"),
        *("UnauthorizedSSOTokenError", "SSOTokenLoadError", "TokenRetrievalError"),
    }
)
"""Classes of errors that no repetition mends, besides those that the system has."""


def check_protocol(name: str, url: str) -> None:
    """Raise UsageError where no installed package reaches the URL of what is called `name`."""
    try:
        fsspec.get_filesystem_class(url.partition("://")[0])
    except (ImportError, ValueError) as error:
        raise UsageError(f"{name} cannot be reached ({error}).") from None


class ObjectPlace:
    """The objects below `url`, such as `s3://bucket/prefix`. Satisfies `SegmentPlace`.

    `name` is that of the sink, for messages; `private` is the folder for what must be known of it later, and for
    drafts; `options` are `endpoint_url`, `profile` and `region` of an S3.
    """

    resumes_log = False
    most_bytes = MOST_BYTES
    most_age_s = MOST_AGE_S
    is_far = True
    has_own_names = True

    def __init__(self, name: str, url: str, options: Mapping[str, str], private: Path) -> None:
        self._name = name
        self._protocol, _, root = url.partition("://")
        self._root = root
        self._options = options
        self._private = private
        self._files: Any = None
        self._loop: asyncio.Runner | None = None
        self._stem = ""
        self._is_proven = False

    def stem(self, node: str) -> str:
        """Return the stem of this node and this output folder. Raises OSError."""
        path = self._private / "writer"
        try:
            token = read_own(path, 9).decode("ascii", "replace").strip()
        except FileNotFoundError:
            token = ""
        if not _TOKEN.fullmatch(token):
            token = secrets.token_hex(4)
            write_atomically(path, f"{token}\n".encode())
        self._stem = stem_of(node, token)
        return self._stem

    def names(self, stem: str) -> Iterable[str]:
        """Return the names of the objects with this stem, and prove at first that others can be added.

        Raises UsageError if the store refuses that, and `StoreAway`.
        """
        with self._translated():
            found: list[str] = self._call("find", self._root, prefix=stem)
            if not self._is_proven:
                probe = f"{self._root}/.{stem}probe"
                if self._protocol not in _WHOLE_AT_ONCE:
                    self._call("makedirs", self._root, exist_ok=True)
                self._call("pipe_file", probe, b"")
                # Without the right to remove, an empty hidden object stays.
                with contextlib.suppress(PermissionError):
                    self._call("rm_file", probe)
                self._is_proven = True
        # Not every package looks for the stem below the root alone.
        items = f"{self._root.strip('/')}/{ITEMS}"
        folders_and_names = (path.rpartition("/")[::2] for path in found)
        return [name for folder, name in folders_and_names if not folder.strip("/").endswith(items)]

    def publish(self, draft: Path, name: str) -> None:
        """Upload the draft, and remove it here. Raises `StoreAway` and `OutputUnwritable`."""
        target = f"{self._root}/{name}"
        within_s = CALL_S + draft.stat().st_size / LEAST_BYTES_PER_S
        with self._translated():
            if self._protocol in _WHOLE_AT_ONCE:
                one_request = {"chunksize": 8 * MOST_BYTES} if self._protocol == "s3" else {}
                self._call("put_file", str(draft), target, within_s=within_s, **one_request)
            else:
                folder, _, base = target.rpartition("/")
                self._call("makedirs", folder, exist_ok=True)
                hidden = f"{folder}/.{base}{DRAFT_SUFFIX}"
                self._call("put_file", str(draft), hidden, within_s=within_s)
                if self._call("exists", target):
                    self._call("rm_file", target)
                self._call("mv", hidden, target, within_s=within_s)
        draft.unlink()

    def remove(self, name: str) -> None:
        """Remove an object. Raises `StoreAway` and `OutputUnwritable`."""
        with self._translated(), contextlib.suppress(FileNotFoundError):
            self._call("rm_file", f"{self._root}/{name}")

    @contextlib.contextmanager
    def local(self, name: str) -> Iterator[Path]:
        """Return a copy of the object."""
        copy = self._private / f"copy{DRAFT_SUFFIX}"
        try:
            with self._translated():
                about = self._call("info", f"{self._root}/{name}")
                within_s = CALL_S + int(about["size"] or 0) / LEAST_BYTES_PER_S
                self._call("get_file", f"{self._root}/{name}", str(copy), within_s=within_s)
            yield copy
        finally:
            copy.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the connections; a later call opens them again."""
        files, self._files = self._files, None
        loop, self._loop = self._loop, None
        if loop is None:
            return
        client = getattr(files, "_s3", None)
        with contextlib.suppress(*errors_of(self._protocol)):
            if client is not None:
                loop.run(asyncio.wait_for(client.close(), CALL_S))
        loop.close()

    def _call(self, what: str, *arguments: object, within_s: float = CALL_S, **named: object) -> Any:
        """Return the result of a method of the file system."""
        if self._files is None:
            self._files = file_system(
                self._protocol, self._options, is_asynchronous=self._protocol in _WHOLE_AT_ONCE
            )
        if not getattr(self._files, "asynchronous", False):
            return getattr(self._files, what)(*arguments, **named)
        if self._loop is None:
            self._loop = asyncio.Runner()
        method = getattr(self._files, f"_{what}")

        async def bounded() -> Any:
            call = asyncio.ensure_future(method(*arguments, **named))
            if not (await asyncio.wait({call}, timeout=within_s))[0]:
                call.cancel()
                if not (await asyncio.wait({call}, timeout=_CANCEL_S))[0]:
                    # Some packages catch that: the loop is left as it is, since closing it would wait too.
                    self._files = self._loop = None
                raise TimeoutError
            return call.result()

        return self._loop.run(bounded())

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except errors_of(self._protocol) as error:
            raise self._failure(error) from None

    def _failure(self, error: Exception) -> Exception:
        why, remedy = words_of(error)
        if not remedy:
            return StoreAway(f"{self._name} does not take records ({why})")
        sentence = f"{self._name} cannot be written to ({why}); check {remedy}"
        return OutputUnwritable(sentence) if self._is_proven else UsageError(f"{sentence}.")


class ObjectReader:
    """Reads the objects below `url`, from any thread. Raises UsageError alone, with `name` in it.

    A call that fails, and may not fail later, is repeated a few times.
    """

    def __init__(self, name: str, url: str, options: Mapping[str, str]) -> None:
        self.name = name
        self._protocol, _, self._root = url.partition("://")
        self._options = options
        # Closed with the reader, also where that is forgotten in the midst of an export.
        self._opened: list[Any] = []
        weakref.finalize(self, _close, self._opened)

    def url_of(self, path: str) -> str:
        """Return the URL of an object."""
        return f"{self._protocol}://{path}"

    def sizes(self, folder: str = "") -> dict[str, int]:
        """Return the bytes of the objects directly below the URL, or below a folder there, by their paths.

        Hidden ones are left out. Where the URL is that of one object, that is the only one.
        """
        place = f"{self._root}/{folder}".rstrip("/")
        try:
            found: list[Mapping[str, Any]] = self._call("ls", place, detail=True, within_s=LISTING_S)
        except FileNotFoundError:
            return {}
        if len(found) > MOST_OBJECTS:
            raise UsageError(f"{self.name} has over {MOST_OBJECTS:,} objects; give addresses of some.")
        sizes = {str(one["name"]): int(one["size"] or 0) for one in found if one["type"] == "file"}
        return {path: sizes[path] for path in sorted(sizes) if path.rpartition("/")[2][:1] not in {"", "."}}

    def part(self, path: str, start: int, end: int) -> bytes:
        """Return the bytes of an object from `start` to before `end`."""
        within_s = CALL_S + (end - start) / LEAST_BYTES_PER_S
        try:
            content: bytes = self._call("cat_file", path, start=start, end=end, within_s=within_s)
        except FileNotFoundError:
            content = b""
        if len(content) != end - start:
            raise UsageError(f"{self.name} was changed while it was read; do it again when that is over.")
        return content

    def _call(self, what: str, *arguments: object, within_s: float, **named: object) -> Any:
        pause_s = FIRST_RETRY_S
        for attempt in range(1, READ_ATTEMPTS + 1):
            try:
                if not self._opened:
                    self._opened.append(file_system(self._protocol, self._options, is_asynchronous=True))
                (files,) = self._opened
                if not getattr(files, "asynchronous", False):
                    return getattr(files, what)(*arguments, **named)
                method = getattr(files, f"_{what}")
                return sync(get_loop(), method, *arguments, timeout=within_s, **named)
            except FileNotFoundError:
                raise
            except errors_of(self._protocol) as error:
                why, remedy = words_of(error)
                if remedy or attempt == READ_ATTEMPTS:
                    remedy = remedy or "that it is there, and do it again"
                    raise UsageError(f"{self.name} cannot be read ({why}); check {remedy}.") from None
            sleep(pause_s)
            pause_s *= 2
        raise AssertionError("the last attempt returns or raises")


def _close(opened: Sequence[Any]) -> None:
    """End the connections of a reader."""
    loop = get_loop()
    for files in opened:
        client = getattr(files, "_s3", None)
        if client is not None:
            closing = asyncio.run_coroutine_threadsafe(client.close(), loop)
            # A reader may be forgotten in the loop's own thread, which cannot wait for itself.
            if threading.current_thread() is not iothread[0]:
                with contextlib.suppress(*errors_of("s3"), TimeoutError):
                    closing.result(_CANCEL_S)


def file_system(protocol: str, options: Mapping[str, str], *, is_asynchronous: bool) -> Any:
    """Return a connection of its own to a store; `options` are those of an S3. Raises as the package does."""
    known: dict[str, Any] = {}
    if protocol == "s3":
        config: dict[str, Any] = {
            "connect_timeout": _CONNECT_S,
            "read_timeout": _ANSWER_S,
            # Repetitions are the writer's and the reader's, so that they are seen and end.
            "retries": {"total_max_attempts": 1},
        }
        if "endpoint_url" in options:
            # Self-hosted servers mostly have no host name for each bucket.
            config["s3"] = {"addressing_style": "path"}
        known = {name: options[name] for name in ("endpoint_url", "profile") if name in options}
        known["config_kwargs"] = config
        if "region" in options:
            known["client_kwargs"] = {"region_name": options["region"]}
    kind = fsspec.get_filesystem_class(protocol)
    files = kind(
        asynchronous=is_asynchronous and issubclass(kind, AsyncFileSystem),
        skip_instance_cache=True,
        use_listings_cache=False,
        **known,
    )
    if protocol == "s3":
        files.retries = 1
    return files


def words_of(error: Exception) -> tuple[str, str]:
    """Return what went wrong, and what to check; the second is empty where a repetition may mend it."""
    silent = "no answer in time" if isinstance(error, TimeoutError) else type(error).__name__
    said = (error.strerror if isinstance(error, OSError) else None) or str(error)
    why = without_credentials(" ".join(said.split())[:_WORDS_CHARS]) or silent
    if isinstance(error, FileNotFoundError):
        return why, "the address, and that the bucket exists"
    if isinstance(error, PermissionError) or type(error).__name__ in _REFUSALS:
        return why, "the address, credentials and rights"
    return why, ""


def errors_of(protocol: str) -> tuple[type[Exception], ...]:
    """Return what the package of a protocol raises."""
    found: list[type[Exception]] = [OSError]
    for name in _FOREIGN.get(protocol, ()):
        module, _, kind = name.partition(":")
        with contextlib.suppress(ImportError):
            found.append(getattr(importlib.import_module(module), kind))
    return tuple(found)
