"""The measurement of false alarms: what it reads, and that it tells an alarm from a page."""

import json
import zipfile
from pathlib import Path

import pytest

from bench import detect
from bench.detect import Saved
from farm.model.page import Finding

LEAVING = '<meta http-equiv="refresh" content="0; url=https://elsewhere.invalid/">'


def test_pages_are_read_from_the_wheel(tmp_path: Path) -> None:
    """Those that its index names and it contains, in any encoding."""
    wheel = tmp_path / "pages.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        index = {f"html/{number}.html": {"url": f"http://a.example/{number}"} for number in range(3)}
        archive.writestr(f"{detect.FOLDER}index.json", json.dumps(index))
        archive.writestr(f"{detect.FOLDER}html/0.html", "<p>one")
        archive.writestr(f"{detect.FOLDER}html/2.html", b"<p>\xff")
    assert detect.read_pages(wheel) == [
        Saved("http://a.example/0", "<p>one"),
        Saved("http://a.example/2", "<p>\N{REPLACEMENT CHARACTER}"),
    ]


@pytest.mark.parametrize(
    ("url", "is_home", "path"),
    [
        ("http://a.example", True, ""),
        ("http://a.example/", True, ""),
        ("http://a.example/?page=2", False, ""),
        ("http://a.example/user/login.php", False, "/user/login.php"),
        ("http://a.example/login/", False, "/login"),
        ("http://a.example/a/../b", False, ""),
        ("http://a.example/ä", False, ""),
    ],
)
def test_a_saved_page_keeps_a_path_that_every_browser_writes_so(url: str, is_home: bool, path: str) -> None:
    """Another one would be requested at an address that nobody serves."""
    saved = Saved(url, "")
    assert (saved.is_home, saved.path) == (is_home, path)


@pytest.mark.browser
def test_an_alarm_is_told_from_a_page(tmp_path: Path) -> None:
    """In a crawl as the real one; a page that sends its visitor on is read where it is."""
    captcha = '<title>One more step</title><form><div class="h-captcha"></div></form>'
    saved = [
        Saved("http://a.example/", f"{LEAVING}<title>Lamps</title><p>Twelve lamps."),
        Saved("http://b.example/", captcha),
        Saved("http://c.example/members", "<p>Please log in.<input type=password>"),
    ]
    evidence = detect.judged(saved, tmp_path)
    found = {number: one["finding"] if one else None for number, one in evidence.items()}
    assert found == {0: None, 1: Finding.CAPTCHA, 2: Finding.LOGIN_WALL}
    told = detect.report(saved, evidence)
    assert "3 of 3 saved pages judged, 2 of them home pages" in told
    assert "taken for a block: 1, of them home pages: 1" in told
    assert "taken for a soft failure: 1" in told
