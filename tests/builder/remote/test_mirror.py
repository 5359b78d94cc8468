"""Mirrors: what they save, and that they are never in the way."""

import os
import subprocess
import time
from pathlib import Path

import pytest

from builder.graph import SourceGit
from builder.remote.access import Access
from builder.remote.errors import DirectoryMissing, GitFailed
from builder.remote.git import Git
from builder.remote.mirror import Mirror, prune
from kernel.locks import Lock
from store.store import Store
from tests.builder.remote.servers import Repository, Web
from tests.builder.remote.test_clone import fetch, files

PATH = {"PATH": os.environ["PATH"]}


def objects_of_newest_pack(mirror: Path) -> int:
    newest = max((mirror / "objects/pack").glob("*.idx"), key=lambda p: p.stat().st_mtime_ns)
    with newest.open("rb") as index:
        return len(subprocess.run(["git", "show-index"], stdin=index, capture_output=True, cwd=mirror, check=True).stdout.splitlines())


@pytest.fixture
def remote(site: Web, repository: Repository) -> str:
    repository.commit({f"many/{number}": f"{number}\n" for number in range(150)})
    return f"{site.url}/git/repo.git"


def only(store: Store) -> Path:
    [mirror] = [p for p in Path(store.root.path, "git").iterdir() if p.is_dir()]
    return mirror


def test_next_commit_is_a_small_fetch(store: Store, repository: Repository, remote: str) -> None:
    fetch(store, SourceGit(remote))
    before = objects_of_newest_pack(only(store))
    repository.commit({f"many/{number}": f"changed {number}\n" for number in range(3)})
    second = fetch(store, SourceGit(remote))
    assert before > 150 and objects_of_newest_pack(only(store)) < 20
    assert (files(store, second) / "many/2").read_text() == "changed 2\n" and (files(store, second) / "many/149").read_text() == "149\n"


def test_git_directory_that_stays_needs_no_mirror(store: Store, repository: Repository, remote: str) -> None:
    fetch(store, SourceGit(remote))
    repository.commit({"many/0": "changed\n"})
    place = files(store, fetch(store, SourceGit(remote, keep_git_dir=True)))
    prune(f"{store.root.path}/git", 0.0)
    assert subprocess.run(["git", "fsck", "--full"], cwd=place, capture_output=True).returncode == 0
    assert subprocess.run(["git", "log", "--oneline"], cwd=place, capture_output=True, text=True).stdout.count("\n") == 1
    assert not (place / ".git/objects/info/alternates").exists()


@pytest.mark.parametrize("debris", ["unfinished", "shallow.lock"])
def test_mirror_of_a_killed_process_is_begun_anew(store: Store, repository: Repository, remote: str, debris: str) -> None:
    fetch(store, SourceGit(remote))
    (only(store) / debris).touch()
    (only(store) / "unfinished").touch()
    repository.commit({"a": "three\n"})
    assert (files(store, fetch(store, SourceGit(remote))) / "a").read_text() == "three\n"


def test_damaged_mirror_costs_one_build_at_most(store: Store, repository: Repository, remote: str) -> None:
    fetch(store, SourceGit(remote))
    [pack] = (only(store) / "objects/pack").glob("*.pack")
    pack.chmod(0o600)
    pack.write_bytes(pack.read_bytes()[:200])
    repository.commit({"a": "three\n"})
    try:
        fetch(store, SourceGit(remote))
    except GitFailed:
        pass
    assert (files(store, fetch(store, SourceGit(remote))) / "a").read_text() == "three\n"


def test_missing_directory_is_no_fault_of_the_mirror(store: Store, remote: str) -> None:
    with pytest.raises(DirectoryMissing):
        fetch(store, SourceGit(remote, subdirectory="nowhere"))
    assert not (only(store) / "unfinished").exists()


def test_prune_removes_what_nobody_uses(store: Store, remote: str) -> None:
    root = f"{store.root.path}/git"
    assert prune(root, 0.0) == 0
    fetch(store, SourceGit(remote))
    assert prune(root, 3600.0) == 0
    with Lock(f"{only(store)}.lock"):
        assert prune(root, 0.0) == 0
    assert prune(root, 0.0) == 1 and os.listdir(root) == []


def test_old_mirrors_go_when_another_comes(store: Store, site: Web, git_place: Path, remote: str) -> None:
    fetch(store, SourceGit(remote))
    old = only(store)
    os.utime(old, (time.time() - 30 * 86400,) * 2)
    Repository(git_place, "other").commit({"f": "1"})
    fetch(store, SourceGit(f"{site.url}/git/other.git"))
    assert not old.exists()


def test_one_build_at_a_time(store: Store, remote: str) -> None:
    git = Git(remote, Access(environment=PATH), store.temporary.directory)
    with Mirror(f"{store.root.path}/git", git, remote, "sha1") as mirror:
        assert not Lock(f"{mirror.directory}.lock").take(wait=False)
    with Lock(f"{mirror.directory}.lock"):
        pass
