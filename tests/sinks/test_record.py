"""What one visit becomes in a sink."""

from dataclasses import replace
from datetime import UTC, datetime

import orjson
import pytest

from farm.model.page import Detection, FetchedResponse, Finding, PageError, RenderedPage
from farm.model.record import COLUMNS, ColumnType
from farm.model.task import Lease, UrlTask
from farm.model.url import record_id
from farm.sinks.record import RecordOptions, VisitFacts, build_record, json_line, misses_script

CONTRACT = (
    "id url final_url status headers content_type title text html links images media metadata lang "
    "canonical charset content_hash markdown main_text responses rendered_by revision blocked_by evidence "
    "truncated files actions noindex duplicate_of page_errors extract_errors redirects depth referrer "
    "fetched_at attempt settled settle_reason timings_ms bytes_received node context proxy meta schema"
)
URL = "https://shop.example/a"
LEASE = Lease(
    UrlTask(URL, "shop.example", "0" * 16, depth=3, referrer="https://shop.example/", meta={"shelf": 7}),
    slot="n1/c4",
    token=9,
    attempt=2,
)
PAGE = RenderedPage(
    final_url="https://user:secret@shop.example/b#x@y",
    status=404,
    headers={"content-type": "text/html", "Set-Cookie": "session=secret"},
    content_type="text/html",
    title="T",
    text="words",
    html="<p>words",
    redirects=("https://user:secret@shop.example/gone",),
    redirect_statuses=(301,),
    settled=False,
    settle_reason="cap",
    bytes_received=5,
    timings_ms={"settle": 3, "navigate": 2},
)
VISIT = VisitFacts(
    node="n1",
    fetched_at=datetime(2026, 3, 1, 12, 0, 0, 1999, UTC),
    proxy="p1",
    timings_ms={"total": 9, "extract": 4, "lease": 1, "commit": 5},
)


def test_the_keys_are_those_of_the_contract_in_its_order() -> None:
    """Others script against them."""
    record = build_record("c", LEASE, PAGE, [{"url": URL, "text": "", "rel": ""}], VISIT)
    assert " ".join(record.fields) == CONTRACT
    assert tuple(record.fields) == tuple(column.name for column in COLUMNS)
    assert list(record.fields["timings_ms"].items()) == [
        ("lease", 1),
        ("navigate", 2),
        ("settle", 3),
        ("extract", 4),
        ("total", 9),
        ("commit", 5),
    ]


VALUES: dict[ColumnType, tuple[type, ...]] = {
    "text": (str,),
    "integer": (int,),
    "boolean": (bool,),
    "timestamp": (str,),
    "json": (dict, list),
}


def test_every_value_is_of_its_columns_type() -> None:
    """Databases make their tables by the declaration; null stands only where the meaning says so."""
    full = replace(PAGE, canonical=URL, lang="en", charset="UTF-8", responses=())
    block = Detection(Finding.CAPTCHA, "datadome", ("markup: var dd=",))
    visit = replace(VISIT, detection=block, duplicate_of=URL, content_hash="0" * 64, images=[], media=[])
    visit = replace(visit, markdown="# A", main_text="a")
    bare = replace(LEASE, task=replace(LEASE.task, referrer=None))
    rich = build_record("c", LEASE, full, [], visit)
    poor = build_record(
        "c", bare, PAGE, [], replace(VISIT, proxy=None), RecordOptions(html=False, text=False)
    )
    rows = [orjson.loads(json_line(record.fields)) for record in (rich, poor)]
    for column in COLUMNS:
        assert type(rows[0][column.name]) in VALUES[column.type], column.name
        assert (rows[1][column.name] is None) == ("null" in column.meaning), column.name


def test_url_and_id_are_those_of_the_lease() -> None:
    """Wherever the page ended."""
    record = build_record("c", LEASE, PAGE, [], VISIT)
    assert record.url == record.fields["url"] == URL
    assert record.id == record.fields["id"] == record_id("c", URL)
    assert (record.fields["depth"], record.fields["referrer"]) == (3, "https://shop.example/")
    assert (record.fields["attempt"], record.fields["context"], record.fields["node"]) == (2, "n1/c4", "n1")
    assert record.fields["meta"] == {"shelf": 7}
    assert record.fields["fetched_at"] == "2026-03-01T12:00:00.001Z"


def test_what_failed_on_the_page_is_an_entry_each() -> None:
    """A request with what it was for; without credentials; and how many more there were."""
    secret = "https://user:secret@cdn.example/a.js"
    errors = (
        PageError("request", secret, "dns: cdn.example: Name or service not known", "script"),
        PageError("console", "https://shop.example/b.js", f"no answer of {secret}, and mail@shop.example"),
    )
    record = build_record("c", LEASE, replace(PAGE, errors=errors, errors_more=7), [], VISIT)
    script, line, more = record.fields["page_errors"]
    assert script == {
        "kind": "request",
        "url": "https://cdn.example/a.js",
        "message": "script: dns: cdn.example: Name or service not known",
    }
    assert line["message"] == "no answer of https://cdn.example/a.js, and mail@shop.example"
    assert more == {"kind": "more", "url": "", "message": "7 more"}
    assert [misses_script(one) for one in (script, line, more)] == [True, False, False]
    assert not build_record("c", LEASE, PAGE, [], VISIT).fields["page_errors"]


def test_no_credentials_are_kept() -> None:
    """Not of an address, and not of a session."""
    record = build_record("c", LEASE, PAGE, [], VISIT)
    assert record.fields["final_url"] == "https://shop.example/b#x@y"
    assert record.fields["headers"] == {"content-type": "text/html", "Set-Cookie": "***"}
    assert record.fields["redirects"] == [{"url": "https://shop.example/gone", "status": 301}]
    assert b"secret" not in orjson.dumps(record.fields)


SECRET = ["set-cookie", "Cookie", "authorization", "X-CSRF-Token", "x-session-id", "x-api-key", "X-ApiKey"]
PLAIN = ["etag", "content-security-policy", "access-control-allow-credentials", "x-cache", "www-authenticate"]


def test_headers_that_open_a_session_keep_their_name_alone() -> None:
    """By what they are called; and no address keeps its credentials."""
    headers = dict.fromkeys([*SECRET, *PLAIN], "value") | {
        "link": "<https://user:secret@shop.example/>; rel=up"
    }
    fields = build_record("c", LEASE, replace(PAGE, headers=headers), [], VISIT).fields
    assert fields["headers"] == {
        **dict.fromkeys(SECRET, "***"),
        **dict.fromkeys(PLAIN, "value"),
        "link": "<https://shop.example/>; rel=up",
    }
    assert fields["truncated"] == ()


@pytest.mark.parametrize(
    ("headers", "kept"),
    [
        ({"a": "1", "b": "x" * 8_001}, {"a": "1", "b": "x" * 8_000}),
        ({f"h{n}": "1" for n in range(201)}, {f"h{n}": "1" for n in range(200)}),
        ({f"h{n}": "x" * 7_998 for n in range(9)}, {f"h{n}": "x" * 7_998 for n in range(8)}),
    ],
)
def test_headers_are_kept_in_bounds(headers: dict[str, str], kept: dict[str, str]) -> None:
    """A server may send any number of any length; what is missing is said."""
    fields = build_record("c", LEASE, replace(PAGE, headers=headers, truncated=("text",)), [], VISIT).fields
    assert fields["headers"] == kept
    assert fields["truncated"] == ("text", "headers")


def test_the_addresses_on_the_way_are_kept_in_bounds() -> None:
    """A browser follows addresses of any length."""
    page = replace(PAGE, redirects=("https://shop.example/" + "a" * 1_000_000,), redirect_statuses=(302,))
    assert len(orjson.dumps(build_record("c", LEASE, page, [], VISIT).fields)) < 10_000


def test_what_scripts_fetched_is_kept_without_credentials() -> None:
    """Of their addresses; a body is the page's own."""
    answer = FetchedResponse("https://user:secret@shop.example/api?a=@", "POST", 200, "text/plain", "a", True)
    fields = build_record("c", LEASE, replace(PAGE, responses=(answer,)), [], VISIT).fields
    assert fields["responses"] == [
        {
            "url": "https://shop.example/api?a=@",
            "method": "POST",
            "status": 200,
            "content_type": "text/plain",
            "body": "a",
            "truncated": True,
        }
    ]
    assert build_record("c", LEASE, PAGE, [], VISIT).fields["responses"] is None


def test_html_and_text_can_be_left_out() -> None:
    """Their keys stay, so that every record looks alike."""
    record = build_record("c", LEASE, PAGE, [], VISIT, RecordOptions(html=False, text=False))
    assert " ".join(record.fields) == CONTRACT
    assert (record.fields["html"], record.fields["text"]) == (None, None)
    cut = build_record(
        "c", LEASE, replace(PAGE, truncated=("html", "text")), [], VISIT, RecordOptions(html=False)
    )
    assert cut.fields["truncated"] == ("text",)
    whole = build_record("c", LEASE, PAGE, [], VISIT)
    assert (whole.fields["html"], whole.fields["text"]) == ("<p>words", "words")


def test_what_stands_in_place_of_the_page_is_said_with_its_evidence() -> None:
    """Who blocked the visit, if anyone did; null on a normal page."""
    assert build_record("c", LEASE, PAGE, [], VISIT).fields["evidence"] is None
    block = Detection(Finding.CAPTCHA, "datadome", ("markup: var dd=",))
    fields = build_record("c", LEASE, PAGE, [], replace(VISIT, detection=block)).fields
    assert fields["blocked_by"] == "datadome"
    assert fields["evidence"] == {"finding": "captcha", "signs": ("markup: var dd=",)}
    soft = Detection(Finding.SOFT_404, "", ("title: 404",))
    fields = build_record("c", LEASE, PAGE, [], replace(VISIT, detection=soft)).fields
    assert fields["blocked_by"] is None
    assert orjson.loads(orjson.dumps(fields["evidence"])) == {"finding": "soft_404", "signs": ["title: 404"]}


def test_a_record_is_one_line_whoever_splits_it() -> None:
    """Many a reader takes U+2028, U+2029 and U+0085 for the end of a line."""
    text = "a\u2028b\u2029c\u0085d\x0b\x0c\x1c\x1d\x1e\ne"
    late = "“©" * 5000 + "\u2029"
    for one, more in ((text, {}), (text, {"large": 1 << 70}), ("©\x85", {}), ("“\u2028", {}), (late, {})):
        fields = {"text": one, **more}
        line = json_line(fields)
        assert len(line.decode().splitlines()) == 1
        assert orjson.loads(line)["text"] == one
