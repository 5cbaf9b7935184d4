"""What one visit becomes in a sink: the record, its keys in the order that the contract has.

What always holds: no credentials. User names and passwords are taken out of addresses, and of response
headers that carry a session only the name is kept.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain, repeat
from typing import Any

from farm.model.detection import Detection
from farm.model.page import Capture, RenderedPage
from farm.model.record import Record
from farm.model.secret import MASK
from farm.model.task import Lease
from farm.model.url import record_id

FOLDERS = {"screenshot": "screenshots", "pdf": "pdfs", "download": "downloads"}
"""By kind of capture, in the output folder."""
_SECRET_HEADERS = frozenset({"set-cookie", "set-cookie2", "authorization", "proxy-authorization", "cookie"})
_USERINFO = re.compile(r"^([a-z][a-z0-9+.-]*://)[^/?#\\]*@", re.IGNORECASE)
_URL_CAP = 2_000
_TIMINGS = ("lease", "navigate", "settle", "extract", "total")


@dataclass(frozen=True, slots=True)
class RecordOptions:
    """Which of the large fields are kept; the others are null, so that every record has the same keys."""

    html: bool = True
    text: bool = True


@dataclass(frozen=True, slots=True)
class VisitFacts:
    """What the loop knows of a visit and the page does not.

    `proxy` is a label without credentials, or None; `detection` is what the page is in place of what was asked
    for, if it is that; `duplicate_of` is the address that showed the same before; `noindex` is what the page says
    of itself. `timings_ms` has `lease`, `extract` and `total`; the page brings `navigate` and `settle`.
    """

    node: str
    fetched_at: datetime
    proxy: str | None = None
    detection: Detection | None = None
    duplicate_of: str | None = None
    noindex: bool = False
    timings_ms: Mapping[str, int] = field(default_factory=dict)
    fields: Mapping[str, Any] = field(default_factory=dict)


def build_record(
    crawl: str,
    lease: Lease,
    page: RenderedPage,
    links: Sequence[Mapping[str, str]],
    visit: VisitFacts,
    options: RecordOptions | None = None,
) -> Record:
    """Return the record of a visit; `links` are the page's, canonical and unique, as the scope gives them."""
    keep = options or RecordOptions()
    task = lease.task
    id_ = record_id(crawl, task.url)
    fields: dict[str, Any] = {
        "id": id_,
        "url": task.url,
        "final_url": _USERINFO.sub(r"\1", page.final_url),
        "status": page.status,
        "headers": {
            name: MASK if name.lower() in _SECRET_HEADERS else value for name, value in page.headers.items()
        },
        "content_type": page.content_type,
        "title": page.title,
        "text": page.text if keep.text else None,
        "html": page.html if keep.html else None,
        "links": links,
        "fields": visit.fields,
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
        **_findings(visit.detection),
        "canonical": _USERINFO.sub(r"\1", page.canonical) if page.canonical else None,
        "noindex": visit.noindex,
        "duplicate_of": visit.duplicate_of,
        "lang": page.lang,
        "actions": page.actions,
        "files": {one.kind: file_path(one, id_) for one in page.captures},
        "truncated": page.truncated,
        "redirects": [
            {"url": _USERINFO.sub(r"\1", url)[:_URL_CAP], "status": status}
            for url, status in zip(page.redirects, chain(page.redirect_statuses, repeat(0)), strict=False)
        ],
        "meta": task.meta,
    }
    return Record(id_, task.url, fields, {file_path(one, id_): one.content for one in page.captures})


def _findings(detection: Detection | None) -> dict[str, Any]:
    """Say who kept the visitor out, and what was found on the page; both are null on a page as it should be."""
    if detection is None:
        return {"blocked_by": None, "evidence": None}
    blocked_by = detection.by if detection.blocks else None
    return {"blocked_by": blocked_by, "evidence": {"finding": detection.finding, "signs": detection.signs}}


def file_path(capture: Capture, id_: str) -> str:
    """Return where a capture lies in the output folder: by its kind, and by the id's first two digits."""
    return f"{FOLDERS[capture.kind]}/{id_[:2]}/{id_}.{capture.suffix}"


def timestamp(moment: datetime) -> str:
    """Return a UTC moment as the files write it: `2026-03-01T12:00:00.123Z`."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def _timings(page: Mapping[str, int], visit: Mapping[str, int]) -> dict[str, int]:
    known = {**page, **visit}
    return {name: known.pop(name, 0) for name in _TIMINGS} | known
