"""Decoding of the content codings that a browser accepts, piece by piece within a bound."""

import zlib
from collections.abc import Iterator
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
_PIECE_BYTES = 256 * 1024
_MOST_CODINGS = 3
"""More codings in a row are only used to do harm."""
_ZLIB_METHOD = 8
_GZIP_MAGIC = b"\x1f\x8b"
_PLAIN = frozenset({"", "identity"})


class Undecodable(Exception):
    """A body does not have the coding that its head declares."""


def decoded_pieces(body: bytes, coding: str) -> Iterator[bytes]:
    """Yield the decoded body, in pieces of about 256 KiB.

    `coding` is the value of `Content-Encoding`. An incomplete body is decoded as far as possible; a body that is
    declared as gzip but is not compressed is passed unchanged, as in a browser. Raises Undecodable.
    """
    codings = [one for part in coding.lower().split(",") if (one := part.strip()) not in _PLAIN]
    if len(codings) > _MOST_CODINGS:
        raise Undecodable(f"it has {len(codings)} content codings")
    pieces: Iterator[bytes] = iter((body,) if body else ())
    for one in reversed(codings):
        pieces = _undone(pieces, one)
    try:
        yield from pieces
    except (zlib.error, brotli.error, zstd.ZstdError, EOFError) as error:
        raise Undecodable(f"it is not of the content coding {coding[:40]!r}") from error


def _undone(pieces: Iterator[bytes], coding: str) -> Iterator[bytes]:
    first = next(pieces, b"")
    if not first:
        return
    match coding:
        case "gzip" | "x-gzip" if first.startswith(_GZIP_MAGIC):
            yield from _by_zlib(first, pieces, 16 + zlib.MAX_WBITS)
        case "gzip" | "x-gzip":
            yield first
            yield from pieces
        case "deflate":
            # Some write it with a head of zlib's, and some without.
            has_head = first[0] & 0x0F == _ZLIB_METHOD
            yield from _by_zlib(first, pieces, zlib.MAX_WBITS if has_head else -zlib.MAX_WBITS)
        case "br":
            yield from _by_brotli(first, pieces)
        case "zstd":
            yield from _by_zstd(first, pieces)
        case _:
            raise Undecodable(f"its content coding {coding[:40]!r} is unknown")


def _by_zlib(first: bytes, more: Iterator[bytes], bits: int) -> Iterator[bytes]:
    inner: Any = zlib.decompressobj(bits)
    data = first
    while not inner.eof:
        while data and not inner.eof:
            yield inner.decompress(data, _PIECE_BYTES)
            data = inner.unconsumed_tail
        data = next(more, b"")
        if not data:
            return


def _by_brotli(first: bytes, more: Iterator[bytes]) -> Iterator[bytes]:
    inner = brotli.Decompressor()
    data, is_empty = first, True
    while data and not inner.is_finished():
        # It returns buffered output as long as it has some, even if it would accept more input.
        while piece := inner.process(data, output_buffer_limit=_PIECE_BYTES):
            yield piece
            data, is_empty = b"", False
        data = next(more, b"")
    if is_empty and not inner.is_finished():
        raise Undecodable("it is not of the content coding br")


def _by_zstd(first: bytes, more: Iterator[bytes]) -> Iterator[bytes]:
    inner = zstd.ZstdDecompressor()
    data = first
    while data and not inner.eof:
        yield inner.decompress(data, _PIECE_BYTES)
        while not inner.needs_input and not inner.eof:
            yield inner.decompress(b"", _PIECE_BYTES)
        data = next(more, b"")
