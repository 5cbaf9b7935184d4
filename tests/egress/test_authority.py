"""`host:port` as a browser would write it."""

import pytest

from farm.egress.authority import Authority, authority_of, target_from, tunnel_target_from


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://example.com/", Authority("example.com", 80)),
        ("https://EXAMPLE.com/a?b#c", Authority("example.com", 443)),
        ("http://example.com:443/", Authority("example.com", 443)),
        ("wss://example.com/", Authority("example.com", 443)),
        ("http://[::1]:8080/", Authority("::1", 8080)),
        ("http://2130706433/", Authority("127.0.0.1", 80)),
        ("http://0x7f.1/", Authority("127.0.0.1", 80)),
        ("http://0177.0.0.1/", Authority("127.0.0.1", 80)),
        ("http://127.1/", Authority("127.0.0.1", 80)),
        ("http://127.0.0.1./", Authority("127.0.0.1", 80)),
        ("http://bücher.example/", Authority("xn--bcher-kva.example", 80)),
        ("http://user:pw@example.com/", Authority("example.com", 80)),
        ("about:blank", None),
        ("ftp://example.com/", None),
        ("nonsense", None),
    ],
)
def test_a_url_has_one_authority(url: str, expected: Authority | None) -> None:
    """Notations of the same place are the same authority."""
    assert authority_of(url) == expected


@pytest.mark.parametrize(
    ("written", "authority", "host", "path"),
    [
        (b"http://a.example/x?y=1", "a.example:80", b"a.example", b"/x?y=1"),
        (b"http://a.example:81", "a.example:81", b"a.example:81", b"/"),
        (b"http://a.example?q", "a.example:80", b"a.example", b"/?q"),
        (b"http://A.example/%zz/../x", "a.example:80", b"A.example", b"/%zz/../x"),
        (b"ws://a.example/s", "a.example:80", b"a.example", b"/s"),
        (b"http://u:p@a.example/", "a.example:80", b"a.example", b"/"),
        (b"http://[::1]:9/x", "[::1]:9", b"[::1]:9", b"/x"),
        (b"http://0x7f000001/", "127.0.0.1:80", b"0x7f000001", b"/"),
    ],
)
def test_an_absolute_target_is_taken_apart(written: bytes, authority: str, host: bytes, path: bytes) -> None:
    """The path is sent on as it was written; the authority is what is dialled."""
    target = target_from(written)
    assert target is not None
    assert (str(target.authority), target.host, target.path) == (authority, host, path)


@pytest.mark.parametrize(
    "written",
    [b"/x", b"*", b"https://a.example/", b"ftp://a/", b"http:///x", b"http://a\\b/", b"http://a:99999/"],
)
def test_other_targets_are_not_read(written: bytes) -> None:
    """Origin form and foreign schemes have no place at a proxy."""
    assert target_from(written) is None


def test_a_tunnel_needs_a_port() -> None:
    """`CONNECT host:port`, nothing less and nothing more."""
    target = tunnel_target_from(b"a.example:443")
    assert target is not None
    assert target.authority == Authority("a.example", 443)
    for written in (b"a.example", b"a.example:", b"http://a.example:443", b"a:443/x", b"u@a:443", b"a b:443"):
        assert tunnel_target_from(written) is None
