"""Delivery to a webhook: signed, to the address that was given and no other, within a deadline."""

import asyncio
import base64
import hashlib
import hmac
import json
import os
from pathlib import Path

import pytest

from farm.egress import poster
from farm.egress.webhook import WebhookClient, read_key
from farm.model.errors import NotDelivered, UsageError
from farm.model.secret import SecretUrl
from fixtures.authority import Authority
from tests.egress.servers import listening

KEY = b"0123456789abcdef0123"
OK = b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"
BODY = b'{"id":"evt_1"}'


async def _post(answer: bytes, path: str = "/hook?token=t", *, user: str = "") -> tuple[bytes, bytes]:
    """Post one event to a server that answers so; return the head and the body that it got."""
    got: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got.append(await reader.readuntil(b"\r\n\r\n"))
        got.append(await reader.readexactly(len(BODY)))
        writer.write(answer)
        await writer.drain()
        if not answer:
            await reader.read()

    async with listening(talk) as server:
        url = SecretUrl(f"http://{user}127.0.0.1:{server.port}{path}")
        try:
            await WebhookClient(url, KEY).post("evt_1", 1_700_000_000, BODY)
        finally:
            assert server.connections == 1
    return got[0], got[1]


async def test_an_event_is_signed_as_standard_webhooks_has_it() -> None:
    """Over its id, its time and its body."""
    head, body = await _post(OK, user="joe:pw@")
    lines = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:] if line)
    assert head.startswith(b"POST /hook?token=t HTTP/1.1\r\n")
    assert body == BODY
    signed = hmac.new(KEY, b"evt_1.1700000000." + BODY, hashlib.sha256).digest()
    assert lines["webhook-signature"] == f"v1,{base64.b64encode(signed).decode()}"
    assert (lines["webhook-id"], lines["webhook-timestamp"]) == ("evt_1", "1700000000")
    assert lines["Content-Type"] == "application/json"
    assert base64.b64decode(lines["Authorization"].removeprefix("Basic ")) == b"joe:pw"
    assert json.loads(body) == {"id": "evt_1"}


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"HTTP/1.1 500 Oh\r\n\r\n", "it answered 500"),
        (b"HTTP/1.1 404 Oh\r\n\r\n", "it answered 404"),
        (b"HTTP/1.1 302 Away\r\nLocation: http://127.0.0.1:1/\r\n\r\n", "redirects are not followed"),
        (b"HTTP/1.1 308 Away\r\nLocation: /other\r\n\r\n", "redirects are not followed"),
        (b"nonsense\r\n\r\n", "nonsense"),
        (b"HTTP/1.1 204 No\r\nX: " + b"y" * 100_000 + b"\r\n\r\n", "too long"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 500 Oh\r\n\r\n", "it answered 500"),
    ],
    ids=["500", "404", "302", "308", "no HTTP", "a long head", "100 first"],
)
async def test_what_is_not_taken_is_told(answer: bytes, why: str) -> None:
    """And no other address is asked."""
    with pytest.raises(NotDelivered, match=why):
        await _post(answer)


async def test_who_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever sends a byte now and then too: the deadline is that of the whole."""
    monkeypatch.setattr(poster, "DEADLINE_S", 0.2)
    with pytest.raises(NotDelivered, match=r"no answer within 0.2 s|timed out"):
        await _post(b"")
    with pytest.raises(NotDelivered):
        await WebhookClient(SecretUrl("http://127.0.0.1:1/"), KEY).post("evt_1", 0, BODY)


async def test_a_password_goes_as_it_is() -> None:
    """In an address a `@` and a `:` of it are written as %40 and %3A."""
    head, _ = await _post(OK, user="jo%40e:p%3Aw%C3%A9@")
    [sent] = [line for line in head.split(b"\r\n") if line.startswith(b"Authorization: Basic ")]
    assert base64.b64decode(sent.partition(b"Basic ")[2]) == "jo@e:p:wé".encode()


@pytest.mark.parametrize(
    "url",
    [
        "ftp://a.example/",
        "hooks.example",
        "http://",
        "http://a.example:0/",
        "http://a:b:c/",
        f"http://{'a' * 64}.example/",
        "http://a..example/",
    ],
)
def test_an_address_that_cannot_be_meant_is_refused(url: str) -> None:
    """With what may be written."""
    with pytest.raises(UsageError, match="write an address such as"):
        WebhookClient(SecretUrl(url), KEY)


@pytest.mark.parametrize("url", ["https://bücher.example/", "http://a.example/ü", "http://a.example/a b"])
def test_an_address_that_cannot_be_sent_is_refused(url: str) -> None:
    """Before the run, which its first event would end."""
    with pytest.raises(UsageError, match="write it in ASCII"):
        WebhookClient(SecretUrl(url), KEY)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("a secret of some length\n", b"a secret of some length"),
        (f"whsec_{base64.b64encode(KEY).decode()}", KEY),
    ],
)
def test_a_secret_is_read_from_a_file(tmp_path: Path, text: str, key: bytes) -> None:
    """As a text, or as Standard Webhooks writes one."""
    (tmp_path / "secret").write_text(text)
    assert read_key(tmp_path / "secret") == key


@pytest.mark.parametrize("text", ["", "short", "whsec_???", "whsec_YQ=="])
def test_a_secret_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    """Without repeating it."""
    (tmp_path / "secret").write_text(text)
    with pytest.raises(UsageError, match="makes one") as refused:
        read_key(tmp_path / "secret")
    assert not text or text not in str(refused.value)
    with pytest.raises(UsageError, match="cannot be read"):
        read_key(tmp_path / "nowhere")


async def test_an_event_goes_by_tls_to_whoever_is_trusted(tmp_path: Path) -> None:
    """The system's authorities, and those of a file."""
    authority = Authority()
    trusted = tmp_path / "ca.pem"
    trusted.write_bytes(authority.pem)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(BODY)
        writer.write(OK)
        await reader.read()

    tls = authority.issue().server_context(tmp_path)
    server = await asyncio.start_server(talk, "127.0.0.1", 0, ssl=tls)
    async with server:
        url = SecretUrl(f"https://localhost:{server.sockets[0].getsockname()[1]}/")
        await WebhookClient(url, KEY, trusted).post("evt_1", 0, BODY)
        with pytest.raises(NotDelivered, match="certificate verify failed"):
            await WebhookClient(url, KEY).post("evt_1", 0, BODY)


async def test_who_answers_ever_so_slowly_keeps_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """The farm has a handful for all that blocks; each event is tried ten times."""
    monkeypatch.setattr(poster, "DEADLINE_S", 0.2)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(BODY)
        writer.write(b"HTTP/1.1 200 OK\r\nX: ")
        ended = asyncio.create_task(reader.read())
        while not (await asyncio.wait({ended}, timeout=0.02))[0]:
            writer.write(b"x")

    async with listening(talk) as server:
        client = WebhookClient(SecretUrl(f"http://127.0.0.1:{server.port}/"), KEY)
        for _ in range(min(32, (os.cpu_count() or 1) + 4)):
            with pytest.raises(NotDelivered, match=r"no answer within 0.2 s"):
                await client.post("evt_1", 0, BODY)
        async with asyncio.timeout(20):
            assert await asyncio.to_thread(os.getpid) == os.getpid()
