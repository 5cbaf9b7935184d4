"""Reads a CDP stream (a body, a PDF) in pieces, up to a cap."""

import asyncio
import contextlib
from base64 import b64decode
from typing import Any, Protocol

from playwright.async_api import Error

CHUNK_BYTES = 2**20
CLOSE_S = 5.0


class Sender(Protocol):
    """Calls CDP: a tab."""

    async def send(self, method: str, deadline_s: float, **params: Any) -> dict[str, Any]:
        """Call within the deadline."""
        ...


async def read_stream(tab: Sender, stream: str, cap_bytes: int, deadline_s: float) -> bytes | None:
    """Read a stream to its end and close it; None if it has more than `cap_bytes`."""
    parts: list[bytes] = []
    size = 0
    ends = asyncio.get_running_loop().time() + deadline_s
    while size <= cap_bytes:
        left_s = ends - asyncio.get_running_loop().time()
        part = await tab.send("IO.read", left_s, handle=stream, size=CHUNK_BYTES)
        parts.append(b64decode(part["data"]) if part.get("base64Encoded") else part["data"].encode())
        size += len(parts[-1])
        if part["eof"]:
            break
    with contextlib.suppress(Error):
        await tab.send("IO.close", CLOSE_S, handle=stream)
    return b"".join(parts) if size <= cap_bytes else None
