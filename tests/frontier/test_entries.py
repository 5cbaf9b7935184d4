"""What stands in Redis is checked when it comes back, and never believed."""

import orjson
import pytest

from farm.frontier import keys
from farm.frontier.entries import CorruptEntry, decode_lease, encode_task
from farm.frontier.scripts import LIBRARY
from farm.model.errors import FarmError, UsageError
from farm.model.task import UrlTask
from farm.scope.canonical import CanonicalUrl, canonicalise
from tests.frontier.support import START_MS, Bench

ID = "0123456789abcdef"
KNOWN = str(2**52 + 0x3456789ABCDEF)


def test_defaults_cost_nothing() -> None:
    """A plain URL is stored as little more than itself."""
    assert encode_task(UrlTask("http://a/", "a", ID)) == f'{KNOWN}{ID}5a\n["http://a/"]'.encode()


def test_a_referrer_is_stored_as_what_differs() -> None:
    """Pages link within their site, so it mostly shares its beginning."""
    link = encode_task(UrlTask("http://a/b/c", "a", ID, referrer="http://a/b/d"))
    assert link.endswith(b'["http://a/b/c",0,[11,"d"]]')


@pytest.mark.parametrize(
    "payload",
    [
        "[",
        "[]",
        '["u",1,null,{},5]',
        '["u",1,null,{},"l",6]',
        "[7]",
        '[""]',
        '["u",-1]',
        '["u",true]',
        '["u",0,[99,""]]',
        '["u",0,"r"]',
        '["u",0,null,[]]',
        '["u",0,null,{"a":NaN}]',
        '["http://a/",0,null,{},null,0,"chrome"]',
        '["http://a/",0,null,{},null,0,7]',
        '["http://a/",0,null,{},null,0,"fetch",8]',
    ],
)
def test_a_malformed_payload_is_told(payload: str) -> None:
    """Each field is checked for itself."""
    with pytest.raises(CorruptEntry):
        decode_lease(b"1", b"a", f"{ID}5{payload}".encode(), "s")


@pytest.mark.parametrize("label", [None, "", "product"])
def test_a_label_comes_back(label: str | None) -> None:
    """An empty one is told from none: the user's code requested the URL."""
    head, _, payload = encode_task(UrlTask("http://a/", "a", ID, label=label)).partition(b"\n")
    assert head.endswith(b"5a")
    task = decode_lease(b"1", b"a", f"{ID}5".encode() + payload, "s").task
    assert (task.label, task.meta, task.depth) == (label, {}, 0)


@pytest.mark.parametrize("render", [None, "fetch", "auto"])
def test_what_is_to_bring_a_page_comes_back(render: str | None) -> None:
    """Nothing is stored where nothing is said."""
    payload = encode_task(UrlTask("http://a/", "a", ID, render=render)).partition(b"\n")[2]
    assert (payload == b'["http://a/"]') == (render is None)
    assert decode_lease(b"1", b"a", f"{ID}5".encode() + payload, "s").task.render == render


@pytest.mark.parametrize("entry", ["", "x", ID, f"{ID}5", f"{ID.upper()}5[", f"{ID}51.2[]"])
def test_a_malformed_entry_is_told(entry: str) -> None:
    """The head as well."""
    with pytest.raises(CorruptEntry):
        decode_lease(b"1", b"a", entry.encode(), "s")


@pytest.mark.parametrize(
    "url",
    [
        "http://a/",
        "https://user:pw@bücher.example:8443/ä?b#c",
        "http://127.0.0.1:8080",
        "http://[::1]:65535/",
        "http://[::ffff:1.2.3.4]?q",
        "http://ex_am.ple/",
        "http://a!b,c'd/",
    ],
)
def test_every_canonical_url_comes_back(url: str) -> None:
    """What the scope has let in is of the web, whatever its host looks like."""
    found = canonicalise(url)
    assert isinstance(found, CanonicalUrl)
    entry = f"{ID}5{orjson.dumps([found.url]).decode()}"
    assert decode_lease(b"1", found.site.encode(), entry.encode(), "s").task.url == found.url


def test_a_site_that_is_no_text_is_told() -> None:
    """It stands beside the entry."""
    with pytest.raises(CorruptEntry):
        decode_lease(b"1", b"\xff", f'{ID}5["http://a/"]'.encode(), "s")


@pytest.mark.parametrize(
    "task",
    [
        UrlTask("http://a/", "a", "short"),
        UrlTask("http://a/", "", ID),
        UrlTask("http://a/", "a\nb", ID),
        UrlTask("http://a/", "a" * 301, ID),
        UrlTask("http://a/", "a", ID, meta={"k": object()}),
    ],
)
def test_what_cannot_be_kept_is_refused_at_the_door(task: UrlTask) -> None:
    """In one sentence, before Redis is asked."""
    with pytest.raises(UsageError):
        encode_task(task)


@pytest.mark.parametrize(
    "link",
    [
        "",
        "x",
        f"{ID}5a\n[]",
        f"{KNOWN}{ID}5a",
        f"{KNOWN}{ID}xa\n[]",
        f"{KNOWN}{ID}5\n[]",
        f"{KNOWN}{ID}5a\n{{}}",
        f"{KNOWN}g{ID[1:]}5a\n[]",
        f"{KNOWN}{ID[:-1]}g5a\n[]",
        f"{KNOWN} {ID[1:]}5a\n[]",
        f"{KNOWN[:-1]}a{ID}5a\n[]",
        f" {KNOWN[1:]}{ID}5a\n[]",
        f"{KNOWN}{ID[:3]}-{ID[4:]}5a\n[]",
        f"<1>{KNOWN}{ID}5a\n[]",
    ],
)
async def test_a_link_that_is_none_is_refused_with_all_that_came_with_it(bench: Bench, link: str) -> None:
    """Nothing of the call is written: there is one shard here, so nothing is for another one either."""
    good = encode_task(bench.task("a/1")).decode()
    with pytest.raises(FarmError, match="a link is not fingerprint, band, site and payload"):
        await bench.raw("FCALL", LIBRARY.function("add"), 1, "@ctl", START_MS, good, link)
    assert (await bench.ledger()).accepted == 0


async def test_a_corrupt_payload_is_buried_and_the_next_is_leased(bench: Bench) -> None:
    """The one behind it is not held up."""
    await bench.add("a/1", "a/2")
    broken = f"{bench.task('a/1').fingerprint}5[oops"
    await bench.raw("LSET", "@q:5:a", 0, broken)
    assert (await bench.lease()).task.url == "http://a/2"
    assert (await bench.frontier.stats()).dead_by_reason == {"corrupt": 1}
    assert (await bench.ledger()).dead == 1


async def test_a_corrupt_entry_is_buried_by_the_script(bench: Bench) -> None:
    """What does not even have an id gets one."""
    await bench.add("a/1", "a/2")
    await bench.raw("LSET", "@q:5:a", 0, "garbage")
    assert (await bench.lease()).task.url == "http://a/2"
    assert (await bench.frontier.stats()).dead_by_reason == {"corrupt": 1}
    assert (await bench.ledger()).dead == 1


async def test_what_is_no_entry_is_never_handed_out(bench: Bench) -> None:
    """Not even to a client that would notice."""
    await bench.add("a/1")
    await bench.raw("LSET", "@q:5:a", 0, "garbage")
    wish = ("s1", "r1", "", 0, "", "123", 0)
    reply = await bench.client.run("lease", keys.ctl(bench.crawl), bench.clock.ms, *wish)
    assert reply[0] == b"IDLE"
    assert (await bench.frontier.stats()).dead_by_reason == {"corrupt": 1}
