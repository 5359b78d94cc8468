"""The first question, without the client: what is understood of an answer, who is asked, and that pushing and pulling again need no more."""

import subprocess
import sys
from pathlib import Path

import pytest

from store.config import Config, RegistryConfig
from store.reference import parse_reference
from store.registry.endpoint import Endpoint
from store.registry.glance import Head, glance, parse_head
from store.registry.pull import pull
from store.registry.push import push
from store.store import Store
from tests.store.making import image_of, member, tar_of
from tests.store.registry.certificates import Authority
from tests.store.registry.conftest import Sessions
from tests.store.registry.fake import FakeRegistry

ROOT = Path(__file__).resolve().parents[3]
DIGEST = "sha256:" + "a" * 64
KIND = "application/vnd.oci.image.manifest.v1+json"
YES = f"HTTP/1.1 200 OK\r\nContent-Type: {KIND}; charset=utf-8\r\ndocker-content-digest: {DIGEST}\r\nContent-Length: 7\r\n\r\n"


def test_a_plain_yes_is_understood() -> None:
    assert parse_head(YES.encode()) == Head(DIGEST, KIND, 7)      # type: ignore[arg-type]  # a digest is a str


@pytest.mark.parametrize(("old", "new"), [
    ("200 OK", "404 Not Found"), ("200 OK", "307 Elsewhere"), ("200 OK", "2000"), ("HTTP/1.1", "HTTP/2"), ("Content-Length: 7", "Content-Length: -7"),
    ("Content-Length: 7", "Content-Length: 7\r\nContent-Length: 8"), ("Content-Length: 7\r\n", ""), (DIGEST, "sha256:abc"), ("\r\n\r\n", "\r\n"),
    ("Content-Length: 7", "Content-Length : 7"), ("Content-Length: 7", "no field"), ("Content-Length: 7", "Content-Length: 77777777777777777777"),
    (f"docker-content-digest: {DIGEST}", ""), (YES, ""), (YES, "\x15\x03\x01\0\x02\x02\x16")])
def test_every_other_answer_says_nothing(old: str, new: str) -> None:
    assert parse_head(YES.replace(old, new, 1).encode("latin-1")) is None


def test_same_is_found_as_by_the_client(sessions: Sessions, registry: FakeRegistry) -> None:
    registry.image("team/app", "1", tar_of(member("a", content=b"1")))
    reference = parse_reference(f"{registry.host}/team/app:1")
    seen = sessions().glance(reference)
    assert seen is not None and seen == sessions().repository(reference).head("1")


def test_strangers_in_clear_are_not_asked() -> None:
    """An insecure registry that is not of this machine may speak TLS: names are not told to the network before that is known."""
    assert glance(Endpoint("192.0.2.1:5000", ""), "app", "1", {}) is None
    assert glance(Endpoint("192.0.2.1:5000"), "app", "1", {}) is None


def test_who_is_behind_a_proxy_is_not_asked(registry: FakeRegistry) -> None:
    assert glance(Endpoint("registry.invalid:5000", "http"), "app", "1", {"http_proxy": registry.url}) is None
    assert registry.log == []


def test_nobody_there_says_nothing() -> None:
    assert glance(Endpoint("127.0.0.1:1", ""), "app", "1", {}) is None


def test_mirrors_are_left_to_the_client(sessions: Sessions, registry: FakeRegistry) -> None:
    config = Config({registry.host: RegistryConfig(mirrors=("http://127.0.0.1:1",))})
    assert sessions(config).glance(parse_reference(f"{registry.host}/app:1")) is None
    assert registry.log == []


@pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
def test_registry_of_this_machine_with_tls_is_pulled_from_again(store: Store, sessions: Sessions, tmp_path: Path) -> None:
    with FakeRegistry(tls=Authority(tmp_path).issue("127.0.0.1")) as registry:
        registry.image("app", "1", tar_of(member("a", content=b"1")))
        first = pull(store, sessions(), f"{registry.host}/app:1")
        again = pull(store, sessions(), f"{registry.host}/app:1")
        assert again == first._replace(new=False)


@pytest.mark.parametrize("what", ["push", "pull"])
def test_again_loads_no_client(store: Store, sessions: Sessions, registry: FakeRegistry, what: str) -> None:
    name = f"{registry.host}/app:1"
    image_of(store, {"a": b"1"}, names=(name,))
    push(store, sessions(), name)
    pull(store, sessions(), name)
    root = store.root
    program = f"""
import sys
sys.path[:0] = [{str(ROOT)!r}, *{[p for p in sys.path if p.endswith("site-packages")]!r}]
from store.config import Config
from store.registry.{what} import {what}
from store.registry.session import Session
from store.root import open_root
from store.store import Store
with Store(open_root({root.path!r}, {root.run!r})) as store:
    {what}(store, Session(Config(), {{"HOME": "/nonexistent", "XDG_RUNTIME_DIR": "/nonexistent"}}), {name!r})
print(*sys.modules)
"""
    done = subprocess.run([sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=True)
    assert {"urllib3", "ssl", "http.client", "socket", "re", "typing", "msgspec"} & set(done.stdout.split()) == set()
