"""Delivery to the user's webhook: one POST for each event, signed by the rules of Standard Webhooks.

<https://www.standardwebhooks.com>
"""

import base64
import binascii
import hashlib
import hmac
from pathlib import Path

from farm.egress.poster import HttpPoster
from farm.model.errors import UsageError
from farm.model.secret import Secret, SecretUrl

LEAST_SECRET = 16
_PREFIX = "whsec_"


class WebhookClient:
    """Posts to one address. `authorities` is a PEM file to trust besides the system's."""

    def __init__(self, url: SecretUrl, key: bytes, authorities: Path | None = None) -> None:
        self._poster = HttpPoster("--webhook", url, authorities)
        self._key = key

    async def post(self, event_id: str, at_s: int, body: bytes) -> None:
        """Deliver an event; raises NotDelivered if no answer of 2xx came within the deadline."""
        signed = hmac.digest(self._key, f"{event_id}.{at_s}.".encode() + body, hashlib.sha256)
        headers = {
            "User-Agent": "CrawlFarm-Webhook",
            "webhook-id": event_id,
            "webhook-timestamp": str(at_s),
            "webhook-signature": f"v1,{base64.b64encode(signed).decode()}",
        }
        await self._poster.post(headers, body)


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
