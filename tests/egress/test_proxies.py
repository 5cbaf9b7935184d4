"""What a proxies file says."""

from dataclasses import asdict

import pytest

from farm.egress import BadProxyLine, Upstream, parse_proxies
from farm.model.secret import Secret


def test_a_file_gives_every_proxy_once_in_its_order() -> None:
    """Comments, blank lines, a byte order mark and repetitions are skipped."""
    text = "\ufeff# bought\nhttp://a:3128\n\n  socks5://u:p@b:1080  \r\nhttp://a:3128\n#http://c\nhttps://d\n"
    found = parse_proxies(text)
    assert [str(upstream) for upstream in found.upstreams] == [
        "http://a:3128",
        "socks5://b:1080",
        "https://d:443",
    ]
    assert found.bad == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://a", Upstream("http", "a", 80)),
        ("https://a", Upstream("https", "a", 443)),
        ("socks4://a", Upstream("socks4", "a", 1080)),
        ("socks5h://a:9", Upstream("socks5", "a", 9)),
        ("HTTP://A:9/", Upstream("http", "a", 9)),
        ("http://[::1]:9", Upstream("http", "::1", 9)),
        ("http://u%40x:p%3Aw@a:9", Upstream("http", "a", 9, Secret("u@x"), Secret("p:w"))),
        ("http://u@a:9", Upstream("http", "a", 9, Secret("u"))),
        ("socks4://u@a:9", Upstream("socks4", "a", 9, Secret("u"))),
    ],
)
def test_urls_are_read(text: str, expected: Upstream) -> None:
    """Schemes, default ports and quoted credentials."""
    assert Upstream.parse(text) == expected


BAD = (
    "hunter2",
    "a:3128:user:hunter2",
    "ftp://user:hunter2@a:1",
    "http://user:hunter2@",
    "http://user:hunter2@a:99999",
    "http://user:hunter2@a:0",
    "http://user:hunter2@a:9/path",
    "http://user:hunter2@a:9?x",
    "http://user:hunter2@[::1",
    "http://us%3Aer:hunter2@a:9",
    "http://user:hunter2%0d%0aX@a:9",
    "socks5://user:hunter2%C3%BC@a:9",
    "socks5://:hunter2@a:9",
    "socks4://user:hunter2@a:9",
    "socks5://user:hunter2" + "x" * 250 + "@a:9",
)


@pytest.mark.parametrize("line", BAD)
def test_a_bad_line_is_told_by_its_number_and_never_quoted(line: str) -> None:
    """What is wrong with it may be the password."""
    found = parse_proxies(f"# first\nhttp://a:1\n{line}\nhttp://b:1\n")
    assert [str(upstream) for upstream in found.upstreams] == ["http://a:1", "http://b:1"]
    (bad,) = found.bad
    assert isinstance(bad, BadProxyLine)
    assert bad.number == 3
    assert str(bad).startswith("line 3: ")
    assert "hunter2" not in repr(bad)


def test_credentials_are_shown_to_who_asks_for_them_only() -> None:
    """Neither text nor repr, format or a traceback's locals tell them."""
    upstream = Upstream.parse("http://someone:hunter2@a:9")
    assert upstream.password.reveal() == "hunter2"
    shown = f"{upstream} {upstream!r} {upstream.password} {upstream.password!r:>9} {asdict(upstream)}"
    assert "hunter2" not in shown
    assert "someone" not in shown


def test_proxies_that_differ_in_credentials_are_two() -> None:
    """Many providers sell addresses by the user's name."""
    found = parse_proxies("http://u1:p@a:9\nhttp://u2:p@a:9\n")
    assert len(found.upstreams) == 2
    assert found.upstreams[0] != found.upstreams[1]
