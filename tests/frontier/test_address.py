"""What a Redis URL may say: what it may not is one sentence that shows nothing of it."""

from pathlib import Path

import pytest

from farm.frontier.address import check_url, hosts_of, of_one_host, place_of, with_authority
from farm.frontier.connect import build_async, build_sync
from farm.model.errors import UsageError
from fixtures.authority import Authority


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("redis://h/0?foo=1", "'foo', which is none"),
        ("redis://h/0?foo", "'foo', which is none"),
        ("redis://h?socket_timeout=abc", "'socket_timeout', which is none"),
        ("redis://h?socket_timeout=5", "'socket_timeout', which is none"),
        ("redis://h?password=s3cret", "'password', which is none"),
        ("redis://h?max_connections=1", "'max_connections', which is none"),
        ("redis://h?db=x", "a whole number"),
        ("redis://h?db=", "a whole number"),
        ("redis://h?db=-1", "a whole number"),
        ("redis://h?db=1&db=2", "db twice"),
        ("redis://h/1?db=2", "the database twice"),
        ("redis://h/crawls", "a whole number"),
        ("redis://h/1/2", "a whole number"),
        ("redis://h/-1", "a whole number"),
        ("redis://h/99999999999999999999", "a whole number"),
        ("redis://h/\u0661", "a whole number"),
        ("redis+cluster://h/1", "only the database 0"),
        ("redis+cluster://h1,h2/1", "only the database 0"),
        ("redis://h1,h2", "several hosts"),
        ("redis+cluster://h1,,h2", "names no host"),
        ("redis+cluster://h1:x,h2", "not a URL"),
        (f"redis+cluster://{','.join(['h'] * 101)}", "101 hosts"),
        ("redis+sentinel://h1,h2", "no service"),
        ("redis+sentinel://h1,h2/mymaster/x", "a whole number"),
        ("redis+sentinel://h1/mymaster/1?db=2", "the database twice"),
        ("redis://h?sentinel_password=s3cret", "without Sentinels"),
        ("redis+sentinel://u:s3cret@h1/mymaster?ssl_ca_certs=x", "without TLS"),
        ("redis://h/0#here", "ends with a #"),
        ("unix:///run/redis?db=x", "a whole number"),
        ("redis://h?ssl_ca_certs=x", "without TLS"),
        ("rediss://h?ssl_ca_certs=/no/such/file", "PEM"),
        ("rediss://h?ssl_certfile=/no/such/file", "PEM"),
        ("rediss://h?ssl_keyfile=/etc/hostname", "ssl_certfile=FILE"),
        ("rediss://h?ssl_certfile=/etc/hostname", "not a certificate with its key"),
        ("rediss://h?ssl_cert_reqs=sometimes", "required or none"),
        ("rediss://h?ssl_check_hostname=maybe", "true or false"),
    ],
)
def test_what_a_url_cannot_say_is_refused(url: str, said: str) -> None:
    """Before anybody is connected to; of what was written only the option's name is shown."""
    with pytest.raises(UsageError) as caught:
        check_url(url)
    assert said in str(caught.value)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "database"),
    [
        ("redis://h", 0),
        ("redis://h/", 0),
        ("redis://h/3", 3),
        ("redis://h?db=3", 3),
        ("unix:///run/redis.sock?db=3", 3),
        ("redis://user:p%3Fss@[::1]:6380/3", 3),
    ],
)
async def test_what_it_can_say_reaches_the_server(url: str, database: int) -> None:
    """The database, wherever it stands."""
    check_url(url)
    assert build_async(url).connection_pool.connection_kwargs.get("db", 0) == database
    assert build_sync(url).connection_pool.connection_kwargs.get("db", 0) == database


@pytest.mark.parametrize(
    ("url", "hosts", "place"),
    [
        ("redis://u:p@h", (("h", 6379),), "redis://h"),
        ("redis+cluster://u:p@H1:1,h2", (("h1", 1), ("h2", 6379)), "redis+cluster://h1:1,h2"),
        ("redis+cluster://[::1]:1,[::2]", (("::1", 1), ("::2", 6379)), "redis+cluster://[::1]:1,[::2]"),
        ("redis+sentinel://u:p@h1,h2:2/m/3", (("h1", 26379), ("h2", 2)), "redis+sentinel://h1,h2:2/m/3"),
        ("unix:///run/s", (), "unix:///run/s"),
    ],
)
def test_each_host_of_a_url_is_found(url: str, hosts: tuple[tuple[str, int], ...], place: str) -> None:
    """With its port; what a user reads of it holds no password."""
    check_url(url)
    assert hosts_of(url) == hosts
    assert place_of(url) == place


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("redis+cluster://u:p%40@h1,h2", "redis://u:p%40@one:9/"),
        ("rediss+cluster://h1,h2?ssl_check_hostname=false", "rediss://one:9?ssl_check_hostname=false"),
        ("redis+sentinel://u:p@h1/m/3", "redis://u:p@one:9/3"),
        ("redis+sentinel://h1/m?db=3&sentinel_password=s", "redis://one:9/3"),
        (
            "rediss+sentinel://h1/m?sentinel_username=a&ssl_check_hostname=false",
            "rediss://one:9/0?ssl_check_hostname=false",
        ),
    ],
)
def test_a_server_that_others_name_is_reached_as_the_url_says(url: str, wanted: str) -> None:
    """By the same user, database and options of TLS."""
    assert of_one_host(url, ("one", 9)).rstrip("/") == wanted.rstrip("/")


@pytest.mark.parametrize("name", ["ca.pem", "c a+b&c=%41 ü.pem"])
async def test_a_file_of_authorities_is_named_in_the_url(tmp_path: Path, name: str) -> None:
    """Whatever its name."""
    file = tmp_path / name
    file.write_bytes(Authority().pem)
    for base in ("rediss://h", "rediss://h/3?ssl_check_hostname=false"):
        url = with_authority(base, file)
        check_url(url)
        for client in (build_async(url), build_sync(url)):
            assert client.connection_pool.connection_kwargs["ssl_ca_certs"] == str(file)
