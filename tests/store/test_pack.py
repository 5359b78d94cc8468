"""Layer tars and blobs: read by others, the same bytes whatever was reused and however many threads there were."""

import gzip
import io
import os
import shutil
import subprocess
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from store.compression import crc32_combine, decompress
from store.digest import digest_of
from store.errors import InvalidLayer, StoreError
from store.pack import PIECE_MAX, Packed, diff_id, plan, repack, tar_size, write_blob, write_tar
from store.store import Store
from store.tree import OPAQUE, digest, scan
from tests.store.making import layer_of, write_files

if TYPE_CHECKING:
    from store.tree import Tree


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A tree with a bit of everything, large enough for several pieces."""
    top = tmp_path / "source"
    write_files(top, {f"d{n % 7}/f{n}": os.urandom(1) * (n * 997 % 90_000) + b"%d" % n for n in range(200)})
    write_files(top, {"large": b"0123456789abcdef" * (PIECE_MAX // 16 * 2 + 5), "empty": b"", "ü/" + "n" * 120: b"long"})
    (top / "link").symlink_to("x" * 150)
    os.link(top / "large", top / "d0/same")
    os.mkfifo(top / "fifo")
    os.setxattr(top / "empty", "user.a", b"1\n2")
    os.utime(top / "empty", ns=(0, -5_000_000_000))
    return top


def tar(source: Path) -> bytes:
    out = io.BytesIO()
    write_tar(scan(str(source)), (str(source),), out.write)
    return out.getvalue()


def blob(source: Path, compression: str = "gzip", **options: object) -> tuple[Packed, bytes]:
    out = io.BytesIO()
    packed = write_blob(scan(str(source)), (str(source),), out.write, compression, **options)  # type: ignore[arg-type]
    return packed, out.getvalue()


def test_tar_is_what_python_reads(source: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(tar(source))) as archive:
        found = {m.name: m for m in archive}
        assert set(found) == {str(p.relative_to(source)) for p in source.rglob("*")}
        large = archive.extractfile("large") or pytest.fail("no content")
        assert large.read() == (source / "large").read_bytes()
    assert (found["link"].linkname, found["empty"].mtime, found["fifo"].isfifo()) == ("x" * 150, -5, True)
    assert found["empty"].pax_headers["SCHILY.xattr.user.a"] == "1\n2"
    assert (found["d0/same"].islnk(), found["d0/same"].linkname) == (True, "large")
    assert {m.uname + m.gname for m in found.values()} == {""}


@pytest.mark.skipif(not shutil.which("tar"), reason="GNU tar is not installed")
def test_tar_is_what_gnu_tar_unpacks(source: Path, tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    done = subprocess.run(["tar", "-x", "--xattrs", "--xattrs-include=user.*", "-C", str(tmp_path / "copy")], input=tar(source), capture_output=True)
    assert done.returncode == 0, done.stderr
    assert digest(scan(str(tmp_path / "copy"))) == digest(scan(str(source)))


def test_tar_size_is_known_before(source: Path) -> None:
    assert tar_size(plan(scan(str(source)))) == len(tar(source))


def test_diff_id_is_the_digest_of_the_tar(source: Path) -> None:
    assert diff_id(scan(str(source)), (str(source),)) == digest_of(tar(source))


def test_empty_layer_is_two_blocks() -> None:
    assert diff_id({"": []}, ()) == digest_of(bytes(1024))


def test_whiteouts_are_those_of_the_image_spec() -> None:
    tree: "Tree" = {"d/": [], "": [("d", (0o040755, 0, 0, 0, 1, 0, 0, 2, 0), "", (OPAQUE,), b""),
                                   ("gone", (0o020000, 0, 7, 0, 2, 0, 0, 1, 0), "", (), b"")]}
    out = io.BytesIO()
    write_tar(tree, (), out.write)
    out.seek(0)
    with tarfile.open(fileobj=out) as archive:
        assert [(m.name, m.size, m.mtime, m.pax_headers) for m in archive] == [("d", 0, 0, {}), ("d/.wh..wh..opq", 0, 0, {}), (".wh.gone", 0, 0, {})]


def test_name_that_would_be_a_deletion_is_refused(tmp_path: Path) -> None:
    write_files(tmp_path, {"d/.wh.x": b""})
    with pytest.raises(InvalidLayer, match=r"d/\.wh\.x"):
        plan(scan(str(tmp_path)))


@pytest.mark.parametrize(("compression", "unpack"), [("gzip", gzip.decompress), ("zstd", lambda data: b"".join(decompress([data], "zstd")))])
def test_blob_unpacks_to_the_tar(source: Path, compression: str, unpack: Callable[[bytes], bytes]) -> None:
    packed, data = blob(source, compression)
    assert unpack(data) == tar(source)
    assert (packed.digest, packed.size, packed.diff_id, packed.tar_size) == (digest_of(data), len(data), digest_of(tar(source)), len(tar(source)))


@pytest.mark.skipif(not shutil.which("gzip"), reason="gzip is not installed")
def test_blob_passes_gzips_own_test(source: Path) -> None:
    subprocess.run(["gzip", "-t"], input=blob(source)[1], check=True)


@pytest.mark.parametrize("compression", ["gzip", "zstd", "uncompressed"])
@pytest.mark.parametrize("threads", [1, 2, 5])
def test_blob_is_the_same_with_any_number_of_threads(source: Path, compression: str, threads: int) -> None:
    assert blob(source, compression, threads=threads) == blob(source, compression)


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_blob_is_the_same_when_pieces_are_taken_over(source: Path, tmp_path: Path, compression: str) -> None:
    before, data = blob(source, compression)
    (tmp_path / "before").write_bytes(data)
    (source / "d3/f3").write_bytes(b"changed")
    fd = os.open(tmp_path / "before", os.O_RDONLY)
    after = blob(source, compression, earlier=(fd, before.pieces))
    os.close(fd)
    assert after == blob(source, compression)
    assert len(set(after[0].pieces.table) & set(before.pieces.table)) >= len(before.pieces.table) - 2


def test_pieces_of_another_level_are_not_taken_over(source: Path, tmp_path: Path) -> None:
    before, data = blob(source, level=1)
    (tmp_path / "before").write_bytes(data)
    fd = os.open(tmp_path / "before", os.O_RDONLY)
    assert blob(source, level=6, earlier=(fd, before.pieces)) == blob(source, level=6)
    os.close(fd)


def test_repacked_tar_is_the_same_tar(source: Path) -> None:
    data, out = tar(source), io.BytesIO()
    packed = repack([data[at:at + 70_000] for at in range(0, len(data), 70_000)], out.write, "gzip")
    assert gzip.decompress(out.getvalue()) == data
    assert (packed.diff_id, packed.digest) == (digest_of(data), digest_of(out.getvalue()))


def test_tar_of_a_stack_reads_each_file_where_it_is(store: Store) -> None:
    first = layer_of(store, {"a": b"old", "b": b"below", "d/x": b"1"}).snapshot
    draft = store.snapshots.begin()
    write_files(Path(draft.directory), {"a": b"new", "d/y": b"2"})
    second = store.snapshots.commit(draft, below=(first,))
    out = io.BytesIO()
    write_tar(store.snapshots.tree(second), store.snapshots.directories(second), out.write)
    out.seek(0)
    with tarfile.open(fileobj=out) as archive:
        contents = {m.name: (archive.extractfile(m) or io.BytesIO()).read() for m in archive if m.isfile()}
    assert contents == {"a": b"new", "b": b"below", "d/x": b"1", "d/y": b"2"}


def test_tar_of_a_stack_does_not_follow_a_link_of_the_lower_part(store: Store, tmp_path: Path) -> None:
    write_files(tmp_path, {"outside/x": b"secret"})
    first = layer_of(store, lambda top: (top / "d").symlink_to(tmp_path / "outside")).snapshot
    draft = store.snapshots.begin()
    write_files(Path(draft.directory), {"d/y": b""})
    second = store.snapshots.commit(draft, below=(first,))
    tree = store.snapshots.tree(second)
    tree["d/"] = [("x", (0o100644, 6, 0, 0, 1, 0, 0, 1, 0), "", (), b"")]
    with pytest.raises(StoreError, match="gone"):
        write_tar(tree, store.snapshots.directories(second), None)


@pytest.mark.parametrize("damage", [lambda p: p.unlink(), lambda p: p.write_bytes(b"")])
def test_file_that_vanished_from_a_snapshot_is_an_error(source: Path, damage: Callable[[Path], object]) -> None:
    tree = scan(str(source))
    damage(source / "d1/f1")
    with pytest.raises(StoreError, match="wrote to the store"):
        write_blob(tree, (str(source),), lambda data: None)
    with pytest.raises(StoreError, match="wrote to the store"):
        diff_id(tree, (str(source),))


def test_writer_that_fails_stops_the_threads(source: Path) -> None:
    def refuse(data: object) -> None:
        raise OSError(28, "no space")

    with pytest.raises(OSError, match="no space"):
        write_blob(scan(str(source)), (str(source),), refuse)


def test_crc_of_a_concatenation() -> None:
    for one, two in ((b"", b""), (b"a", b""), (b"", b"b"), (b"hello ", b"world" * 1000)):
        assert crc32_combine(zlib.crc32(one), zlib.crc32(two), len(two)) == zlib.crc32(one + two)
