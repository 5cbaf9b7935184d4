"""What the driver says, and how it is read."""

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from playwright.async_api import async_playwright

from farm.browser import reading as readings
from farm.browser.driver import MARKED, QUIET, READING_MARK, node_path, script, use_orjson
from fixtures.pages import served_by
from tests.browser.conftest import Browsing, visit

SESSION = '{"guid":"cdp-session@0a","method":"event","params":'
FILES = {
    "/": (
        "text/html",
        """<!doctype html><link rel=stylesheet href=/a.css><body><script src=/a.js></script>
        <script type=module>import('/b.mjs')</script><iframe src=/inner></iframe>""",
    ),
    "/inner": ("text/html", "<!doctype html><p>inner"),
    "/a.css": ("text/css", "p { color: red }"),
    "/a.js": ("text/javascript", "fetch('/a.json').then(() => document.body.append('fetched'))"),
    "/b.mjs": ("text/javascript", "document.body.append('imported'); fetch('/gone').catch(() => 0)"),
    "/a.json": ("application/json", "{}"),
}


@pytest_asyncio.fixture
async def site() -> AsyncIterator[str]:
    """Serve a page with something of every kind; what is not there cuts the connection."""

    async def answer(request: web.Request) -> web.Response:
        if request.path not in FILES:
            assert request.transport is not None
            request.transport.abort()
        kind, text = FILES.get(request.path, ("text/plain", ""))
        return web.Response(text=text, content_type=kind)

    async with served_by(answer) as origin:
        yield f"{origin}/"


async def test_a_tab_is_told_of_documents_and_of_scripts_that_are_loading(
    rendering: Browsing, site: str
) -> None:
    """Of their beginning and of their end, where an answer comes between the two; the page is whole."""
    slot = await rendering.slot()
    await visit(slot, site)
    assert slot.tab is not None
    told: list[dict[str, Any]] = []

    def note(event: dict[str, Any]) -> None:
        told.append(event)

    slot.tab.cdp.on("event", note)
    page = await visit(slot, f"{site}?again")
    assert all(word in page.text for word in ("fetched", "imported", "inner"))
    by_name: dict[str, list[dict[str, Any]]] = {}
    for event in told:
        by_name.setdefault(event["method"], []).append(event["params"])
    assert set(by_name) == {
        "Network.requestWillBeSent",
        "Network.responseReceived",
        "Network.loadingFinished",
        "Farm.pageError",
    }
    assert [(one["type"], one["url"]) for one in by_name["Farm.pageError"]] == [("fetch", f"{site}gone")]
    begun = {event["requestId"]: event["type"] for event in by_name["Network.requestWillBeSent"]}
    assert list(begun.values()).count("Document") == 2
    assert set(begun.values()) <= {"Document", "Script"}
    assert {event["type"] for event in by_name["Network.responseReceived"]} == {"Document"}
    assert {event["requestId"] for event in by_name["Network.loadingFinished"]} == set(begun)
    assert not slot.tab.events.loading


def through_the_driver(folder: Path, *pieces: str) -> str:
    """Return what comes out where these JavaScript expressions are written one after the other."""
    quiet, program = folder / "quiet.cjs", folder / "program.cjs"
    quiet.write_text(QUIET)
    program.write_text(
        "const head = (text, more = 0) => { const bytes = Buffer.alloc(4);"
        "bytes.writeUInt32LE(Buffer.byteLength(text) + more); return bytes };"
        + "".join(f"process.stdout.write({piece});" for piece in pieces)
    )
    ran = subprocess.run(
        [node_path(), "--require", quiet, program], capture_output=True, timeout=20, check=True
    )
    return ran.stdout.decode("latin1")


def message(event: str, params: dict[str, Any]) -> str:
    """Return an event of a tab's own session, as the driver writes it."""
    return f"{SESSION}{json.dumps({'method': event, 'params': params}, separators=(',', ':'))}}}"


def pieces(text: str) -> tuple[str, str]:
    """Return the two expressions by which the driver writes a message."""
    quoted = json.dumps(text)
    return f"head({quoted})", f"Buffer.from({quoted})"


def written(*texts: str) -> str:
    """Return the messages as they stand in the pipe."""
    return "".join(len(text).to_bytes(4, "little").decode("latin1") + text for text in texts)


@pytest.mark.parametrize(
    "text",
    [
        '{"id":"call@1","result":{}}',
        '{"guid":"page@0a","method":"__create__","params":{"type":"Request"}}',
        '{"guid":"frame@0a","method":"navigated","params":{"url":"about:blank"}}',
        '{"guid":"browser-context@0a","method":"page","params":{}}',
        '{"guid":"page@0a","method":"crash","params":{}}',
        message("Fetch.requestPaused", {"requestId": "1"}),
        message("Network.requestWillBeSent", {"requestId": "1", "kind": "of another build"}),
        message("Network.responseReceived", {"requestId": "1", "type": "Image"}),
        message("Network.loadingFinished", {"timestamp": 1.5, "requestId": "1"}),
        '{"method":"event","guid":"cdp-session@0a","params":{"method":"Network.dataReceived"}}',
        "",
    ],
)
def test_what_the_driver_does_not_know_is_passed_on(tmp_path: Path, text: str) -> None:
    """Whatever it is, and as it is."""
    assert through_the_driver(tmp_path, *pieces(text)) == written(text)


def test_the_driver_keeps_events_of_other_kinds_and_other_ends_to_itself(tmp_path: Path) -> None:
    """A request that begins as something else has no end either."""
    tail = {"frameId": "0A", "hasUserGesture": False}
    asked = [
        message("Network.requestWillBeSent", {"requestId": number, "request": {}, "type": kind, **tail})
        for number, kind in (("1", "Script"), ("2", "Image"), ("3", "Fetch"))
    ]
    came = [
        message("Network.responseReceived", {"requestId": "1", "timestamp": 1.5, "type": kind})
        for kind in ("Script", "Document")
    ]
    ends = [
        message(name, {"requestId": number, "timestamp": 1.5})
        for name in ("Network.loadingFinished", "Network.loadingFailed")
        for number in ("1", "2")
    ]
    small = [
        message(f"Network.{name}", {"requestId": "1"})
        for name in (
            "dataReceived",
            "webSocketCreated",
            "webSocketFrameReceived",
            "eventSourceMessageReceived",
        )
    ]
    playwright = [
        f'{{"guid":"{who}@0a","method":"{event}","params":{{}}}}'
        for who, event in (
            ("frame", "loadstate"),
            ("browser-context", "request"),
            ("browser-context", "response"),
            ("browser-context", "console"),
            ("browser-context", "pageError"),
            ("page", "pageError"),
        )
    ]
    said = [*asked, *came, *small, *playwright, *ends]
    passed = through_the_driver(tmp_path, *(piece for one in said for piece in pieces(one)))
    assert passed == written(asked[0], came[1], ends[0])


ANSWER = '{"id":7,"result":{}}'
ELSEWHERE = '{"guid":"frame@0a","method":"navigated","params":{}}'
DOCUMENT = message("Network.responseReceived", {"requestId": "9", "timestamp": 1.5, "type": "Document"})


def asked_for(number: str, tab: str = "a") -> str:
    """Return the event of a script that a tab asks for."""
    tail = {"type": "Script", "frameId": "0A", "hasUserGesture": False}
    text = message("Network.requestWillBeSent", {"requestId": number, "request": {}, **tail})
    return text.replace("@0a", f"@0{tab}")


def ended(number: str, tab: str = "a", how: str = "loadingFinished") -> str:
    """Return the event of its end."""
    return message(f"Network.{how}", {"requestId": number, "timestamp": 1.5}).replace("@0a", f"@0{tab}")


@pytest.mark.parametrize("how", ["loadingFinished", "loadingFailed"])
@pytest.mark.parametrize(
    ("said", "passed"),
    [
        ("begun, ended", ""),
        ("begun, other, ended, answer", "other, answer"),
        ("begun, answer, ended", "begun, answer, ended"),
        ("begun, unknown, ended", "begun, unknown, ended"),
        ("begun, document, ended", "begun, document, ended"),
        ("begun, dropped, ended, answer", "answer"),
        ("begun, begun-b, document, ended-b, ended, answer", "begun, document, ended, answer"),
        ("begun, begun-b, answer, ended-b, ended", "begun, begun-b, answer, ended-b, ended"),
        ("begun, begun-2, ended, answer, ended-2", "begun-2, answer, ended-2"),
        ("begun, begun, answer, ended", "begun, answer, ended"),
    ],
)
def test_a_script_is_told_of_where_an_answer_finds_it_loading(
    tmp_path: Path, said: str, passed: str, how: str
) -> None:
    """Before the answer, and before what its own tab says next; else neither of its beginning nor of its end."""
    words = {
        "begun": asked_for("1"),
        "ended": ended("1", how=how),
        "begun-2": asked_for("2"),
        "ended-2": ended("2", how=how),
        "begun-b": asked_for("1", "b"),
        "ended-b": ended("1", "b", how),
        "answer": ANSWER,
        "unknown": '{"new":"form"}',
        "other": ELSEWHERE,
        "document": DOCUMENT,
        "dropped": message("Network.dataReceived", {"requestId": "1"}),
    }
    texts = [words[word] for word in said.split(", ")]
    came = through_the_driver(tmp_path, *(piece for one in texts for piece in pieces(one)))
    assert came == written(*(words[word] for word in passed.split(", ") if word))


def test_a_million_scripts_that_never_end_are_not_kept(tmp_path: Path) -> None:
    """What is held has a bound, beyond which it is passed on."""
    script = asked_for("NUMBER")
    write = (
        f"'');for (let at = 0; at < 5000; at += 1) {{ const text = {json.dumps(script)}.replace('NUMBER', at);"
        "process.stdout.write(head(text)); process.stdout.write(Buffer.from(text)); } process.stdout.write(''"
    )
    assert through_the_driver(tmp_path, write).count("requestWillBeSent") == 4097


def test_what_is_no_message_passes_the_driver_as_it_is(tmp_path: Path) -> None:
    """A length that is none, words of its own, a text that is not as long as was said."""
    dropped = json.dumps(message("Network.dataReceived", {"requestId": "1"}))
    given = ["'word'", "Buffer.from('four')", "Buffer.from('more')", "'end'", f"head({dropped}, 1)"]
    out = through_the_driver(tmp_path, *given, f"Buffer.from({dropped})")
    length = (len(json.loads(dropped)) + 1).to_bytes(4, "little").decode("latin1")
    assert out == "wordfourmoreend" + length + json.loads(dropped)


async def test_scripts_are_sent_whole_where_the_driver_does_not_know_their_marks(
    rendering: Browsing, site: str
) -> None:
    """It is found out once for an engine; the page is read all the same."""
    slot, other = await rendering.slot(), await rendering.slot()
    await asyncio.gather(visit(slot, site), visit(other, site))
    assert slot.tab is not None
    assert other.tab is not None
    assert slot.tab.engine is other.tab.engine
    engine, knew = slot.tab.engine, slot.tab.engine.knows_marks
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(readings, "MARKED", {"/*unknown*/": MARKED[READING_MARK]})
        patched.setattr(readings, "READING_MARK", "/*unknown*/")
        # Both have sent marks before either knows.
        page, beside = await asyncio.gather(visit(slot, f"{site}?again"), visit(other, f"{site}?beside"))
        again = await visit(slot, f"{site}?once-more")
    assert (knew, engine.knows_marks) == (True, False)
    assert all(
        word in text
        for text in (page.text, beside.text, again.text)
        for word in ("fetched", "imported", "inner")
    )


async def test_this_playwright_reads_and_writes_by_the_faster_library() -> None:
    """Also what that refuses: half a surrogate pair."""
    manager = async_playwright()
    playwright = await manager.start()
    try:
        assert use_orjson(manager)
        assert manager._client is not None
        transport = manager._client._transport
        assert transport.deserialize_message(b'{"a":"\\ud83d"}') == {"a": "\ud83d"}
        assert json.loads(transport.serialize_message({"a": "\ud83d"})) == {"a": "\ud83d"}
        assert transport.serialize_message({"a": "\u00e9"}) == '{"a":"\u00e9"}'.encode()
    finally:
        await playwright.stop()
    assert not use_orjson(object())


def test_a_script_is_sent_without_comments_and_indentation() -> None:
    """It does the same: every test of reading and settling uses it so."""
    sent = script("settle.js", "collect.js")
    assert "async function settle(" in sent
    assert "function collect(" in sent
    lines = sent.split("\n")
    assert all(line == line.strip() and line and not line.startswith("//") for line in lines)


def test_no_text_in_a_script_spans_lines() -> None:
    """It would lose its indentation."""
    for name in (
        "native.js",
        "snapshot.js",
        "settle.js",
        "text.js",
        "collect.js",
        "bounded.js",
        "act.js",
        "platform.js",
        "frames.js",
        "hook.js",
        "flood.js",
    ):
        assert all(line.count("`") % 2 == 0 for line in script(name).split("\n")), name
