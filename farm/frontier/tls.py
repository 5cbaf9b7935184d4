"""What goes wrong between the farm and a Redis that is reached by TLS, in one sentence with the remedy."""

import asyncio
import ssl
from urllib.parse import urlsplit

PROBE_S = 3.0
DEFAULT_PORT = 6379
_DEEPEST = 8
_SAYS_REDIS = (b"+PONG", b"-NOAUTH", b"-ERR", b"-LOADING", b"-DENIED", b"-NOPERM")
"""How Redis answers the PING of a client that has not authenticated."""
_WRONG_NAME = (62, 64)
"""OpenSSL's numbers for a certificate of another host, or of another address."""
_EXPIRED = (9, 10)


def tls_fault(error: BaseException) -> ssl.SSLError | None:
    """Return the failure of TLS behind an error of redis-py; None where there is none."""
    one: BaseException | None = error
    for _ in range(_DEEPEST):
        if isinstance(one, ssl.SSLError) and not isinstance(one, ssl.SSLEOFError | ssl.SSLZeroReturnError):
            return one
        if one is None:
            break
        one = one.__cause__ or one.__context__
    return None


def tls_sentence(error: ssl.SSLError, place: str) -> str:
    """Say what is wrong with TLS at a place, and what to do about it."""
    if isinstance(error, ssl.SSLCertVerificationError):
        why = error.verify_message
        if error.verify_code in _WRONG_NAME:
            remedy = "name the host in --redis as its certificate does"
        elif error.verify_code in _EXPIRED:
            remedy = "renew it, or see to the clock of this machine"
        else:
            remedy = "name a file with the authority that signed it with --redis-ca-file"
        return f"Redis at {place} has a certificate that is not trusted ({why}); {remedy}."
    reason = (error.reason or str(error)).replace("_", " ").lower()
    if "alert" in reason:
        # A peer that sends an alert has looked at our certificate and refuses it.
        return (
            f"Redis at {place} wants another certificate of this farm ({reason}); "
            "name it by ?ssl_certfile=FILE&ssl_keyfile=FILE in --redis."
        )
    return f"Redis at {place} cannot be reached by TLS ({reason}); write redis:// if it does not speak TLS."


async def mismatch(url: str) -> str | None:
    """Say that one side speaks TLS and the other does not; None where that is not so, or there is no answer.

    Nothing secret is sent: a PING without TLS, or a handshake with TLS.
    """
    parts = urlsplit(url)
    if parts.scheme == "unix" or not parts.hostname:
        return None
    host, port = parts.hostname, parts.port or DEFAULT_PORT
    plain = f"{parts.scheme.replace('rediss', 'redis', 1)}://"
    place = f"{parts.scheme}://{host}:{port}"
    try:
        async with asyncio.timeout(PROBE_S):
            if parts.scheme.startswith("rediss"):
                if await _answers_plainly(host, port):
                    return f"Redis at {place} does not speak TLS; write {plain}, or give it a tls-port."
            elif await _speaks_tls(host, port):
                return f"Redis at {place} speaks TLS; write {plain.replace('redis', 'rediss', 1)} in --redis."
    except (OSError, TimeoutError):
        return None
    return None


async def _answers_plainly(host: str, port: int) -> bool:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(b"PING\r\n")
        return (await reader.read(64)).startswith(_SAYS_REDIS)
    finally:
        writer.close()


async def _speaks_tls(host: str, port: int) -> bool:
    """Whether a handshake gets as far as TLS goes: who refuses us for want of a certificate speaks it as well."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    _, writer = await asyncio.open_connection(host, port, ssl=context)
    writer.close()
    return True
