"""Where a crawl starts."""

import io
import json
import sys
import tracemalloc
from pathlib import Path
from typing import BinaryIO, cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from farm.frontier.entries import encode_task
from farm.model.errors import UsageError
from farm.model.task import UrlTask
from farm.model.url import HashRoutes, fingerprint
from farm.scope import seeds
from farm.scope.seeds import MAX_BAD, BadSeedLine, Seed, given_seeds, parse_seed, parse_seeds, read_seeds

KEY = b"k" * 16


def test_urls_and_objects_are_read_and_comments_are_not() -> None:
    """One of each a line."""
    found = parse_seeds(
        [
            b"\xef\xbb\xbf# the shop\r\n",
            b"\n",
            b"  https://Shop.example/a#x \r\n",
            b'{"url": "https://shop.example/b", "priority": 9, "meta": {"s":[1, "\xc3\xbc"]}, "render": "auto"}\n',
            b"https://shop.example/a",
        ]
    )
    assert found.bad == ()
    assert found.urls == ["https://shop.example/a", "https://shop.example/b"]
    assert found.seeds[1] == Seed("https://shop.example/b", "shop.example", 9, {"s": [1, "ü"]}, render="auto")
    assert found.tasks(KEY)[1].render == "auto"
    assert found.seeds[1].reparsed(hash_routes=HashRoutes.ON, keep_params=()) == found.seeds[1]


def test_a_seed_becomes_a_task_of_depth_zero() -> None:
    """With the fingerprint by the crawl's key, and what the user gave it."""
    url = "https://shop.example/b"
    (task,) = parse_seeds([b'{"url": "https://shop.example/b", "priority": 0, "meta": {"a": 1}}']).tasks(KEY)
    assert task == UrlTask(url, "shop.example", fingerprint(url, KEY), depth=0, priority=0, meta={"a": 1})


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (b"shop.example", '"shop.example" has no scheme; write https://shop.example or http://shop.example'),
        (
            b"shop.example:8080/a",
            '"shop.example:8080/a" has no scheme; write https://shop.example:8080/a or ',
        ),
        (b"localhost:8000", '"localhost:8000" has no scheme; write '),
        (b"/var/list.txt", '"/var/list.txt" cannot be crawled; give a URL that starts with http'),
        (b"ftp://shop.example/", '"ftp://shop.example/" cannot be crawled; give a URL that starts with http'),
        (b"http://:80/", '"http://:80/" is not a valid URL; check its host and port'),
        (b"https://shop.example/" + b"a" * 2000, "is longer than 2000 characters; give a shorter address"),
        (b"https://shop.example/\xff", "it is not UTF-8; save the file as UTF-8"),
        (b'{"url": "https://shop.example/"', "it is not valid JSON ("),
        (
            b'{"uri": "https://shop.example/"}',
            '"uri" is not a key of a seed; put what is your own under "meta"',
        ),
        (b"{}", 'it has no "url"; write {"url": "https'),
        (b'{"url": 1}', 'it has no "url"; write'),
        (b'{"url": "https://a.example", "priority": 10}', '"priority" must be a whole number from 0 to 9'),
        (b'{"url": "https://a.example", "priority": true}', '"priority" must be a whole number from 0 to 9'),
        (b'{"url": "https://a.example", "meta": [1]}', '"meta" must be a JSON object'),
        (
            b'{"url": "https://a.example", "render": "x"}',
            '"render" must be one of auto, browser, light, fetch',
        ),
        (b'{"url": "https://a.example", "render": 1}', '"render" must be one of auto, browser, light, fetch'),
        (b'{"url": "a.example"}', '"a.example" has no scheme; write https://a.example'),
        (b'{"' + b"k" * 1000 + b'": 1}', '"' + "k" * 79 + '\N{HORIZONTAL ELLIPSIS}" is not a key of a seed'),
        (b"\0" * 1000, "cannot be crawled"),
        (b'{"url": ' + b"[" * 100_000, "it is not valid JSON ("),
        (b'{"a":' * 100_000, "it is not valid JSON ("),
        (
            b'{"url": "https://a.example", "meta": ' + b'{"a":' * 251 + b"1" + b"}" * 252,
            '"meta" is nested too deep; write it with fewer levels',
        ),
        (
            b'{"url": "https://a.example", "meta": {"a": "' + b"x" * 65_536 + b'"}}',
            '"meta" is longer than 65536 bytes; keep it elsewhere, and its key here',
        ),
        (b"a." * 500_000 + b":", "cannot be crawled"),
        (b"https://a.example/" + b"x" * 2**20, "it is longer than 1048576 bytes; write one URL a line"),
    ],
)
def test_a_bad_line_is_reported_with_its_number_and_the_rest_is_taken(line: bytes, sentence: str) -> None:
    """One sentence, with the remedy."""
    found = parse_seeds([b"https://first.example/\n", line + b"\n", b"https://last.example/\n"])
    assert found.urls == ["https://first.example/", "https://last.example/"]
    (bad,) = found.bad
    assert isinstance(bad, BadSeedLine)
    assert bad.number == 2
    assert sentence in bad.sentence


def test_credentials_of_a_bad_line_are_not_repeated() -> None:
    """The report goes to a terminal and a log."""
    (bad,) = parse_seeds([b"ftp://user:secret@shop.example/"]).bad
    assert "secret" not in bad.sentence


def test_a_seed_on_the_command_line_is_one_url() -> None:
    """A bad one is a usage error."""
    assert parse_seed(" https://shop.example ").url == "https://shop.example/"
    with pytest.raises(UsageError, match="has no scheme"):
        parse_seed("shop.example")


def test_a_file_is_read_line_by_line(tmp_path: Path) -> None:
    """By its path."""
    file = tmp_path / "seeds.txt"
    file.write_text("https://shop.example/#/a\n", encoding="utf-8")
    assert read_seeds(str(file), hash_routes=HashRoutes.ON).urls == ["https://shop.example/#/a"]


def test_standard_input_is_a_dash(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it is for other tools."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"https://shop.example/\n")))
    assert read_seeds("-").urls == ["https://shop.example/"]


def test_a_file_that_cannot_be_read_is_a_usage_error(tmp_path: Path) -> None:
    """Absent, or a folder."""
    for source in (tmp_path / "absent.txt", tmp_path):
        with pytest.raises(
            UsageError, match=r"cannot be read \(.*\); give --seeds a file with one URL a line"
        ):
            read_seeds(str(source))


class Endless(io.RawIOBase):
    """A line without an end, and one after it; notes how much is held at once."""

    def __init__(self, pieces: int) -> None:
        self.left = pieces

    def read(self, size: int = -1) -> bytes:
        """Give a piece of it."""
        self.left -= 1
        if self.left > 0:
            return b"x" * size
        return b"\nhttps://a.example/\n" if self.left == 0 else b""


def test_no_line_beyond_its_cap_is_held() -> None:
    """A gigabyte would be; here it is a hundred megabytes."""
    tracemalloc.start()
    try:
        lines = [line[: seeds.MAX_LINE + 1] for line in seeds._lines(cast("BinaryIO", Endless(1600)))]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 10 * seeds.MAX_LINE
    found = parse_seeds(lines)
    assert found.urls == ["https://a.example/"]
    assert [bad.number for bad in found.bad] == [1]


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_lines_may_end_in_any_way(tmp_path: Path, end: str) -> None:
    """Also where the end of a line falls between two pieces of the file."""
    file = tmp_path / "seeds.txt"
    text = end.join(["#" * (seeds._PIECE - 1), "https://a.example/1", "", "x", "https://a.example/2"])
    file.write_bytes(text.encode())
    found = read_seeds(str(file))
    assert found.urls == ["https://a.example/1", "https://a.example/2"]
    assert [bad.number for bad in found.bad] == [4]


def test_another_file_than_was_meant_is_told_in_few_sentences(tmp_path: Path) -> None:
    """The first lines, and how many more there were."""
    file = tmp_path / "seeds.txt"
    file.write_bytes(b"x\n" * 10_000 + b"https://a.example/\n")
    found = read_seeds(str(file))
    assert (len(found.bad), found.more_bad) == (MAX_BAD, 10_000 - MAX_BAD)
    _, said = given_seeds([], str(file), hash_routes=HashRoutes.OFF, keep_params=())
    assert len(said) == MAX_BAD + 1
    assert said[-1].endswith("9900 more lines are no URLs")


def test_a_bad_line_of_standard_input_is_named_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """`-` is how it is asked for, not what it is called."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"x\nhttps://a.example/\n")))
    _, said = given_seeds([], "-", hash_routes=HashRoutes.OFF, keep_params=())
    assert said[0].startswith("standard input, line 1: ")


@pytest.mark.parametrize("where", ["argument", "file"])
def test_a_password_in_a_url_is_said_not_to_be_sent(tmp_path: Path, where: str) -> None:
    """Once, without the password; another URL says nothing."""
    urls = ["https://ann:sesame@a.example/1", "https://ann:sesame@a.example/2", "https://b.example/@ann"]
    file = tmp_path / "seeds.txt"
    file.write_text("\n".join(urls))
    chosen: dict[str, tuple[list[str], str | None]] = {"argument": (urls, None), "file": ([], str(file))}
    seeds, said = given_seeds(*chosen[where], hash_routes=HashRoutes.OFF, keep_params=())
    assert [seed.url for seed in seeds] == [
        "https://a.example/1",
        "https://a.example/2",
        "https://b.example/@ann",
    ]
    (sentence,) = said
    assert sentence.startswith("https://a.example/1 is visited without its user and password; ")
    assert "sesame" not in sentence
    assert given_seeds(urls[2:], None, hash_routes=HashRoutes.OFF, keep_params=())[1] == ()


PLAIN = (
    st.none()
    | st.booleans()
    | st.floats()
    | st.integers()
    | st.text(max_size=5)
    | st.just("https://a.example")
)
VALUES = st.recursive(
    PLAIN, lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=2), inner), max_leaves=5
)
OBJECTS = st.dictionaries(st.sampled_from(["url", "priority", "meta", "x"]), VALUES, max_size=4)
WRITTEN = OBJECTS.map(lambda value: json.dumps(value).encode())
LINES = st.binary(max_size=60) | WRITTEN | st.text(max_size=30).map(str.encode)


@given(st.lists(LINES, max_size=6))
@example([b'{"url": "https://a.example", "meta": {"a": 123456789012345678901234567890}}'])
@example([b"https://\xc4\xb0.example/", b"http://[::1/", b"http://h:99999/"])
def test_any_lines_are_read(lines: list[bytes]) -> None:
    """Each is a seed, a bad line with a short sentence, or nothing; what is a seed can be stored."""
    found = parse_seeds(lines)
    assert len(found.seeds) + len(found.bad) + found.more_bad <= len(lines)
    assert all(len(bad.sentence) < 500 for bad in found.bad)
    for task in found.tasks(KEY):
        assert encode_task(task)
