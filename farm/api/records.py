"""The record of a page in Python: the columns of every sink, with their types."""

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn, TypedDict

from farm.model.errors import UsageError
from farm.model.handling import VisitedPage
from farm.model.page import Detection, Finding, Link, RenderedPage
from farm.model.task import Lease, UrlTask
from farm.model.url import site_of


class PageRecord(TypedDict):
    """A row of `pages`; docs/records.md says what each column means."""

    id: str
    url: str
    final_url: str
    status: int
    headers: Mapping[str, str]
    content_type: str
    title: str
    text: str | None
    html: str | None
    links: Sequence[Mapping[str, str]]
    images: Sequence[Mapping[str, Any]] | None
    media: Sequence[Mapping[str, str]] | None
    metadata: Mapping[str, Any]
    lang: str
    canonical: str | None
    charset: str
    content_hash: str | None
    markdown: str | None
    main_text: str | None
    responses: Sequence[Mapping[str, Any]] | None
    rendered_by: str
    revision: int
    blocked_by: str | None
    evidence: Mapping[str, Any] | None
    truncated: Sequence[str]
    files: Mapping[str, str]
    actions: Mapping[str, Any]
    noindex: bool
    duplicate_of: str | None
    page_errors: Sequence[Mapping[str, str]]
    extract_errors: Sequence[Mapping[str, Any]]
    redirects: Sequence[Mapping[str, Any]]
    depth: int
    referrer: str | None
    fetched_at: str
    attempt: int
    settled: bool
    settle_reason: str
    timings_ms: Mapping[str, int]
    bytes_received: int
    node: str
    context: str
    proxy: str | None
    meta: Mapping[str, Any]
    schema: int


def visited_of(record: Mapping[str, Any], label: str | None) -> VisitedPage:
    """Return the visit of a record, in the form for handlers; missing keys are empty.

    Raises UsageError for a record without an address.
    """
    url = record.get("url")
    if not isinstance(url, str) or not url:
        raise UsageError("A record has a url; `farm fetch --json URL` prints one.")
    headers: Mapping[str, str] = record.get("headers") or {}
    page = RenderedPage(
        final_url=record.get("final_url") or url,
        status=record.get("status") or 200,
        headers=headers,
        content_type=record.get("content_type") or headers.get("content-type", ""),
        title=record.get("title") or "",
        text=record.get("text") or "",
        html=record.get("html") or "",
        links=tuple(
            Link(one["url"], one.get("text", ""), one.get("rel", "")) for one in record.get("links") or ()
        ),
        lang=record.get("lang") or "",
        canonical=record.get("canonical"),
        metadata=record.get("metadata"),
    )
    task = UrlTask(
        url,
        site_of(url),
        fingerprint="",
        depth=record.get("depth") or 0,
        referrer=record.get("referrer"),
        meta=record.get("meta") or {},
        label=label,
    )
    evidence, detection = record.get("evidence"), None
    if evidence:
        detection = Detection(
            Finding(evidence["finding"]), record.get("blocked_by") or "", tuple(evidence["signs"])
        )
    lease = Lease(task, slot="", token=0, attempt=record.get("attempt") or 1)
    return VisitedPage(lease, page, detection, _no_browser)


async def _no_browser() -> NoReturn:
    raise RuntimeError("a record has no live page: there is no browser")
