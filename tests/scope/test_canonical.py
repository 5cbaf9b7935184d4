"""One address, one text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.model.outcome import SkipReason
from farm.model.url import HashRoutes, site_of
from farm.scope.canonical import MAX_CHARS, CanonicalUrl, Refusal, canonicalise


def text(raw: str, base: str | None = None, *, hash_routes: HashRoutes = HashRoutes.OFF) -> str:
    """Return the canonical text of an address that has one."""
    found = canonicalise(raw, base, hash_routes=hash_routes)
    assert isinstance(found, CanonicalUrl), found
    return found.url


@pytest.mark.parametrize(
    ("raw", "canonical"),
    [
        ("HTTPS://Shop.Example", "https://shop.example/"),
        ("https://shop.example:443/a", "https://shop.example/a"),
        ("http://shop.example:80/a", "http://shop.example/a"),
        ("http://shop.example:443/a", "http://shop.example:443/a"),
        ("https://shop.example/a/./b/../c", "https://shop.example/a/c"),
        ("https://shop.example/a/%2e%2E/c", "https://shop.example/c"),
        ("https://shop.example\\a\\b", "https://shop.example/a/b"),
        (" https://shop.example/a\n", "https://shop.example/a"),
        ("https://user:secret@shop.example/a", "https://shop.example/a"),
        ("https://shop.example/a#top", "https://shop.example/a"),
        ("https://shop.example/a?", "https://shop.example/a"),
        ("https://shop.example/a?#", "https://shop.example/a"),
        ("https://shop.example/a?b=c@d", "https://shop.example/a?b=c@d"),
        ("https://bücher.example/", "https://xn--bcher-kva.example/"),
        ("https://shop.example/ü?q=ü", "https://shop.example/%C3%BC?q=%C3%BC"),
        ("http://0x7f.1/", "http://127.0.0.1/"),
        ("http://[0:0::1]:8080/x", "http://[::1]:8080/x"),
        ("https://shop.example//a//b", "https://shop.example//a//b"),
        ("https://shop.example/a/", "https://shop.example/a/"),
        ("https://shop.example/\ud800", "https://shop.example/%EF%BF%BD"),
    ],
)
def test_an_address_has_one_text(raw: str, canonical: str) -> None:
    """Spellings that a browser takes for the same request become the same text."""
    assert text(raw) == canonical


@pytest.mark.parametrize(
    ("query", "kept"),
    [
        ("?utm_source=x", ""),
        ("?utm_source=x&page=2", "?page=2"),
        ("?page=2&gclid=1&sort=price&fbclid=2", "?page=2&sort=price"),
        ("?UTM_Medium=x&a=1", "?a=1"),
        ("?mc_eid&a=1", "?a=1"),
        ("?b=2&a=1&b=1", "?b=2&a=1&b=1"),
        ("?a=%7E&&b", "?a=%7E&&b"),
        ("?gclidx=1", "?gclidx=1"),
        ("?ref=home&source=nav", "?ref=home&source=nav"),
        ("?q=utm_source", "?q=utm_source"),
    ],
)
def test_tracking_parameters_are_dropped_and_the_rest_is_left_alone(query: str, kept: str) -> None:
    """Order, repetition and encoding of what remains are the site's."""
    assert text(f"https://shop.example/a{query}") == f"https://shop.example/a{kept}"


def test_a_crawl_can_keep_a_tracking_parameter() -> None:
    """Some site always uses one of them to select content."""
    found = canonicalise("https://shop.example/?gclid=1&fbclid=2", keep_params=("gclid",))
    assert found == CanonicalUrl("https://shop.example/?gclid=1", "shop.example")


@pytest.mark.parametrize(
    ("fragment", "kept"),
    [
        ("#/item?tab=x&id=1", "#/item?id=1&tab=x"),
        ("#/item?id=1&tab=x", "#/item?id=1&tab=x"),
        ("#/item?tag=b&id=1&tag=a", "#/item?id=1&tag=b&tag=a"),
        ("#/guide#install", "#/guide"),
        ("#/guide?page=2#install", "#/guide?page=2"),
        ("#!/guide?", "#!/guide"),
        ("#/list?utm_source=x&&page=1&", "#/list?page=1"),
        ("#/#install", ""),
        ("#/?utm_source=x", ""),
        ("#install", ""),
    ],
)
def test_a_route_that_is_a_page_has_one_form(fragment: str, kept: str) -> None:
    """No server reads its parameters, and an anchor within it is a place in the page."""
    found = text(f"https://app.example/{fragment}", hash_routes=HashRoutes.AUTO)
    assert found == f"https://app.example/{kept}"


def test_a_parameter_can_be_an_anchor() -> None:
    """As Docsify writes them; elsewhere the same name may say which page it is."""
    url = "https://app.example/?id=1#/guide?id=install&page=2"
    found = canonicalise(url, hash_routes=HashRoutes.AUTO, anchor_params={"id"})
    assert found == CanonicalUrl("https://app.example/?id=1#/guide?page=2", "app.example")


@pytest.mark.parametrize(
    ("fragment", "kept"),
    [
        ("#/product/1", "#/product/1"),
        ("#!/product/1", "#!/product/1"),
        ("#!product", "#!product"),
        ("#/list?utm_source=x", "#/list?utm_source=x"),
        ("#top", ""),
        ("#", ""),
        ("#/", ""),
        ("#!", ""),
        ("#!/", ""),
    ],
)
def test_with_hash_routes_only_routes_survive_of_fragments(fragment: str, kept: str) -> None:
    """An anchor is a place in a page, a route is a page; the root route is the page without it."""
    assert text(f"https://app.example/{fragment}", hash_routes=HashRoutes.ON) == f"https://app.example/{kept}"
    assert text(f"https://app.example/{fragment}") == "https://app.example/"


@pytest.mark.parametrize(
    ("raw", "canonical"),
    [
        ("b?x=1", "https://shop.example/a/b?x=1"),
        ("../b", "https://shop.example/b"),
        ("//cdn.example/x", "https://cdn.example/x"),
        ("?page=2", "https://shop.example/a/?page=2"),
        ("", "https://shop.example/a/"),
        ("\ud800", "https://shop.example/a/%EF%BF%BD"),
    ],
)
def test_an_address_is_resolved_against_its_base(raw: str, canonical: str) -> None:
    """Relative addresses are a page's."""
    assert text(raw, "https://shop.example/a/") == canonical


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("mailto:jane@shop.example", "mailto:jane@shop.example"),
        ("javascript:void(0)", "javascript:void(0)"),
        ("ftp://user:secret@shop.example/x", "ftp://shop.example/x"),
        ("http://user:secret@[/x", "http://[/x"),
        ("http://", "http://"),
        ("http://256.1.1.1/", "http://256.1.1.1/"),
        ("shop.example", "shop.example"),
        ("", ""),
        ("\ud800", "\ufffd"),
        ("blob:https://shop.example/1", "blob:https://shop.example/1"),
    ],
)
def test_what_is_no_web_address_is_refused_for_its_scheme(raw: str, shown: str) -> None:
    """The refusal can be written to a file: it is well-formed and has no credentials."""
    assert canonicalise(raw) == Refusal(SkipReason.SCHEME, shown)


def test_an_address_may_have_two_thousand_characters_and_no_more() -> None:
    """The limit is on the canonical text, so that what is dropped does not count."""
    start = "https://shop.example/"
    longest = start + "a" * (MAX_CHARS - len(start))
    assert text(longest) == longest
    assert text(longest + "?utm_source=x#top") == longest
    assert canonicalise(longest + "a") == Refusal(SkipReason.TOO_LONG, longest)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("data:image/png;base64," + "A" * 1_000_000, SkipReason.SCHEME),
        ("https://shop.example/" + "a" * 1_000_000, SkipReason.TOO_LONG),
        ("a" * 1_000_000, SkipReason.TOO_LONG),
    ],
)
def test_a_huge_input_is_judged_without_being_parsed(raw: str, reason: SkipReason) -> None:
    """What may be shown of it is cut short."""
    found = canonicalise(raw)
    assert isinstance(found, Refusal)
    assert found.reason is reason
    assert len(found.url) <= MAX_CHARS


URLISH = st.lists(
    st.one_of(
        st.sampled_from(
            [
                *(
                    "http:",
                    "https:",
                    "//",
                    "/",
                    "\\",
                    "?",
                    "#",
                    "#/",
                    "#!",
                    "&",
                    "=",
                    ":",
                    "@",
                    ":80",
                    ":443",
                ),
                *("..", ".", "%2e", "%", "%25", "%zz", "utm_source=", "gclid", "shop.example", "[::1]"),
                *(
                    "127.1",
                    "0x1",
                    "xn--",
                    "ß",
                    "é",
                    "\t",
                    "\n",
                    " ",
                    "\ud800",
                    "\u200d",
                    "\xad",
                    "。",
                    "'",
                    '"',
                ),
            ]
        ),
        st.text(max_size=4),
    ),
    max_size=12,
).map("".join)


@given(raw=st.one_of(URLISH, URLISH.map("http://a".__add__)), hash_routes=st.sampled_from(HashRoutes))
def test_the_canonical_text_of_a_canonical_url_is_itself(raw: str, hash_routes: HashRoutes) -> None:
    """Whatever comes in, what comes out is stable, has no fragment but a route, and names its site."""
    found = canonicalise(raw, hash_routes=hash_routes)
    if isinstance(found, Refusal):
        found.url.encode()
        return
    assert canonicalise(found.url, hash_routes=hash_routes) == found
    assert site_of(found.url) == found.site
    assert "@" not in found.site
    assert hash_routes is not HashRoutes.OFF or "#" not in found.url
    assert found.url.isascii()


@given(raw=URLISH)
def test_a_base_of_its_own_changes_nothing_for_an_absolute_address(raw: str) -> None:
    """The two ways into the parser agree."""
    found = canonicalise(raw)
    if isinstance(found, CanonicalUrl):
        assert canonicalise(found.url, "http://elsewhere.example/x/") == found


def test_the_site_is_the_host_and_a_port_that_is_not_the_default() -> None:
    """The unit of politeness follows from the text alone."""
    assert site_of("https://shop.example/a") == "shop.example"
    assert site_of("http://shop.example:8080/") == "shop.example:8080"
    assert site_of("http://[::1]:8080/") == "[::1]:8080"
