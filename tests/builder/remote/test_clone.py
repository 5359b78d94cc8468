"""SourceGit into the store: which commit, which files, what of `.git` stays."""

import os
import stat
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.errors import BuildError
from builder.graph import SourceGit
from builder.remote.access import Access
from builder.remote.checkout import settle
from builder.remote.clone import clone, pinned_clone
from builder.remote.errors import BadAddress, ChecksumMismatch, DirectoryMissing, GitFailed, RefMissing
from builder.remote.kept import Fetched
from builder.remote.revision import check_refname
from builder.request import Secret
from store.snapshots import SnapshotId
from store.store import Store
from tests.builder.remote.servers import OLD, Repository, Web, git_daemon
from tests.builder.remote.test_git import FakeSsh
from tests.users import needs_root

PATH = {"PATH": os.environ["PATH"]}


def fetch(store: Store, op: SourceGit, access: Access = Access(environment=PATH)) -> Fetched:
    return clone(store, op, access, lambda text: None)


def files(store: Store, fetched: Fetched) -> Path:
    return Path(store.snapshots.path(SnapshotId(fetched.record.snapshot)))


def names(place: Path) -> list[str]:
    return sorted(p.relative_to(place).as_posix() for p in place.rglob("*") if ".git/" not in f"{p.relative_to(place)}/")


@pytest.fixture
def remote(site: Web, repository: Repository) -> str:
    return f"{site.url}/git/repo.git"


# ---------------------------------------------------------------- files
@needs_root
def test_files_as_git_has_them(store: Store, remote: str) -> None:
    fetched = fetch(store, SourceGit(remote))
    place = files(store, fetched)
    assert names(place) == ["a", "bin", "bin/tool", "docs", "docs/guide", "docs/link"]
    assert [oct(stat.S_IMODE((place / name).lstat().st_mode)) for name in ("a", "bin/tool", "bin", ".")] == ["0o644", "0o755", "0o755", "0o755"]
    assert os.readlink(place / "docs/link") == "../a" and (place / "a").read_text() == "two\n"
    assert {(p.lstat().st_uid, p.lstat().st_gid, p.lstat().st_mtime) for p in [place, *place.rglob("*")]} == {(0, 0, 1_600_000_000)}
    assert fetched.record.created == "2020-09-13T12:26:40Z" and os.listdir(store.temporary.directory) == []


def test_files_as_old_as_the_checkout_where_that_is_wanted(store: Store, remote: str) -> None:
    assert (files(store, fetch(store, SourceGit(remote, mtime="checkout"))) / "a").stat().st_mtime > 1_700_000_000


def test_umask_of_the_user_does_not_matter(store: Store, remote: str) -> None:
    before = os.umask(0o077)
    try:
        place = files(store, fetch(store, SourceGit(remote)))
    finally:
        os.umask(before)
    assert oct(stat.S_IMODE((place / "a").stat().st_mode)) == "0o644"


def test_subdirectory_alone(store: Store, remote: str) -> None:
    assert names(files(store, fetch(store, SourceGit(remote, subdirectory="docs")))) == ["guide", "link"]


def test_subdirectory_that_is_none_or_behind_a_link(store: Store, repository: Repository, remote: str) -> None:
    (repository.work / "out").symlink_to("/etc")
    (repository.work / "in").symlink_to("docs")
    repository.commit({})
    for path in ("nowhere", "a", "in", "out", "out/ssl", "in/guide"):
        with pytest.raises(DirectoryMissing):
            fetch(store, SourceGit(remote, subdirectory=path))


# ---------------------------------------------------------------- which commit
@pytest.mark.parametrize(("ref", "text"), [
    ("", "two\n"), ("HEAD", "two\n"), ("main", "two\n"), ("refs/heads/main", "two\n"), ("heads/main", "two\n"), ("v1", "one\n"), ("refs/tags/v1", "one\n"),
    ("tags/v1", "one\n"), ("light", "one\n"), ("topic/x", "one\n")])
def test_ref_in_all_its_forms(store: Store, remote: str, ref: str, text: str) -> None:
    assert (files(store, fetch(store, SourceGit(remote, ref))) / "a").read_text() == text


def test_branch_comes_before_tag_of_the_same_name(store: Store, repository: Repository, remote: str) -> None:
    repository.git("branch", "same", "main")
    repository.git("tag", "same", "v1")
    repository.publish()
    assert (files(store, fetch(store, SourceGit(remote, "same"))) / "a").read_text() == "two\n"
    assert (files(store, fetch(store, SourceGit(remote, "refs/tags/same"))) / "a").read_text() == "one\n"


def test_commit_in_full_is_asked_for_once(store: Store, site: Web, repository: Repository, remote: str) -> None:
    op = SourceGit(remote, repository.git("rev-parse", "v1^{commit}"))
    assert pinned_clone(store, op) is None
    first = fetch(store, op)
    asked = len(site.asked)
    assert fetch(store, op).why == "its commit is known" and len(site.asked) == asked
    assert (files(store, first) / "a").read_text() == "one\n"


def test_commit_only_of_the_checksum(store: Store, repository: Repository, remote: str) -> None:
    commit = repository.git("rev-parse", "v1^{commit}")
    assert (files(store, fetch(store, SourceGit(remote, checksum=commit))) / "a").read_text() == "one\n"
    assert (files(store, fetch(store, SourceGit(remote, "main", checksum=commit, by_commit=True))) / "a").read_text() == "one\n"


def test_known_commit_is_not_fetched_again(store: Store, site: Web, remote: str) -> None:
    first = fetch(store, SourceGit(remote, "main"))
    asked = len(site.statuses("/git/repo.git/git-upload-pack"))
    second = fetch(store, SourceGit(remote))
    assert second.why.endswith("is known") and second.record.snapshot == first.record.snapshot
    assert len(site.statuses("/git/repo.git/git-upload-pack")) == asked + 1        # only the look-up of the ref


def test_branch_that_moved_is_fetched(store: Store, repository: Repository, remote: str) -> None:
    fetch(store, SourceGit(remote))
    repository.commit({"a": "three\n"})
    assert (files(store, fetch(store, SourceGit(remote))) / "a").read_text() == "three\n"


def test_checksum_of_a_tag_is_the_commit_s_or_its_own(store: Store, repository: Repository, remote: str) -> None:
    commit, tag = repository.git("rev-parse", "v1^{commit}"), repository.git("rev-parse", "v1")
    assert commit != tag
    first = fetch(store, SourceGit(remote, "v1"))
    for checksum in (commit[:7], commit, tag[:12]):
        assert fetch(store, SourceGit(remote, "v1", checksum=checksum)).record.snapshot == first.record.snapshot
    with pytest.raises(ChecksumMismatch):
        fetch(store, SourceGit(remote, "v1", checksum="0123456"))


def test_missing_ref_names_the_nearest(store: Store, remote: str) -> None:
    with pytest.raises(RefMissing) as failed:
        fetch(store, SourceGit(remote, "mian"))
    assert failed.value.help == "did you mean `main`?"
    with pytest.raises(RefMissing) as short:
        fetch(store, SourceGit(remote, "abcdef1"))
    assert "40 digits" in short.value.help


def test_missing_commit_and_missing_repository(store: Store, site: Web, remote: str) -> None:
    with pytest.raises(GitFailed):
        fetch(store, SourceGit(remote, "0" * 40))
    with pytest.raises(GitFailed, match="not found"):
        fetch(store, SourceGit(f"{site.url}/git/none.git", "main"))
    assert os.listdir(store.temporary.directory) == []


@pytest.mark.parametrize("ref", ["--upload-pack=touch x", "-u", "a..b", "a:b", "a b", "a\nb", "a^{}", "x.lock", "/a", "a//b", ".a", "a.", "@", "a@{1}", "a*"])
def test_ref_that_is_no_name(store: Store, ref: str) -> None:
    with pytest.raises(BadAddress):
        fetch(store, SourceGit("http://127.0.0.1:9/x.git", ref))


@given(st.text("ab./-@{}^~:*[\\ \n", min_size=1, max_size=8))
def test_refnames_are_those_that_git_takes(ref: str) -> None:
    taken = subprocess.run(["git", "check-ref-format", f"refs/heads/{ref}"], capture_output=True).returncode == 0
    try:
        check_refname(ref, "x")
        ours = True
    except BadAddress:
        ours = False
    assert ours == (taken and not ref.startswith("-") and ref != "@")


# ---------------------------------------------------------------- .git
def test_git_directory_that_stays(store: Store, repository: Repository, site: Web) -> None:
    remote = f"http://user:s3cr3t@127.0.0.1:{site.port}/git/repo.git"
    place = files(store, fetch(store, SourceGit(remote, "v1", keep_git_dir=True)))

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=place, capture_output=True, text=True, check=True).stdout.strip()

    assert git("rev-parse", "HEAD") == repository.git("rev-parse", "v1^{commit}") and git("describe", "--tags") == "v1"
    assert git("config", "remote.origin.url") == f"{site.url}/git/repo.git"
    assert git("status", "--porcelain") == ""
    assert not [p for p in (place / ".git").rglob("*") if p.is_file() and b"s3cr3t" in p.read_bytes()]
    assert not (place / ".git/FETCH_HEAD").exists() and not list((place / ".git").glob("hooks/*"))
    assert git("for-each-ref", "--format=%(refname)") == "refs/tags/v1"


def test_git_directory_that_stays_has_the_branch(store: Store, remote: str) -> None:
    place = files(store, fetch(store, SourceGit(remote, keep_git_dir=True)))
    assert (place / ".git/refs/heads/main").exists()
    assert not (files(store, fetch(store, SourceGit(remote))) / ".git").exists()
    assert not (files(store, fetch(store, SourceGit(remote, subdirectory="docs", keep_git_dir=True))) / ".git").exists()


# ---------------------------------------------------------------- submodules
@pytest.fixture
def with_submodule(git_place: Path, site: Web, repository: Repository) -> str:
    """`outer.git`, with repo.git as the submodule `lib/sub` by a relative address."""
    outer = Repository(git_place, "outer")
    outer.commit({"top": "top\n"})
    outer.git("submodule", "--quiet", "add", str(repository.bare), "lib/sub")
    outer.git("config", "--file", ".gitmodules", "submodule.lib/sub.url", "../repo.git")
    outer.commit({})
    return f"{site.url}/git/outer.git"


def test_submodules_come_along_unless_they_are_not_wanted(store: Store, with_submodule: str) -> None:
    assert {"top", "lib/sub/a", "lib/sub/docs/guide"} <= set(names(files(store, fetch(store, SourceGit(with_submodule)))))
    assert "lib/sub/a" not in names(files(store, fetch(store, SourceGit(with_submodule, submodules=False))))
    assert not list(files(store, fetch(store, SourceGit(with_submodule))).rglob(".git"))


def test_submodules_of_a_subdirectory(store: Store, with_submodule: str) -> None:
    assert {"sub", "sub/a"} <= set(names(files(store, fetch(store, SourceGit(with_submodule, subdirectory="lib")))))


def test_submodules_work_where_git_stays(store: Store, with_submodule: str) -> None:
    place = files(store, fetch(store, SourceGit(with_submodule, keep_git_dir=True)))
    done = subprocess.run(["git", "-C", str(place / "lib/sub"), "rev-parse", "HEAD"], capture_output=True, text=True)
    assert len(done.stdout.strip()) == 40


@pytest.mark.parametrize("address", ["file://{path}", "{path}", "ext::touch {marker}", "--upload-pack=touch {marker}"])
def test_submodule_of_this_machine_is_refused(store: Store, git_place: Path, site: Web, repository: Repository, tmp_path: Path, address: str) -> None:
    outer, marker = Repository(git_place, "evil"), tmp_path / "marker"
    outer.commit({"top": "top\n"})
    outer.git("submodule", "--quiet", "add", str(repository.bare), "sub")
    outer.git("config", "--file", ".gitmodules", "submodule.sub.url", address.format(path=repository.bare, marker=marker))
    outer.commit({})
    with pytest.raises(GitFailed):
        fetch(store, SourceGit(f"{site.url}/git/evil.git"))
    assert not marker.exists() and os.listdir(store.temporary.directory) == []


def test_submodule_cannot_say_how_it_is_updated(store: Store, git_place: Path, site: Web, repository: Repository, tmp_path: Path) -> None:
    outer, marker = Repository(git_place, "evil"), tmp_path / "marker"
    outer.commit({"top": "top\n"})
    outer.git("submodule", "--quiet", "add", str(repository.bare), "sub")
    outer.git("config", "--file", ".gitmodules", "submodule.sub.url", "../repo.git")
    outer.git("config", "--file", ".gitmodules", "submodule.sub.update", f"!touch {marker}")
    outer.commit({})
    try:
        fetch(store, SourceGit(f"{site.url}/git/evil.git"))
    except GitFailed:
        pass
    assert not marker.exists()


# ---------------------------------------------------------------- servers and doors
def test_git_protocol(store: Store, git_place: Path, repository: Repository) -> None:
    with git_daemon(git_place) as address:
        assert (files(store, fetch(store, SourceGit(f"{address}/repo.git", "v1"))) / "a").read_text() == "one\n"


def test_server_that_gives_no_single_commits(store: Store, site: Web, repository: Repository) -> None:
    remote = f"{site.url}/dumb/repo.git"
    assert (files(store, fetch(store, SourceGit(remote, "v1"))) / "a").read_text() == "one\n"
    assert (files(store, fetch(store, SourceGit(remote, repository.git("rev-parse", "main")))) / "a").read_text() == "two\n"
    assert (files(store, fetch(store, SourceGit(remote, "v1", keep_git_dir=True))) / ".git/refs/tags/v1").exists()


def test_ssh_repository(store: Store, tmp_path: Path, repository: Repository) -> None:
    access = Access(ssh=(("default", "/run/agent"),), environment={"PATH": FakeSsh(tmp_path).path})
    for remote in (f"git@host:{repository.bare}", f"ssh://git@host:2222{repository.bare}"):
        assert (files(store, fetch(store, SourceGit(remote, "v1"), access)) / "a").read_text() == "one\n"


def test_private_repository_and_its_submodule_by_token(store: Store, site: Web, with_submodule: str, tmp_path: Path) -> None:
    site.git_auth = "Basic eC1hY2Nlc3MtdG9rZW46dA=="
    (tmp_path / "token").write_text("t\n")
    with pytest.raises(GitFailed):
        fetch(store, SourceGit(with_submodule))
    access = Access((Secret("GIT_AUTH_TOKEN", str(tmp_path / "token")),), environment=PATH)
    assert "lib/sub/a" in names(files(store, fetch(store, SourceGit(with_submodule), access)))


# ---------------------------------------------------------------- hostile trees
def test_attributes_and_hooks_of_a_repository_run_nothing(store: Store, repository: Repository, remote: str, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    repository.commit({".gitattributes": "* filter=evil diff=evil merge=evil\n", ".gitconfig": f'[filter "evil"]\n\tsmudge = touch {marker}\n',
                       ".githooks/post-checkout*": f"#!/bin/sh\ntouch {marker}\n"})
    assert (files(store, fetch(store, SourceGit(remote))) / ".gitconfig").exists() and not marker.exists()


def test_settle_survives_a_deep_tree(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        here = os.dup(fd)
        for _ in range(1500):
            os.mkdir("d" * 40, dir_fd=here)
            below = os.open("d" * 40, os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = below
        os.mkdir(".git", dir_fd=here)
        settle(fd, OLD, False)
        assert os.listdir(here) == [] and os.fstat(here).st_mtime == OLD
        os.close(here)
    finally:
        from kernel.paths import remove_tree

        remove_tree(fd, "d" * 40)
        os.close(fd)


def test_one_error_root(store: Store) -> None:
    with pytest.raises(BuildError):
        fetch(store, SourceGit("http://127.0.0.1:9/x.git", "0" * 40), Access(environment={"PATH": ""}))
