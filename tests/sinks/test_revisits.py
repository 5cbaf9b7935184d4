"""Payloads that the WARC files of a crawl have already: `revisit` records, and what readers find by them."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from warcio.archiveiterator import ArchiveIterator

from farm.model.page import PageExchange
from farm.model.record import Batch, Record
from farm.sinks import payloads
from farm.sinks.payloads import LEAST_BYTES, KnownPayloads, Payload, WarcEntry
from farm.sinks.store import Store
from farm.sinks.warc import WarcFormat
from tests.sinks.killed import record
from tests.sinks.test_warc import ids, opened, told

SCRIPT = b"let a = 1;" * LEAST_BYTES
PROFILE = "http://netpreserve.org/warc/1.1/revisit/identical-payload-digest"


def page(number: int, *bodies: bytes, **exchange: Any) -> Record:
    """Return a record of a page with its document, and with these bodies at addresses of their own."""
    one = record(number)
    said = [
        PageExchange(
            f"{one.url}/{place}.js", "GET", 200, headers=(("X-Page", str(number)),), body=body, **exchange
        )
        for place, body in enumerate(bodies)
    ]
    document = PageExchange(one.url, "GET", 200, body=f"<p>{number}".encode())
    return Record(one.id, one.url, one.fields, exchanges=(document, *said))


def write(store: Store[Any], *records: Record) -> None:
    """Write each as a group of its own."""
    for one in records:
        store.write([store.encode(Batch([one]))[0]])


def answers(folder: Path) -> dict[str, tuple[str, bytes]]:
    """Return what of each address is archived: the record's type, and its payload as a reader resolves it."""
    responses: dict[tuple[str, str], tuple[str, str, bytes]] = {}
    found: dict[str, tuple[str, bytes]] = {}
    revisits = []
    for path in sorted((folder / "sink").iterdir()):
        with path.open("rb") as file:
            for one in ArchiveIterator(file, check_digests="raise"):
                head, body = one.rec_headers, one.content_stream().read()
                url = head.get_header("WARC-Target-URI")
                if one.rec_type == "response":
                    key = url, head.get_header("WARC-Date")
                    responses[key] = head["WARC-Record-ID"], head["WARC-Payload-Digest"], body
                    found[url] = "response", body
                elif one.rec_type == "revisit":
                    assert (body, head["WARC-Profile"], head["WARC-Truncated"]) == (b"", PROFILE, "length")
                    revisits.append((url, head, one.http_headers))
    for url, head, http in revisits:
        own_id, digest, body = responses[head["WARC-Refers-To-Target-URI"], head["WARC-Refers-To-Date"]]
        assert (head["WARC-Refers-To"], head["WARC-Payload-Digest"]) == (own_id, digest)
        # The head is that of this answer.
        assert (http["X-Page"], http["Content-Length"]) == (url.split("/")[3], str(len(body)))
        found[url] = "revisit", body
    return found


def kinds(folder: Path) -> dict[str, str]:
    """Return the type of the record of each script, by its path."""
    found = {url.partition(".example/")[2]: one for url, one in answers(folder).items()}
    return {path: kind for path, (kind, _) in found.items() if path.endswith(".js")}


def test_an_equal_payload_is_written_once(tmp_path: Path) -> None:
    """Of other addresses, pages and files; small ones and cut ones are written each time."""
    store = opened(tmp_path)
    small, other = SCRIPT[: LEAST_BYTES - 1], SCRIPT + b"2"
    write(
        store,
        page(1, SCRIPT, other, SCRIPT, small),
        page(2, SCRIPT, small),
        page(3, SCRIPT, truncated="length"),
    )
    store.close()
    found = answers(tmp_path)
    assert {url: body for url, (_, body) in found.items() if url.endswith("0.js")} == {
        f"{record(number).url}/0.js": SCRIPT for number in (1, 2, 3)
    }
    assert kinds(tmp_path) == {
        "1/0.js": "response",
        "1/1.js": "response",
        "1/2.js": "revisit",
        "1/3.js": "response",
        "2/0.js": "revisit",
        "2/1.js": "response",
        "3/0.js": "response",
    }
    (path,) = (tmp_path / "sink").iterdir()
    assert ids(path) == [record(number).id for number in (1, 2, 3)]
    requests = [url for kind, url, _, _ in told(path) if kind == "request"]
    assert len(requests) == len(found)


def test_it_is_known_over_files_and_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until everything is begun anew; a line that a kill has torn is one payload less."""
    monkeypatch.setattr(WarcFormat, "most_rows", 1)
    store = opened(tmp_path)
    write(store, page(1, SCRIPT, SCRIPT + b"2"), page(2, SCRIPT))
    store.close()
    (known,) = (tmp_path / "private").rglob("payloads")
    assert len(known.read_bytes().splitlines()) == 2
    first, second = known.read_bytes().splitlines(keepends=True)
    known.write_bytes(first + b"\xff nonsense\n" + second[:-3])
    again = opened(tmp_path)
    write(again, page(3, SCRIPT), page(4, SCRIPT + b"2"))
    again.close()
    assert kinds(tmp_path) == {
        "1/0.js": "response",
        "1/1.js": "response",
        "2/0.js": "revisit",
        "3/0.js": "revisit",
        "4/0.js": "response",
    }
    again.clear()
    assert list((tmp_path / "private").rglob("payloads")) == []
    anew = opened(tmp_path)
    write(anew, page(5, SCRIPT))
    anew.close()
    assert kinds(tmp_path) == {"5/0.js": "response"}


def test_a_payload_is_known_only_once_it_is_written(tmp_path: Path) -> None:
    """Not that of a page that is there already, nor of one that comes beside it."""
    store = opened(tmp_path)
    write(store, page(1))
    # The same page with another script: the page is not written again.
    write(store, page(1, SCRIPT), page(2, SCRIPT))
    groups = [store.encode(Batch([page(number, SCRIPT + b"2")]))[0] for number in (3, 4)]
    store.write(groups)
    write(store, page(5, SCRIPT + b"2"))
    store.close()
    assert kinds(tmp_path) == {
        "2/0.js": "response",
        "3/0.js": "response",
        "4/0.js": "response",
        "5/0.js": "revisit",
    }


def test_a_record_never_refers_to_its_own_address_and_moment(tmp_path: Path) -> None:
    """Readers find the other one by these."""
    store = opened(tmp_path)
    one = page(1, SCRIPT)
    twice = Record(one.id, one.url, one.fields, exchanges=(*one.exchanges, one.exchanges[1]))
    write(store, twice, page(2, SCRIPT))
    store.close()
    (path,) = (tmp_path / "sink").iterdir()
    kept = [kind for kind, url, _, _ in told(path) if url and url.endswith(".js") and kind != "request"]
    assert kept == ["response", "response", "revisit"]


def test_a_long_address_of_the_other_record_hides_no_page(tmp_path: Path) -> None:
    """Whose a record is stands before what may be long."""
    store = opened(tmp_path)
    made = []
    for number in (1, 2):
        one = record(number)
        far = PageExchange(f"https://x.example/{number}?" + "ü" * 9000, "GET", 200, body=SCRIPT)
        made.append(Record(one.id, one.url, one.fields, exchanges=(far,)))
    write(store, *made)
    store.close()
    (path,) = (tmp_path / "sink").iterdir()
    assert ids(path) == [record(1).id, record(2).id]
    assert [kind for kind, *_ in told(path)][1::2] == ["response", "revisit"]
    again = opened(tmp_path)
    assert again.records == 2
    again.close()


def entry(*known: Payload) -> WarcEntry:
    """Return an entry that has these payloads."""
    made = WarcEntry(b"x")
    made.payloads = known
    return made


def payload(number: int, uri: str = "https://shop.example/") -> Payload:
    """Return a payload with a digest of its own."""
    digest = "".join("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"[number >> 5 * at & 31] for at in range(32))
    return Payload(f"sha1:{digest}", "2026-03-01T00:00:00.000Z", f"id-{number}", uri)


def known_of(table: KnownPayloads, numbers: Sequence[int]) -> list[int]:
    """Return which of these are known."""
    return [number for number in numbers if payload(number).digest in table._known]


@pytest.mark.parametrize(("bound", "most"), [("MOST", 3), ("MOST_BYTES", 3 * len(payload(1).line))])
def test_the_table_is_bounded(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    bound: str,
    most: int,
) -> None:
    """By its entries and their bytes, and so is its file: what came again last stays, and it is said once."""
    caplog.set_level("INFO", "farm.sinks")
    monkeypatch.setattr(payloads, bound, most)
    table = KnownPayloads()
    table.open(tmp_path)
    for number in range(1, 10):
        table.confirm([entry(payload(number))])
        assert table.find(payload(1).digest) == payload(1)
    assert known_of(table, range(10)) == [1, 8, 9]
    table.close()
    if bound == "MOST_BYTES":
        assert (tmp_path / "payloads").stat().st_size <= 2 * most
    assert [bool(re.match(r"\d+ payloads, or \d+ MiB", message)) for message in caplog.messages] == [True]
    again = KnownPayloads()
    again.open(tmp_path)
    assert again.find(payload(9).digest) == payload(9)
    assert len(again._known) == 3
    again.close()
