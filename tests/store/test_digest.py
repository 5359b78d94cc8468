"""Digests are text of one strict form."""

import hashlib

import pytest

from store.digest import Hasher, digest_of, from_raw, hex_of, is_digest, parse_digest
from store.errors import InvalidDigest

GOOD = "sha256:" + "0123456789abcdef" * 4


def test_digest_of_bytes() -> None:
    assert digest_of(b"abc") == "sha256:" + hashlib.sha256(b"abc").hexdigest()


def test_digest_from_raw_bytes() -> None:
    assert from_raw(hashlib.sha256(b"abc").digest()) == digest_of(b"abc")


def test_hasher_counts_and_digests_what_came_in_parts() -> None:
    hasher = Hasher()
    hasher.update(b"ab")
    hasher.update(memoryview(b"c"))
    assert (hasher.digest(), hasher.size) == (digest_of(b"abc"), 3)


@pytest.mark.parametrize("bad", ["", "sha256:", GOOD[:-1], GOOD + "0", GOOD.upper(), GOOD.replace("sha256", "sha512"), "sha256:" + "../" * 21 + "a",
                                 GOOD + "\n", "sha256:" + "g" * 64])
def test_digest_that_is_none_is_refused(bad: str) -> None:
    assert not is_digest(bad)
    with pytest.raises(InvalidDigest):
        parse_digest(bad)
    with pytest.raises(InvalidDigest):
        hex_of(bad)  # type: ignore[arg-type]


def test_digest_that_is_one_is_taken() -> None:
    assert parse_digest(GOOD) == GOOD
    assert hex_of(parse_digest(GOOD)) == GOOD[7:]
