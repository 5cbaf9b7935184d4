"""A WACZ (Web Archive Collection Zipped, 1.1.1) of WARC files: the files themselves, an index, a list of pages.

The parts are stored in the archive uncompressed, so that a reader can fetch any record by its position.
"""

import gzip
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from hashlib import sha256
from itertools import islice
from typing import Any, BinaryIO
from zipfile import ZIP_STORED, ZipFile, ZipInfo

import orjson

from farm import __version__
from farm.export.cdxj import ArchivedAnswer, SortedLines, captures
from farm.export.source import StoredRecord, unreadable
from farm.export.stored_file import StoredFile
from farm.sinks.record import json_line

_CHUNK_BYTES = 1 << 20
_BLOCK_LINES = 1024
"""Lines of a block of the index: a reader decompresses one block to find an address."""
_HTML = frozenset({"text/html", "application/xhtml+xml"})
_OK = re.compile("2[0-9][0-9]")
_PAGES_HEADER = {"format": "json-pages-1.0", "id": "pages", "title": "All Pages"}


def write_wacz(warcs: Sequence[StoredFile], records: Iterable[StoredRecord] | None, out: BinaryIO) -> int:
    """Write the archive; return how many pages it lists.

    These are the records, or without any the HTML documents of the WARC files. Raises UsageError if a WARC file
    cannot be read, and as the records do.
    """
    named = dict(zip(_names(warcs), warcs, strict=True))
    with (
        ZipFile(out, "w", ZIP_STORED, allowZip64=True) as zipped,
        SortedLines() as index,
        SortedLines() as found,
    ):
        package = _Package(zipped)
        for name, warc in named.items():
            for capture in _captures(warc):
                index.add(f"{capture.line(name)}\n")
                if records is None and _is_page(capture):
                    found.add(json_line(_page(capture.url, capture.date, "", "")).decode())
            with package.part(f"archive/{name}") as part, warc.open() as file:
                while chunk := file.read(_CHUNK_BYTES):
                    part.write(chunk)
        blocks = _write_index(package, iter(index))
        with package.part("indexes/index.idx") as part:
            part.write(blocks)
        count = 0
        with package.part("pages/pages.jsonl") as part:
            part.write(json_line(_PAGES_HEADER))
            lines = (line.encode() for line in found) if records is None else map(_line_of, records)
            for count, line in enumerate(lines, 1):  # noqa: B007
                part.write(line)
        package.finish()
    return count


class _Part:
    """A file of the archive, whose size and hash are known when it is written."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self.hash = sha256()
        self.size_bytes = 0

    def write(self, content: bytes) -> None:
        self._file.write(content)
        self.hash.update(content)
        self.size_bytes += len(content)


class _Package:
    """The files of an archive, and their descriptions."""

    def __init__(self, zipped: ZipFile) -> None:
        self._zipped = zipped
        self._now = datetime.now(UTC)
        self._resources: list[Mapping[str, Any]] = []

    @contextmanager
    def part(self, path: str) -> Iterator[_Part]:
        about = ZipInfo(path, self._now.timetuple()[:6])
        with self._zipped.open(about, "w", force_zip64=True) as file:
            part = _Part(file)
            yield part
        name, said = path.rpartition("/")[2], f"sha256:{part.hash.hexdigest()}"
        self._resources.append({"name": name, "path": path, "hash": said, "bytes": part.size_bytes})

    def finish(self) -> None:
        """Write the list of files, and the digest of this list."""
        said = {
            "profile": "data-package",
            "wacz_version": "1.1.1",
            "created": self._now.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "software": f"crawl-farm {__version__}",
            "resources": self._resources[:],
        }
        content = orjson.dumps(said, option=orjson.OPT_INDENT_2)
        digest = {"path": "datapackage.json", "hash": f"sha256:{sha256(content).hexdigest()}"}
        with self.part("datapackage.json") as part:
            part.write(content)
        with self.part("datapackage-digest.json") as part:
            part.write(orjson.dumps(digest))


def _write_index(package: _Package, lines: Iterator[str]) -> bytes:
    """Write the compressed index block by block; return the index of the blocks."""
    offset = 0
    blocks = [b'!meta 0 {"format": "cdxj-gzip-1.0", "filename": "index.cdx.gz"}\n']
    with package.part("indexes/index.cdx.gz") as part:
        while block := list(islice(lines, _BLOCK_LINES)):
            packed = gzip.compress("".join(block).encode(), mtime=0)
            part.write(packed)
            key = block[0].partition(" {")[0]
            said = {"offset": offset, "length": len(packed), "digest": f"sha256:{sha256(packed).hexdigest()}"}
            blocks.append(f"{key} {orjson.dumps(said).decode()}\n".encode())
            offset += len(packed)
    return b"".join(blocks)


def _captures(warc: StoredFile) -> Iterator[ArchivedAnswer]:
    try:
        yield from captures(warc)
    except (OSError, ValueError, zlib.error) as error:
        raise unreadable(warc, getattr(error, "strerror", None) or str(error)) from None


def _is_page(capture: ArchivedAnswer) -> bool:
    return capture.mime in _HTML and _OK.fullmatch(capture.status) is not None


def _line_of(record: StoredRecord) -> bytes:
    url, moment = record.get("final_url") or record["url"], record["fetched_at"]
    return json_line(_page(url, moment, str(record["id"]), str(record.get("title") or "")))


def _page(url: str, moment: str, id_: str, title: str) -> dict[str, str]:
    return {**({"id": id_} if id_ else {}), "url": url, "ts": moment, "title": title or url}


def _names(warcs: Sequence[StoredFile]) -> Iterator[str]:
    """Yield a name in the archive for each file: its own, with its number before it where two have the same."""
    counts, taken = Counter(warc.name for warc in warcs), set[str]()
    for number, warc in enumerate(warcs, 1):
        name = warc.name if counts[warc.name] == 1 else f"{number}-{warc.name}"
        while name in taken:
            name = f"{number}-{name}"
        taken.add(name)
        yield name
