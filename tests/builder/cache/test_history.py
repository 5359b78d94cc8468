"""Histories and marshal data of strangers."""

import marshal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.cache.errors import InvalidCache
from builder.cache.history import History, pack, unpack
from builder.cache.plainmarshal import is_plain
from store.compression import compress_piece
from store.digest import Digest, digest_of

scalars = st.none() | st.booleans() | st.integers(-(1 << 200), 1 << 200) | st.floats(allow_nan=False) | st.binary() | st.text()
values = st.recursive(scalars, lambda inner: st.lists(inner) | st.lists(inner).map(tuple), max_leaves=30)


@given(values)
def test_every_plain_value_passes(value: Any) -> None:
    assert is_plain(marshal.dumps(value, 2))


@given(values, st.data())
def test_cut_or_lengthened_data_does_not_pass(value: Any, data: st.DataObject) -> None:
    packed = marshal.dumps(value, 2)
    assert not is_plain(packed[:data.draw(st.integers(0, len(packed) - 1))])
    assert not is_plain(packed + b"N")


@given(st.binary(max_size=200))
def test_whatever_passes_can_be_read_or_is_refused_by_marshal(data: bytes) -> None:
    if is_plain(data):
        try:
            marshal.loads(data)
        except (ValueError, EOFError, TypeError):
            pass


@pytest.mark.parametrize("data", [
    marshal.dumps(compile("1", "x", "eval"), 2), marshal.dumps({}, 2), marshal.dumps(frozenset((1,)), 2), b"r\0\0\0\0", b"R\0\0\0\0", b"c" + bytes(64),
    b"(\xff\xff\xff\x7f", b"s\xff\xff\xff\xff", b"(\x01\0\0\0" * 100_000 + b"N", b"l\xff\xff\xff\x7f", b""])
def test_code_references_and_lengths_out_of_nowhere_do_not_pass(data: bytes) -> None:
    assert not is_plain(data)


# ---------------------------------------------------------------- histories
PARTS = marshal.dumps((1, ("RunOp", (("argv", ("/bin/sh", "-c", "x")), ("env", (("A", "1"),)))), ("sha256:x", None)), 2)
TOP = marshal.dumps([("", [("", b"\0" * 32), ("a/", b"\1" * 32)])], 2)
ROWS = marshal.dumps([("f", 0o100644, 0, 0, 3, 0, "", (), b"\2" * 32)], 2)


def named(*kept: bytes) -> dict[Digest, bytes]:
    return {digest_of(data): data for data in kept}


def test_what_is_packed_is_unpacked() -> None:
    history = History({digest_of(b"k"): PARTS}, named(TOP, ROWS))
    assert unpack(pack(history), "it") == history


def test_the_same_history_gives_the_same_bytes() -> None:
    assert pack(History({digest_of(b"a"): PARTS, digest_of(b"b"): PARTS})) == pack(History({digest_of(b"b"): PARTS, digest_of(b"a"): PARTS}))


@pytest.mark.parametrize("parts", [
    b"", marshal.dumps(1, 2), marshal.dumps((1, ("RunOp", ()), ()), 4), marshal.dumps((1, ("RunOp", (("argv", 1),)), ()), 2),
    marshal.dumps((1, ("RunOp", (("env", ((1, 2),)),)), ()), 2), marshal.dumps(("1", ("RunOp", ()), ()), 2), marshal.dumps((1, ("RunOp", ()), (1,)), 2)])
def test_parts_of_another_form_are_left_out(parts: bytes) -> None:
    assert unpack(pack(History({digest_of(b"k"): parts})), "it").parts == {}


def test_manifests_that_are_not_what_they_are_called_are_left_out() -> None:
    assert unpack(pack(History({}, {digest_of(b"other"): TOP})), "it").kept == {}


@pytest.mark.parametrize("value", [1, (1, 2), [("a", 1)], [("a", [("b", "c")])], [("f", "mode", 0, 0, 0, 0, "", (), b"")]])
def test_manifests_of_another_form_are_left_out(value: Any) -> None:
    assert unpack(pack(History({}, named(marshal.dumps(value, 2)))), "it").kept == {}


@pytest.mark.parametrize("data", [b"", b"x", compress_piece(b"\xff", "zstd", 3), compress_piece(bytes(200 << 20), "zstd", 3)])
def test_what_is_no_history_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidCache):
        unpack(data, "it")
