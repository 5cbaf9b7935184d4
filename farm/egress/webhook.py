"""Delivery to the user's webhook: one POST for each event, signed by the rules of Standard Webhooks.

The address is the user's own and may be internal. A redirect is not followed: it could lead a signed event
elsewhere. Of the answer the status alone is read, within a deadline. <https://www.standardwebhooks.com>
"""

import asyncio
import base64
import binascii
import hashlib
import hmac
import ssl
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

import h11

from farm.model.errors import NotDelivered, UsageError
from farm.model.secret import Secret, SecretUrl

DEADLINE_S = 10.0
LEAST_SECRET = 16
_HEAD_BYTES, _READ_BYTES = 1 << 16, 1 << 12
_PORTS = {"http": 80, "https": 443}
_PREFIX = "whsec_"


class WebhookClient:
    """Posts to one address. `authorities` is a PEM file to trust besides the system's."""

    def __init__(self, url: SecretUrl, key: bytes, authorities: Path | None = None) -> None:
        self._url = _checked(url)
        self._key = key
        self._context = ssl.create_default_context() if self._url.scheme == "https" else None
        if self._context is not None and authorities is not None:
            self._context.load_verify_locations(authorities)

    async def post(self, event_id: str, at_s: int, body: bytes) -> None:
        """Deliver an event; raises NotDelivered where no answer of 2xx came within the deadline."""
        try:
            async with asyncio.timeout(DEADLINE_S):
                status = await self._answered(self._headers(event_id, at_s, body), body)
        except TimeoutError:
            raise NotDelivered(f"no answer within {DEADLINE_S:g} s") from None
        except (OSError, h11.ProtocolError) as error:
            raise NotDelivered(str(error) or type(error).__name__) from None
        if not 200 <= status < 300:  # noqa: PLR2004
            followed = ", and redirects are not followed" if 300 <= status < 400 else ""  # noqa: PLR2004
            raise NotDelivered(f"it answered {status}{followed}")

    async def _answered(self, headers: Mapping[str, str], body: bytes) -> int:
        """Return the status of the answer; raises OSError and h11's errors. Nothing outlives a cancellation."""
        url, http = self._url, h11.Connection(h11.CLIENT, max_incomplete_event_size=_HEAD_BYTES)
        port = url.port or _PORTS[url.scheme]
        reader, writer = await asyncio.open_connection(url.hostname, port, ssl=self._context)
        try:
            target = f"{url.path or '/'}{f'?{url.query}' if url.query else ''}"
            named = {"Host": url.netloc.rpartition("@")[2], "Content-Length": str(len(body)), **headers}
            request = h11.Request(method="POST", target=target, headers=[*named.items()])
            for part in (request, h11.Data(body), h11.EndOfMessage()):
                writer.write(http.send(part) or b"")
            await writer.drain()
            while not isinstance(event := http.next_event(), h11.Response):
                if event is h11.NEED_DATA:
                    http.receive_data(await reader.read(_READ_BYTES))
            return int(event.status_code)
        finally:
            writer.transport.abort()

    def _headers(self, event_id: str, at_s: int, body: bytes) -> dict[str, str]:
        signed = hmac.digest(self._key, f"{event_id}.{at_s}.".encode() + body, hashlib.sha256)
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "CrawlFarm-Webhook",
            "webhook-id": event_id,
            "webhook-timestamp": str(at_s),
            "webhook-signature": f"v1,{base64.b64encode(signed).decode()}",
        }
        if self._url.username:
            userinfo = f"{self._url.username}:{self._url.password or ''}".encode()
            headers["Authorization"] = f"Basic {base64.b64encode(userinfo).decode()}"
        return headers


def _checked(url: SecretUrl) -> SplitResult:
    """Return the parts of an address; raises UsageError for what is none of http or https."""
    try:
        parts = urlsplit(url.reveal())
        port = parts.port
    except ValueError:
        parts, port = SplitResult("", "", "", "", ""), None
    if parts.scheme not in {"http", "https"} or not parts.hostname or port == 0:
        raise UsageError(f"--webhook {url}: write an address such as https://hooks.example/farm.")
    return parts


def read_key(path: Path) -> bytes:
    """Return the key by which events are signed; raises UsageError for a file that holds none.

    `whsec_` before a key in Base64 is how Standard Webhooks writes one; any other text is the key itself.
    """
    try:
        text = Secret(path.read_text(encoding="utf-8").strip())
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        raise UsageError(f"--webhook-secret-file {path} cannot be read ({why}).") from None
    key = text.reveal().encode()
    if text.reveal().startswith(_PREFIX):
        try:
            key = base64.b64decode(text.reveal().removeprefix(_PREFIX), validate=True)
        except binascii.Error:
            key = b""
    if len(key) < LEAST_SECRET:
        raise UsageError(
            f"--webhook-secret-file {path} holds no secret of {LEAST_SECRET} characters or more; "
            "`openssl rand -base64 32` makes one."
        )
    return key
