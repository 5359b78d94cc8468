"""Reading tars: what GNU tar, Python and others write, in every form; and arbitrary bytes without harm."""

import io
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.errors import InvalidLayer
from store.extract import apply
from store.tarreader import Member, TarReader, number, parse_pax
from store.tree import digest, scan
from tests.store.making import member, opened, tar_of, write_files

gnu_tar = pytest.mark.skipif(not shutil.which("tar"), reason="GNU tar is not installed")


def members(data: bytes, size: int = 1 << 20) -> list[tuple[Member, bytes]]:
    """Every member with its content; the stream comes in chunks of `size`."""
    reader = TarReader(data[at:at + size] for at in range(0, len(data), size))
    return [(m, reader.read(1 << 30)) for m in reader]


def test_reader_takes_what_tarfile_writes() -> None:
    for form in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        file = member("d/f", content=b"hello", uid=1000, gid=5, mtime=1234, mode=0o640)
        found = members(tar_of(file, member("l", tarfile.SYMTYPE, link="d/f"), form=form))
        assert [(m.name, m.kind, m.mode, m.uid, m.gid, m.mtime_ns, m.link, c) for m, c in found] == [
            (b"d/f", b"0", 0o640, 1000, 5, 1234_000_000_000, b"", b"hello"), (b"l", b"2", 0o644, 0, 0, 0, b"d/f", b"")]


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_reader_takes_long_names(form: int) -> None:
    name, link = "n" * 300 + "/ü", "l" * 400
    found = members(tar_of(member(name, tarfile.SYMTYPE, link=link), form=form))
    assert (found[0][0].name, found[0][0].link) == (name.encode(), link.encode())


def test_reader_takes_the_prefix_of_ustar() -> None:
    name = "p" * 120 + "/" + "n" * 90
    assert members(tar_of(member(name), form=tarfile.USTAR_FORMAT))[0][0].name == name.encode()


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_reader_takes_large_numbers(form: int) -> None:
    found = members(tar_of(member("f", uid=3_000_000, gid=2_999_999_999, mtime=-5), form=form))
    assert (found[0][0].uid, found[0][0].gid, found[0][0].mtime_ns) == (3_000_000, 2_999_999_999, -5_000_000_000)


def test_reader_takes_parts_of_seconds() -> None:
    assert members(tar_of(member("f", mtime=1.25)))[0][0].mtime_ns == 1_250_000_000


def test_reader_takes_global_headers() -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT, pax_headers={"comment": "x", "uid": "7"}) as tar:
        tar.addfile(tarfile.TarInfo("f"))
    assert members(out.getvalue())[0][0].uid == 7


def test_reader_takes_old_forms_of_types() -> None:
    found = members(tar_of(member("d/", b"\0"), member("f", tarfile.CONTTYPE, content=b"1"), member("g", b"\0", content=b"2")))
    assert [(m.name, m.kind, c) for m, c in found] == [(b"d/", b"5", b""), (b"f", b"0", b"1"), (b"g", b"0", b"2")]


def test_reader_skips_what_is_not_asked_for() -> None:
    reader = TarReader([tar_of(member("a", content=b"x" * 3000), member("b", content=b"y"))])
    assert [m.name for m in reader] == [b"a", b"b"]


@pytest.mark.parametrize("size", [1, 7, 511, 512, 513, 100_000])
def test_reader_does_not_care_how_the_stream_is_cut(size: int) -> None:
    data = tar_of(member("n" * 200, content=b"x" * 1300), member("b", content=b"y"))
    assert members(data, size) == members(data)


def test_reader_offset_is_where_the_content_is() -> None:
    data = tar_of(member("a", content=b"hello"), member("n" * 200, content=b"world"))
    reader = TarReader([data])
    assert [data[reader.offset:reader.offset + 5] for _ in reader] == [b"hello", b"world"]


def test_reader_stops_at_the_end_mark() -> None:
    data = tar_of(member("a"))
    assert len(members(data + tar_of(member("b")))) == 1


@gnu_tar
@pytest.mark.parametrize("form", ["gnu", "posix --sparse-version=0.0", "posix --sparse-version=0.1", "posix --sparse-version=1.0"])
def test_sparse_files_of_gnu_tar(tmp_path: Path, form: str) -> None:
    source, copy = tmp_path / "source", tmp_path / "copy"
    source.mkdir()
    copy.mkdir()
    with (source / "many").open("wb") as file:
        for at in range(40):
            file.seek(at * 100_000)
            file.write(b"data %d" % at)
        file.truncate(5_000_000)
    with (source / "empty").open("wb") as file:
        file.truncate(300_000)
    with (source / "end").open("wb") as file:
        file.seek(1_000_000)
        file.write(b"end")
    (source / ("long" * 40)).write_bytes(b"")
    with (source / ("long" * 40)).open("r+b") as file:
        file.truncate(100_000)
    data = subprocess.run(f"tar -cS --format={form} -C {source} .", shell=True, capture_output=True, check=True).stdout
    assert len(data) < 1_000_000
    fd = opened(copy)
    apply([data], fd)
    os.close(fd)
    assert digest(scan(str(copy))) == digest(scan(str(source)))
    assert sum(os.stat(copy / name).st_blocks for name in os.listdir(copy)) * 512 < 3_000_000


@gnu_tar
@pytest.mark.parametrize("form", ["v7", "ustar", "gnu", "oldgnu", "posix"])
def test_tree_through_gnu_tar_is_the_same(tmp_path: Path, form: str) -> None:
    source, copy = tmp_path / "source", tmp_path / "copy"
    write_files(source, {"a": b"1", "d/b": b"22" * 1000, "d/e/c": b""})
    (source / "d/l").symlink_to("b")
    os.link(source / "a", source / "d/h")
    (source / "a").chmod(0o4750)
    copy.mkdir()
    data = subprocess.run(["tar", "-c", f"--format={form}", "-C", str(source), "."], capture_output=True, check=True).stdout
    fd = opened(copy)
    apply([data], fd)
    os.close(fd)
    assert digest(scan(str(copy))) == digest(scan(str(source)))


# ---------------------------------------------------------------- damage
def _header(**changed: object) -> bytes:
    """One header block of a member "f", some of it changed, with a right checksum."""
    block = bytearray(tar_of(member("f"))[:512])
    for at, value in ((int(key[2:]), value) for key, value in changed.items()):
        assert isinstance(value, bytes)
        block[at:at + len(value)] = value
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


@pytest.mark.parametrize("block", [
    _header(at124=b"\x80" + b"\xff" * 11), _header(at124=b"\xff" * 12), _header(at124=b"99999999999\0"), _header(at108=b"abc\0"), _header(at156=b"Q"),
    b"\1" * 512, _header(at156=b"S", at483=b"00000000144\0", at386=b"00000000000\0" + b"00000000377\0")])
def test_damaged_header_is_an_error(block: bytes) -> None:
    with pytest.raises(InvalidLayer):
        members(block + bytes(1024))


@pytest.mark.parametrize("kind", [b"x", b"g", b"L", b"K"])
def test_header_that_fills_the_memory_is_refused(kind: bytes) -> None:
    with pytest.raises(InvalidLayer, match="header of"):
        members(_header(at156=kind, at124=b"%011o\0" % (1 << 30)))


@pytest.mark.parametrize("body", [b"5 a=b\n", b"x", b"99 a=b\n", b"6 ab\n\n", b"-1 a=b\n", b"7 a=bcd", b"9" * 21 + b" a=b\n", b"0 a=b\n", b" a=b\n",
                                  b"3 \n"])
def test_damaged_pax_header_is_an_error(body: bytes) -> None:
    with pytest.raises(InvalidLayer):
        parse_pax(body)


@pytest.mark.parametrize("record", [b"size=-1", b"size=abc", b"size=99999999999999999999", b"uid=1.5", b"mtime=x", b"mtime=1e9", b"mtime=."])
def test_pax_number_that_is_none_is_an_error(record: bytes) -> None:
    body = b"%d %b\n" % (len(record) + 4, record)
    assert len(body) in range(10, 100) and int(body.split()[0]) == len(body)
    with pytest.raises(InvalidLayer):
        members(_header(at156=b"x", at124=b"%011o\0" % len(body)) + body.ljust(512, b"\0") + _header() + bytes(1024))


def test_pax_value_with_a_newline_and_an_equals_sign() -> None:
    assert parse_pax(b"12 a=b=c\nd\n\n")[0] == {b"a": b"b=c\nd\n"}


def test_pax_empty_value_takes_back() -> None:
    assert parse_pax(b"7 a=bc\n5 a=\n")[0] == {}


@pytest.mark.parametrize("lines", [b"x\n", b"-1\n", b"2\n0\n5\n", b"1\n10\n10\n", b"1\n0\n99999\n", b"1000000\n"])
def test_damaged_sparse_map_is_an_error(lines: bytes) -> None:
    info = tarfile.TarInfo("f")
    info.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "15"}
    with pytest.raises(InvalidLayer):
        members(tar_of((info, lines.ljust(512, b"\0") + b"x" * 5)))


def test_numbers_of_headers() -> None:
    fields = b"0000644\0", b"    644 ", b"\0" * 8, b"644\0junk", b"\x80\0\0\0\0\0\x01\0", b"\xff" * 8
    assert [number(field) for field in fields] == [0o644, 0o644, 0, 0o644, 256, -1]


@given(st.binary(max_size=1500))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        members(data)
    except InvalidLayer as error:
        assert "\n" not in str(error)


@given(st.data())
def test_any_damage_to_a_tar_is_read_or_refused(data: st.DataObject) -> None:
    whole = bytearray(tar_of(member("n" * 150, content=b"x" * 600), member("l", tarfile.LNKTYPE, link="n"), member("s", tarfile.SYMTYPE, link="t")))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    try:
        members(bytes(whole))
    except InvalidLayer as error:
        assert "\n" not in str(error)
