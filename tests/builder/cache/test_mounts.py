"""Cache mounts, saved and restored: the law that they come back as they were, what an edit costs, and what strangers may not do."""

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builder.cache.address import how_of
from builder.cache.document import EMPTY, MOUNT, Config, MountEntry, read, write
from builder.cache.errors import CacheError, InvalidCache
from builder.cache.memo import Memo
from builder.cache.mountindex import (
    DIRECTORY,
    FILE,
    HARDLINK,
    PACK_BYTES,
    SYMLINK,
    Chunk,
    Entry,
    MountIndex,
    PackRef,
    name_of,
    parse_index,
    read_listing,
    read_table,
    write_listing,
    write_table,
)
from builder.cache.mounts import save_mounts
from builder.cache.restore import restore_mount
from builder.request import CacheAddress
from kernel.locks import Lock
from store.compression import compress_piece
from store.digest import digest_of
from store.oci import Descriptor, Manifest, from_json, to_json
from store.root import open_root
from store.store import Store
from store.tree import stat_row
from tests.builder.cache.memory import MemoryDepot

if TYPE_CHECKING:
    from store.tree import Stat

NAME = "ab" * 20


class FakeTarget:
    """As much of a Target as saving mounts asks for."""

    def __init__(self, depot: MemoryDepot, *ids: str) -> None:
        self.depot = depot
        self.how = how_of(CacheAddress("local", (("mounts", ";".join(ids)),)))
        self.new: list[Descriptor] = []

    def before(self) -> object:
        if self.depot.manifest is None:
            return EMPTY
        manifest = from_json(Manifest, self.depot.manifest, "it")
        return read(manifest, lambda descriptor, limit: self.depot.blobs[descriptor.digest], "it")

    def put_bytes(self, media_type: str, data: bytes) -> Descriptor:
        from builder.cache.depot import put_bytes

        blob = Descriptor(media_type, digest_of(data), len(data))
        if not self.depot.has(blob):
            put_bytes(self.depot, blob, data)
            self.new.append(blob)
        return blob

    def sent(self, blob: Descriptor) -> None:
        self.new.append(blob)


class FakeImported:
    """As much of an Imported as restoring asks for: one depot."""

    def __init__(self, depot: MemoryDepot) -> None:
        self._depot = depot

    def mounts(self) -> tuple[tuple[int, MountEntry], ...]:
        return tuple((0, entry) for entry in FakeTarget(self._depot).before().config.mounts)      # type: ignore[attr-defined]

    def depot(self, number: int) -> MemoryDepot:
        return self._depot


class Side:
    """A store with a directory for one cache mount."""

    def __init__(self, place: Path) -> None:
        self.store = Store(open_root(str(place / "root"), str(place / "run")))
        self.holder = Path(self.store.root.path) / "cachemounts" / NAME
        self.data = self.holder / "data"

    def make(self) -> "Side":
        self.data.mkdir(parents=True)
        (self.holder / "id").write_text("pkgs")
        return self

    def save(self, depot: MemoryDepot, imported: MemoryDepot | None = None) -> FakeTarget:
        """Write the mount into the depot, and let its name lead to that."""
        target = FakeTarget(depot, "pkgs")
        blobs: dict[str, Descriptor] = {}
        entries = save_mounts(self.store, target, FakeImported(imported) if imported else None, blobs)      # type: ignore[arg-type]  # what is asked of them is there
        manifest, config = write(Config((), mounts=entries), tuple(blobs.values()))
        depot.blobs[digest_of(config)] = config
        depot.keep(manifest)
        return target

    def restore(self, depot: MemoryDepot) -> int:
        self.holder.mkdir(parents=True)
        self.data.mkdir(mode=0o700)
        restored = restore_mount(self.store, FakeImported(depot), NAME, str(self.data))      # type: ignore[arg-type]
        (self.holder / "id").write_text("pkgs")
        assert restored is not None
        return restored.files


@pytest.fixture
def sides(tmp_path: Path) -> Iterator[Callable[[], Side]]:
    made: list[Side] = []

    def new() -> Side:
        made.append(Side(tmp_path / f"side{len(made)}"))
        return made[-1]

    yield new
    for side in made:
        side.store.close()


def look(directory: Path) -> dict[str, object]:
    """Everything that counts of a tree."""
    found: dict[str, object] = {}
    inodes: dict[int, str] = {}
    for top, names, files in os.walk(directory):
        for name in sorted(names + files):
            path = Path(top) / name
            status = path.lstat()
            rel = str(path.relative_to(directory))
            content = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else b""
            same = inodes.setdefault(status.st_ino, rel) if status.st_nlink > 1 and not path.is_dir() else ""
            found[rel] = (status.st_mode, status.st_uid, status.st_gid, status.st_mtime_ns, content, same)
    return found


def fill(directory: Path, seed: int = 1, count: int = 40) -> None:
    source = random.Random(seed)
    for number in range(count):
        path = directory / f"d{number % 5}" / f"file{number}"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(source.randbytes(source.choice([0, 10, 5000, 70_000, 300_000])))
        os.utime(path, ns=(number * 1_000_000_007, number * 1_000_000_007))


# ---------------------------------------------------------------- the law
def test_a_mount_comes_back_as_it_was(sides: Callable[[], Side]) -> None:
    one, depot = sides().make(), MemoryDepot()
    fill(one.data)
    (one.data / "deep/er").mkdir(parents=True)
    (one.data / "deep/er/large").write_bytes(random.Random(9).randbytes(5_000_000))
    (one.data / "deep/run").write_bytes(b"x")
    (one.data / "deep/run").chmod(0o4711)
    (one.data / "deep/link").symlink_to("../nowhere")
    os.link(one.data / "deep/er/large", one.data / "hard")
    os.mkfifo(one.data / "fifo")
    (one.data / os.fsdecode(b"not-utf8-\xff\xfe")).write_bytes(b"n")
    (one.data / "empty").mkdir(mode=0o1777)
    if os.geteuid() == 0:
        os.chown(one.data / "deep/run", 1234, 4321, follow_symlinks=False)
        (one.data / "deep/run").chmod(0o4711)
    one.save(depot)
    before = look(one.data)
    del before["fifo"]
    other = sides()
    other.restore(depot)
    assert look(other.data) == before


names = st.text(st.characters(min_codepoint=33, max_codepoint=0x2FF, exclude_characters="/"), min_size=1, max_size=20).filter(lambda n: n not in (".", ".."))


@settings(max_examples=12)
@given(st.dictionaries(st.lists(names, min_size=1, max_size=3).map("/".join), st.binary(max_size=300), max_size=12))
def test_any_tree_comes_back(tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes]) -> None:
    place = tmp_path_factory.mktemp("law")
    one, other, depot = Side(place / "one").make(), Side(place / "other"), MemoryDepot()
    for path, data in files.items():
        try:
            (one.data / path).parent.mkdir(parents=True, exist_ok=True)
            (one.data / path).write_bytes(data)
        except (FileExistsError, NotADirectoryError, IsADirectoryError):
            continue
    one.save(depot)
    other.restore(depot)
    assert look(other.data) == look(one.data)


# ---------------------------------------------------------------- what travels
def test_saving_again_sends_nothing(sides: Callable[[], Side]) -> None:
    one, depot = sides().make(), MemoryDepot()
    fill(one.data)
    one.save(depot)
    assert one.save(depot).new == []


def test_one_changed_file_costs_that_file(sides: Callable[[], Side]) -> None:
    one, depot = sides().make(), MemoryDepot()
    fill(one.data, count=400)
    one.save(depot)
    whole = sum(map(len, depot.blobs.values()))
    (one.data / "d1/file1").write_bytes(b"changed")
    assert sum(blob.size for blob in one.save(depot).new) < whole / 100


def test_a_machine_that_restored_sends_only_what_it_changed(sides: Callable[[], Side]) -> None:
    one, other, depot = sides().make(), sides(), MemoryDepot()
    fill(one.data, count=400)
    one.save(depot)
    other.restore(depot)
    (other.data / "new").write_bytes(b"new")
    assert sum(blob.size for blob in other.save(depot).new) < 20_000
    third = sides()
    third.restore(depot)
    assert look(third.data) == look(other.data)


def test_files_that_have_not_changed_are_not_read(sides: Callable[[], Side]) -> None:
    one, depot = sides().make(), MemoryDepot()
    fill(one.data)
    one.save(depot)
    memo = Memo(str(one.holder / "memo"))
    files: "dict[str, tuple[Stat, tuple[Chunk, ...]]]" = {}
    for path in one.data.rglob("*"):                     # as if they had been read long ago
        if path.is_file():
            stat = stat_row(path.stat())
            files[str(path.relative_to(one.data))] = (stat, (Chunk(name_of(path.read_bytes()), stat[1]),) if stat[1] else ())
    memo.replace(files, {}, now_ns=2 * max(stat[3] for stat, _ in files.values()))
    small = next(p for p in sorted(one.data.rglob("*")) if p.is_file() and 0 < p.stat().st_size < 10_000)
    status = small.stat()
    descriptor = os.open(small, os.O_RDONLY)
    os.close(descriptor)
    assert Memo(str(one.holder / "memo")).chunks(str(small.relative_to(one.data)), stat_row(status)) is not None
    small.write_bytes(small.read_bytes())                # the same bytes, another ctime
    assert Memo(str(one.holder / "memo")).chunks(str(small.relative_to(one.data)), stat_row(small.stat())) is None


def test_a_file_that_had_just_changed_is_not_known(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x")
    stat = stat_row((tmp_path / "f").stat())
    memo = Memo(str(tmp_path / "memo"))
    memo.replace({"f": (stat, ())}, {}, now_ns=stat[3] + 1000)
    assert memo.chunks("f", stat) is None


def test_a_damaged_memo_is_none(tmp_path: Path) -> None:
    (tmp_path / "memo").write_bytes(b"\xff" * 10)
    assert Memo(str(tmp_path / "memo")).tables == {}


def test_packs_that_are_mostly_waste_are_written_anew(sides: Callable[[], Side]) -> None:
    one, depot = sides().make(), MemoryDepot()
    fill(one.data, count=200)
    one.save(depot)
    for path in one.data.rglob("file*"):
        if int(path.name[4:]) >= 20:
            path.unlink()
    _age(one)
    one.save(depot)
    index = _index(depot)
    held = sum(chunk.size for ref in index.packs for chunk in read_table(depot.blobs[ref.table.digest], "it"))
    assert held < 2 * index.size + 100_000
    other = sides()
    other.restore(depot)
    assert look(other.data) == look(one.data)


def test_packs_are_kept_while_it_is_not_known_what_of_them_is_used(sides: Callable[[], Side]) -> None:
    """Restoring took so long that the first files were no longer new at its end: the memo knows these alone."""
    one, depot = sides().make(), MemoryDepot()
    fill(one.data, count=200)
    one.save(depot)
    before = _index(depot).packs
    other = sides()
    other.restore(depot)
    _age(other, 10)
    (other.data / "new").write_bytes(b"x")
    assert sum(one.size for one in other.save(depot).new) < 100_000
    assert set(_index(depot).packs) > set(before)


def test_a_crowd_of_small_packs_becomes_one(sides: Callable[[], Side]) -> None:
    one, depot = sides().make(), MemoryDepot()
    for number in range(20):
        (one.data / f"f{number}").write_bytes(b"%d" % number)
        _age(one)
        one.save(depot)
    assert len(_index(depot).packs) < 18
    other = sides()
    assert other.restore(depot) == 20


def _age(side: Side, count: "int | None" = None) -> None:
    """Make the memo believe what it has just seen, or `count` files of it: as if it had been a while ago."""
    files: "dict[str, tuple[Stat, tuple[Chunk, ...]]]" = {}
    for path in [path for path in sorted(side.data.rglob("*")) if path.is_file() and not path.is_symlink()][:count]:
        stat = stat_row(path.stat())
        from builder.cache.chunker import chunks

        with open(path, "rb") as file:
            files[str(path.relative_to(side.data))] = (stat, tuple(Chunk(name_of(c), len(c)) for c in chunks(file.read)))
    memo = Memo(str(side.holder / "memo"))
    memo.replace(files, memo.tables, now_ns=1 << 62)


def _index(depot: MemoryDepot) -> MountIndex:
    entry = FakeTarget(depot).before().config.mounts[0]      # type: ignore[attr-defined]
    return parse_index(depot.blobs[entry.index.digest], "it")


def test_another_cache_gets_what_the_first_one_has(sides: Callable[[], Side]) -> None:
    one, depot, second = sides().make(), MemoryDepot(), MemoryDepot("second")
    fill(one.data)
    one.save(depot)
    other = sides()                                      # has no such mount: nothing of it ran there
    other.save(second, depot)
    third = sides()
    third.restore(second)
    assert look(third.data) == look(one.data)


def test_a_mount_that_another_build_holds_stays_as_it_is(sides: Callable[[], Side]) -> None:
    one, depot = sides().make(), MemoryDepot()
    fill(one.data)
    one.save(depot)
    (one.data / "new").write_bytes(b"x")
    with Lock(f"{one.holder}/lock"):
        one.save(depot)
    other = sides()
    other.restore(depot)
    assert not (other.data / "new").exists()


def test_a_pack_that_is_gone_is_written_anew(sides: Callable[[], Side]) -> None:
    one, depot = sides().make(), MemoryDepot()
    fill(one.data)
    one.save(depot)
    del depot.blobs[_index(depot).packs[0].pack.digest]
    one.save(depot)
    other = sides()
    other.restore(depot)
    assert look(other.data) == look(one.data)


def test_large_mounts_are_several_packs(sides: Callable[[], Side]) -> None:
    one, depot = sides().make(), MemoryDepot()
    source = random.Random(5)
    for number in range(14):
        (one.data / f"f{number}").write_bytes(source.randbytes(2_000_000))
    one.save(depot)
    assert len(_index(depot).packs) == -(-28_000_000 // PACK_BYTES)
    other = sides()
    other.restore(depot)
    assert look(other.data) == look(one.data)


# ---------------------------------------------------------------- strangers
def hostile(*entries: tuple[bytes, Entry], chunks: tuple[bytes, ...] = ()) -> MemoryDepot:
    """A depot whose mount has these entries (directory, entry), and these contents."""
    depot = MemoryDepot()
    target = FakeTarget(depot)
    listing = list(write_listing((directory, [entry]) for directory, entry in entries))
    parts = [*chunks, *listing]
    table = target.put_bytes("table", write_table(Chunk(name_of(part), len(part)) for part in parts))
    pack = target.put_bytes("pack", compress_piece(b"".join(parts), "zstd", 3))
    index = target.put_bytes(MOUNT, to_json(MountIndex((PackRef(pack, table),), tuple(name_of(part).hex() for part in listing))))
    manifest, config = write(Config((), mounts=(MountEntry(NAME, "pkgs", index),)), (index, pack, table))
    depot.blobs[digest_of(config)] = config
    depot.keep(manifest)
    return depot


def entry(name: bytes, kind: str, link: bytes = b"", chunks: bytes = b"") -> Entry:
    return Entry(name, kind, 0o755, 0, 0, 0, link, chunks)


@pytest.mark.parametrize("name", [b"", b".", b"..", b"a/b", b"a\0b", b"x" * 256])
def test_names_that_lead_elsewhere_are_no_entries(name: bytes) -> None:
    raw = msgspec.msgpack.encode((b"", ((name, FILE, 0o644, 0, 0, 0, b"", b""),)))
    with pytest.raises(InvalidCache):
        list(read_listing([len(raw).to_bytes(4, "little") + raw], "it"))


@pytest.mark.parametrize("raw", [b"", b"\xff", msgspec.msgpack.encode((b"nowhere", ((b"f", FILE, 0o644, 0, 0, 0, b"", b""),))),
                                 msgspec.msgpack.encode((b"", ((b"f", "c", 0o644, 0, 0, 0, b"", b""),))),
                                 msgspec.msgpack.encode((b"", ((b"f", FILE, 0o100644, 0, 0, 0, b"", b""),))),
                                 msgspec.msgpack.encode((b"", ((b"f", FILE, 0o644, -1, 0, 0, b"", b""),)))])
def test_listings_that_are_none(raw: bytes) -> None:
    with pytest.raises(InvalidCache):
        list(read_listing([len(raw).to_bytes(4, "little") + raw], "it"))


def test_a_symlink_is_not_written_through(sides: Callable[[], Side], tmp_path: Path) -> None:
    """A link and a directory of one name: whichever comes first, nothing is made where the link leads."""
    content = b"owned"
    outside = tmp_path / "outside"
    outside.mkdir()
    depot = hostile((b"", entry(b"d", SYMLINK, os.fsencode(outside))), (b"", entry(b"d", DIRECTORY)),
                    (b"d", entry(b"f", FILE, chunks=name_of(content))), chunks=(content,))
    with pytest.raises((OSError, CacheError)):
        sides().restore(depot)
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize("link", [b"/etc/passwd", b"../../../../etc/passwd", b"nothing", b""])
def test_a_hard_link_to_what_is_not_its_own_is_refused(sides: Callable[[], Side], link: bytes) -> None:
    with pytest.raises(CacheError, match="leads nowhere"):
        sides().restore(hostile((b"", entry(b"h", HARDLINK, link))))


def test_contents_that_are_in_no_pack_are_refused(sides: Callable[[], Side]) -> None:
    with pytest.raises(CacheError, match="in no pack"):
        sides().restore(hostile((b"", entry(b"f", FILE, chunks=b"\1" * 32))))


def test_a_pack_that_is_not_what_its_table_says_is_refused(sides: Callable[[], Side]) -> None:
    depot = hostile((b"", entry(b"f", FILE, chunks=name_of(b"x"))), chunks=(b"x",))
    index = _index(depot)
    data = compress_piece(b"something else that is long enough for all of the chunks of it, and that has other bytes" * 4, "zstd", 3)
    forged = Descriptor("pack", digest_of(data), len(data))
    target = FakeTarget(depot)
    depot.blobs[forged.digest] = data
    new = target.put_bytes(MOUNT, to_json(MountIndex((PackRef(forged, index.packs[0].table),), index.listing)))
    manifest, config = write(Config((), mounts=(MountEntry(NAME, "pkgs", new),)), (new,))
    depot.blobs[digest_of(config)] = config
    depot.keep(manifest)
    with pytest.raises(CacheError, match="not what its table says"):
        sides().restore(depot)


def test_the_same_name_twice_is_refused(sides: Callable[[], Side]) -> None:
    depot = hostile((b"", entry(b"f", FILE, chunks=name_of(b"x"))), (b"", entry(b"f", FILE, chunks=name_of(b"x"))), chunks=(b"x",))
    with pytest.raises((OSError, CacheError)):
        sides().restore(depot)


def test_a_table_that_promises_too_much_is_refused() -> None:
    with pytest.raises(InvalidCache, match="too large"):
        read_table(write_table([Chunk(b"\0" * 32, 0xFFFFFFFF)]), "it")


def test_a_setuid_file_of_a_stranger_belongs_to_the_mount_only(sides: Callable[[], Side]) -> None:
    """Nothing but the store's owner can get at it: its directory is 0700."""
    side = sides()
    side.restore(hostile((b"", Entry(b"s", FILE, 0o4755, 0, 0, 0, b"", name_of(b"x"))), chunks=(b"x",)))
    assert os.stat(side.store.root.path).st_mode & 0o777 == 0o700
