"""The record of a visit, with its keys in the order of the declared columns, and its line of JSON.

Invariants: no credentials. User names and passwords are removed from addresses, and response headers that
may carry a secret keep only their name.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain, islice, repeat
from typing import Any

import orjson

from farm.model.page import Capture, Detection, FetchedResponse, PageError, RenderedPage
from farm.model.record import RECORD_SCHEMA, SNAPSHOTS, Record
from farm.model.secret import MASK, USERINFO, is_secret_header, without_credentials
from farm.model.task import Lease
from farm.model.text import well_formed
from farm.model.url import record_id

FOLDERS = {
    "screenshot": "screenshots",
    "pdf": "pdfs",
    "download": "downloads",
    "har": "hars",
    "html": "bodies",
    "snapshot": SNAPSHOTS,
}
"""The folders of files in the output folder, by kind."""
NO_METADATA: Mapping[str, Any] = {
    "json_ld": (),
    "open_graph": {},
    "twitter": {},
    "microdata": (),
    "errors": (),
}
"""The metadata of a page that declares none."""
MOST_HEADERS = 200
_HEADER_CHARS = 8_000
_HEADERS_CHARS = 64_000
_URL_CAP = 2_000
_ERROR_CHARS = 300
# Such characters occur in texts only: elsewhere JSON does not allow them.
_LINE_ENDS = tuple((char.encode(), rb"\u%04x" % ord(char)) for char in ("\x85", "\u2028", "\u2029"))
_LEADS = ((b"\xc2", (b"\x85",)), (b"\xe2", (b"\x80\xa8", b"\x80\xa9")))
_LOOKS = 5000
_TIMINGS = ("lease", "navigate", "settle", "extract", "total")


@dataclass(frozen=True, slots=True)
class RecordOptions:
    """Which of the large fields are kept; the others are null, so that every record has the same keys."""

    html: bool = True
    text: bool = True


@dataclass(frozen=True, slots=True)
class VisitFacts:
    """The facts of a visit that are not in its page.

    `proxy` is a label without credentials, or None; `detection` is set if the page is not the requested one;
    `duplicate_of` is the address that showed the same content before; `noindex` is the page's
    directive. `timings_ms` has `lease`, `extract` and `total`; the page has `navigate` and `settle`.
    `content_hash` is that of the page's text; `images` and `media` are those of the record, or None;
    `markdown` and `main_text` are None if they are not made; `revision` is how often the page was rendered
    before.
    """

    node: str
    fetched_at: datetime
    proxy: str | None = None
    detection: Detection | None = None
    duplicate_of: str | None = None
    noindex: bool = False
    timings_ms: Mapping[str, int] = field(default_factory=dict)
    content_hash: str | None = None
    images: Sequence[Mapping[str, Any]] | None = None
    media: Sequence[Mapping[str, str]] | None = None
    markdown: str | None = None
    main_text: str | None = None
    revision: int = 0
    items: Sequence[tuple[str, Mapping[str, Any]]] | None = None
    """The extracted items, by kind; None without extraction."""
    extract_errors: Sequence[Mapping[str, Any]] = ()
    body_path: str | None = None
    """The path of the HTML instead of the record; None if it is in the record, or left out."""


def build_record(
    crawl: str,
    lease: Lease,
    page: RenderedPage,
    links: Sequence[Mapping[str, str]],
    visit: VisitFacts,
    options: RecordOptions | None = None,
) -> Record:
    """Return the record of a visit; `links` are the page's canonical and unique links from the scope."""
    keep = options or RecordOptions()
    task = lease.task
    id_ = record_id(crawl, task.url)
    headers, is_cut = _headers(page.headers)
    truncated = (*page.truncated, "headers") if is_cut else page.truncated
    fields: dict[str, Any] = {
        "id": id_,
        "url": task.url,
        "final_url": USERINFO.sub(r"\1", page.final_url),
        "status": page.status,
        "headers": headers,
        "content_type": page.content_type[:_HEADER_CHARS],
        "title": page.title,
        "text": page.text if keep.text else None,
        "html": page.html if keep.html and visit.body_path is None else None,
        "links": links,
        "images": visit.images,
        "media": visit.media,
        "metadata": page.metadata or NO_METADATA,
        "lang": page.lang,
        "canonical": USERINFO.sub(r"\1", page.canonical) if page.canonical else None,
        "charset": page.charset,
        "content_hash": visit.content_hash,
        "markdown": visit.markdown,
        "main_text": visit.main_text,
        "responses": None if page.responses is None else [*map(_response, page.responses)],
        "rendered_by": page.rendered_by.value,
        "revision": visit.revision,
        **_findings(visit.detection),
        "truncated": truncated if keep.html else tuple(name for name in truncated if name != "html"),
        "files": {one.kind: file_path(one, id_) for one in page.captures}
        | ({"html": visit.body_path} if visit.body_path is not None else {}),
        "actions": page.actions,
        "noindex": visit.noindex,
        "duplicate_of": visit.duplicate_of,
        "page_errors": _errors(page) if page.errors else (),
        "extract_errors": visit.extract_errors,
        "redirects": [
            {"url": USERINFO.sub(r"\1", url)[:_URL_CAP], "status": status}
            for url, status in zip(page.redirects, chain(page.redirect_statuses, repeat(0)), strict=False)
        ],
        "depth": task.depth,
        "referrer": task.referrer,
        "fetched_at": timestamp(visit.fetched_at),
        "attempt": lease.attempt,
        "settled": page.settled,
        "settle_reason": page.settle_reason,
        "timings_ms": _timings(page.timings_ms, visit.timings_ms),
        "bytes_received": page.bytes_received,
        "node": visit.node,
        "context": lease.slot,
        "proxy": visit.proxy,
        "meta": task.meta,
        "schema": RECORD_SCHEMA,
    }
    files = {file_path(one, id_): one.content for one in page.captures}
    items = None if visit.items is None else items_of(fields, visit.items)
    body = (visit.body_path, page.html) if visit.body_path is not None else None
    return Record(id_, task.url, fields, files, page.exchanges, items, body)


def items_of(
    page: Mapping[str, Any], items: Sequence[tuple[str, Mapping[str, Any]]]
) -> tuple[dict[str, Any], ...]:
    """Return the items of a page as sinks write them; `page` are its record's fields."""
    return tuple(
        {
            "_id": f"{page['id']}-{number}",
            "_page_id": page["id"],
            "_url": page["url"],
            "_kind": kind,
            "_fetched_at": page["fetched_at"],
            **values,
        }
        for number, (kind, values) in enumerate(items, 1)
    )


def _headers(headers: Mapping[str, str]) -> tuple[dict[str, str], bool]:
    """Return the headers with secrets masked, and whether a cap has cut some of them."""
    kept: dict[str, str] = {}
    left, is_cut = _HEADERS_CHARS, len(headers) > MOST_HEADERS
    for name, value in islice(headers.items(), MOST_HEADERS):
        shown = MASK if is_secret_header(name) else value
        shown = without_credentials(shown)
        left -= len(name) + min(len(shown), _HEADER_CHARS)
        is_cut = is_cut or len(shown) > _HEADER_CHARS or left < 0
        if left < 0:
            break
        kept[name] = shown[:_HEADER_CHARS]
    return kept, is_cut


def _errors(page: RenderedPage) -> list[dict[str, str]]:
    """Return the errors on the page; a last entry of the kind `more` counts the others."""
    shown = [
        {"kind": one.kind, "url": USERINFO.sub(r"\1", one.url)[:_URL_CAP], "message": _error_message(one)}
        for one in page.errors
    ]
    more = [{"kind": "more", "url": "", "message": f"{page.errors_more} more"}] if page.errors_more else []
    return shown + more


def _response(answer: FetchedResponse) -> dict[str, Any]:
    return {
        "url": USERINFO.sub(r"\1", answer.url),
        "method": answer.method,
        "status": answer.status,
        "content_type": answer.content_type[:_HEADER_CHARS],
        "body": answer.body,
        "truncated": answer.is_cut,
    }


def _error_message(error: PageError) -> str:
    """Return the message of an error, preceded by the type of the request, as in `script: answered 404`."""
    message = f"{error.resource}: {error.message}" if error.resource else error.message
    return without_credentials(message)[:_ERROR_CHARS]


def misses_script(entry: Mapping[str, str]) -> bool:
    """Return whether this entry of `page_errors` says that a script of the page is missing."""
    return entry["kind"] == "request" and entry["message"].startswith("script: ")


def _findings(detection: Detection | None) -> dict[str, Any]:
    """Return who blocked the visit, and the evidence on the page; both are null on a normal page."""
    if detection is None:
        return {"blocked_by": None, "evidence": None}
    blocked_by = detection.by if detection.blocks else None
    return {"blocked_by": blocked_by, "evidence": {"finding": detection.finding, "signs": detection.signs}}


def file_path(capture: Capture, id_: str) -> str:
    """Return a capture's path in the output folder: by its kind and the first two digits of the id."""
    return f"{FOLDERS[capture.kind]}/{id_[:2]}/{id_}.{capture.suffix}"


def timestamp(moment: datetime) -> str:
    """Return a UTC moment in the format of the files: `2026-03-01T12:00:00.123Z`."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def _timings(page: Mapping[str, int], visit: Mapping[str, int]) -> dict[str, int]:
    known = {**page, **visit}
    return {name: known.pop(name, 0) for name in _TIMINGS} | known


def json_line(fields: Mapping[str, Any]) -> bytes:
    """Return the fields as one line of UTF-8 JSON; raises `ValueError` for what cannot be written.

    Characters that other readers treat as the end of a line (U+0085, U+2028, U+2029) are escaped.
    """
    line = _encoded(fields)
    if not line.isascii() and any(_may_have(line, lead, rest) for lead, rest in _LEADS):
        for raw, escape in _LINE_ENDS:
            line = line.replace(raw, escape)
    return line


def _may_have(line: bytes, lead: bytes, rest: tuple[bytes, ...]) -> bool:
    """Search for a character by its first byte: a search for all of its bytes would cost 100 times as much."""
    at = line.find(lead)
    for _ in range(_LOOKS):
        if at < 0:
            return False
        if line.startswith(rest, at + 1):
            return True
        at = line.find(lead, at + 1)
    return True


def _encoded(fields: Mapping[str, Any]) -> bytes:
    r"""Return the fields as JSON with a newline; raises `ValueError` for what cannot be written.

    A page's script can put half of a surrogate pair (`\ud800`) into a text, which no UTF-8 can hold:
    it becomes the replacement character, as it does when a browser sends it.
    """
    try:
        return orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:
        pass
    # Rare and slow: repair the texts, and leave integers beyond 64 bits to the standard library, which holds the
    # GIL three times as long.
    try:
        repaired = _repaired(fields)
    except RecursionError as error:
        raise ValueError(str(error)) from error
    try:
        return orjson.dumps(repaired, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:
        pass
    try:
        text = json.dumps(repaired, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (TypeError, RecursionError) as error:
        raise ValueError(str(error)) from error
    return text.encode() + b"\n"


def _repaired(value: Any) -> Any:
    if isinstance(value, str):
        return well_formed(value)
    if isinstance(value, Mapping):
        return {_repaired(key): _repaired(one) for key, one in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return [_repaired(one) for one in value]
    return value
