"""Bodies without their content coding, in pieces: what is unpacked has a bound wherever the reader stops."""

import gzip
import zlib
from itertools import islice

import brotli
import pytest
from backports import zstd

from farm.egress.content_coding import MOST_FRAMES, Undecodable, decoded_pieces

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


NOTHING = {
    "gzip": (b"\x1f\x8b\x08" + bytes(6) + b"\xff", b"\0\0\0\xff\xff"),
    "deflate": (b"\x78\x9c", b"\0\0\0\xff\xff"),
    "br": (b"\x0c", b"\x06"),
    "zstd": (b"\x28\xb5\x2f\xfd\0\0", b"\0\0\0"),
}
"""The beginning of a body, and a block that is decoded to nothing."""


@pytest.mark.parametrize("coding", NOTHING)
def test_what_is_decoded_to_nothing_is_decoded_in_parts(coding: str) -> None:
    """A decoder may take seconds for it, and whatever waits for the loop would wait that long."""
    begin, block = NOTHING[coding]
    body = begin + block * (2**20 // len(block)) + (b"\x03" if coding == "br" else b"")
    pieces = [*decoded_pieces(body, coding)]
    assert (b"".join(pieces), len(pieces) >= 16) == (b"", True)


def test_a_bomb_between_two_codings_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page is nothing, and what it is packed from has no bound."""
    monkeypatch.setattr("farm.egress.content_coding.MOST_BETWEEN_BYTES", 10_000)
    begin, block = NOTHING["gzip"]
    assert [*decoded_pieces(gzip.compress(begin + block * 1_000), "gzip, gzip")] != []
    with pytest.raises(Undecodable, match="yields more than 10000"):
        list(decoded_pieces(gzip.compress(begin + block * 3_000), "gzip, gzip"))


def test_nothing_is_lost_where_a_piece_ends() -> None:
    """A few last bits may be many bytes, which are more than the piece that they begin in."""
    for size in range(2**18 - 3, 2**18 + 3_000, 61):
        packer = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
        body = packer.compress(b"a" * size) + packer.flush()
        assert sum(map(len, decoded_pieces(body, "deflate"))) == size


def test_zstandard_is_read_as_a_browser_reads_it() -> None:
    """All frames of a body, within a bound, and no window of more than 8 MiB."""
    assert b"".join(decoded_pieces(PACKED["zstd"] * 3, "zstd")) == TEXT * 3
    with pytest.raises(Undecodable, match="frames"):
        list(decoded_pieces(zstd.compress(b"") * (MOST_FRAMES + 1), "zstd"))
    packer = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: 24})
    with pytest.raises(Undecodable):
        list(decoded_pieces(packer.compress(TEXT) + packer.flush(), "zstd"))
