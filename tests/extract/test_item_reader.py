"""Items read in parser processes: as they are read anywhere, and whatever a page does to its parser."""

import os
import signal
import tomllib
from collections.abc import AsyncIterator
from typing import Any

import psutil
import pytest

from farm.extract.declaration import Declaration
from farm.extract.engine import Extraction, Extractor, PageContent
from farm.extract.parser_pool import ItemReader, ParserParams, ParserPool
from farm.model.page import FetchedResponse

MIB = 2**20
URL = "https://shop.example/p/1"
DECLARED = Declaration.model_validate(
    tomllib.loads("""
locale = "en-GB"
[item.product]
url = "/p/*"
each = ".card"
[item.product.fields]
name = { css = "h2", required = true, pattern = "^O" }
price = { css = ".price", type = "price" }
n = { css = "b", type = "integer", min = 1 }
share = { css = "i", type = "number" }
link = { css = "a", type = "url" }
ok = { css = "a", attr = "data-ok", type = "boolean" }
sku = { json_ld = "Product.sku" }
rows = { xpath = ".//li", list = true, fields = { text = { xpath = "." } } }
nothing = ".none"
""")
)
CARD = """<div class="card"><h2>Oak</h2><p class="price">£1,299.00</p><b>7</b><i>0.5</i>
<a href="/x" data-ok="yes">x</a>
<ul><li>a</li><li>\ud800</li></ul></div><div class="card"><h2>Pine</h2></div>"""
PAGE = PageContent(URL, URL, CARD, "en", [{"@type": "Product", "sku": "A\udfff1", "gtin": 1 << 70}])


@pytest.fixture
async def pool() -> AsyncIterator[ParserPool]:
    """Open a pool of one process."""
    pool = ParserPool(ParserParams(1, 512 * MIB, job_s=20.0, wait_s=40.0), lambda _: None, lambda _: None)
    yield pool
    await pool.close()


def types_of(value: Any) -> Any:
    """Return the types in a value."""
    if isinstance(value, dict):
        return {name: types_of(one) for name, one in value.items()}
    return [types_of(one) for one in value] if isinstance(value, list) else type(value)


async def test_items_are_those_that_are_read_in_this_process(pool: ParserPool) -> None:
    """Types, order and errors included; what no UTF-8 can hold becomes what a record has in its place."""
    found = await ItemReader(pool, DECLARED).of(PAGE)
    here = Extractor(DECLARED).read(PAGE)
    (kind, item), errors = found.items[0], found.errors
    assert (kind, item["rows"], item["sku"]) == ("product", [{"text": "a"}, {"text": "\ufffd"}], "A\ufffd1")
    assert len(found.items) == 1
    assert [*item.items()] == [*{**here.items[0][1], "sku": "A\ufffd1"}.items()]
    assert types_of(dict(item)) == types_of(dict(here.items[0][1]))
    assert [*errors] == [*here.errors]
    assert "'Pine'" in errors[0]["message"]


async def test_answers_of_scripts_are_sent_along(pool: ParserPool) -> None:
    """Those that are requested, with what is left out of them; the others stay here."""
    rule = '[item.a.fields]\nx = { capture = "/api/*", path = "x", list = true }'
    declared = Declaration.model_validate(tomllib.loads(rule))
    answers = [
        FetchedResponse("https://shop.example/api/1", "GET", 200, "application/json", '{"x": "ü\ud800"}'),
        FetchedResponse("https://shop.example/api/2", "GET", 200, "application/json", None, is_cut=True),
        FetchedResponse("https://shop.example/large", "GET", 200, "application/json", "x" * 70 * MIB),
        FetchedResponse("https://shop.example/api/3", "GET", 200, "application/json", '{"x": 2}'),
    ]
    found = await ItemReader(pool, declared).of(PageContent(URL, URL, "", responses=answers))
    assert found.items == (("a", {"x": ["ü\ufffd", 2]}),)
    assert [error["message"][:52] for error in found.errors] == [
        "the answer of https://shop.example/api/2 was not kep"
    ]


async def test_a_page_for_no_rule_costs_no_process(pool: ParserPool) -> None:
    """It is known by its URL."""
    assert (
        await ItemReader(pool, DECLARED).of(PageContent("https://shop.example/", URL, CARD)) == Extraction()
    )
    assert not pool.pids


async def test_a_page_that_hangs_its_parser_meets_the_deadline(pool: ParserPool) -> None:
    """It has no items and says why; the next page has a new process."""
    reader = ItemReader(pool, DECLARED)
    await reader.of(PAGE)
    (pid,) = pool.pids
    os.kill(pid, signal.SIGSTOP)
    patient, pool.params = pool.params, ParserParams(1, 512 * MIB, job_s=0.2)
    hung = await reader.of(PAGE)
    message = "the page was not read: parsing took more than 0.2 s"
    assert hung == Extraction((), ({"kind": "", "field": "", "selector": "", "message": message},))
    assert not psutil.pid_exists(pid)
    pool.params = patient
    assert len((await reader.of(PAGE)).items) == 1


async def test_a_page_that_kills_its_parser_is_not_read(pool: ParserPool) -> None:
    """Here a process that has no memory to start with."""
    pool.params = ParserParams(1, MIB)
    starved = ParserPool(pool.params, lambda _: None, lambda _: None)
    (error,) = (await ItemReader(starved, DECLARED).of(PAGE)).errors
    assert error["message"] == "the page was not read: its parser died 2 times (one may hold 1 MiB)"
    assert not starved.pids
