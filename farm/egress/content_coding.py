"""Decoding of the content codings that a browser accepts, piece by piece within a bound."""

import zlib
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

import brotli

try:
    from compression import zstd  # type: ignore[import-not-found,unused-ignore]
except ImportError:  # before Python 3.14
    from backports import zstd

ACCEPTED = "gzip, deflate, br, zstd"
"""Accept-Encoding of a browser over TLS."""
ACCEPTED_PLAIN = "gzip, deflate"
"""Accept-Encoding of a browser over plain HTTP, where intermediaries may break the other codings."""
MOST_BETWEEN_BYTES = 64 * 2**20
"""What one of several codings may yield for the next: the end may be a few bytes, whatever is between."""
MOST_FRAMES = 1_000
"""Frames of Zstandard in one body: each takes time, also an empty one."""
_PIECE_BYTES = 256 * 1024
_FED_BYTES = 64 * 1024
"""A decoder gets so much at a time: it may take long for what it decodes to nothing."""
_MOST_CODINGS = 3
"""More codings in a row are only used to do harm."""
_ZLIB_METHOD = 8
_ZSTD_WINDOW_LOG = 23
"""As in a browser; it is 8 MiB of memory."""
_GZIP_MAGIC = b"\x1f\x8b"
_PLAIN = frozenset({"", "identity"})


class Undecodable(Exception):
    """A body does not have the coding that its head declares."""


def decoded_pieces(body: bytes, coding: str) -> Iterator[bytes]:
    """Yield the decoded body, in pieces of about 256 KiB; an empty piece says that there is nothing yet.

    `coding` is the value of `Content-Encoding`. An incomplete body is decoded as far as possible; a body that is
    declared as gzip but is not compressed is passed unchanged, as in a browser. Raises Undecodable.
    """
    codings = [one for part in coding.lower().split(",") if (one := part.strip()) not in _PLAIN]
    if len(codings) > _MOST_CODINGS:
        raise Undecodable(f"it has {len(codings)} content codings")
    pieces: Iterator[bytes] = (body[at : at + _FED_BYTES] for at in range(0, len(body), _FED_BYTES))
    for number, one in enumerate(reversed(codings)):
        pieces = _undone(_bounded(pieces) if number else pieces, one)
    try:
        yield from pieces
    except (zlib.error, brotli.error, zstd.ZstdError, EOFError) as error:
        raise Undecodable(f"it is not of the content coding {coding[:40]!r}") from error


def _bounded(pieces: Iterable[bytes]) -> Iterator[bytes]:
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > MOST_BETWEEN_BYTES:
            raise Undecodable(f"one of its content codings yields more than {MOST_BETWEEN_BYTES} bytes")
        yield piece


def _undone(pieces: Iterator[bytes], coding: str) -> Iterator[bytes]:
    first = b""
    for first in pieces:
        if first:
            break
        yield first
    if not first:
        return
    whole = chain((first,), pieces)
    match coding:
        case "gzip" | "x-gzip" if first.startswith(_GZIP_MAGIC):
            yield from _by_zlib(whole, 16 + zlib.MAX_WBITS)
        case "gzip" | "x-gzip":
            yield from whole
        case "deflate":
            # Some write it with a head of zlib's, and some without.
            has_head = first[0] & 0x0F == _ZLIB_METHOD
            yield from _by_zlib(whole, zlib.MAX_WBITS if has_head else -zlib.MAX_WBITS)
        case "br":
            yield from _by_brotli(whole)
        case "zstd":
            yield from _by_zstd(whole)
        case _:
            raise Undecodable(f"its content coding {coding[:40]!r} is unknown")


def _by_zlib(pieces: Iterable[bytes], bits: int) -> Iterator[bytes]:
    inner: Any = zlib.decompressobj(bits)
    for piece in pieces:
        data, is_full = piece, True
        while (data or is_full) and not inner.eof:
            decoded = inner.decompress(data, _PIECE_BYTES)
            yield decoded
            # There may be more than a piece although all of the data is taken.
            data, is_full = inner.unconsumed_tail, len(decoded) == _PIECE_BYTES
        if inner.eof:
            return


def _by_brotli(pieces: Iterable[bytes]) -> Iterator[bytes]:
    inner = brotli.Decompressor()
    is_empty = True
    for piece in pieces:
        if inner.is_finished():
            return
        decoded = inner.process(piece, output_buffer_limit=_PIECE_BYTES)
        yield decoded
        # It returns buffered output as long as it has some, even if it would accept more input.
        while decoded:
            is_empty = False
            if decoded := inner.process(b"", output_buffer_limit=_PIECE_BYTES):
                yield decoded
    if is_empty and not inner.is_finished():
        raise Undecodable("it is not of the content coding br")


def _by_zstd(pieces: Iterable[bytes]) -> Iterator[bytes]:
    inner, frames = _zstd_decoder(), 1
    for piece in pieces:
        data, goes_on = piece, True
        while goes_on:
            if inner.eof and data:
                inner, frames = _zstd_decoder(), frames + 1
                if frames > MOST_FRAMES:
                    raise Undecodable(f"it has more than {MOST_FRAMES} frames")
            if inner.eof:
                break
            yield inner.decompress(data, _PIECE_BYTES)
            data = inner.unused_data if inner.eof else b""
            goes_on = bool(data) or not (inner.eof or inner.needs_input)


def _zstd_decoder() -> Any:
    return zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: _ZSTD_WINDOW_LOG})
