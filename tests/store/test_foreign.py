"""Layers in the seekable forms of others: read as what they are, a tar in pieces of gzip or zstd with something behind it."""

import gzip
import io
import json
import struct
import tarfile
from collections.abc import Callable

import pytest
from backports import zstd

from store.digest import Digest, digest_of
from store.errors import DigestMismatch
from store.images import Layer
from store.ingest import Promise, ingest
from store.presence import from_blob
from store.store import Store
from tests.store.making import member, tar_of

ENTRIES = (member("bin", tarfile.DIRTYPE), member("bin/tool", content=b"\x7fELF" + bytes(70_000)), member("etc/name", content=b"here"))
TAR = tar_of(*ENTRIES)
BODY = TAR.rstrip(b"\0") + bytes(-len(TAR.rstrip(b"\0")) % 512)           # up to the end mark


def skippable(data: bytes) -> bytes:
    return struct.pack("<II", 0x184D2A50, len(data)) + data


def chunked(tar: bytes) -> bytes:
    """As podman writes zstd:chunked: a frame for each part, then the table of contents and a footer in skippable frames."""
    frames = b"".join(zstd.compress(tar[at:at + 1024]) for at in range(0, len(tar), 1024))
    table = zstd.compress(json.dumps({"version": 1, "entries": []}).encode())
    return frames + skippable(table) + skippable(struct.pack("<QQQQ", len(frames) + 8, len(table), 40, 1) + b"GnUlInUx")


def stargz(tar: bytes) -> bytes:
    """As eStargz: a gzip member for each part, one for the table of contents, and an empty one that says where that is."""
    parts = b"".join(gzip.compress(tar[at:at + 1024]) for at in range(0, len(tar), 1024))
    footer = b"\x1f\x8b\x08\x04\0\0\0\0\0\xff" + struct.pack("<H", 26) + b"SG" + struct.pack("<H", 22) + b"%016xSTARGZ" % len(parts)
    return parts + footer + b"\x01\0\0\xff\xff" + bytes(8)


def taken_in(store: Store, blob: bytes, diff_id: Digest) -> Layer:
    return ingest(store, [blob[at:at + 700] for at in range(0, len(blob), 700)], Promise(diff_id, digest_of(blob), len(blob)), ())


def written(store: Store, layer: Layer) -> bytes:
    out = io.BytesIO()
    store.layerblobs.write_tar(layer, out.write)
    return out.getvalue()


@pytest.mark.parametrize("form", [chunked, stargz])
def test_seekable_layer_is_read_as_plain(store: Store, form: Callable[[bytes], bytes]) -> None:
    layer = taken_in(store, form(TAR), digest_of(TAR))
    with store.view((layer,)) as view:
        assert view.read("etc/name", 10) == b"here"
    assert written(store, layer) == TAR


@pytest.mark.parametrize("end", [1024, 1024 + -(len(BODY) + 1024) % 10240])
def test_end_of_the_tar_that_a_blob_leaves_out_is_counted_in(store: Store, end: int) -> None:
    whole = BODY + bytes(end)
    layer = taken_in(store, chunked(BODY), digest_of(whole))
    assert layer.diff_id == digest_of(whole) and written(store, layer) == whole
    assert store.layerblobs.tar_size(layer) == len(whole)
    again = from_blob(store, store.layerblobs.of(layer.diff_id)[0], (), remember=False)
    assert again.diff_id == layer.diff_id
    repacked = store.layerblobs.ensure(layer, "gzip")
    assert gzip.decompress(store.blobs.read(repacked.digest, 1 << 20)) == whole


def test_other_bytes_behind_a_tar_are_not_made_up(store: Store) -> None:
    with pytest.raises(DigestMismatch):
        taken_in(store, chunked(BODY), digest_of(BODY + bytes(512)))


def test_tar_that_is_no_blob_of_another_form_has_to_be_whole(store: Store) -> None:
    """Its digest is its diff ID: zeros that are not there would be in the store's name for it."""
    with pytest.raises(DigestMismatch):
        ingest(store, [BODY], Promise(digest_of(BODY + bytes(1024))), ())
    assert not store.blobs.has(digest_of(BODY + bytes(1024)))
