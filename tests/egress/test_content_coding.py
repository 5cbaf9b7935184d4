"""Bodies without their content coding, in pieces: what is unpacked has a bound wherever the reader stops."""

import gzip
import zlib
from itertools import islice

import brotli
import pytest
from backports import zstd

from farm.egress.content_coding import Undecodable, decoded_pieces

TEXT = b"<p>Bread, and more bread.</p>" * 40_000
RAW = zlib.compressobj(wbits=-15)
RAW_DEFLATE = RAW.compress(TEXT) + RAW.flush()
PACKED = {
    "gzip": gzip.compress(TEXT),
    "x-gzip": gzip.compress(TEXT),
    "deflate": zlib.compress(TEXT),
    "Deflate": RAW_DEFLATE,
    "br": brotli.compress(TEXT, quality=1),
    "zstd": zstd.compress(TEXT),
    "identity": TEXT,
    "gzip, br": brotli.compress(gzip.compress(TEXT), quality=1),
    " BR , identity": brotli.compress(TEXT, quality=1),
}


@pytest.mark.parametrize("coding", PACKED)
def test_a_body_is_what_it_was(coding: str) -> None:
    """By every coding that is requested, one upon the other too, and `deflate` in both of its forms."""
    assert b"".join(decoded_pieces(PACKED[coding], coding)) == TEXT


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
def test_the_end_may_be_missing(coding: str) -> None:
    """There is what there is of it: a connection broke."""
    half = b"".join(decoded_pieces(PACKED[coding][:-20], coding))
    assert TEXT.startswith(half)


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
def test_no_more_is_unpacked_than_is_read(coding: str) -> None:
    """A piece has some 256 KiB, however much the packed one grows to."""
    bomb = {"gzip": gzip.compress, "br": lambda data: brotli.compress(data, quality=1), "zstd": zstd.compress}
    pieces = islice(decoded_pieces(bomb[coding](bytes(64 * 2**20)), coding), 4)
    assert all(len(piece) <= 2**19 for piece in pieces)


def test_what_is_said_to_be_packed_and_is_not_is_taken_as_it_is() -> None:
    """As a browser takes it, of gzip; an empty body is empty by any coding."""
    assert b"".join(decoded_pieces(b"plain", "gzip")) == b"plain"
    assert [b"".join(decoded_pieces(b"", coding)) for coding in ("gzip", "br", "zstd")] == [b"", b"", b""]


@pytest.mark.parametrize(
    ("body", "coding"),
    [(b"plain", "br"), (b"plain", "zstd"), (b"xplain", "deflate"), (b"x", "compress"), (b"x", "br,br,br,br")],
)
def test_what_cannot_be_unpacked_is_said(body: bytes, coding: str) -> None:
    """One error for all of them."""
    with pytest.raises(Undecodable):
        list(decoded_pieces(body, coding))
