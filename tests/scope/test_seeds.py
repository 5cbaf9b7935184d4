"""Where a crawl starts."""

import io
import sys
from pathlib import Path

import pytest

from farm.model.errors import UsageError
from farm.model.task import UrlTask
from farm.model.url import fingerprint
from farm.scope.seeds import BadLine, Seed, parse_seed, parse_seeds, read_seeds

KEY = b"k" * 16


def test_urls_and_objects_are_read_and_comments_are_not() -> None:
    """One of each a line."""
    seeds = parse_seeds(
        [
            b"\xef\xbb\xbf# the shop\r\n",
            b"\n",
            b"  https://Shop.example/a#x \r\n",
            b'{"url": "https://shop.example/b", "priority": 9, "meta": {"shelf": [1, "\xc3\xbc"]}}\n',
            b"https://shop.example/a",
        ]
    )
    assert seeds.bad == ()
    assert seeds.urls == ["https://shop.example/a", "https://shop.example/b"]
    assert seeds.seeds[1] == Seed("https://shop.example/b", "shop.example", 9, {"shelf": [1, "ü"]})


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
        (b'{"uri": "https://shop.example/"}', '"uri" is no key of a seed; put what is your own under "meta"'),
        (b"{}", 'it has no "url"; write {"url": "https'),
        (b'{"url": 1}', 'it has no "url"; write'),
        (b'{"url": "https://a.example", "priority": 10}', '"priority" must be a whole number from 0 to 9'),
        (b'{"url": "https://a.example", "priority": true}', '"priority" must be a whole number from 0 to 9'),
        (b'{"url": "https://a.example", "meta": [1]}', '"meta" must be a JSON object'),
        (b'{"url": "a.example"}', '"a.example" has no scheme; write https://a.example'),
    ],
)
def test_a_bad_line_is_reported_with_its_number_and_the_rest_is_taken(line: bytes, sentence: str) -> None:
    """One sentence, with the remedy."""
    seeds = parse_seeds([b"https://first.example/\n", line + b"\n", b"https://last.example/\n"])
    assert seeds.urls == ["https://first.example/", "https://last.example/"]
    (bad,) = seeds.bad
    assert isinstance(bad, BadLine)
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
    assert read_seeds(str(file), hash_routes=True).urls == ["https://shop.example/#/a"]


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
