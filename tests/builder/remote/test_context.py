"""Build contexts that are no directory: stdin, git, http."""

import bz2
import gzip
import io
import lzma
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from builder.errors import BuildError, DockerfileMissing
from builder.remote.access import Access
from builder.remote.context import RemoteContext, kind_of, open_context, read_url
from builder.remote.errors import NotAContext
from store.snapshots import SnapshotId
from store.store import Store
from tests.builder.remote.servers import OLD, Page, Repository, Web
from tests.builder.remote.test_download import tar_of

PATH = {"PATH": os.environ["PATH"]}
FILE = "FROM scratch\n"


def opened(store: Store, word: str, file: str = "", text: bytes | None = None, keep_git_dir: bool = False) -> RemoteContext:
    return open_context(store, word, file, Access(environment=PATH), text=text, keep_git_dir=keep_git_dir)


def on_stdin(store: Store, data: bytes, file: str = "") -> RemoteContext:
    """As if `data` came on stdin, through a pipe."""
    feeder = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdout.buffer.write(sys.stdin.buffer.read())"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert feeder.stdin and feeder.stdout
    saved = os.dup(0)
    os.dup2(feeder.stdout.fileno(), 0)
    try:
        if not os.fork():                                # whoever writes must not be whoever reads
            try:
                feeder.stdin.write(data)
                feeder.stdin.close()
            finally:
                os._exit(0)
        feeder.stdin.close()
        return opened(store, "-", file)
    finally:
        os.dup2(saved, 0)
        os.close(saved)
        feeder.stdout.close()
        feeder.wait()
        os.wait()


def files(store: Store, context: RemoteContext) -> Path:
    assert context.tree is not None
    return Path(store.snapshots.path(SnapshotId(context.tree.snapshot)))


@pytest.mark.parametrize(("word", "kind"), [
    ("-", "stdin"), (".", ""), ("/some/where", ""), ("user@nope", ""), ("http://h/x", "http"), ("https://h/x.git", "git"), ("https://h/x.git#a:b", "git"),
    ("git@h:x", "git"), ("ssh://h/x", "git"), ("git://h/x", "git"), ("github.com/a/b", "git")])
def test_kind_of_a_word(word: str, kind: str) -> None:
    assert kind_of(word) == kind


def test_kind_of_what_cannot_be_a_context() -> None:
    with pytest.raises(NotAContext):
        kind_of("ftp://h/x")


def test_directory_comes_before_what_its_name_could_mean(tmp_path: Path) -> None:
    (tmp_path / "git@h:x").mkdir()
    assert kind_of(f"{tmp_path}/git@h:x") == ""


# ---------------------------------------------------------------- stdin
@pytest.mark.parametrize("packed", [lambda d: d, gzip.compress, bz2.compress, lzma.compress], ids=["plain", "gzip", "bzip2", "xz"])
def test_tar_on_stdin(store: Store, packed: object) -> None:
    data = tar_of(Dockerfile=FILE, d__f="x" * 5000, _dot_dockerignore="*")
    context = on_stdin(store, packed(data))              # type: ignore[operator]  # each takes bytes and gives bytes
    assert context.text == FILE.encode() and context.tree is not None and context.tree.moment == OLD
    assert (files(store, context) / "d/f").read_text() == "x" * 5000


def test_tar_on_stdin_larger_than_its_head(store: Store) -> None:
    noise = os.urandom(3_000_000).hex()
    context = on_stdin(store, gzip.compress(tar_of(Dockerfile=FILE, noise=noise)))
    assert (files(store, context) / "noise").read_text() == noise


def test_same_tar_again_is_the_same_tree(store: Store) -> None:
    data = tar_of(Dockerfile=FILE)
    first, second = on_stdin(store, data), on_stdin(store, gzip.compress(data))
    assert first.tree == second.tree and second.why == "the same as before"
    assert os.listdir(store.temporary.directory) == []


def test_dockerfile_on_stdin_comes_alone(store: Store) -> None:
    assert on_stdin(store, FILE.encode()) == RemoteContext("Dockerfile", FILE.encode())
    assert on_stdin(store, b"").text == b""


def test_dockerfile_in_the_tar(store: Store) -> None:
    data = tar_of(sub__other=FILE, dockerfile="FROM busybox\n")
    assert on_stdin(store, data, "sub/other").text == FILE.encode()
    assert on_stdin(store, data).dockerfile == "dockerfile"
    with pytest.raises(DockerfileMissing):
        on_stdin(store, data, "nowhere")


@pytest.mark.parametrize("data", [os.urandom(3000) + b"\0", gzip.compress(b"no tar"), b"FROM x\0"], ids=["noise", "gzip", "nul"])
def test_stdin_that_is_neither(store: Store, data: bytes) -> None:
    with pytest.raises(NotAContext, match="neither a Dockerfile nor a tar"):
        on_stdin(store, data)


def test_dockerfile_on_stdin_without_end(store: Store) -> None:
    with pytest.raises(NotAContext, match="more than"):
        on_stdin(store, b"# comment\n" * 1_800_000)


@pytest.mark.parametrize("name", ["..__..__escaped", "__tmp__escaped-by-pybuild"])
def test_hostile_tar_on_stdin_writes_nowhere(store: Store, tmp_path: Path, name: str) -> None:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for member, target in (("d", "/tmp"), ("Dockerfile", "")):
            info = tarfile.TarInfo(member)
            info.type, info.linkname = (tarfile.SYMTYPE, target) if target else (tarfile.REGTYPE, "")
            tar.addfile(info)
        info = tarfile.TarInfo("d/escaped-by-pybuild")
        tar.addfile(info)
        tar.addfile(tarfile.TarInfo(name.replace("__", "/")))
    try:
        on_stdin(store, data.getvalue())
    except NotAContext:
        pass
    assert not Path("/tmp/escaped-by-pybuild").exists() and not list(tmp_path.rglob("../escaped"))
    assert os.listdir(store.temporary.directory) == []


def test_cut_tar_is_one_clear_error(store: Store) -> None:
    with pytest.raises(NotAContext, match="the context on stdin is a bad archive"):
        on_stdin(store, tar_of(Dockerfile=FILE, f="x" * 9000)[:5000])


def test_dockerfile_that_is_a_link_out_of_the_context(store: Store, tmp_path: Path) -> None:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        info = tarfile.TarInfo("Dockerfile")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/hostname"
        tar.addfile(info)
    with pytest.raises(BuildError):                      # /etc/hostname of the context: there is none
        on_stdin(store, data.getvalue())


# ---------------------------------------------------------------- git and http
def test_git_context(store: Store, site: Web, repository: Repository) -> None:
    repository.commit({"Dockerfile": FILE, "sub/Dockerfile": "FROM sub\n", ".dockerignore": "*\n"})
    remote = f"{site.url}/git/repo.git"
    context = opened(store, remote)
    assert context.text == FILE.encode() and context.tree is not None and context.tree.name == remote and context.tree.moment == OLD
    assert not (files(store, context) / ".git").exists() and (files(store, context) / ".dockerignore").exists()
    assert opened(store, f"{remote}#main:sub").text == b"FROM sub\n"
    assert opened(store, remote, "sub/Dockerfile").text == b"FROM sub\n"
    assert opened(store, remote, text=b"FROM given\n").text == b"FROM given\n"
    assert (files(store, opened(store, remote, keep_git_dir=True)) / ".git/HEAD").exists()


def test_git_context_without_a_dockerfile(store: Store, site: Web, repository: Repository) -> None:
    with pytest.raises(DockerfileMissing) as failed:
        opened(store, f"{site.url}/git/repo.git#v1")
    assert "repo.git#v1" in failed.value.help


def test_git_context_that_cannot_be(store: Store) -> None:
    with pytest.raises(NotAContext, match="`nonsense` is no part of a git source"):
        opened(store, "https://h/x.git?nonsense=1")


def test_http_context_tar_and_dockerfile(store: Store, site: Web) -> None:
    site.pages["/c.tgz"] = Page(gzip.compress(tar_of(Dockerfile=FILE, f="1")), modified=OLD)
    context = opened(store, f"{site.url}/c.tgz")
    assert context.text == FILE.encode() and (files(store, context) / "f").exists()
    site.pages["/Containerfile"] = Page(b"FROM other\n")
    assert opened(store, f"{site.url}/Containerfile").text == b"FROM other\n"


def test_dockerfile_behind_a_url(store: Store, site: Web) -> None:
    site.pages["/d"] = Page(FILE.encode(), etag='"1"')
    for _ in range(2):
        assert read_url(store, f"{site.url}/d", Access(environment={})) == FILE.encode()
    assert site.statuses("/d") == [200, 304]
