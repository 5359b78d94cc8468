"""SourceHttp into the store: the file as it lies there, asked for again, found again."""

import gzip
import hashlib
import io
import os
import stat
import tarfile
import threading
from pathlib import Path

import pytest

from builder.errors import BuildError
from builder.graph import SourceHttp
from builder.remote.access import Access
from builder.remote.download import download, pinned_download
from builder.remote.errors import ChecksumMismatch, DownloadFailed, NotAContext
from builder.remote.kept import Fetched
from builder.request import Secret
from store.gc import Budget, collect
from store.snapshots import SnapshotId
from store.store import Store
from tests.builder.remote.servers import OLD, Page, Web, until
from tests.builder.remote.test_transfer import HASTY
from tests.users import needs_root


def fetch(store: Store, op: SourceHttp, access: Access = Access(environment={})) -> Fetched:
    return download(store, op, access, lambda text: None, HASTY)


def files(store: Store, fetched: Fetched) -> Path:
    return Path(store.snapshots.path(SnapshotId(fetched.record.snapshot)))


def tar_of(**members: str) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for name, text in members.items():
            member = tarfile.TarInfo(name.replace("__", "/"))
            member.size, member.mtime = len(text), OLD
            tar.addfile(member, io.BytesIO(text.encode()))
    return data.getvalue()


def digest(data: bytes, algorithm: str = "sha256") -> str:
    return f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"


@needs_root
def test_file_is_root_s_alone_and_as_old_as_the_server_says(store: Store, site: Web) -> None:
    site.pages["/f"] = Page(b"hello", modified=OLD)
    fetched = fetch(store, SourceHttp(f"{site.url}/f", "name"))
    status = (files(store, fetched) / "name").stat()
    assert (stat.S_IMODE(status.st_mode), status.st_mtime, status.st_uid, status.st_gid, status.st_size) == (0o600, OLD, 0, 0, 5)
    assert os.listdir(files(store, fetched)) == ["name"] and fetched.record.created == "2017-07-14T02:40:00Z"


def test_file_without_a_time_is_of_the_epoch(store: Store, site: Web) -> None:
    site.pages["/f"] = Page(b"hello")
    assert (files(store, fetch(store, SourceHttp(f"{site.url}/f", "f"))) / "f").stat().st_mtime == 0


def test_second_fetch_transfers_nothing(store: Store, site: Web) -> None:
    site.pages["/f"] = Page(b"hello", etag='"1"')
    op = SourceHttp(f"{site.url}/f", "f")
    first, second = fetch(store, op), fetch(store, op)
    assert second.why == "not modified" and second.record.snapshot == first.record.snapshot
    assert site.statuses("/f") == [200, 304]


def test_changed_file_is_fetched_and_has_another_tree(store: Store, site: Web) -> None:
    site.pages["/f"] = Page(b"hello", etag='"1"')
    op = SourceHttp(f"{site.url}/f", "f")
    first = fetch(store, op)
    site.pages["/f"] = Page(b"other", etag='"2"')
    second = fetch(store, op)
    assert not second.why and second.record.tree != first.record.tree
    assert (files(store, second) / "f").read_bytes() == b"other" and (files(store, first) / "f").read_bytes() == b"hello"


def test_same_body_from_a_server_without_validators_is_the_same_tree(store: Store, site: Web) -> None:
    site.pages["/f"] = Page(b"hello")
    op = SourceHttp(f"{site.url}/f", "f")
    assert fetch(store, op).record.snapshot == fetch(store, op).record.snapshot
    assert os.listdir(store.temporary.directory) == []


def test_collected_file_is_fetched_again_although_unchanged(store: Store, site: Web) -> None:
    site.pages["/f"] = Page(b"hello", etag='"1"')
    op = SourceHttp(f"{site.url}/f", "f")
    fetch(store, op)
    store.leases.release()
    with store.index as index:
        index.run("DELETE FROM record")
    collect(store, Budget())
    again = fetch(store, op)
    assert (files(store, again) / "f").read_bytes() == b"hello" and site.statuses("/f") == [200, 200]


# ---------------------------------------------------------------- checksums
@pytest.mark.parametrize("algorithm", ["sha256", "sha384", "sha512"])
def test_checksum_that_matches_is_never_asked_for_again(store: Store, site: Web, algorithm: str) -> None:
    site.pages["/f"] = Page(b"hello")
    op = SourceHttp(f"{site.url}/f", "f", digest(b"hello", algorithm))
    assert pinned_download(store, op) is None
    first, second = fetch(store, op), fetch(store, op)
    assert second.why == "its checksum is known" and second.record.snapshot == first.record.snapshot and len(site.asked) == 1


def test_checksum_of_what_was_fetched_without_one_is_known(store: Store, site: Web) -> None:
    site.pages["/f"] = Page(b"hello")
    fetch(store, SourceHttp(f"{site.url}/f", "f"))
    assert pinned_download(store, SourceHttp("http://elsewhere.invalid/f", "f", digest(b"hello"))) is not None


def test_checksum_mismatch_keeps_nothing(store: Store, site: Web) -> None:
    site.pages["/f"] = Page(b"hello", etag='"1"')
    fetch(store, SourceHttp(f"{site.url}/f", "f"))
    with pytest.raises(ChecksumMismatch) as failed:
        fetch(store, SourceHttp(f"{site.url}/f", "f", digest(b"other")))
    assert failed.value.got == digest(b"hello") and digest(b"other") in str(failed.value)
    assert os.listdir(store.temporary.directory) == []


def test_server_that_is_gone_is_an_error_that_names_the_known_checksum(store: Store, site: Web) -> None:
    site.pages["/f"] = Page(b"hello")
    op = SourceHttp(f"{site.url}/f", "f")
    fetch(store, op)
    site.close()
    with pytest.raises(DownloadFailed) as failed:
        fetch(store, op)
    assert digest(b"hello") in failed.value.help
    assert fetch(store, op._replace(checksum=digest(b"hello"))).why


# ---------------------------------------------------------------- archives
def test_archive_counts_by_what_is_in_it(store: Store, site: Web) -> None:
    site.pages["/f.tgz"] = Page(gzip.compress(tar_of(a="1", b__c="2")))
    place = files(store, fetch(store, SourceHttp(f"{site.url}/f.tgz", "f.tgz", unpack=True)))
    assert sorted(p.relative_to(place).as_posix() for p in place.rglob("*")) == ["a", "b", "b/c"]


def test_what_is_no_archive_stays_a_file(store: Store, site: Web) -> None:
    site.pages["/f.tar"] = Page(b"just text")
    assert os.listdir(files(store, fetch(store, SourceHttp(f"{site.url}/f.tar", "f.tar", unpack=True)))) == ["f.tar"]


def test_hostile_archive_is_refused_and_writes_nowhere(store: Store, site: Web, tmp_path: Path) -> None:
    site.pages["/f"] = Page(tar_of(**{"a": "1", "..__..__..__..__escaped": "2"}))
    with pytest.raises(NotAContext, match="leads outside"):
        fetch(store, SourceHttp(f"{site.url}/f", "f", unpack=True))
    assert not list(tmp_path.rglob("escaped"))


# ---------------------------------------------------------------- names, secrets, neighbours
@pytest.mark.parametrize("name", ["x" * 300, "a\0b"])
def test_name_that_no_file_can_have(store: Store, site: Web, name: str) -> None:
    site.pages["/f"] = Page(b"hello")
    with pytest.raises(BuildError, match="a file cannot be called"):
        fetch(store, SourceHttp(f"{site.url}/f", name))


@pytest.mark.parametrize(("id", "value", "header"), [
    ("HTTP_AUTH_TOKEN_127.0.0.1", "t", "Bearer t"), ("HTTP_AUTH_HEADER_127.0.0.1", "Basic dTpw\n", "Basic dTpw"), ("HTTP_AUTH_TOKEN_127.0.0.1:{port}", "t", "Bearer t")])
def test_secret_of_the_host_opens_the_door(store: Store, site: Web, tmp_path: Path, id: str, value: str, header: str) -> None:
    site.pages["/f"] = Page(b"hello", auth=header)
    (tmp_path / "secret").write_text(value)
    access = Access((Secret(id.format(port=site.port), str(tmp_path / "secret")), Secret("HTTP_AUTH_TOKEN_other", "/nonexistent")), environment={})
    assert fetch(store, SourceHttp(f"{site.url}/f", "f"), access).record


def test_secret_with_a_line_break_is_not_sent(store: Store, site: Web, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("a\r\nX-Other: b")
    with pytest.raises(BuildError, match="control characters"):
        fetch(store, SourceHttp(f"{site.url}/f", "f"), Access((Secret("HTTP_AUTH_TOKEN_127.0.0.1", str(tmp_path / "secret")),)))
    assert not site.asked


def test_user_and_password_of_the_address_are_sent_and_not_shown(store: Store, site: Web) -> None:
    site.pages["/f"] = Page(b"hello", auth="Basic dTpw")
    assert fetch(store, SourceHttp(f"http://u:p@127.0.0.1:{site.port}/f", "f")).record
    with pytest.raises(DownloadFailed) as failed:
        fetch(store, SourceHttp(f"http://u:s3cr3t@127.0.0.1:{site.port}/f", "f"))
    assert "s3cr3t" not in str(failed.value)


def wait(gate: threading.Event) -> None:
    gate.wait(20)


def test_two_builds_at_once_transfer_once(store: Store, site: Web) -> None:
    gate, notes = threading.Event(), list[str]()
    page = site.pages["/f"] = Page(b"hello", etag='"1"', before=lambda: wait(gate))
    other = Store(store.root)
    op = SourceHttp(f"{site.url}/f", "f")
    done: list[Fetched] = []
    one = threading.Thread(target=lambda: done.append(fetch(store, op)))
    one.start()
    until(lambda: any(name.startswith("step-") for name in os.listdir(store.leases.directory)))
    two = threading.Thread(target=lambda: done.append(download(other, op, Access(environment={}), notes.append, HASTY)))
    two.start()
    until(lambda: bool(notes))
    gate.set()
    one.join()
    two.join()
    other.close()
    assert page and notes == ["waits for another build that downloads the same"] and site.statuses("/f") == [200, 304]
    assert done[0].record.snapshot == done[1].record.snapshot
