"""The record of a page as Python code has it: the columns that are in every sink, by their types."""

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict


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
