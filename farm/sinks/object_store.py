"""Segments as objects of a store that fsspec reaches: S3, and what else has a package for it.

Every call is made in the writer's thread, in an event loop of its own, with a deadline. Only this module knows
fsspec. The names of objects have the node and eight random digits that are kept in the output folder: neither
another crawl with a node of this name, nor this node after its disk is lost, uses a name that was used before.
"""

import asyncio
import contextlib
import importlib
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import fsspec
from fsspec.asyn import AsyncFileSystem

from farm.model.errors import OutputUnwritable, UsageError
from farm.model.secret import without_credentials
from farm.resources.files import read_own, write_atomically
from farm.sinks.item_values import ITEMS
from farm.sinks.places import DRAFT_SUFFIX, stem_of
from farm.sinks.store import StoreAway

CALL_S = 30.0
"""Deadline of a call that moves nothing."""
MOST_BYTES = 128 * 2**20
"""Of a log. An upload has as much in memory, and is one request, so that a kill leaves no part of an object."""
LEAST_BYTES_PER_S = 512 * 2**10
"""An upload that is slower than this has failed; the largest takes less than the usual `--sink-patience`."""
MOST_AGE_S = 300.0
"""How long a record is in the log alone at most, as long as records come."""
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
    """Raise UsageError where no installed package reaches the URL of the sink `name`."""
    try:
        fsspec.get_filesystem_class(url.partition("://")[0])
    except (ImportError, ValueError) as error:
        raise UsageError(f"--sink {name} cannot be reached ({error}).") from None


class ObjectPlace:
    """The objects below `url`, such as `s3://bucket/prefix`. Satisfies `SegmentPlace`.

    `name` is that of the sink, for messages; `private` is the folder for what must be known of it later, and for
    drafts; `options` are `endpoint_url`, `profile` and `region` of an S3.
    """

    resumes_log = False
    most_bytes = MOST_BYTES
    most_age_s = MOST_AGE_S

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
        with contextlib.suppress(*_errors_of(self._protocol)):
            if client is not None:
                loop.run(asyncio.wait_for(client.close(), CALL_S))
        loop.close()

    def _call(self, what: str, *arguments: object, within_s: float = CALL_S, **named: object) -> Any:
        """Return the result of a method of the file system."""
        if self._files is None:
            self._files = self._connected()
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

    def _connected(self) -> Any:
        known: dict[str, Any] = {}
        if self._protocol == "s3":
            given = self._options
            config = {
                "connect_timeout": _CONNECT_S,
                "read_timeout": _ANSWER_S,
                # Repetitions are the writer's, so that they are seen and end.
                "retries": {"total_max_attempts": 1},
            }
            if "endpoint_url" in given:
                # Self-hosted servers mostly have no host name for each bucket.
                config["s3"] = {"addressing_style": "path"}
            known = {name: given[name] for name in ("endpoint_url", "profile") if name in given}
            known["config_kwargs"] = config
            if "region" in given:
                known["client_kwargs"] = {"region_name": given["region"]}
        kind = fsspec.get_filesystem_class(self._protocol)
        files = kind(
            asynchronous=self._protocol in _WHOLE_AT_ONCE and issubclass(kind, AsyncFileSystem),
            skip_instance_cache=True,
            use_listings_cache=False,
            **known,
        )
        if self._protocol == "s3":
            files.retries = 1
        return files

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except _errors_of(self._protocol) as error:
            raise self._failure(error) from None

    def _failure(self, error: Exception) -> Exception:
        silent = "no answer in time" if isinstance(error, TimeoutError) else type(error).__name__
        said = (error.strerror if isinstance(error, OSError) else None) or str(error)
        why = without_credentials(" ".join(said.split())[:_WORDS_CHARS]) or silent
        is_missing = isinstance(error, FileNotFoundError)
        if (
            not is_missing
            and not isinstance(error, PermissionError)
            and type(error).__name__ not in _REFUSALS
        ):
            return StoreAway(f"{self._name} does not take records ({why})")
        remedy = (
            "the address, and that the bucket exists" if is_missing else "the address, credentials and rights"
        )
        sentence = f"{self._name} cannot be written to ({why}); check {remedy}"
        return OutputUnwritable(sentence) if self._is_proven else UsageError(f"{sentence}.")


def _errors_of(protocol: str) -> tuple[type[Exception], ...]:
    """Return what the package of a protocol raises."""
    found: list[type[Exception]] = [OSError]
    for name in _FOREIGN.get(protocol, ()):
        module, _, kind = name.partition(":")
        with contextlib.suppress(ImportError):
            found.append(getattr(importlib.import_module(module), kind))
    return tuple(found)
