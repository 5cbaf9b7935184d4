"""The record of a visit: its timings count what reads the page, and a page that is not read counts."""

import tomllib
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest

from farm.app.preflight import RunPlan
from farm.app.records import PageParsers, compared_fields, recorder
from farm.extract.declaration import Declaration
from farm.extract.parser_pool import ItemReader, PageReader, ParserParams, ParserPool, TextMaker
from farm.model.clock import Clock
from farm.model.page import FetchedResponse, RenderedPage
from farm.model.record import VisitTimes
from farm.runtime.visit import VisitNotes
from farm.scope.duplicate_templates import DuplicateTemplates
from farm.scope.links import LinkSorter
from farm.scope.rules import ScopeKind, ScopeRules
from farm.settings.commands import RunSettings
from tests.runtime.visit_fakes import lease

MIB = 2**20
URL = "https://shop.example/p/1"
DECLARED = Declaration.model_validate(tomllib.loads('[item.a.fields]\nname = "h1"'))
PLAN = cast("RunPlan", SimpleNamespace(settings=RunSettings(), crawl="c"))


@pytest.mark.parametrize(("memory_bytes", "errors"), [(512 * MIB, 0), (MIB, 1)])
async def test_texts_and_items_count_in_the_timings(
    memory_bytes: int, errors: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are read off when both were made, or have failed."""
    own: list[int] = []
    pool = ParserPool(ParserParams(1, memory_bytes), own.append, lambda _: None)
    texts = TextMaker(pool, markdown=True, main_text=False)
    parsers = PageParsers(pool, PageReader(pool), texts, ItemReader(pool, DECLARED))
    links = LinkSorter(ScopeRules(ScopeKind.HOST, (URL,)), b"0" * 16)
    record = recorder(PLAN, "node", links, DuplicateTemplates(), parsers)
    jobs = [0]
    run = pool.run

    async def counted(*arguments: Any) -> Any:
        try:
            return await run(*arguments)
        finally:
            jobs[0] += 1

    monkeypatch.setattr(pool, "run", counted)
    clock = cast("Clock", SimpleNamespace(monotonic=lambda: jobs[0] / 1000))
    page = RenderedPage(URL, 200, {}, "text/html", html="<h1>Oak</h1>")
    notes = VisitNotes(datetime.now(UTC), VisitTimes(clock, 0, 0.0, 0.0), None, None)
    made = await record(lease(), page, notes)
    await pool.close()
    assert made.fields["timings_ms"]["extract"] == 2
    assert len(made.fields["extract_errors"]) == len(made.fields["page_errors"]) == errors
    assert [item["name"] for item in made.items or ()] == ["Oak"] * (1 - errors)
    assert made.fields["status"] == 200


async def test_what_scripts_have_fetched_is_compared_with_what_is_extracted() -> None:
    """A renderer that keeps no answers brings a page without these fields, whatever its text says."""
    declared = 'each = { capture = "/api/*", path = "items[*]" }\n[item.a.fields]\nname = { path = "n" }'
    declaration = Declaration.model_validate(tomllib.loads(f"[item.a]\n{declared}"))
    pool = ParserPool(ParserParams(1, 512 * MIB), lambda _: None, lambda _: None)
    fields = compared_fields(PageParsers(pool, PageReader(pool), None, ItemReader(pool, declaration)))
    assert fields is not None
    page = RenderedPage(URL, 200, {}, "text/html", html="<h1>Oak</h1>")
    answer = FetchedResponse(
        "https://shop.example/api/1", "GET", 200, "application/json", '{"items": [{"n": 1}]}'
    )
    shown = [await fields(replace(page, responses=responses)) for responses in ((answer,), None)]
    await pool.close()
    assert shown[0] != shown[1]
    assert len(shown[0]) == 1
