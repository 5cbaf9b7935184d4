"""POST requests to an address of the user's, such as a webhook: one at a time, within a deadline.

The address may be internal, and the crawl's proxies are not used. Redirects are not followed: they could send the
body elsewhere. Only the status of the answer is read.
"""

import asyncio
import base64
import ssl
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import SplitResult, unquote_to_bytes, urlsplit

import h11

from farm.model.errors import NotDelivered, UsageError
from farm.model.secret import SecretUrl

DEADLINE_S = 10.0
_HEAD_BYTES, _READ_BYTES = 1 << 16, 1 << 12
_PORTS = {"http": 80, "https": 443}


class HttpPoster:
    """Posts JSON to one address, or to `path` below it; `option` names the address in errors.

    `authorities` is a PEM file to trust besides the system's. Raises UsageError for an invalid address.
    """

    def __init__(self, option: str, url: SecretUrl, authorities: Path | None = None, path: str = "") -> None:
        self._url = _checked(option, url)
        target = self._url.path.rstrip("/") + path if path else self._url.path or "/"
        self._target = f"{target}{f'?{self._url.query}' if self._url.query else ''}"
        self._context = ssl.create_default_context() if self._url.scheme == "https" else None
        if self._context is not None and authorities is not None:
            self._context.load_verify_locations(authorities)

    async def post(self, headers: Mapping[str, str], body: bytes) -> None:
        """Send a body; raises NotDelivered unless it is answered with 2xx within the deadline."""
        try:
            async with asyncio.timeout(DEADLINE_S):
                status = await self._answered(headers, body)
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
            named = {
                "Host": url.netloc.rpartition("@")[2],
                "Content-Type": "application/json",
                "Content-Length": str(len(body)),
                **self._authorization(),
                **headers,
            }
            request = h11.Request(method="POST", target=self._target, headers=[*named.items()])
            for part in (request, h11.Data(body), h11.EndOfMessage()):
                writer.write(http.send(part) or b"")
            await writer.drain()
            while not isinstance(event := http.next_event(), h11.Response):
                if event is h11.NEED_DATA:
                    http.receive_data(await reader.read(_READ_BYTES))
            return int(event.status_code)
        finally:
            writer.transport.abort()

    def _authorization(self) -> dict[str, str]:
        if not self._url.username:
            return {}
        userinfo = [unquote_to_bytes(part or "") for part in (self._url.username, self._url.password)]
        return {"Authorization": f"Basic {base64.b64encode(b':'.join(userinfo)).decode()}"}


def _checked(option: str, url: SecretUrl) -> SplitResult:
    """Return the parts of an address; raises UsageError for what is none of http or https, or not in ASCII."""
    if not url.reveal().isascii() or not url.reveal().isprintable() or " " in url.reveal():
        raise UsageError(
            f"{option} {url}: write it in ASCII, the host as `xn--...`, and what else is not ASCII, or is a "
            "space, as %XX."
        )
    try:
        parts = urlsplit(url.reveal())
        port = parts.port
        (parts.hostname or "").encode("idna")
    except ValueError:
        parts, port = SplitResult("", "", "", "", ""), None
    if parts.scheme not in {"http", "https"} or not parts.hostname or port == 0:
        raise UsageError(f"{option} {url}: write an address such as https://hooks.example/farm.")
    return parts
