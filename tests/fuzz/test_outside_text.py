"""Parsers of text from outside take anything: an answer or the failure that belongs to it, never another error."""

import json
import tempfile
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from farm.browser.site_params import read_state, state_of_site
from farm.detect import detect
from farm.egress.authority import authority_from, authority_of, target_from, tunnel_target_from
from farm.egress.http1 import part
from farm.egress.proxy_file import parse_proxies
from farm.model.errors import UsageError
from farm.model.page import Detection, Link, RenderedPage
from farm.policy.retry import RetryParams, retry_after_s
from farm.scope.rules import registrable_domain

MANY = settings(max_examples=150)
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
PARAMS = RetryParams()
TEXT = some.text(some.characters(), max_size=200)
DATE = some.builds(
    "{}, {} {} {} {}:{}:{} {}".format,
    some.sampled_from(["Sun", "", "x"]),
    some.sampled_from(["0", "1", "31", "99", "-1", "2147483648", "9" * 30, "\u0663", ""]),
    some.sampled_from(["Mar", "xxx", "0", ""]),
    *[some.sampled_from(["0", "1", "31", "1969", "9999", "10000", "-1", "9" * 30, "\u0663", ""])] * 4,
    some.sampled_from(["GMT", "+9999", "-9999", "+999999999999", "+99:99", "-0000", "EST", "\u0663", ""]),
)
WORDS = some.sampled_from(
    ["<input ", "type=password", "type=", ">", "<h1>", "</h1>", "404", "not found", "<div id=root", "<script"]
)
PAGES = some.builds(
    lambda title, text, parts, url, headers: RenderedPage(
        final_url=url,
        status=200,
        headers=headers,
        content_type="text/html",
        title=title,
        text=text,
        html="".join(parts),
        links=(Link("http://h/"),) if len(parts) % 2 else (),
        redirects=("http://h/",),
    ),
    TEXT | some.just("404 not found"),
    TEXT | some.just("please log in"),
    some.lists(WORDS | TEXT, max_size=20),
    TEXT,
    some.dictionaries(TEXT, TEXT, max_size=3),
)


@MANY
@given(DATE | TEXT)
def test_retry_after_is_a_time_or_nothing(value: str) -> None:
    """Within what is believed, whatever the site sends."""
    found = retry_after_s(value, NOW, PARAMS)
    assert found is None or 0 <= found <= PARAMS.retry_after_cap_s


@pytest.mark.parametrize(
    "value",
    [
        "Sun, 2147483648 Mar 0 0:0:0 GMT",
        "Sun, 1 Mar 2026 12:00:00 +999999999999",
        "Sun, 1 Mar 10000 12:00:00 GMT",
        "Sun, 31 Dec 9999 23:59:59 -9999",
        "Mon, 1 Jan 0001 00:00:00 +2359",
        "Sun, 1 Mar 2026 99:99:99 GMT",
        "Sun, 1 Mar " + "9" * 5_000 + " 12:00:00 GMT",
        "," * 100_000,
        "1 " * 100_000,
        "(" * 100_000,
        "\u0663",
        "-1",
        "1e9",
        "inf",
        "",
    ],
)
def test_a_date_that_is_none_is_nothing(value: str) -> None:
    """Or as late as is believed."""
    found = retry_after_s(value, NOW, PARAMS)
    assert found is None or 0 <= found <= PARAMS.retry_after_cap_s


@MANY
@given(PAGES)
def test_any_page_is_judged(page: RenderedPage) -> None:
    """As something or as nothing."""
    found = detect(page)
    assert found is None or isinstance(found, Detection)


@MANY
@given(some.binary(max_size=100) | some.builds(lambda text: b"http://" + text, some.binary(max_size=50)))
def test_a_requests_target_is_read_or_is_none(written: bytes) -> None:
    """What a page asks for comes as the browser writes it, and other users of the machine may write anything."""
    for found in (target_from(written), tunnel_target_from(written + b":1")):
        assert found is None or 0 <= found.authority.port < 65536
    authority_of(written.decode("latin-1"))


@MANY
@given(TEXT)
def test_an_address_of_any_text_has_an_authority_or_none(text: str) -> None:
    """Also with half of a surrogate pair."""
    authority_of(text)
    authority_of(f"http://{text}")
    authority_from(text)


@MANY
@given(some.lists(some.tuples(some.binary(max_size=12), some.binary(max_size=12)), max_size=5))
def test_a_head_is_parted_or_refused(headers: list[tuple[bytes, bytes]]) -> None:
    """What h11 lets through is taken apart, and no line of it ends within another."""
    with suppress(h11.ProtocolError):
        message = h11.Response(status_code=200, headers=headers)
        head = part(message)
        assert head.rest.count(b"\n") == head.rest.count(b"\r\n") <= len(headers)


@MANY
@given(some.binary(max_size=300))
def test_an_answers_head_is_read_or_is_no_http(said: bytes) -> None:
    """By the library alone: what is raised is what the gateway expects."""
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=100)
    connection.send(h11.Request(method="GET", target="/", headers=[("Host", "h")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(b"HTTP/1.1 " + said)
    connection.receive_data(b"")
    with suppress(h11.RemoteProtocolError):
        while not isinstance(connection.next_event(), h11.EndOfMessage | h11.ConnectionClosed):
            pass


@MANY
@given(TEXT | some.builds(lambda text: f"http://{text}:1\nsocks5://u:p@{text}", TEXT))
def test_a_list_of_proxies_is_read(text: str) -> None:
    """Each line is a proxy or a bad line; a bad line shows no password."""
    found = parse_proxies(text)
    assert len(found.upstreams) + len(found.bad) <= len(text.splitlines()) + 1


JSON = some.recursive(
    some.none() | some.booleans() | some.integers() | some.text(max_size=10),
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
COOKIE = some.fixed_dictionaries(
    {}, optional=dict.fromkeys(("name", "value", "domain", "path", "expires", "url"), JSON | TEXT)
)
STATE = some.fixed_dictionaries(
    {},
    optional={
        "cookies": some.lists(COOKIE, max_size=2) | JSON,
        "origins": some.lists(
            some.fixed_dictionaries({}, optional={"origin": JSON | TEXT, "localStorage": JSON})
        )
        | JSON,
    },
)


@MANY
@given(STATE | JSON)
def test_a_storage_state_is_read_or_refused(state: Any) -> None:
    """By one sentence, when the farm starts: not by the first visit to its site."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "state.json"
        path.write_bytes(json.dumps(state).encode())
        with suppress(UsageError):
            read = read_state(path)
            state_of_site(read, registrable_domain)("http://h.example/")


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"\xff\xfe",
        b"[" * 100_000,
        b"null",
        b'{"cookies": [{}]}',
        b"1" * 10_000,
        b'{"origins": [{"origin": "http://["}]}',
    ],
)
def test_a_file_that_is_no_storage_state_is_refused(tmp_path: Path, said: bytes) -> None:
    """With the remedy."""
    path = tmp_path / "state.json"
    path.write_bytes(said)
    with pytest.raises(UsageError):
        read_state(path)
