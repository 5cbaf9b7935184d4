"""Items by a declaration: what the shop sells, by CSS and by JSON-LD."""

import json
import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest

from farm.cli.main import main
from farm.extract.parser_pool import ParserParams
from fixtures import catalogue
from fixtures.shop import Shop
from tests.e2e.farm_process import crawl, farm, read_lines
from tests.e2e.redis_server import RedisServer
from tests.export.stored import fill, page

CSS = """
[item.product]
url = "/p/*"
[item.product.fields]
name = { css = ".product h1", required = true }
price = { css = ".product .price", type = "price" }
stars = { css = ".stars", type = "number" }
image = { css = "img.portrait", type = "url" }
description = ".product .lead"
facts = { css = "dl > div", list = true, fields = { key = "dt", value = { xpath = ".//dd" } } }
related = { xpath = "//section//span[@class='card-name']", list = true }
"""
JSON_LD = """
[item.product]
url = "/p/*"
[item.product.fields]
name = { json_ld = "Product.name", required = true }
price = { json_ld = "Product.offers", type = "price" }
image = { json_ld = "Product.image", type = "url" }
description = { json_ld = "Product.description" }
"""
CAPTURED = """
[item.product]
url = "/p/*"
[item.product.fields]
name = { capture = "/api/products/*", path = "name", required = true }
price = { capture = "/api/products/*", path = "price", type = "price" }
image = { capture = "/api/products/*", path = "image", type = "url" }
description = { capture = "/api/products/*", path = "description", type = "text" }
"""
ABOUT = {"_id", "_page_id", "_url", "_kind", "_fetched_at"}


def expected(shop: Shop) -> dict[str, dict[str, Any]]:
    """Return every product by its URL, as JSON-LD has it."""
    return {
        urljoin(shop.url, product.path): {
            "name": product.name,
            "price": {"amount": f"{product.price_cents / 100:.2f}", "currency": "EUR"},
            "image": urljoin(shop.url, f"/images/{product.slug}.svg"),
            "description": product.description,
        }
        for product in catalogue.products()
    }


def by_css(shop: Shop) -> dict[str, dict[str, Any]]:
    """Return every product by its URL, as its page shows it."""
    return {
        urljoin(shop.url, product.path): {
            **expected(shop)[urljoin(shop.url, product.path)],
            "stars": round(product.stars, 1),
            "facts": [
                {"key": "Material", "value": product.material},
                {"key": "Series", "value": product.series},
                {"key": "Size", "value": product.size},
                {"key": "Finish", "value": ""},
            ],
            "related": [other.name for other in catalogue.related(product)],
        }
        for product in catalogue.products()
    }


def fields(item: dict[str, Any]) -> dict[str, Any]:
    """Return what the user named."""
    return {name: value for name, value in item.items() if name not in ABOUT}


def test_every_product_of_the_shop(shop: Shop, out: Path) -> None:
    """By CSS and XPath in both sinks, types included, also without HTML in the records."""
    (out.parent / "shop.toml").write_text(CSS)
    sinks = ("--sink", "jsonl", "--sink", "sqlite:///shop.db")
    finished = crawl(out, shop.url, "--extract", "shop.toml", "--no-html", *sinks, contexts="4").finish()
    assert finished.code == 0, finished.output
    wanted = by_css(shop)
    items = read_lines(out / "items.jsonl")
    assert len(items) == len(wanted)
    for place in (out / "items.jsonl", f"the table items of sqlite:///{out.parent}/shop.db"):
        assert f"  items    {len(items)} of this run in {place}\n" in finished.output
    assert {item["_url"]: fields(item) for item in items} == wanted
    pages = {record["id"]: record for record in finished.records}
    for item in items:
        page = pages[item["_page_id"]]
        assert (item["_id"], item["_kind"]) == (f"{page['id']}-1", "product")
        assert (item["_url"], item["_fetched_at"]) == (page["url"], page["fetched_at"])
    assert all(record["html"] is None and record["extract_errors"] == [] for record in finished.records)
    with closing(sqlite3.connect(out.parent / "shop.db")) as connection:
        rows = connection.execute(
            "SELECT _url, name, price ->> '$.amount', stars, typeof(stars) FROM items"
        ).fetchall()
    assert sorted(rows) == sorted(
        (url, item["name"], item["price"]["amount"], item["stars"], "real") for url, item in wanted.items()
    )


@pytest.mark.parametrize("declared", [JSON_LD, CAPTURED], ids=["json_ld", "captured"])
def test_every_product_by_json(shop: Shop, out: Path, declared: str) -> None:
    """What the page says of itself to programs, and what its scripts fetch; over stored pages the same again."""
    (out.parent / "shop.toml").write_text(declared)
    finished = crawl(out, shop.url, "--extract", "shop.toml", contexts="4").finish()
    assert finished.code == 0, finished.output
    items = read_lines(out / "items.jsonl")
    assert {item["_url"]: fields(item) for item in items} == expected(shop)
    assert all((record["responses"] is None) == (declared == JSON_LD) for record in finished.records)
    folder, visits = out.parent, len(shop.requests.pages())
    declared = str(folder / "shop.toml")
    again = farm("extract", declared, "--from", str(out), "--to", str(folder / "again.jsonl"), folder=folder)
    assert again.code == 0, again.output
    assert f"{len(items)} items of {len(finished.records)} pages, 0 errors" in again.output
    by_id = {item["_id"]: item for item in items}
    assert {item["_id"]: item for item in read_lines(folder / "again.jsonl")} == by_id
    assert len(shop.requests.pages()) == visits
    twice = farm("extract", declared, "--from", str(out), "--to", str(folder / "again.jsonl"), folder=folder)
    assert (twice.code, "exists already" in twice.output) == (2, True)


def test_html_beside_the_records_is_read_too(shop: Shop, out: Path) -> None:
    """`--bodies`: every page's HTML is a file that its record names, and later runs go on so.

    By CSS and XPath, field by field.
    """
    (out.parent / "shop.toml").write_text(CSS)
    begun = crawl(out, shop.url, "--bodies", contexts="2", limit="3").finish()
    assert begun.code == 5, begun.output
    finished = crawl(out, contexts="4").finish()
    assert finished.code == 0, finished.output
    assert {record["html"] for record in finished.records} == {None}
    named = {record["files"]["html"] for record in finished.records}
    assert {str(path.relative_to(out)) for path in (out / "bodies").rglob("*.zst")} == named
    folder, declared = out.parent, str(out.parent / "shop.toml")
    again = farm("extract", declared, "--from", str(out), "--to", str(folder / "again.jsonl"), folder=folder)
    assert again.code == 0, again.output
    assert {item["_url"]: fields(item) for item in read_lines(folder / "again.jsonl")} == by_css(shop)
    (out / "bodies").rename(folder / "elsewhere")
    lost = farm("extract", declared, "--from", str(out), "--to", str(folder / "lost.jsonl"), folder=folder)
    assert (lost.code, "keep the folder bodies beside the records" in lost.output) == (2, True)


def test_a_node_that_joins_has_the_declaration_of_the_crawl(
    shop: Shop, out: Path, redis: RedisServer
) -> None:
    """Without the file; another one is refused with what differs, and so is a sink that has no place for items."""
    folder = out.parent
    (folder / "shop.toml").write_text(CAPTURED)
    (folder / "other.toml").write_text(CAPTURED.replace('path = "name"', 'path = "nom"'))
    shared = ("--redis", redis.url, "--crawl", "shop")
    first = crawl(
        folder / "a", shop.url, "--extract", "shop.toml", *shared, limit="10", contexts="1"
    ).finish()
    assert first.code == 5, first.output
    other = crawl(folder / "b", "--extract", "other.toml", *shared, contexts="1").finish()
    assert other.code == 2
    differs = 'declaration.item.product.fields.name.path = "name" (here "nom")'
    assert differs in other.output
    homeless = crawl(folder / "b", *shared, "--sink", "warc:warcs", contexts="1").finish()
    assert (homeless.code, "cannot hold them" in homeless.output) == (2, True)
    second = crawl(folder / "b", *shared, contexts="2").finish()
    assert second.code == 0, second.output
    items = [*read_lines(folder / "a/items.jsonl"), *read_lines(folder / "b/items.jsonl")]
    assert {item["_url"]: fields(item) for item in items} == expected(shop)
    assert {tuple(fields(item)) for item in items} == {("name", "price", "image", "description")}


def test_stored_pages_are_read_within_a_deadline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """By processes of their own: a page that takes too long has no items, and the others have theirs."""
    (tmp_path / "shop.toml").write_text('[item.a]\neach = "p"\n[item.a.fields]\nx = { css = "b" }\n')
    records = [page(n, html=f"<p><b>{n}</b></p>" * n, evidence=None) for n in range(1, 12)]
    out = fill(tmp_path / "out", "jsonl", *records)
    command = ["extract", str(tmp_path / "shop.toml"), "--from", str(out)]
    assert main(command) == 0
    read = capfd.readouterr()
    # In the order of the pages, whichever was read first.
    assert [json.loads(line)["x"] for line in read.out.splitlines()] == [
        str(n) for n in range(1, 12) for _ in range(n)
    ]
    assert "66 items of 11 pages, 0 errors" in read.err
    monkeypatch.setattr("farm.cli.extract.ParserParams", partial(ParserParams, job_s=0.0))
    assert main(command) == 0
    read = capfd.readouterr()
    assert read.out == ""
    assert "0 items of 11 pages, 11 errors" in read.err
    assert "the page was not read: parsing took more than 0 s" in read.err


def test_a_declaration_is_tried_on_one_page(shop: Shop, out: Path) -> None:
    """Its items are shown, and what is like a selector that matches nothing."""
    declared = out.parent / "shop.toml"
    declared.write_text('[item.a.fields]\nname = "h1"\nprice = { css = "p.prise", type = "price" }')
    product = catalogue.products()[0]
    url = urljoin(shop.url, product.path)
    network = ("--no-sandbox", "--allow-network", "127.0.0.0/8")
    tried = farm("extract", str(declared), url, *network, folder=out.parent)
    assert tried.code == 0, tried.output
    assert product.name in tried.output
    assert "a: `p.prise` matches nothing; `p.price` matches 1" in tried.output
    told = farm("extract", str(declared), url, "--json", *network, folder=out.parent)
    [item] = [json.loads(line) for line in told.output.splitlines() if line.startswith("{")]
    assert (told.code, item["_url"], item["name"], item["price"]) == (0, url, product.name, None)
    assert "farm: a: `p.prise` matches nothing; `p.price` matches 1" in told.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "write `farm extract FILE URL`"),
        (("shop.toml",), "write `farm extract FILE URL`"),
        (
            ("https://a.example/p/1", "shop.toml"),
            "The declaration comes first: write `farm extract FILE URL`.",
        ),
        (
            ("shop.toml", "https://a.example/about"),
            "shop.toml has no rule for https://a.example/about; correct its url",
        ),
        (("shop.toml", "a.example/p/1"), "a.example/p/1"),
        (
            ("none.toml", "https://a.example/p/1"),
            "none.toml cannot be read (No such file or directory); give a TOML file.",
        ),
    ],
)
def test_what_cannot_be_meant_is_one_sentence(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
) -> None:
    """With the remedy, before anything is fetched."""
    (tmp_path / "shop.toml").write_text(CSS)
    given = [str(tmp_path / one) if one.endswith(".toml") else one for one in arguments]
    assert main(["extract", *given]) == 2
    told = capfd.readouterr()
    assert told.out == ""
    assert told.err.count("\n") == 1
    assert said in told.err


def test_what_is_wrong_in_a_declaration_ends_the_command_at_once(shop: Shop, out: Path) -> None:
    """Exit 2 and a sentence with the place; nothing is fetched, and nothing made."""
    (out.parent / "shop.toml").write_text('[item.a.fields]\nx = { css = "a", typ = "price" }')
    declared = str(out.parent / "shop.toml")
    refused = farm("run", shop.url, "--output", str(out), "--extract", declared, folder=out.parent)
    assert refused.code == 2
    assert "shop.toml, line 2, column 18: item.a.fields.x.typ: unknown key" in refused.output
    assert not shop.requests.pages()
    assert not out.exists()


def test_what_fails_on_a_page_is_in_its_record(shop: Shop, out: Path) -> None:
    """The page counts all the same."""
    (out.parent / "shop.toml").write_text('[item.a.fields]\nx = { css = ".prise", required = true }')
    finished = crawl(out, shop.url, "--extract", "shop.toml", limit="1", contexts="1").finish()
    (record,) = finished.records
    message = "`.prise` matches nothing; the item is left out"
    assert record["extract_errors"] == [
        {"kind": "a", "field": "x", "selector": "`.prise`", "message": message}
    ]
    assert not (out / "items.jsonl").exists()
    assert json.loads((out / "summary.json").read_text())["ledger"]["dead"] == 0
