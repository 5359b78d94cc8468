"""OCI layouts as directories: written, added to, read by others; nothing is followed, nothing half-written."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from store.archivewriter import Chosen
from store.digest import Digest, digest_of
from store.document import Packing
from store.errors import BlobMissing, DigestMismatch, InvalidArchive, InvalidImage, SizeMismatch
from store.layout import Layout, write_layout
from store.oci import OCI_MANIFEST, Descriptor, Index
from store.store import Store
from tests.store.making import image_of

NAME = "docker.io/library/x:1"


def names(path: Path) -> list[str]:
    return [m["annotations"]["io.containerd.image.name"] for m in json.loads((path / "index.json").read_text())["manifests"]]


def test_layout_of_an_image(store: Store, tmp_path: Path) -> None:
    image = image_of(store, {"a": b"1" * 5000})
    descriptor, = write_layout(store, (Chosen(image, (NAME,)),), str(tmp_path / "l"), Packing("uncompressed"))
    assert (tmp_path / "l/oci-layout").read_bytes() == b'{"imageLayoutVersion":"1.0.0"}'
    assert names(tmp_path / "l") == [NAME]
    blobs = {p.name: digest_of(p.read_bytes())[7:] for p in (tmp_path / "l/blobs/sha256").iterdir()}
    assert len(blobs) == 3 and descriptor.digest[7:] in blobs
    assert all(name == digest for name, digest in blobs.items())


def test_layout_is_added_to(store: Store, tmp_path: Path) -> None:
    one, two = image_of(store, {"a": b"1"}), image_of(store, {"a": b"2"})
    write_layout(store, (Chosen(one, (NAME,)), ), str(tmp_path / "l"))
    write_layout(store, (Chosen(two, ("reg.io/y:2",)),), str(tmp_path / "l"))
    assert names(tmp_path / "l") == [NAME, "reg.io/y:2"]
    write_layout(store, (Chosen(two, (NAME,)),), str(tmp_path / "l"))
    assert names(tmp_path / "l") == ["reg.io/y:2", NAME]


def test_layout_image_without_a_name_is_there_once(store: Store, tmp_path: Path) -> None:
    image = image_of(store, {"a": b"1"})
    for _ in range(2):
        write_layout(store, (Chosen(image, ()),), str(tmp_path / "l"))
    with Layout(str(tmp_path / "l")) as layout:
        assert len(layout.index().manifests) == 1


def test_blobs_of_a_layout_are_verified(tmp_path: Path) -> None:
    with Layout(str(tmp_path), create=True) as layout:
        digest = layout.put(b"content")
        good = Descriptor("x", digest, 7)
        assert layout.read(good, 100) == b"content"
        with pytest.raises(SizeMismatch):
            layout.read(Descriptor("x", digest, 6), 100)
        with pytest.raises(InvalidImage, match="more than"):
            layout.read(good, 5)
        with pytest.raises(BlobMissing):
            layout.read(Descriptor("x", digest_of(b"other"), 5), 100)
        (tmp_path / "blobs/sha256" / digest[7:]).write_bytes(b"CONTENT")
        with pytest.raises(DigestMismatch):
            layout.read(good, 100)


def test_blob_that_is_not_what_it_should_be_leaves_nothing(tmp_path: Path) -> None:
    with Layout(str(tmp_path), create=True) as layout, pytest.raises(DigestMismatch):
        layout.put_stream(digest_of(b"x"), 1, lambda write: write(b"y"))
    assert os.listdir(tmp_path / "blobs/sha256") == []


def test_blob_is_not_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "victim").write_bytes(b"precious")
    digest = digest_of(b"content")
    with Layout(str(tmp_path / "l"), create=True) as layout:
        os.symlink(tmp_path / "victim", tmp_path / "l/blobs/sha256" / digest[7:])
        layout.put(b"content")
        assert layout.read(Descriptor("x", digest, 7), 100) == b"content"
    assert (tmp_path / "victim").read_bytes() == b"precious"


@pytest.mark.parametrize("name", ["blobs", "blobs/sha256"])
def test_layout_with_a_link_for_a_directory_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "l").mkdir()
    if name != "blobs":
        (tmp_path / "l/blobs").mkdir()
    (tmp_path / "l" / name).symlink_to(tmp_path / "outside")
    with pytest.raises(InvalidArchive):
        Layout(str(tmp_path / "l"), create=True)
    assert os.listdir(tmp_path / "outside") == []


def test_layout_that_is_none_is_one_clear_error(tmp_path: Path) -> None:
    for path in (tmp_path / "missing", tmp_path):
        with pytest.raises(InvalidArchive):
            Layout(str(path))


def test_index_that_two_change_at_once_loses_nothing(tmp_path: Path) -> None:
    def add(number: int) -> None:
        with Layout(str(tmp_path), create=True) as layout:
            layout.change_index(lambda old: Index(schema_version=2, manifests=(*old.manifests, Descriptor(OCI_MANIFEST, digest_of(b"%d" % number), number))))

    pids = []
    for number in range(12):
        pid = os.fork()
        if not pid:
            status = 1
            try:
                add(number)
                status = 0
            finally:
                os._exit(status)
        pids.append(pid)
    assert [os.waitpid(pid, 0)[1] for pid in pids] == [0] * 12
    with Layout(str(tmp_path)) as layout:
        assert sorted(d.size for d in layout.index().manifests) == list(range(12))
    assert not [n for n in os.listdir(tmp_path) if n.startswith(".")]


@pytest.mark.skipif(not shutil.which("skopeo"), reason="skopeo is not installed")
@pytest.mark.parametrize("compression", ["uncompressed", "gzip", "zstd"])
def test_skopeo_reads_the_layout(store: Store, tmp_path: Path, compression: str) -> None:
    image = image_of(store, {"a": b"1" * 5000}, cmd=("sh",))
    write_layout(store, (Chosen(image, (NAME,)),), str(tmp_path / "l"), Packing(compression))
    said = json.loads(subprocess.run(["skopeo", "inspect", "--config", f"oci:{tmp_path}/l:1"], capture_output=True, check=True).stdout)
    assert (said["config"]["Cmd"], said["rootfs"]["diff_ids"]) == (["sh"], [layer.diff_id for layer in store.images.layers(image)])
    subprocess.run(["skopeo", "--insecure-policy", "copy", "-q", f"oci:{tmp_path}/l:1", f"dir:{tmp_path}/d"], capture_output=True, check=True)


def test_packing_again_gives_the_same_manifest(store: Store, tmp_path: Path) -> None:
    image = image_of(store, {"a": b"1" * 5000})
    for compression in ("gzip", "zstd", "uncompressed"):
        found: set[Digest] = set()
        for number in range(2):
            descriptor, = write_layout(store, (Chosen(image, ()),), str(tmp_path / f"{compression}{number}"), Packing(compression, forced=True))
            found.add(descriptor.digest)
        assert len(found) == 1
