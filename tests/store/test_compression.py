"""Decompression of what others compress, and of what is meant to harm."""

import bz2
import gzip
import lzma
import zlib
from collections.abc import Callable

import pytest
from backports import zstd
from hypothesis import given
from hypothesis import strategies as st

from store.compression import compress_piece, decompress, detect, head, peek, tail
from store.errors import InvalidLayer

DATA = b"some text that repeats " * 5000 + bytes(range(256)) * 50
PACK: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "zstd": lambda data: zstd.compress(data, options={zstd.CompressionParameter.checksum_flag: 1}),
    "bzip2": bz2.compress, "xz": lzma.compress, "uncompressed": bytes}


def unpacked(data: bytes, kind: str, size: int = 1 << 16) -> bytes:
    return b"".join(decompress((data[at:at + size] for at in range(0, len(data), size)), kind))


@pytest.mark.parametrize("kind", PACK)
def test_decompress(kind: str) -> None:
    packed = PACK[kind](DATA)
    assert detect(packed[:6]) == kind
    assert unpacked(packed, kind) == DATA


@pytest.mark.parametrize("kind", PACK)
@pytest.mark.parametrize("size", [1, 100])
def test_decompress_in_small_chunks(kind: str, size: int) -> None:
    assert unpacked(PACK[kind](DATA), kind, size) == DATA


@pytest.mark.parametrize("kind", ["gzip", "zstd", "bzip2", "xz"])
def test_decompress_several_streams_one_after_the_other(kind: str) -> None:
    assert unpacked(PACK[kind](b"one") + PACK[kind](b"two"), kind) == b"onetwo"


@pytest.mark.parametrize("kind", ["gzip", "zstd", "bzip2", "xz"])
def test_decompress_zero_bytes_behind_are_padding(kind: str) -> None:
    assert unpacked(PACK[kind](b"one") + bytes(1000), kind) == b"one"


@pytest.mark.parametrize("kind", ["gzip", "zstd", "bzip2", "xz"])
def test_decompress_cut_stream_is_an_error(kind: str) -> None:
    with pytest.raises(InvalidLayer, match="middle"):
        unpacked(PACK[kind](DATA)[:-20], kind)


@pytest.mark.parametrize("kind", ["gzip", "zstd", "bzip2", "xz"])
def test_decompress_damaged_stream_is_an_error(kind: str) -> None:
    packed = bytearray(PACK[kind](DATA))
    packed[len(packed) // 2] ^= 0xFF
    packed[len(packed) // 2 + 1] ^= 0xFF
    with pytest.raises(InvalidLayer, match=r"damaged|middle"):
        unpacked(bytes(packed), kind)


@pytest.mark.parametrize("kind", ["gzip", "zstd", "bzip2", "xz"])
def test_decompress_rubbish_behind_is_an_error(kind: str) -> None:
    with pytest.raises(InvalidLayer, match=r"damaged|middle"):
        unpacked(PACK[kind](b"one") + b"rubbish", kind)


def test_decompress_gzip_with_a_wrong_checksum_is_an_error() -> None:
    packed = bytearray(gzip.compress(DATA))
    packed[-8] ^= 1
    with pytest.raises(InvalidLayer):
        unpacked(bytes(packed), "gzip")


def test_decompress_gives_a_bomb_in_small_pieces() -> None:
    bomb = gzip.compress(bytes(50 << 20))
    assert max(len(piece) for piece in decompress([bomb], "gzip")) <= 1 << 20


def test_decompress_refuses_a_window_that_fills_the_memory() -> None:
    packed = zstd.compress(bytes(1000) + DATA, options={zstd.CompressionParameter.window_log: 28, zstd.CompressionParameter.content_size_flag: 0,
                                                        zstd.CompressionParameter.enable_long_distance_matching: 1})
    frame = bytearray(packed)
    assert frame[4] & 0x20 == 0, "the frame has a window descriptor"
    frame[5] = (28 - 10) << 3
    with pytest.raises(InvalidLayer):
        unpacked(bytes(frame), "zstd")


def test_decompress_zstd_with_a_skippable_frame_first() -> None:
    skippable = b"\x50\x2a\x4d\x18" + (4).to_bytes(4, "little") + b"skip"
    assert detect(skippable) == "zstd"
    assert unpacked(skippable + zstd.compress(b"data"), "zstd") == b"data"


@pytest.mark.parametrize("level", [0, 1, 3, 6, 9])
def test_gzip_of_pieces_is_one_stream(level: int) -> None:
    pieces = [DATA, b"", b"x" * 100_000]
    data = b"".join(pieces)
    whole = head("gzip") + b"".join(compress_piece(p, "gzip", level) for p in pieces) + tail("gzip", zlib.crc32(data), len(data))
    assert gzip.decompress(whole) == data


def test_peek_loses_nothing() -> None:
    first, stream = peek([b"", b"ab", b"cdefgh", b"i"])
    assert (first, b"".join(stream)) == (b"abcdef", b"abcdefghi")
    assert peek([])[0] == b""


@given(st.binary(max_size=300), st.sampled_from(["gzip", "zstd", "bzip2", "xz"]))
def test_any_bytes_are_decompressed_or_refused(data: bytes, kind: str) -> None:
    try:
        unpacked(data, kind)
    except InvalidLayer as error:
        assert "\n" not in str(error)
