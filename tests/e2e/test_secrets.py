"""Everything that a run leaves, prints, or shows of its processes, searched for every secret that it was given."""

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis

from fixtures.shop import serve_shop_in_thread
from tests.e2e.farm_process import Running, crawl, start, until
from tests.e2e.redis_server import RedisServer
from tests.egress.farm_of_proxies import SmallProxy, proxies_in_thread

SECRETS = {
    "Redis's password": "rEdIs-hUnTeR2",
    "a proxy's user": "sOmEbOdY",
    "a proxy's password": "pRoXy-hUnTeR2",
    "another program's token": "tOkEn-hUnTeR2",
    "a header": "hEaDeR-hUnTeR2",
    "a cookie": "cOoKiE-hUnTeR2",
}
REDIS, USER, PASSWORD, TOKEN, HEADER, COOKIE = SECRETS.values()
STATE = {
    "cookies": [
        {
            "name": "session",
            "value": COOKIE,
            "domain": "127.0.0.1",
            "path": "/",
            "expires": -1,
            "httpOnly": True,
            "secure": False,
            "sameSite": "Lax",
        }
    ],
    "origins": [],
}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """Start a Redis that asks for a password."""
    server = RedisServer(tmp_path / "redis", REDIS)
    server.start()
    yield server
    server.kill()


def search(found: dict[str, bytes]) -> None:
    """Fail where a secret stands, as it is or as it is sent."""
    for place, content in found.items():
        for name, secret in SECRETS.items():
            assert secret.encode() not in content, f"{name} stands in {place}"


def looked_to_the_end(running: Running, seen: dict[str, bytes]) -> bool:
    """Keep command line and environment of every process, and say whether the farm has ended.

    The farm's own environment is as its user made it.
    """
    with suppress(psutil.NoSuchProcess):
        farms = psutil.Process(running.process.pid).cmdline()
        for process in (psutil.Process(running.process.pid), *running.family()):
            with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                line, own = process.cmdline(), process.pid == running.process.pid
                name = f"process {process.pid} {line[:1]}"
                seen[f"{name} line"] = "\n".join(line).encode()
                # A child between fork and exec is the farm itself still; so is the launcher, which drops
                # what the driver is not to have and becomes the driver. Without a command line it is in the
                # middle of becoming another program.
                if (
                    line
                    and not own
                    and line != farms
                    and not (line[:1] == farms[:1] and "run-driver" in line)
                ):
                    seen[f"{name} environment"] = repr(process.environ()).encode()
    return running.process.poll() is not None


def contents(server: RedisServer) -> bytes:
    """Return all that stands in a Redis, whatever its type."""
    client: Any = redis.Redis.from_url(server.url)
    read: dict[bytes, Callable[[bytes], Any]] = {
        b"string": client.get,
        b"hash": client.hgetall,
        b"set": client.smembers,
        b"list": lambda key: client.lrange(key, 0, -1),
        b"zset": lambda key: client.zrange(key, 0, -1, withscores=True),
        b"stream": client.xrange,
    }
    with client:
        keys = list(client.scan_iter())
        assert len(keys) > 3
        all_of_it = [(key, read[client.type(key)](key)) for key in keys]
        return repr([all_of_it, client.client_list()]).encode()


@pytest.mark.parametrize("form", ["text", pytest.param("json", marks=pytest.mark.slow)])
def test_no_secret_stands_anywhere(
    out: Path, tmp_path: Path, server: RedisServer, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    """Files, output, the live view, processes, Redis, and what other commands say of the crawl."""
    proxies = [SmallProxy(credentials=f"{USER}:{PASSWORD}"), SmallProxy(credentials=f"{USER}:wrong")]
    monkeypatch.setenv("FARM_REDIS", server.url)
    monkeypatch.setenv("SERVICE_TOKEN", TOKEN)
    monkeypatch.setenv("FARM_HEADER", f"X-Api-Key: {HEADER}")
    state = tmp_path / "state.json"
    state.write_text(json.dumps(STATE))
    seen: dict[str, bytes] = {}
    with serve_shop_in_thread(crash_paths=("/contact",)) as shop, proxies_in_thread(*proxies):
        # The second one lets nobody in, so that there are failures to be told of.
        path = tmp_path / "proxies.txt"
        wrong = proxies[1].line.replace("wrong", PASSWORD)
        path.write_text(f"{proxies[0].line}\n{wrong}\nftp://{USER}:{PASSWORD}@nowhere:1\n")
        running = crawl(
            out,
            shop.url,
            proxies=str(path),
            storage_state=str(state),
            log_level="debug",
            log_format=form,
            live="on",
            limit="12",
            retries="0",
        )
        until(lambda: looked_to_the_end(running, seen), "the end", 120)
        finished = running.finish()
        sent = shop.requests.pages()[0].headers
        assert (sent["X-Api-Key"], sent["Cookie"]) == (HEADER, f"session={COOKIE}")
    assert len(finished.records) > 5, finished.output
    assert "asks for credentials" in finished.output or "407" in (out / "farm.log").read_text()
    assert sum("environment" in name for name in seen) > 4, list(seen)
    seen |= {str(file): file.read_bytes() for file in out.rglob("*") if file.is_file()}
    seen |= {"output": finished.output.encode(), "Redis": contents(server)}
    for command in (("status",), ("status", "--json"), ("dead", "list"), ("doctor",), ("drain",)):
        told = start(*command, "--output", str(out), folder=out).finish()
        seen[" ".join(command)] = told.output.encode()
    search(seen)
    assert finished.summary["settings"]["redis"] == f"redis://***@127.0.0.1:{server.port}"


def test_a_private_redis_has_no_secret_in_its_environment(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor has the process that cleans up; and no authority is installed by one that has."""
    monkeypatch.setenv("FARM_TIME_LIMIT", "50s")
    monkeypatch.setenv("SERVICE_TOKEN", TOKEN)
    seen: dict[str, bytes] = {}
    with serve_shop_in_thread(tls=True) as shop:
        running = crawl(out, shop.url, ca_file=str(shop.ca_file), limit="5")
        until(lambda: looked_to_the_end(running, seen), "the end")
        assert running.finish().code == 5
    assert any("redis-server" in name or "valkey-server" in name for name in seen)
    search(seen)
    assert not [name for name, content in seen.items() if b"FARM_TIME_LIMIT" in content]


def test_a_password_that_is_refused_is_not_shown(
    out: Path, server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One sentence, with the remedy."""
    monkeypatch.setenv("FARM_REDIS", server.url.replace(REDIS, TOKEN))
    refused = crawl(out, "http://127.0.0.1:9/").finish()
    assert refused.code == 3
    assert "check the user and the password" in refused.output
    search({"output": refused.output.encode()})


def test_who_gives_a_password_as_an_argument_is_warned(out: Path, server: RedisServer) -> None:
    """Every user of the machine can read the arguments of every process."""
    with serve_shop_in_thread() as shop:
        warned = crawl(out, shop.url, "--redis", server.url, scope="page").finish()
    assert warned.code == 0
    assert "FARM_REDIS" in warned.output
    search({"output": warned.output.encode()})
