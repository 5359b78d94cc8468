"""Every kind of depot keeps its promises: the same tests for a directory, a real registry, S3 (moto) and GitHub's cache (a fake of it)."""

import os
import random
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from builder.cache.depot import blob, open_depot, put_bytes, verified
from builder.cache.errors import BlobGone, CacheError
from builder.cache.gha import open_gha
from builder.cache.http import Patience
from builder.cache.s3 import identity_of, open_s3
from builder.cache.sigv4 import EMPTY, Identity, encode_path, sign
from builder.errors import BuildError
from builder.request import CacheAddress
from store.config import Config
from store.digest import digest_of
from store.oci import OCI_CONFIG, OCI_MANIFEST, Descriptor, Manifest, to_json
from store.registry.session import Session
from tests.builder.cache.conftest import await_port
from tests.builder.cache.github import FakeGithub

HURRY = Patience(attempts=3, pause=0.0, connect=5, idle=5, sleep=lambda seconds: None)
Open = Callable[[], Any]


def sessions() -> Session:
    return Session(Config(), {"HOME": "/nonexistent"}, directories=())


@pytest.fixture(scope="session")
def moto() -> Iterator[str]:
    """URL of a server that speaks like S3, with a bucket `caches`."""
    program = shutil.which("moto_server", path=f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}")
    if not program:
        pytest.skip("moto is not installed (pip install 'moto[s3,server]')")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen([program, "-H", "127.0.0.1", "-p", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        await_port(port, process)
        url = f"http://127.0.0.1:{port}"
        import urllib3

        headers = sign("PUT", f"{url}/caches", "us-east-1", Identity("a", "b"), EMPTY)
        with urllib3.PoolManager() as pool:
            assert pool.request("PUT", f"{url}/caches", headers=headers).status == 200
        yield url
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def github() -> Iterator[FakeGithub]:
    with FakeGithub() as running:
        yield running


def s3_address(url: str, **more: str) -> CacheAddress:
    options = {"bucket": "caches", "endpoint_url": url, "access_key_id": "id", "secret_access_key": "secret", "name": f"n{random.random()}", **more}
    return CacheAddress("s3", tuple(options.items()))


@pytest.fixture(params=["local", "registry", "s3", "gha"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """Opens the same place again and again, each time with new connections."""
    made: list[Any] = []
    if request.param == "local":
        make: Open = lambda: open_depot(CacheAddress("local", (("dest", str(tmp_path / "c")), ("src", str(tmp_path / "c")))), sessions, write=True)      # noqa: E731
    elif request.param == "registry":
        name = f"{request.getfixturevalue('docker_registry')}/{tmp_path.name.lower().replace('_', '-')}/{os.urandom(3).hex()}:t"
        make = lambda: open_depot(CacheAddress("registry", (("ref", name),)), sessions)      # noqa: E731
    elif request.param == "s3":
        address = s3_address(request.getfixturevalue("moto"), prefix="some/prefix/")
        make = lambda: open_s3(address, {}, HURRY)      # noqa: E731
    else:
        running: FakeGithub = request.getfixturevalue("github")
        make = lambda: open_gha(CacheAddress("gha", (("scope", "main"),)), {"ACTIONS_RESULTS_URL": running.url + "/", "ACTIONS_RUNTIME_TOKEN": running.token}, HURRY)      # noqa: E731

    def new() -> Any:
        made.append(make())
        return made[-1]

    yield new
    for depot in made:
        depot.close()


def describe(data: bytes, media_type: str = "application/octet-stream") -> Descriptor:
    return Descriptor(media_type, digest_of(data), len(data))


def manifest(*data: bytes) -> bytes:
    config = b"{}"
    return to_json(Manifest(schema_version=2, media_type=OCI_MANIFEST, config=describe(config, OCI_CONFIG), layers=tuple(describe(d) for d in data)))


def fill(depot: Any, *data: bytes) -> bytes:
    """Put blobs there with a manifest that names them; the manifest."""
    for each in (b"{}", *data):
        if not depot.has(describe(each)):
            put_bytes(depot, describe(each), each)
    document = manifest(*data)
    depot.keep(document)
    return document


# ---------------------------------------------------------------- what all of them do
def test_nothing_is_there_at_first(opened: Open) -> None:
    depot = opened()
    assert depot.load() is None and not depot.has(describe(b"x"))


def test_what_is_kept_is_loaded_by_others(opened: Open) -> None:
    document = fill(opened(), b"one")
    assert opened().load() == document


def test_the_youngest_manifest_is_the_one_that_counts(opened: Open) -> None:
    depot = opened()
    first = fill(depot, b"one")
    second = fill(depot, b"one", b"two")
    third = fill(depot, b"one")
    assert first == third != second
    assert opened().load() == third


@pytest.mark.parametrize("size", [0, 1, 3_000_000])
def test_blobs_come_back(opened: Open, size: int) -> None:
    data = random.Random(size).randbytes(size)
    fill(opened(), data)
    depot = opened()
    assert depot.has(describe(data))
    assert b"".join(verified(depot, describe(data))) == data


def test_putting_the_same_blob_twice_is_fine(opened: Open) -> None:
    depot = opened()
    put_bytes(depot, describe(b"twice"), b"twice")
    put_bytes(depot, describe(b"twice"), b"twice")
    assert blob(depot, describe(b"twice"), 100) == b"twice"


def test_a_missing_blob_is_gone(opened: Open) -> None:
    fill(opened(), b"one")
    with pytest.raises(BlobGone):
        blob(opened(), describe(b"never there"), 100)


def test_more_than_the_limit_is_not_even_asked_for(opened: Open) -> None:
    with pytest.raises(CacheError, match="at most 10"):
        blob(opened(), describe(bytes(11)), 10)


# ---------------------------------------------------------------- S3
def test_signature_is_the_one_of_the_documentation() -> None:
    """AWS's own example: GET of an object with a Range header."""
    headers = sign("GET", "https://examplebucket.s3.amazonaws.com/test.txt", "us-east-1",
                   Identity("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"), EMPTY, now=1369353600, extra={"Range": "bytes=0-9"})
    assert headers["authorization"].endswith("Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41")


def test_keys_are_encoded_once() -> None:
    assert encode_path("blobs/sha256:ab c") == "blobs/sha256%3Aab%20c"


def test_who_asks_comes_from_the_address_the_environment_or_a_profile(tmp_path: Path) -> None:
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws/credentials").write_text("[default]\naws_access_key_id = file\naws_secret_access_key = s%%x\n[other]\naws_access_key_id = other\naws_secret_access_key = o\naws_session_token = t\n")
    home, variables = {"HOME": str(tmp_path)}, {"AWS_ACCESS_KEY_ID": "env", "AWS_SECRET_ACCESS_KEY": "e"}
    nothing = CacheAddress("s3")
    assert identity_of(s3_address(""), {**home, **variables}).key_id == "id"
    assert identity_of(nothing, {**home, **variables}).key_id == "env"
    assert identity_of(nothing, home) == Identity("file", "s%%x")
    assert identity_of(nothing, {**home, "AWS_PROFILE": "other"}) == Identity("other", "o", "t")
    with pytest.raises(BuildError, match="no credentials"):
        identity_of(nothing, {"HOME": "/nonexistent"})


def test_a_bucket_that_is_not_there_is_an_error(moto: str) -> None:
    with pytest.raises(CacheError, match="404"):
        open_s3(s3_address(moto, bucket="nowhere"), {}, HURRY).load()


@pytest.mark.parametrize(("more", "says"), [({"bucket": "../x"}, "no name of a bucket"), ({"endpoint_url": "file:///etc"}, "no http")])
def test_addresses_that_cannot_be(more: dict[str, str], says: str) -> None:
    with pytest.raises(BuildError, match=says):
        open_s3(s3_address("http://127.0.0.1:1", **more), {})


def test_nobody_there_is_one_clear_error() -> None:
    with pytest.raises(CacheError, match="cannot be reached: nobody answers"):
        open_s3(s3_address("http://127.0.0.1:1"), {}, HURRY).load()


# ---------------------------------------------------------------- GitHub
def gha(running: FakeGithub, scope: str = "main") -> Any:
    return open_gha(CacheAddress("gha", (("scope", scope), ("url_v2", running.url), ("token", running.token))), {}, HURRY)


def answers(status: int, body: bytes, headers: dict[str, str] | None = None) -> Callable[[Any], bool]:
    """A fault: everything is answered so."""
    def fault(handler: Any) -> bool:
        handler.reply(status, body, headers)
        return True

    return fault


def test_scopes_do_not_see_each_other(github: FakeGithub) -> None:
    document = fill(gha(github), b"one")
    assert gha(github, "other").load() is None and gha(github).load() == document


def test_large_blobs_go_in_blocks(github: FakeGithub) -> None:
    data = random.Random(1).randbytes(70 << 20)
    depot = gha(github)
    put_bytes(depot, describe(data), data)
    assert [len(blocks) for blocks in github.blocks.values()] == [3]
    assert b"".join(verified(depot, describe(data))) == data


def test_without_a_runner_there_is_one_clear_error() -> None:
    with pytest.raises(BuildError, match="needs the address and the token"):
        open_gha(CacheAddress("gha"), {})


def test_the_service_may_be_busy(github: FakeGithub) -> None:
    left = [2]

    def busy(handler: Any) -> bool:
        if not left[0]:
            return False
        left[0] -= 1
        handler.reply(429, b"slow down", {"Retry-After": "1"})
        return True

    github.faults.append(busy)
    put_bytes(gha(github), describe(b"x"), b"x")
    assert gha(github).has(describe(b"x"))


def test_a_busy_service_is_not_waited_for_for_ever(github: FakeGithub) -> None:
    github.faults.append(answers(429, b"", {"Retry-After": "86400"}))
    with pytest.raises(CacheError, match="429"):
        gha(github).has(describe(b"x"))


def test_a_download_that_breaks_off_goes_on(github: FakeGithub) -> None:
    data = random.Random(2).randbytes(2_000_000)
    depot = gha(github)
    put_bytes(depot, describe(data), data)
    asked: list[str] = []

    def cut(handler: Any) -> bool:
        if handler.command != "GET":
            return False
        asked.append(handler.headers.get("Range", ""))
        if len(asked) > 1:
            return False
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data[:700_000])
        handler.close_connection = True
        return True

    github.faults.append(cut)
    assert b"".join(verified(depot, describe(data))) == data
    assert asked == ["", "bytes=700000-"]


def test_other_bytes_are_noticed(github: FakeGithub) -> None:
    depot = gha(github)
    put_bytes(depot, describe(b"right"), b"right")
    github.entries = dict.fromkeys(github.entries, b"wrong")
    with pytest.raises(BlobGone, match="not what it was"):
        blob(depot, describe(b"right"), 100)


def test_more_bytes_than_promised_are_not_taken(github: FakeGithub) -> None:
    depot = gha(github)
    put_bytes(depot, describe(b"right"), b"right")
    github.entries = dict.fromkeys(github.entries, b"x" * 1000)
    with pytest.raises(CacheError, match="more than the 5 bytes"):
        blob(depot, describe(b"right"), 100)


@pytest.mark.parametrize("answer", [b"", b"[]", b"{", b'{"ok": true, "signed_download_url": "file:///etc/passwd", "matched_key": ""}', b'{"ok": true, "signed_download_url": 5}'])
def test_answers_that_make_no_sense(github: FakeGithub, answer: bytes) -> None:
    github.faults.append(answers(200, answer))
    depot = gha(github)
    try:
        assert depot.load() is None
    except CacheError:
        pass
