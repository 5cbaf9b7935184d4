"""A Redis that cannot be reached as the URL says: the command says why, and what to do about it."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from fixtures.authority import Authority, Flaw
from fixtures.shop import serve_shop_in_thread
from tests.e2e.farm_process import Finished, crawl, start
from tests.e2e.redis_server import RedisServer

SOON = ("--redis-patience", "1s")
"""Where what is wrong is looked for after the patience."""


@pytest.fixture(scope="module")
def authority() -> Authority:
    """Found an authority that nobody trusts."""
    return Authority()


@pytest.fixture
def ca(authority: Authority, tmp_path: Path) -> str:
    """Write down what a client must trust."""
    file = tmp_path / "ca.pem"
    file.write_bytes(authority.pem)
    return str(file)


@pytest.fixture
def tls(authority: Authority, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    """Start a Redis with TLS; a parameter says what is wrong with its certificate."""
    identity = authority.issue(getattr(request, "param", Flaw.NONE))
    server = RedisServer(tmp_path / "tls", tls=identity)
    server.start()
    yield server
    server.kill()


def status(folder: Path, *arguments: str) -> Finished:
    """Look at a crawl."""
    return start("status", *arguments, folder=folder).finish()


def sentence(done: Finished, code: int) -> str:
    """Return the one line that a command ended with."""
    assert done.code == code, done.output
    assert done.output.count("\n") == 1, done.output
    return done.output


def test_a_crawl_lives_in_a_redis_with_tls(tls: RedisServer, ca: str, out: Path) -> None:
    """All that connects knows the authority: the node, the thread that renews, the commands."""
    with serve_shop_in_thread() as shop:
        finished = crawl(out, shop.url, scope="page", redis=tls.url, redis_ca_file=ca).finish()
    assert finished.code == 0, finished.output
    assert finished.urls == [shop.url]
    seen = status(out, "--redis", tls.url, "--redis-ca-file", ca)
    assert seen.code == 0, seen.output
    assert "could not be renewed" not in finished.output


@pytest.mark.parametrize(
    ("tls", "trusted", "said"),
    [
        (Flaw.NONE, False, "--redis-ca-file"),
        (Flaw.SELF_SIGNED, True, "--redis-ca-file"),
        (Flaw.WRONG_HOST, True, "name the host in --redis as its certificate does"),
        (Flaw.EXPIRED, True, "renew it"),
    ],
    indirect=["tls"],
)
def test_a_certificate_that_is_not_trusted(
    tls: RedisServer, ca: str, out: Path, *, trusted: bool, said: str
) -> None:
    """At once, as waiting does not help, and with the remedy that fits."""
    given = ("--redis-patience", "10m", *(("--redis-ca-file", ca) if trusted else ()))
    told = sentence(status(out, "--redis", tls.url, *given), 3)
    assert "has a certificate that is not trusted" in told
    assert said in told


def test_a_plain_server_behind_rediss(redis: RedisServer, out: Path) -> None:
    """It does not answer a handshake at all: what it is, is found out without TLS."""
    told = sentence(status(out, *SOON, "--redis", redis.url.replace("redis://", "rediss://")), 3)
    assert "does not speak TLS; write redis://" in told


def test_a_server_with_tls_behind_redis(tls: RedisServer, out: Path) -> None:
    """It closes the connection."""
    told = sentence(status(out, *SOON, "--redis", tls.url.replace("rediss://", "redis://")), 3)
    assert "speaks TLS; write rediss://" in told


def test_a_server_that_wants_our_certificate(authority: Authority, ca: str, tmp_path: Path) -> None:
    """It is named in the URL."""
    server = RedisServer(tmp_path / "mutual", tls=authority.issue(), authority=authority)
    server.start()
    out = tmp_path / "out"
    try:
        told = sentence(status(out, "--redis", server.url, "--redis-ca-file", ca), 3)
        assert "ssl_certfile=FILE&ssl_keyfile=FILE" in told
        pair = f"{server.url}?ssl_certfile={server.certificate}&ssl_keyfile={server.key}"
        assert "no crawl named" in sentence(status(out, "--redis", pair, "--redis-ca-file", ca), 2)
    finally:
        server.kill()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("/0?foo=1", "'foo', which is none"),
        ("?db=x", "a whole number"),
        ("?socket_timeout=abc", "'socket_timeout', which is none"),
        ("/99", "has no database of that number"),
    ],
)
@pytest.mark.parametrize("command", ["status", "run"])
def test_options_of_the_url_that_cannot_be_meant(
    redis: RedisServer, out: Path, command: str, options: str, said: str
) -> None:
    """Nothing is created."""
    urls = ("http://127.0.0.1:9/",) if command == "run" else ()
    done = start(command, *urls, "--redis", redis.url + options, "--output", str(out), folder=out).finish()
    assert said in sentence(done, 2)
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--redis", "redis://127.0.0.1:1", "--redis-ca-file", "x"), "write rediss://"),
        (("--redis", "rediss://127.0.0.1:1", "--redis-ca-file", "x"), "--redis-ca-file x cannot be read"),
        (("--redis", "rediss://127.0.0.1:1", "--redis-ca-file", "empty"), "holds no certificate"),
    ],
)
def test_a_file_of_authorities_that_is_none(out: Path, arguments: tuple[str, ...], said: str) -> None:
    """Found before anybody is connected to."""
    (out.parent / "empty").touch()
    assert said in sentence(status(out, *arguments), 2)


def test_a_right_that_a_function_lacks(redis: RedisServer, out: Path) -> None:
    """A run with a user who may not do all that the functions do."""
    cli = ["redis-cli", "-p", str(redis.port), "ACL", "SETUSER", "bob", "on", ">pw", "~*", "+@all", "-zadd"]
    subprocess.run(cli, check=True, capture_output=True)
    url = redis.url.replace("redis://", "redis://bob:pw@")
    ended = crawl(out, "http://127.0.0.1:9/", redis=url).finish()
    assert ended.code == 3, ended.output
    last = ended.output.splitlines()[-1]
    assert "refuses its user commands that the farm needs" in last
    assert "ACL SETUSER +@read" in last
    assert "user_function" not in ended.output
    assert "Traceback" not in ended.output
