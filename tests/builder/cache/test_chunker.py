"""Chunks: laws, and what an edit costs."""

import io
import random
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builder.cache.chunker import MAX, MIN, WHOLE, boundaries, chunks


def split(data: bytes, step: int = 1 << 30) -> list[bytes]:
    stream = io.BytesIO(data)
    return list(chunks(lambda size: stream.read(min(size, step))))


def noise(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def text(size: int) -> bytes:
    words = [w.encode() for w in ["def", "return", "if", "else", "import", "from", "class", "self", "None", "True", "False", "for", "in", "while", "not", "and", "or", "value", "name", "size", "path"]]
    source = random.Random(3)
    return b" ".join(source.choice(words) for _ in range(size // 5))[:size]


@settings(max_examples=15)
@given(st.integers(0, 5 << 20), st.integers(0, 9))
def test_together_they_are_the_stream_and_none_is_too_large(size: int, seed: int) -> None:
    data = noise(size, seed)
    found = split(data)
    assert b"".join(found) == data
    assert all(len(c) <= MAX for c in found) and all(len(c) >= MIN for c in found[:-1])


@pytest.mark.parametrize("size", [0, 1, WHOLE])
def test_a_small_stream_is_one_chunk(size: int) -> None:
    assert [len(c) for c in split(noise(size))] == [size] * bool(size)


def test_reading_in_other_pieces_changes_nothing_small() -> None:
    data = noise(WHOLE // 2)
    assert split(data) == split(data, 1 << 16)


@pytest.mark.parametrize("make", [noise, text])
def test_the_average_is_about_a_mebibyte(make: object) -> None:
    found = split(make(24 << 20))                        # type: ignore[operator]
    assert 0.6 < (24 << 20) / len(found) / (1 << 20) < 1.6


@pytest.mark.parametrize("make", [noise, text])
@pytest.mark.parametrize("at", [0, 5_000_000, 11_999_999])
def test_an_insertion_costs_a_few_chunks(make: object, at: int) -> None:
    data = make(12 << 20)                                # type: ignore[operator]
    known = {sha256(c).digest() for c in split(data)}
    edited = data[:at] + b"something new" + data[at:]
    new = [c for c in split(edited) if sha256(c).digest() not in known]
    assert sum(map(len, new)) < 5 << 20


def test_data_without_a_single_candidate_is_cut_all_the_same() -> None:
    assert [len(c) for c in split(bytes(5 << 20))] == [MAX, MAX, 1 << 20]


@given(st.integers(0, 3 << 20))
@settings(max_examples=10)
def test_boundaries_end_at_the_end_or_leave_the_rest(size: int) -> None:
    data = noise(size)
    assert (boundaries(data, True) or [0])[-1] == size
    assert size - (boundaries(data, False) or [0])[-1] <= MAX
