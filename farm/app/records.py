"""The output: the record of a visit, its texts and items, and the limit on the size of the output folder."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from farm.app.preflight import RunPlan
from farm.app.rendering import renderer_rules
from farm.extract.engine import Extraction, PageContent
from farm.extract.parser_pool import (
    MOST,
    NO_TEXTS,
    WAIT_S,
    ItemReader,
    PageReader,
    ParserParams,
    ParserPool,
    TextMaker,
    check_packages,
)
from farm.model.clock import Clock
from farm.model.event import Emit
from farm.model.page import ContentHash, RenderedPage, Renderer
from farm.model.record import Record
from farm.model.task import Lease
from farm.resources.files import OutputSize
from farm.resources.host_load import usable_cores
from farm.runtime.audited_slot import Fields
from farm.runtime.control import Control, DiskQuota
from farm.runtime.reaper import Reaper
from farm.runtime.visit import Recorder, VisitNotes
from farm.scope.directives import directives_of
from farm.scope.duplicate_templates import DuplicateTemplates
from farm.scope.links import LinkSorter
from farm.sinks.bodies import body_path
from farm.sinks.output import RecordSink
from farm.sinks.record import FOLDERS, RecordOptions, VisitFacts, build_record

_REFUSED = 400
_INLINE_CHARS = 1_000_000
"""Characters of HTML that are hashed on the event loop, in about a millisecond; longer HTML needs a thread."""


@dataclass(frozen=True, slots=True)
class PageParsers:
    """Readers in the processes of `pool`: of pages without a browser, of texts, of items."""

    pool: ParserPool
    pages: PageReader
    texts: TextMaker | None
    items: ItemReader | None

    @property
    def wait_s(self) -> float:
        """How long they may take for a page in total, in seconds."""
        return WAIT_S * ((self.texts is not None) + (self.items is not None))


def page_parsers(plan: RunPlan, memory_bytes: int, reaper: Reaper) -> PageParsers | None:
    """Return the readers of texts and items, if these are wanted; a process may use `memory_bytes`.

    Raises UsageError if a package is missing: a node may have taken the options from the crawl.
    """
    markdown, main_text = plan.settings.markdown, plan.settings.main_text
    fetches = Renderer.FETCH in renderer_rules(plan.settings, plan.asked).named
    if not (markdown or main_text or fetches or plan.declaration is not None):
        return None
    check_packages(markdown=markdown, main_text=main_text)
    params = ParserParams(min(MOST, usable_cores()), memory_bytes)
    pool = ParserPool(params, reaper.kill, reaper.free)
    return PageParsers(
        pool,
        PageReader(pool),
        TextMaker(pool, markdown=markdown, main_text=main_text) if markdown or main_text else None,
        ItemReader(pool, plan.declaration) if plan.declaration is not None else None,
    )


def recorder(
    plan: RunPlan, node: str, links: LinkSorter, templates: DuplicateTemplates, parsers: PageParsers | None
) -> Recorder:
    """Return the factory of a visit's record, from the page, its links and its detection."""
    options = RecordOptions(html=plan.settings.html, text=plan.settings.text)
    has_bodies = plan.settings.bodies and plan.settings.html
    texts, items = (parsers.texts, parsers.items) if parsers is not None else (None, None)

    async def record(lease: Lease, page: RenderedPage, notes: VisitNotes) -> Record:
        content = ContentHash.of(page.text)
        original = templates.note_page(lease.task.url, page, content, is_requested=notes.detection is None)
        made = NO_TEXTS
        if texts is not None:
            made = await texts.of(page)
            page = replace(
                page, truncated=(*page.truncated, *made.truncated), errors=(*page.errors, *made.errors)
            )
        images = None if page.images is None else await links.canonical_images(page.images)
        media = None if page.media is None else await links.canonical_media(page.media)
        shown = await links.canonical_links(page.links, page.hash_router)
        body = await _body_path(page.html) if has_bodies and page.html else None
        found = await _extracted(items, lease.task.url, page, notes) if items is not None else None
        facts = VisitFacts(
            node,
            notes.fetched_at,
            notes.proxy,
            notes.detection,
            original,
            directives_of(page.headers, page.robots, notes.fetched_at).noindex,
            # Read last, so that the time of making the texts and items is included.
            notes.times.timings_ms(),
            content_hash=content.hex,
            images=images,
            media=media,
            markdown=made.markdown,
            main_text=made.main_text,
            revision=lease.task.revision,
            body_path=body,
            items=_all_items(found, notes),
            extract_errors=found.errors if found is not None else (),
        )
        named = replace(lease, slot=lease.slot_name)
        return build_record(plan.crawl, named, page, shown, facts, options)

    return record


def compared_fields(parsers: PageParsers | None) -> Fields | None:
    """Return the extractor for pages that are compared; None if nothing is declared."""
    if parsers is None or parsers.items is None:
        return None
    items = parsers.items

    async def fields(page: RenderedPage) -> object:
        if page.status >= _REFUSED:
            return ()
        json_ld = page.metadata["json_ld"] if page.metadata else ()
        content = PageContent(
            page.final_url, page.final_url, page.html, page.lang, json_ld, page.responses or ()
        )
        found = await items.of(content)
        return found.items

    return fields


def _all_items(found: Extraction | None, notes: VisitNotes) -> Sequence[tuple[str, Mapping[str, Any]]] | None:
    """Return the extracted items and those that the user's code emitted; None if there can be neither."""
    if found is None or notes.items is None:
        return notes.items if found is None else found.items
    return (*found.items, *notes.items)


async def _body_path(html: str) -> str:
    return body_path(html) if len(html) <= _INLINE_CHARS else await asyncio.to_thread(body_path, html)


async def _extracted(items: ItemReader, url: str, page: RenderedPage, notes: VisitNotes) -> Extraction:
    """Return what is extracted from a page; nothing if the site shows another page instead."""
    if page.status >= _REFUSED or notes.detection is not None:
        return Extraction()
    json_ld = page.metadata["json_ld"] if page.metadata else ()
    return await items.of(
        PageContent(url, page.final_url, page.html, page.lang, json_ld, page.responses or ())
    )


def disk_quota(
    plan: RunPlan, sink: RecordSink, control: Control, emit: Emit, clock: Clock
) -> list[Callable[[], Coroutine[Any, Any, None]]]:
    """Return the companion that watches the quota while the node runs, if there is one."""
    limit = plan.settings.max_disk
    if limit is None or limit.size_bytes is None:
        return []
    used_bytes = OutputSize(plan.output, frozenset(FOLDERS.values()), lambda: sink.file_bytes)
    return [DiskQuota(limit.size_bytes, used_bytes, control, emit, clock).run]
