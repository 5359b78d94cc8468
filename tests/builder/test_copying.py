import os
import socket
from pathlib import Path

import pytest

from builder.context import Context
from builder.copying import Dressing, copy
from builder.errors import BuildError, CopySourceMissing
from builder.graph import Pick, Selector
from builder.selection import manifest, take
from builder.target import Target
from lang.chmod import parse_chmod
from store.view import View
from tests.users import needs_root

pytestmark = needs_root


class Copied:
    """COPY of `sources` from a context directory onto one lower directory; `root` is what a container would see."""

    def __init__(self, tmp_path: Path) -> None:
        self.context, self.below, self.draft = tmp_path / "context", tmp_path / "below", tmp_path / "draft"
        for directory in (self.context, self.below, self.draft, tmp_path / "index"):
            directory.mkdir()
        self.index = tmp_path / "index"

    def copy(self, *sources: str, to: str, dressing: Dressing = Dressing(), parents: bool = False) -> dict[str, bytes]:
        files = Context(str(self.context), str(self.index))
        target = Target(View([str(self.below)]), str(self.draft))
        try:
            taken = take(files, Selector(tuple(Pick("", s) if parents else Pick(s) for s in sources), parents=parents))
            return copy(files, taken, target, to, dressing, parents=parents)
        finally:
            target.close()
            files.close()

    def made(self) -> list[str]:
        return sorted(str(p.relative_to(self.draft)) + ("/" if p.is_dir() and not p.is_symlink() else "") for p in self.draft.rglob("*"))


@pytest.fixture
def case(tmp_path: Path) -> Copied:
    return Copied(tmp_path)


def write(path: Path, text: str = "x", mode: int = 0o644) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


def test_copy_file_to_name(case: Copied) -> None:
    os.utime(write(case.context / "a", "hello", 0o640), ns=(5, 5_000_000_007))
    case.copy("a", to="/x/y")
    status = (case.draft / "x/y").stat()
    assert (case.draft / "x/y").read_text() == "hello"
    assert (status.st_mode & 0o7777, status.st_uid, status.st_mtime_ns) == (0o640, 0, 5_000_000_007)
    assert (case.draft / "x").stat().st_mode & 0o7777 == 0o755


def test_copy_file_into_directory_by_slash_and_by_existing(case: Copied) -> None:
    write(case.context / "a")
    (case.below / "old").mkdir()
    case.copy("a", to="/new/")
    case.copy("a", to="/old")
    assert case.made() == ["new/", "new/a", "old/", "old/a"]


def test_copy_directory_copies_contents(case: Copied) -> None:
    write(case.context / "d/one")
    write(case.context / "d/e/two")
    case.copy("d", to="/t")
    assert case.made() == ["t/", "t/e/", "t/e/two", "t/one"]


def test_copy_existing_directory_keeps_its_mode_nested_takes_the_sources(case: Copied) -> None:
    write(case.context / "d/e/two")
    (case.context / "d/e").chmod(0o700)
    (case.context / "d").chmod(0o711)
    (case.below / "t/e").mkdir(parents=True)
    (case.below / "t").chmod(0o750)
    os.utime(case.below / "t", ns=(1, 1))
    case.copy("d", to="/t/")
    assert (case.draft / "t").stat().st_mode & 0o7777 == 0o750
    assert (case.draft / "t").stat().st_mtime_ns == 1
    assert (case.draft / "t/e").stat().st_mode & 0o7777 == 0o700


def test_copy_chown_applies_to_made_directories_not_to_existing(case: Copied) -> None:
    write(case.context / "d/f")
    (case.below / "t").mkdir()
    case.copy("d", to="/t/new/dir/", dressing=Dressing(owner=(7, 8)))
    owners = {p: ((case.draft / p).stat().st_uid, (case.draft / p).stat().st_gid) for p in ("t", "t/new", "t/new/dir", "t/new/dir/f")}
    assert owners == {"t": (0, 0), "t/new": (7, 8), "t/new/dir": (7, 8), "t/new/dir/f": (7, 8)}


def test_copy_chmod_symbolic(case: Copied) -> None:
    write(case.context / "d/f", mode=0o600)
    write(case.context / "d/e/g", mode=0o700)
    case.copy("d", to="/t", dressing=Dressing(chmod=parse_chmod("u=rwX,go=rX")))
    assert [(case.draft / "t" / p).stat().st_mode & 0o777 for p in ("f", "e", "e/g")] == [0o644, 0o755, 0o755]


def test_copy_writes_through_a_symlink_destination(case: Copied) -> None:
    write(case.context / "a")
    (case.below / "real").mkdir()
    os.symlink("/real", case.below / "link")
    os.symlink("/gone/deep", case.below / "dangling")
    case.copy("a", to="/link/")
    case.copy("a", to="/dangling")
    assert case.made() == ["gone/", "gone/deep", "real/", "real/a"]


def test_copy_absolute_symlink_never_leaves_the_root(case: Copied, tmp_path: Path) -> None:
    write(case.context / "a")
    os.symlink(str(tmp_path / "outside"), case.below / "link")
    case.copy("a", to="/link/../../../../x")
    assert not (tmp_path / "outside").exists()
    assert "x" in case.made()[-1]


def test_copy_replaces_a_symlink_inside_a_merged_directory(case: Copied) -> None:
    write(case.context / "d/f", "new")
    (case.below / "t").mkdir()
    write(case.below / "keep", "old")
    os.symlink("/keep", case.below / "t/f")
    case.copy("d", to="/t/")
    assert not (case.draft / "t/f").is_symlink()
    assert case.made() == ["t/", "t/f"]


def test_copy_directory_over_file_and_file_over_directory(case: Copied) -> None:
    write(case.context / "d/f/g")
    write(case.context / "e/t")
    write(case.below / "x/f")
    (case.below / "y/t").mkdir(parents=True)
    with pytest.raises(BuildError, match="no directory"):
        case.copy("d", to="/x/")
    with pytest.raises(BuildError, match="is a directory"):
        case.copy("e", to="/y/")


def test_copy_two_sources_of_one_name_later_wins(case: Copied) -> None:
    write(case.context / "a/f", "first")
    write(case.context / "b/f", "second")
    case.copy("a/f", "b/f", to="/t/")
    assert (case.draft / "t/f").read_text() == "second"


def test_copy_hard_links_stay_links(case: Copied) -> None:
    write(case.context / "d/one")
    os.link(case.context / "d/one", case.context / "d/two")
    case.copy("d", to="/t")
    assert (case.draft / "t/one").stat().st_ino == (case.draft / "t/two").stat().st_ino


def test_copy_hard_links_of_two_sources_are_files_of_their_own(case: Copied) -> None:
    os.link(write(case.context / "one"), case.context / "two")
    case.copy("one", "two", to="/to/")
    assert [(case.draft / "to" / name).stat().st_nlink for name in ("one", "two")] == [1, 1]


def test_copy_that_matches_nothing_makes_no_destination(case: Copied) -> None:
    assert case.copy("no*such", to="/to/") == {}
    assert case.made() == []


def test_copy_socket_is_skipped_fifo_is_made(case: Copied) -> None:
    (case.context / "d").mkdir()
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(str(case.context / "d/sock"))
    os.mkfifo(case.context / "d/fifo", 0o620)
    case.copy("d", to="/t")
    assert case.made() == ["t/", "t/fifo"]
    assert (case.draft / "t/fifo").is_fifo()


def test_copy_wildcard_matches_sorted_and_may_match_nothing(case: Copied) -> None:
    for name in ("b.txt", "a.txt", "c.md"):
        write(case.context / name)
    case.copy("*.txt", "nothing*", to="/t/")
    assert case.made() == ["t/", "t/a.txt", "t/b.txt"]


def test_copy_missing_source_says_what_is_similar(case: Copied) -> None:
    write(case.context / "src/main.py")
    with pytest.raises(CopySourceMissing) as caught:
        case.copy("src/mian.py", to="/t/")
    assert caught.value.help == "did you mean `src/main.py`?"


def test_copy_through_symlinked_directory_of_the_context(case: Copied, tmp_path: Path) -> None:
    write(case.context / "real/f")
    os.symlink("real", case.context / "link")
    os.symlink("/etc", case.context / "outside")
    case.copy("link/f", to="/t/")
    assert case.made() == ["t/", "t/f"]
    with pytest.raises(CopySourceMissing):
        case.copy("outside/passwd", to="/t/")


def test_copy_symlink_in_directory_is_kept_as_source_is_followed(case: Copied) -> None:
    write(case.context / "f", "data")
    (case.context / "d").mkdir()
    os.symlink("../f", case.context / "d/l")
    case.copy("d", to="/t")
    case.copy("d/l", to="/u")
    assert os.readlink(case.draft / "t/l") == "../f"
    assert (case.draft / "u").read_text() == "data"


@pytest.mark.parametrize("target", ["nowhere", "/etc/passwd", "dead"])
def test_copy_of_a_link_to_nowhere_says_so(case: Copied, target: str) -> None:
    os.symlink(target, case.context / "dead")
    with pytest.raises(CopySourceMissing) as caught:
        case.copy("dead", to="/t")
    assert caught.value.help == "`dead` is a link, and what it names is not there"


def test_copy_parents_keeps_the_path_and_its_modes(case: Copied) -> None:
    write(case.context / "a/b/c.txt")
    (case.context / "a").chmod(0o700)
    case.copy("a/b/c.txt", to="/t/", parents=True)
    assert case.made() == ["t/", "t/a/", "t/a/b/", "t/a/b/c.txt"]
    assert (case.draft / "t/a").stat().st_mode & 0o777 == 0o700


def test_copy_large_sparse_file_stays_sparse(case: Copied) -> None:
    with open(case.context / "big", "wb") as file:
        file.truncate(64 << 20)
        file.seek(32 << 20)
        file.write(b"middle")
    case.copy("big", to="/big")
    assert (case.draft / "big").stat().st_blocks * 512 < 1 << 20
    assert (case.draft / "big").read_bytes() == (case.context / "big").read_bytes()


def test_copy_many_files_in_two_processes(case: Copied) -> None:
    for n in range(1200):
        write(case.context / f"d{n % 7}/f{n}", str(n))
    digests = case.copy(".", to="/t")
    assert len(digests) == 1200
    assert all((case.draft / f"t/d{n % 7}/f{n}").read_text() == str(n) for n in range(1200))


def test_copy_parents_to_a_directory_that_is_not_there(case: Copied) -> None:
    write(case.context / "a/b/f")
    case.copy("a/b/f", to="/new/o", parents=True)
    assert case.made() == ["new/", "new/o/", "new/o/a/", "new/o/a/b/", "new/o/a/b/f"]


def test_copy_of_several_files_to_a_name_leaves_the_last(case: Copied) -> None:
    """As docker has it; `pybuild lint` warns of it."""
    write(case.context / "a", "first")
    write(case.context / "b", "second")
    case.copy("a", "b", to="/x")
    assert case.made() == ["x"] and (case.draft / "x").read_text() == "second"


def test_new_directories_take_over_the_set_group_id_bit(case: Copied) -> None:
    (case.below / "d").mkdir()
    os.chown(case.below / "d", 0, 5)
    (case.below / "d").chmod(0o2775)
    write(case.context / "f")
    case.copy("f", to="/d/new/deep/f")
    for path in ("d", "d/new", "d/new/deep"):
        status = (case.draft / path).stat()
        assert (status.st_mode & 0o2000, status.st_gid) == (0o2000, 5), path
    assert (case.draft / "d/new").stat().st_mode & 0o7777 == 0o2755 and (case.draft / "d/new/deep/f").stat().st_gid == 0


def test_new_directories_of_an_owner_take_over_the_bit_alone(case: Copied) -> None:
    (case.below / "d").mkdir()
    (case.below / "d").chmod(0o2775)
    write(case.context / "f")
    case.copy("f", to="/d/new/", dressing=Dressing((7, 8)))
    status = (case.draft / "d/new").stat()
    assert (status.st_mode & 0o7777, status.st_uid, status.st_gid) == (0o2755, 7, 8)


def digest(case: Copied, *sources: str) -> str:
    files = Context(str(case.context), str(case.index))
    try:
        selector = Selector(tuple(Pick(s) for s in sources))
        return manifest(files, take(files, selector), selector).digest
    finally:
        files.close()


def test_content_digest_changes_with_what_is_selected_only(case: Copied) -> None:
    write(case.context / "src/a", "1")
    write(case.context / "other", "1")
    first = digest(case, "src")
    write(case.context / "other", "2")
    os.utime(case.context / "src/a", (9, 9))
    assert digest(case, "src") == first
    write(case.context / "src/a", "2")
    changed = digest(case, "src")
    assert changed != first
    (case.context / "src/a").chmod(0o600)
    assert digest(case, "src") not in (first, changed)


def test_content_digest_rename_within_wildcard_changes(case: Copied) -> None:
    write(case.context / "a1", "1")
    first = digest(case, "a*")
    (case.context / "a1").rename(case.context / "a2")
    assert digest(case, "a*") != first


def test_content_digest_racy_change_of_same_size_is_seen(case: Copied) -> None:
    write(case.context / "f", "1111")
    first = digest(case, "f")
    write(case.context / "f", "2222")
    os.utime(case.context / "f", ns=(0, 0))
    assert digest(case, "f") != first
