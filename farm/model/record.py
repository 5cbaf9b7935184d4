"""What a visit leaves in a sink, and the one declaration of a record's columns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from farm.model.clock import Clock
from farm.model.outcome import SkipReason
from farm.model.page import PageExchange, PageSnapshot

RECORD_SCHEMA = 2
"""The version of the columns: it grows when one is removed or changes its meaning, not when one is added."""

ColumnType = Literal["text", "integer", "boolean", "timestamp", "json"]
"""How a sink stores a column: `timestamp` is UTC as `2026-03-01T12:00:00.123Z`, `json` a list or an object."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the records. `meaning` is Markdown; a value can be null only where it says so."""

    name: str
    type: ColumnType
    meaning: str


COLUMNS = (
    Column("id", "text", "32 hex digits, a function of the crawl and `url`; the primary key"),
    Column("url", "text", "the canonical URL that was visited"),
    Column("final_url", "text", "where the page ended, after redirects and scripts; without credentials"),
    Column("status", "integer", "the HTTP status of the document that was read"),
    Column("headers", "json", "its response headers, [secrets masked](#headers)"),
    Column("content_type", "text", "its `Content-Type`, parameters included"),
    Column("title", "text", "the document's title"),
    Column("text", "text", "the visible text; null with `--no-text`"),
    Column(
        "html", "text", "the DOM as it was when the page had settled; null with `--no-html` and `--bodies`"
    ),
    Column("links", "json", "`[{url, text, rel}]`: canonical, each once, in the order of the document"),
    Column(
        "images",
        "json",
        "`[{url, alt, width, height}]`: see [below](#images-and-media); null without `--images`",
    ),
    Column(
        "media",
        "json",
        "`[{url, kind}]`: videos and sounds, their captions and posters; null without `--images`",
    ),
    Column("metadata", "json", "`{json_ld, open_graph, twitter, microdata, errors}`: see [below](#metadata)"),
    Column("lang", "text", "the `lang` of the document's element, unchanged"),
    Column("canonical", "text", "the page's `rel=canonical`, absolute; null where it has none"),
    Column(
        "charset",
        "text",
        "the encoding by which the browser read the document, such as `UTF-8`; empty for a download",
    ),
    Column(
        "content_hash",
        "text",
        "a hash of the text, to find equal ones, [computed like this](#content-hash); null without text",
    ),
    Column("markdown", "text", "the page [as Markdown](#markdown-and-main-text); null without `--markdown`"),
    Column(
        "main_text",
        "text",
        "its main content as plain text; null without `--main-text` and where none is found",
    ),
    Column(
        "responses",
        "json",
        "`[{url, method, status, content_type, body, truncated}]`: what scripts of the page fetched, "
        "see [below](#responses); null without `--capture`",
    ),
    Column("rendered_by", "text", "the renderer of the page: `browser`, `light` or `fetch`"),
    Column(
        "revision",
        "integer",
        "how often this id was rendered again by repair or a later crawl: 0 the first time",
    ),
    Column(
        "blocked_by",
        "text",
        "the vendor of the block (`cloudflare`, `datadome`, …); null on a page that is not a block",
    ),
    Column(
        "evidence", "json", "`{finding, signs}`: what was shown instead of the page; null on a normal page"
    ),
    Column("truncated", "json", "the names of what a cap or the deadline cut"),
    Column(
        "files",
        "json",
        "the paths of files by kind (`screenshot`, `pdf`, `download`, `har`, [`html`](#bodies)), "
        "in the output folder",
    ),
    Column(
        "actions",
        "json",
        "`{clicked, scrolled}`: the actions on the page; empty without any. `consent` on the page on which "
        "`--consent` found a banner: `{choice, by, answered}`",
    ),
    Column("noindex", "boolean", "whether the page asks not to be indexed, by `X-Robots-Tag` or meta robots"),
    Column("duplicate_of", "text", "the URL that showed the same content before; null where none did"),
    Column("page_errors", "json", "`[{kind, url, message}]`: what failed on the page without failing it"),
    Column(
        "extract_errors",
        "json",
        "`[{kind, field, selector, message}]`: what `--extract` could not read on the page",
    ),
    Column(
        "redirects", "json", "`[{url, status}]`: the redirects that led to `final_url`, in order, without it"
    ),
    Column("depth", "integer", "how many links lead from a seed to this page"),
    Column("referrer", "text", "the page whose link led here; null for a seed"),
    Column("fetched_at", "timestamp", "when the page was read"),
    Column("attempt", "integer", "which attempt this was, from 1"),
    Column("settled", "boolean", "whether the page had settled when it was read"),
    Column(
        "settle_reason",
        "text",
        "why it counts as settled, or what it was still waiting for; `fetched` of a page without a browser",
    ),
    Column("timings_ms", "json", "`{lease, navigate, settle, extract, total}` in milliseconds"),
    Column("bytes_received", "integer", "bytes received over the network for the visit"),
    Column("node", "text", "the node that visited the page"),
    Column("context", "text", "the number of the context on that node"),
    Column("proxy", "text", "the label of the proxy, without credentials; null for a direct connection"),
    Column("meta", "json", "the `meta` of the seed"),
    Column("schema", "integer", f"the version of these columns: {RECORD_SCHEMA}"),
)
"""The columns of a record in the order in which they are written, the same in every sink."""


SNAPSHOTS = "snapshots"
"""The folder of the snapshots of pages whose URLs were given up."""

ITEM_KEYS = ("_id", "_page_id", "_url", "_kind", "_fetched_at")
"""What every item has beside the fields that the user named; `_id` is the page's id and the item's number."""


ItemType = Literal["text", "number", "integer", "boolean", "json"]
"""What a field of items holds: `json` is a list, an object, or anything."""
ItemColumns = Mapping[str, ItemType]
"""The fields that items can have, by their names."""


@dataclass(frozen=True, slots=True)
class Record:
    """One page in a sink: `id` is a function of the crawl and `url`, `fields` are ready for JSON.

    `fields` has `id` and `url` too and keeps the order in which they are written. `files` are the files that the
    record names: their contents by path in the output folder; `body` is the path and the text of its HTML, where
    that is a file too. `exchanges` are the requests and answers, if a sink keeps them. `items` are the extracted
    items, flat, with the keys of `ITEM_KEYS` first; None if no items are extracted, so that a sink keeps those
    that it has.
    """

    id: str
    url: str
    fields: Mapping[str, Any]
    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    exchanges: Sequence[PageExchange] = field(default=(), repr=False)
    items: Sequence[Mapping[str, Any]] | None = field(default=None, repr=False)
    body: tuple[str, str] | None = field(default=None, repr=False)

    @property
    def has_files(self) -> bool:
        """Whether it names files, which must be durable before it is."""
        return bool(self.files) or self.body is not None


@dataclass(frozen=True, slots=True)
class Skip:
    """A URL that was not visited, or not kept, with the reason; `detail` is the reason of the user's code."""

    url: str
    reason: SkipReason
    referrer: str | None
    depth: int
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Batch:
    """The records and skips of one visit, committed together before the visit is acknowledged.

    `snapshots` are the last states of pages whose URLs are given up, by id.
    """

    records: Sequence[Record] = ()
    skips: Sequence[Skip] = ()
    snapshots: Mapping[str, PageSnapshot] = field(default_factory=dict, repr=False)

    def __bool__(self) -> bool:
        return bool(self.records or self.skips or self.snapshots)


def snapshot_files(snapshots: Mapping[str, PageSnapshot]) -> dict[str, bytes]:
    """Return the files of snapshots: their contents by path in the output folder."""
    files: dict[str, bytes] = {}
    for id_, shown in snapshots.items():
        if shown.screenshot is not None:
            files[f"{SNAPSHOTS}/{id_}.jpg"] = shown.screenshot
        if shown.html is not None:
            files[f"{SNAPSHOTS}/{id_}.html"] = shown.html.encode("utf-8", "replace")
    return files


@dataclass(frozen=True, slots=True)
class VisitTimes:
    """When a visit began and when its page was kept, in seconds of the monotonic clock.

    `handler_s` is how long the user's code took on the page; None without such code.
    """

    clock: Clock
    lease_ms: int
    begun: float
    kept: float
    handler_s: float | None = None

    def timings_ms(self) -> Mapping[str, int]:
        """Return `lease`, `handler` if there is one, `extract` and `total` in milliseconds, as they are now."""
        now = self.clock.monotonic()
        handler = {} if self.handler_s is None else {"handler": round(self.handler_s * 1000)}
        return {
            "lease": self.lease_ms,
            **handler,
            "extract": round((now - self.kept) * 1000),
            "total": round((now - self.begun) * 1000),
        }
