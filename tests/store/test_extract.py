"""The extractor: every kind of entry, and every way in which an archive tries to get out of its directory."""

import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from store.compression import compress_piece
from store.digest import digest_of
from store.errors import InvalidLayer, StoreError
from store.extract import LAYER, Applied, Policy, apply
from store.tree import OPAQUE, digest, scan
from store.view import View
from tests.store.making import member, opened, tar_of, write_files

DIR, SYM, LNK, CHR, BLK, FIFO = tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE
PLAIN = Policy(whiteouts=False)
Entry = tuple[tarfile.TarInfo, bytes]


class Place:
    """A directory to unpack into, with a bystander beside it that has to stay as it is."""

    def __init__(self, top: Path) -> None:
        self.outside = top / "outside"
        self.inside = top / "inside"
        write_files(self.outside, {"secret": b"precious", "d/x": b"1"})
        self.inside.mkdir()
        self._before = scan(str(self.outside))

    def unpack(self, *members: Entry, policy: Policy = LAYER, below: "View | None" = None) -> Applied:
        return self.unpack_bytes(tar_of(*members), policy, below)

    def unpack_bytes(self, data: bytes, policy: Policy = LAYER, below: "View | None" = None) -> Applied:
        if os.geteuid():                                 # an ordinary user outside a namespace can only make files of its own
            policy = policy._replace(owner=policy.owner or (os.geteuid(), os.getegid()), xattr_prefix="user.overlay.")
        fd = opened(self.inside)
        try:
            return apply([data], fd, policy, below)
        finally:
            os.close(fd)
            assert scan(str(self.outside)) == self._before

    def names(self) -> list[str]:
        return sorted(rel + row[0] for rel, rows in scan(str(self.inside)).items() for row in rows)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
def below(tmp_path: Path) -> Callable[..., View]:
    def make(fill: Callable[[Path], None]) -> View:
        (tmp_path / "below").mkdir()
        fill(tmp_path / "below")
        return View([str(tmp_path / "below")])
    return make


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="devices and owners need root")


# ---------------------------------------------------------------- what entries become
@needs_root
def test_every_kind_of_entry(place: Place) -> None:
    place.unpack(
        member("d/", DIR, mode=0o2750, uid=5, gid=6, mtime=1000), member("d/f", content=b"hello", mode=0o4755, uid=1, gid=2, mtime=2000.5),
        member("d/l", SYM, link="../x", mtime=3000, uid=3, gid=4), member("h", LNK, link="d/f"), member("p", FIFO, mode=0o640),
        member("c", CHR, mode=0o666, devmajor=1, devminor=3), member("b", BLK, devmajor=7, devminor=300))
    rows = {rel + row[0]: row for rel, rows in scan(str(place.inside)).items() for row in rows}
    assert [(rows[n][1][0], *rows[n][1][5:7]) for n in ("d", "d/f", "d/l")] == [(0o042750, 5, 6), (0o104755, 1, 2), (0o120777, 3, 4)]
    assert [rows[n][1][2] for n in ("d", "d/f", "d/l")] == [1000_000_000_000, 2000_500_000_000, 3000_000_000_000]
    assert rows["h"][1][4] == rows["d/f"][1][4]
    assert (rows["d/l"][2], rows["p"][1][0]) == ("../x", 0o010640)
    assert [(rows[n][1][0], rows[n][1][8]) for n in ("c", "b")] == [(0o020666, os.makedev(1, 3)), (0o060644, os.makedev(7, 300))]


def test_diff_id_is_over_the_whole_stream(place: Place) -> None:
    data = tar_of(member("a", content=b"1")) + bytes(9000) + b"rubbish behind the end"
    assert place.unpack_bytes(data).diff_id == digest_of(data)


def test_tree_of_a_hashed_archive_is_that_of_a_scan(place: Place) -> None:
    members = member("d/a", content=b"1"), member("h", LNK, link="d/a"), member("d/a", content=b"22"), member("b")
    applied = place.unpack(*members, policy=Policy(hashed=True))
    assert applied.tree is not None
    assert digest(applied.tree) == digest(scan(str(place.inside)))


@needs_root
def test_attributes_that_a_layer_carries(place: Place) -> None:
    capability = bytes.fromhex("0100000200200000000000000000000000000000")
    info, content = member("f", content=b"x", uid=5)
    info.pax_headers = {"SCHILY.xattr.user.a": "1", "SCHILY.xattr.security.capability": capability.decode("latin-1"),
                        "SCHILY.xattr.trusted.overlay.redirect": "/etc", "SCHILY.xattr.user.overlay.opaque": "y",
                        "SCHILY.xattr.user.pybuild.owner": "0:0"}
    place.unpack((info, content))
    assert sorted(n for n in os.listxattr(place.inside / "f") if not n.startswith("security.selinux")) == ["security.capability", "user.a"]


def test_times_of_directories_survive_what_is_put_into_them(place: Place) -> None:
    place.unpack(member("d/", DIR, mtime=1000), member("d/e/", DIR, mtime=2000), member("d/e/f"), member("d/g"))
    assert [os.stat(place.inside / name).st_mtime for name in ("d", "d/e")] == [1000, 2000]


@needs_root
def test_directory_that_nobody_may_enter_is_filled(place: Place) -> None:
    place.unpack(member("d/", DIR, mode=0o000), member("d/f", content=b"1"))
    assert os.stat(place.inside / "d").st_mode & 0o7777 == 0
    assert (place.inside / "d/f").read_bytes() == b"1"


@needs_root
def test_group_of_a_set_group_id_directory_is_not_inherited(place: Place) -> None:
    place.unpack(member("d/", DIR, mode=0o2775, gid=50), member("d/f", gid=0), member("d/s/", DIR, gid=0), member("d/i/f"))
    assert [os.stat(place.inside / n).st_gid for n in ("d/f", "d/s", "d/i")] == [0, 0, 0]
    assert os.stat(place.inside / "d/s").st_mode & 0o7777 == 0o755


@pytest.mark.parametrize("mask", [0, 0o022, 0o077, 0o777])
def test_modes_are_those_of_the_archive_whatever_the_umask(place: Place, mask: int) -> None:
    modes = (0, 0o400, 0o600, 0o644, 0o666, 0o755, 0o777, 0o1644, 0o2755, 0o4711)
    before = os.umask(mask)
    try:
        place.unpack(*(member(f"{mode:o}", content=b"x", mode=mode) for mode in modes))
    finally:
        os.umask(before)
    assert [os.stat(place.inside / f"{mode:o}").st_mode & 0o7777 for mode in modes] == list(modes)


@needs_root
def test_files_in_a_set_group_id_directory_that_was_there_keep_their_own_group(place: Place) -> None:
    (place.inside / "d").mkdir()
    os.chown(place.inside / "d", 0, 7)
    os.chmod(place.inside / "d", 0o2755)
    place.unpack(member("a"), member("d/a"), member("d/b", uid=3, gid=4), member("d/c"))
    assert [os.stat(place.inside / name).st_gid for name in ("a", "d/a", "d/b", "d/c")] == [0, 0, 4, 0]


def test_later_entry_of_a_name_counts(place: Place) -> None:
    place.unpack(member("a", content=b"1"), member("a", content=b"2"), member("b"), member("b", SYM, link="a"), member("c", SYM, link="a"),
                 member("c/", DIR), member("c/x"), member("e/f"), member("e", content=b"file"))
    assert (place.inside / "a").read_bytes() == b"2"
    assert os.readlink(place.inside / "b") == "a"
    assert place.names() == ["a", "b", "c", "c/x", "e"]


def test_owner_mode_and_time_of_the_policy(place: Place) -> None:
    if os.geteuid():
        pytest.skip("owners need root")
    place.unpack(member("d/", DIR, uid=1), member("d/f", uid=2, gid=3), policy=PLAIN._replace(owner=(7, 8), mode=0o700, mtime_ns=5_000_000_000))
    for name in ("d", "d/f"):
        status = os.stat(place.inside / name)
        assert (status.st_uid, status.st_gid, status.st_mode & 0o7777, status.st_mtime) == (7, 8, 0o700, 5)


def test_prefix_of_the_policy(place: Place) -> None:
    (place.inside / "real").mkdir()
    (place.inside / "link").symlink_to("/real")
    place.unpack(member("./", DIR, mode=0o700), member("./a", content=b"1"), member("h", LNK, link="a"), policy=PLAIN._replace(prefix="link/sub"))
    assert place.names() == ["link", "real", "real/sub", "real/sub/a", "real/sub/h"]
    assert os.stat(place.inside / "real/sub").st_mode & 0o7777 == 0o755


def test_plain_archive_takes_whiteout_names_as_files(place: Place) -> None:
    place.unpack(member(".wh.a", content=b"1"), policy=PLAIN)
    assert place.names() == [".wh.a"]


def test_root_entry_of_a_layer_dresses_the_root(place: Place) -> None:
    place.unpack(member("./", DIR, mode=0o711, mtime=77))
    status = os.stat(place.inside)
    assert (status.st_mode & 0o7777, status.st_mtime) == (0o711, 77)


def test_empty_stream_is_an_empty_layer(place: Place) -> None:
    assert place.unpack_bytes(b"").entries == 0
    assert place.unpack_bytes(bytes(1024)).entries == 0


# ---------------------------------------------------------------- deletions
@needs_root
def test_whiteout_becomes_overlays_own(place: Place) -> None:
    place.unpack(member("d/.wh.gone"))
    status = os.stat(place.inside / "d/gone")
    assert (status.st_mode & 0o170000, status.st_rdev) == (0o020000, 0)


def test_opaque_whiteout_marks_its_directory(place: Place) -> None:
    place.unpack(member("d/", DIR), member("d/.wh..wh..opq"), member("d/new"), policy=Policy(xattr_prefix="user.overlay."))
    rows = scan(str(place.inside))
    assert (rows[""][0][3], [row[0] for row in rows["d/"]]) == ((OPAQUE,), ["new"])


@needs_root
@pytest.mark.parametrize("order", [(0, 1, 2), (1, 2, 0), (1, 0, 2)])
def test_whiteout_and_directory_of_one_name_in_any_order(place: Place, order: tuple[int, ...]) -> None:
    parts = [member(".wh.d"), member("d/", DIR), member("d/f")]
    place.unpack(*(parts[i] for i in order))
    rows = scan(str(place.inside))
    assert [(row[0], row[3]) for row in rows[""]] == [("d", (OPAQUE,))]
    assert [row[0] for row in rows["d/"]] == ["f"]


@needs_root
def test_whiteout_and_file_of_one_name_is_the_file(place: Place) -> None:
    place.unpack(member("a", content=b"1"), member(".wh.a"), member(".wh.b"), member("b", content=b"2"))
    assert [(place.inside / n).read_bytes() for n in ("a", "b")] == [b"1", b"2"]


@needs_root
def test_directory_after_a_file_of_its_name_hides_what_is_below(place: Place) -> None:
    place.unpack(member("d", content=b"1"), member("d/", DIR))
    assert scan(str(place.inside))[""][0][3] == (OPAQUE,)


@needs_root
@pytest.mark.parametrize("name", [".wh.", ".wh..", ".wh...", "d/.wh.", "d/.wh..."])
def test_whiteout_of_no_name_is_refused(place: Place, name: str) -> None:
    with pytest.raises(InvalidLayer, match="deletes a name"):
        place.unpack(member(name))


@needs_root
def test_whiteout_through_a_link_deletes_nothing_outside(place: Place) -> None:
    place.unpack(member("l", SYM, link="../outside"), member("l/.wh.secret"))


def test_files_of_aufs_are_left_out(place: Place) -> None:
    place.unpack(member(".wh..wh.plnk/", DIR), member(".wh..wh.aufs"), member("a"))
    assert place.names() == ["a"]


@needs_root
def test_device_that_means_a_deletion_is_one_in_a_layer_only(place: Place) -> None:
    applied = place.unpack(member("d/x", CHR, devmajor=0, devminor=0), policy=PLAIN)
    assert (applied.skipped, place.names()) == (("d/x",), ["d"])


# ---------------------------------------------------------------- the layers below
def test_parent_that_is_only_below_looks_the_same(place: Place, below: Callable[..., View]) -> None:
    def fill(top: Path) -> None:
        write_files(top, {"d/old": b""})
        (top / "d").chmod(0o1770)
        os.utime(top / "d", ns=(0, 9_000_000_000))

    applied = place.unpack(member("d/f"), below=below(fill))
    status = os.stat(place.inside / "d")
    assert (status.st_mode & 0o7777, status.st_mtime, applied.dependent) == (0o1770, 9, True)


def test_parent_that_is_a_link_below_is_followed(place: Place, below: Callable[..., View]) -> None:
    def fill(top: Path) -> None:
        write_files(top, {"usr/lib/x": b""})
        (top / "lib").symlink_to("usr/lib")

    place.unpack(member("lib/y"), below=below(fill))
    assert place.names() == ["usr", "usr/lib", "usr/lib/y"]


def test_directory_entry_replaces_a_link_below(place: Place, below: Callable[..., View]) -> None:
    def fill(top: Path) -> None:
        write_files(top, {"usr/lib/x": b""})
        (top / "lib").symlink_to("usr/lib")

    place.unpack(member("lib/", DIR), member("lib/y"), below=below(fill))
    assert place.names() == ["lib", "lib/y"]


def test_layer_that_names_all_its_parents_depends_on_nothing(place: Place, below: Callable[..., View]) -> None:
    applied = place.unpack(member("d/", DIR), member("d/f"), below=below(lambda top: write_files(top, {"d/x": b""})))
    assert not applied.dependent


def test_hard_link_to_a_file_below_brings_it_up(place: Place, below: Callable[..., View]) -> None:
    def fill(top: Path) -> None:
        write_files(top, {"d/f": b"content"})
        (top / "d/f").chmod(0o4711)

    applied = place.unpack(member("h", LNK, link="d/f"), below=below(fill))
    assert (place.inside / "h").read_bytes() == b"content"
    assert os.stat(place.inside / "h").st_ino == os.stat(place.inside / "d/f").st_ino
    assert (os.stat(place.inside / "h").st_mode & 0o7777, applied.dependent) == (0o4711, True)


@needs_root
def test_hard_link_to_what_the_layer_deletes_is_refused(place: Place, below: Callable[..., View]) -> None:
    with pytest.raises(InvalidLayer, match="deletes"):
        place.unpack(member(".wh.f"), member("h", LNK, link="f"), below=below(lambda top: write_files(top, {"f": b""})))


# ---------------------------------------------------------------- ways out
@pytest.mark.parametrize("name", ["../outside/x", "a/../../outside/x", "..", "d/../../x", "/../outside/x"])
def test_name_that_leads_outside_is_refused(place: Place, name: str) -> None:
    with pytest.raises(InvalidLayer, match="leads outside"):
        place.unpack(member("d/", DIR), member(name, content=b"evil"))


def test_absolute_name_is_taken_as_relative(place: Place) -> None:
    place.unpack(member("/etc/x", content=b"1"), member("//a//b/./../c"))
    assert place.names() == ["a", "a/c", "etc", "etc/x"]


@pytest.mark.parametrize("target", ["../outside", "../../../../../../../..", "/", "{outside}"])
def test_entry_through_a_link_stays_inside(place: Place, target: str) -> None:
    target = target.format(outside=place.outside)
    place.unpack(member("l", SYM, link=target), member("l/secret", content=b"evil"), member("l/d/x", content=b"evil"))
    assert (place.outside / "secret").read_bytes() == b"precious"


def test_link_hops_stay_inside(place: Place) -> None:
    place.unpack(member("a", SYM, link="."), member("a/b", SYM, link=".."), member("a/b/c", SYM, link="../.."),
                 member("a/b/c/outside/secret", content=b"evil"))


def test_file_is_not_written_through_a_link_of_its_name(place: Place) -> None:
    place.unpack(member("x", SYM, link=str(place.outside / "secret")), member("x", content=b"evil"))
    assert not (place.inside / "x").is_symlink()


def test_directory_is_not_dressed_through_a_link(place: Place) -> None:
    place.unpack(member("x/", DIR, mode=0o777), member("x", SYM, link=str(place.outside)))
    assert os.readlink(place.inside / "x") == str(place.outside)


@pytest.mark.parametrize("target", ["../outside/secret", "../../etc/passwd", "l/secret", ""])
def test_hard_link_to_outside_is_refused(place: Place, target: str) -> None:
    with pytest.raises(InvalidLayer):
        place.unpack(member("l", SYM, link="../outside"), member("h", LNK, link=target))


def test_hard_link_to_a_link_links_the_link(place: Place) -> None:
    place.unpack(member("l", SYM, link=str(place.outside / "secret")), member("h", LNK, link="l"), member("h", content=b"new"))
    assert (place.inside / "h").read_bytes() == b"new"


def test_hard_link_to_a_directory_is_refused(place: Place) -> None:
    with pytest.raises(InvalidLayer, match="directory"):
        place.unpack(member("d/", DIR), member("h", LNK, link="d"))


def test_hard_link_to_itself_is_nothing_new(place: Place) -> None:
    place.unpack(member("f", content=b"1"), member("f", LNK, link="f"))
    assert (place.inside / "f").read_bytes() == b"1"


@pytest.mark.parametrize("kind", [SYM, tarfile.REGTYPE, CHR, FIFO])
@pytest.mark.parametrize("name", [".", "d/..", "d/../."])
def test_root_entry_that_is_no_directory_is_refused(place: Place, kind: bytes, name: str) -> None:
    with pytest.raises(InvalidLayer, match="root"):
        place.unpack(member("d/", DIR), member(name, kind, link=str(place.outside)))


def test_file_in_the_way_of_a_parent_is_refused(place: Place) -> None:
    with pytest.raises(InvalidLayer, match="no directory"):
        place.unpack(member("f", content=b""), member("f/x"))


def test_links_in_a_circle_are_refused(place: Place) -> None:
    with pytest.raises(InvalidLayer, match="too many"):
        place.unpack(member("a", SYM, link="b"), member("b", SYM, link="a"), member("a/x"))


def test_link_chain_longer_than_a_path_is_no_way_out(place: Place) -> None:
    """CVE-2025-4517: what a resolver gives up on must not be followed by the kernel."""
    long = "d" * 200
    members = [member("/".join([long] * depth) + "/", DIR) for depth in range(1, 16)]
    members += [member("/".join([long] * depth) + "/up", SYM, link="..") for depth in range(1, 16)]
    deep = "/".join([long] * 15)
    place.unpack(*members, member(f"{deep}/{'up/' * 60}../outside/secret", content=b"evil"))
    assert (place.inside / "up/up").is_dir()             # fifteen of them lead to the root, the rest are directories of that name


def test_removed_parent_is_not_written_to_through_an_old_descriptor(place: Place) -> None:
    place.unpack(member("d/e/", DIR), member("d/e/f"), member("d", SYM, link="../outside"), member("d/e/g", content=b"evil"))
    assert not (place.outside / "e").exists()


# ---------------------------------------------------------------- numbers
def test_entries_are_counted(place: Place) -> None:
    with pytest.raises(InvalidLayer, match="more than 2 entries"):
        place.unpack(member("a"), member("b"), member("c"), policy=Policy(max_entries=2))


def test_bytes_are_counted_before_they_are_written(place: Place) -> None:
    with pytest.raises(InvalidLayer, match="more than 10 bytes"):
        place.unpack(member("a", content=b"x" * 6), member("b", content=b"x" * 6), policy=Policy(max_bytes=10))
    assert place.names() == ["a"]


def test_holes_are_counted(place: Place) -> None:
    data = _sparse_header(1 << 40)
    with pytest.raises(InvalidLayer, match="more than"):
        place.unpack_bytes(data, Policy(max_bytes=1 << 30))


def _sparse_header(size: int) -> bytes:
    info = tarfile.TarInfo("hole")
    info.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "hole", "GNU.sparse.realsize": str(size)}
    return tar_of((info, b"1\n%d\n0\n".ljust(512, b"\0") % size if False else (b"1\n%d\n0\n" % size).ljust(512, b"\0")))


def test_name_that_is_too_long_is_refused(place: Place) -> None:
    with pytest.raises(InvalidLayer, match="name of"):
        place.unpack(member("a/" * 3000 + "x"))
    with pytest.raises(InvalidLayer, match="too long"):
        place.unpack(member("n" * 300))


@needs_root
def test_owner_that_is_no_user_is_refused(place: Place) -> None:
    with pytest.raises(InvalidLayer, match="no user"):
        place.unpack(member("a", uid=1 << 32))


def test_device_number_that_no_kernel_has_is_refused(place: Place) -> None:
    with pytest.raises(InvalidLayer, match="no kernel"):
        place.unpack(member("a", CHR, devmajor=5000, devminor=1))


def test_data_that_is_no_tar_is_refused(place: Place) -> None:
    with pytest.raises(InvalidLayer, match="no tar"):
        place.unpack_bytes(b"PK\3\4" + b"\1" * 2000)


@pytest.mark.parametrize("cut", [100, 512, 700, 1500])
def test_cut_archive_is_refused(place: Place, cut: int) -> None:
    data = tar_of(member("a", content=b"x" * 1000), member("b"))[:cut]
    with pytest.raises(InvalidLayer, match="middle of an entry"):
        place.unpack_bytes(data)


def test_full_disk_is_a_plain_error(place: Place, tmp_path: Path) -> None:
    """A file larger than the limit on file sizes stands in for the disk that is full: the write fails halfway."""
    import resource
    import signal

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(StoreError, match="cannot unpack `a`"):
            place.unpack(member("a", content=b"x" * 5000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, old)


def test_compressed_data_is_not_a_tar(place: Place) -> None:
    with pytest.raises(InvalidLayer):
        place.unpack_bytes(b"\x1f\x8b\x08" + compress_piece(b"x" * 1000, "gzip", 1))


@pytest.mark.parametrize("link", ["..", "/", "../../.."])
def test_links_of_an_enclosed_archive_take_its_prefix_for_the_root(place: Place, link: str) -> None:
    place.unpack(member("out", SYM, link=link), member("out/etc/x", content=b"1"), policy=PLAIN._replace(prefix="a/b", enclosed=True))
    assert place.names() == ["a", "a/b", "a/b/etc", "a/b/etc/x", "a/b/out"]


def test_links_of_other_archives_are_followed_from_the_root(place: Place) -> None:
    place.unpack(member("out", SYM, link="/"), member("out/etc/x", content=b"1"), policy=PLAIN._replace(prefix="a/b"))
    assert place.names() == ["a", "a/b", "a/b/out", "etc", "etc/x"]


def test_a_plain_archive_may_have_anything_for_its_destination(place: Place) -> None:
    place.unpack(member("./", content=b""), member("x", content=b"1"), policy=PLAIN)
    assert place.names() == ["x"]
