"""The content store: what has a digest's name has its bytes, whatever happened on the way."""

import os

import pytest

from store.blobs import Blobs
from store.digest import Digest, digest_of
from store.errors import BlobMissing, DigestMismatch, InvalidDigest, SizeMismatch, StoreError
from store.store import Store

OTHER = digest_of(b"other")


@pytest.fixture
def blobs(store: Store) -> Blobs:
    return store.blobs


def debris(store: Store) -> list[str]:
    return os.listdir(f"{store.root.path}/tmp") + os.listdir(f"{store.root.path}/blobs/sha256")


def test_put_and_read(blobs: Blobs) -> None:
    digest = blobs.put(b"content")
    assert (digest, blobs.read(digest, 100), blobs.size(digest), blobs.has(digest)) == (digest_of(b"content"), b"content", 7, True)


def test_put_twice_is_once(blobs: Blobs) -> None:
    blobs.put(b"content")
    before = os.stat(blobs.path(digest_of(b"content"))).st_ino
    blobs.put(b"content")
    assert os.stat(blobs.path(digest_of(b"content"))).st_ino == before


def test_put_over_a_torn_file_repairs_it(blobs: Blobs) -> None:
    digest = blobs.put(b"content")
    os.chmod(blobs.path(digest), 0o600)
    os.truncate(blobs.path(digest), 3)
    assert blobs.read(blobs.put(b"content"), 100) == b"content"


def test_put_stream_of_what_was_promised(blobs: Blobs) -> None:
    assert blobs.put_stream([b"con", b"tent"], digest_of(b"content"), 7) == (digest_of(b"content"), 7)


def test_put_stream_of_something_else_leaves_nothing(blobs: Blobs, store: Store) -> None:
    with pytest.raises(DigestMismatch) as caught:
        blobs.put_stream([b"content"], OTHER)
    assert (caught.value.want, caught.value.got) == (OTHER, digest_of(b"content"))
    assert debris(store) == []


@pytest.mark.parametrize("size", [6, 8])
def test_put_stream_of_another_size_leaves_nothing(blobs: Blobs, store: Store, size: int) -> None:
    with pytest.raises(SizeMismatch):
        blobs.put_stream([b"content"], digest_of(b"content"), size)
    assert debris(store) == []


def test_put_stream_stops_when_more_comes_than_was_promised(blobs: Blobs) -> None:
    def endless() -> "object":
        while True:
            yield b"x" * 1000

    with pytest.raises(SizeMismatch):
        blobs.put_stream(endless(), OTHER, 10_000)  # type: ignore[arg-type]


def test_writer_left_without_commit_leaves_nothing(blobs: Blobs, store: Store) -> None:
    with blobs.writer() as writer:
        writer.write(b"half")
    assert debris(store) == []


def test_blob_cannot_be_written_to(blobs: Blobs) -> None:
    assert os.stat(blobs.path(blobs.put(b"x"))).st_mode & 0o777 == 0o400


def test_read_has_a_limit(blobs: Blobs) -> None:
    with pytest.raises(SizeMismatch):
        blobs.read(blobs.put(b"content"), 6)


def test_read_of_what_the_disk_has_changed_is_an_error(blobs: Blobs) -> None:
    digest = blobs.put(b"content")
    os.chmod(blobs.path(digest), 0o600)
    with open(blobs.path(digest), "r+b") as file:
        file.write(b"C")
    with pytest.raises(DigestMismatch):
        blobs.read(digest, 100)
    with pytest.raises(DigestMismatch):
        blobs.copy(digest, lambda data: None)


def test_missing_blob(blobs: Blobs) -> None:
    assert (blobs.size(OTHER), blobs.has(OTHER)) == (None, False)
    with pytest.raises(BlobMissing):
        blobs.open(OTHER)
    blobs.delete(OTHER)


@pytest.mark.parametrize("name", ["sha256:../../format", "../format", "sha256:" + "." * 64])
def test_digest_cannot_lead_elsewhere(blobs: Blobs, name: str) -> None:
    for call in (blobs.path, blobs.size, blobs.open, blobs.delete):
        with pytest.raises(InvalidDigest):
            call(Digest(name))


def test_link_in_place_of_a_blob_is_not_followed(blobs: Blobs) -> None:
    os.symlink("/etc/passwd", blobs.path(OTHER))
    with pytest.raises(OSError, match="symbolic"):
        blobs.open(OTHER)


def test_full_disk_is_one_clear_error(blobs: Blobs) -> None:
    with pytest.raises(StoreError, match="no space left"), blobs.writer() as writer:
        os.dup2(os.open("/dev/full", os.O_WRONLY), writer.fd)
        writer.write(b"x")


def test_all_lists_digests(blobs: Blobs) -> None:
    assert blobs.all() == [] and blobs.put(b"1") and blobs.put(b"2")
    assert blobs.all() == sorted([digest_of(b"1"), digest_of(b"2")])


def test_many_processes_put_the_same(store: Store) -> None:
    data = [b"%d" % n * 10_000 for n in range(20)]
    pids = []
    for _ in range(6):
        pid = os.fork()
        if not pid:
            status = 1
            try:
                for item in data:
                    store.blobs.put(item)
                status = 0
            finally:
                os._exit(status)
        pids.append(pid)
    assert [os.waitpid(pid, 0)[1] for pid in pids] == [0] * 6
    assert [store.blobs.read(digest_of(item), 1 << 20) for item in data] == data
