"""`pybuild registry serve` as a user runs it: what it says, signals, kills."""

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from store.digest import digest_of
from store.gc import sweep
from store.root import open_root
from store.store import Store
from tests.engine.http.conftest import Authority
from tests.engine.registry.hub import manifest
from tests.engine.registry.test_access import HASH
from tests.engine.serving import Answer, Client, request
from tests.tool import Tool

LONG = bool(os.environ.get("PYBUILD_LONG"))


class Running:
    """A server process and where it listens."""

    def __init__(self, process: "subprocess.Popen[str]", path: str) -> None:
        self.process, self.path = process, path

    def connect(self) -> Client:
        import socket

        connected = socket.socket(socket.AF_UNIX)
        try:
            connected.connect(self.path)
        except OSError:
            connected.close()
            raise
        return Client(connected)

    def ask(self, method: str, path: str, body: bytes = b"", fields: str = "") -> Answer:
        with self.connect() as client:
            client.send(request(f"{method} {path}\nContent-Length: {len(body)}{fields}") + body)
            return client.answer(method)


@contextmanager
def serving(root: Path, *words: str, within: tuple[str, ...] = ()) -> Iterator[Running]:
    """The command with a unix socket beside whatever else it listens on. within: a command that runs it."""
    root.mkdir(exist_ok=True)
    path = f"{root.parent}/registry.sock"
    tool = Tool(root)
    argv = [*within, *tool.argv("pybuild", "registry", "serve", "--listen", f"unix://{path}", *words)]
    process = subprocess.Popen(argv, env=tool.env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stderr is not None
    try:
        line = process.stderr.readline()
        assert line == f"serving on unix://{path}\n", line + process.stderr.read()
        yield Running(process, path)
    finally:
        process.kill()
        process.communicate()


def test_it_serves_logs_and_ends_on_a_signal(tmp_path: Path) -> None:
    with serving(tmp_path / "root", "--access-log", "json") as running:
        assert running.ask("GET", "/v2/").status == 200
        running.process.send_signal(signal.SIGTERM)
        out, err = running.process.communicate(timeout=60)
        assert (running.process.returncode, err) == (0, "")
        assert [(entry["target"], entry["status"]) for entry in map(json.loads, out.splitlines())] == [("/v2/", 200)]
        assert not os.path.exists(running.path)


def test_second_signal_ends_what_hangs(tmp_path: Path) -> None:
    with serving(tmp_path / "root", "--access-log", "none") as running, running.connect() as client:
        client.send(request("PUT /v2/a/manifests/x\nContent-Length: 10"))
        while b"registry_http" not in running.ask("GET", "/metrics").body:
            pass
        for _ in range(2):
            running.process.send_signal(signal.SIGINT)
            time.sleep(0.05)                           # two signals of a kind that come at once are one
        assert running.process.wait(20) == 0


def test_time_of_grace_ends_what_hangs(tmp_path: Path) -> None:
    with serving(tmp_path / "root", "--grace", "100ms") as running, running.connect() as client:
        client.send(request("PUT /v2/a/manifests/x\nContent-Length: 10"))
        running.ask("GET", "/v2/")
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(20) == 0


def test_warning_when_everybody_may_push(tmp_path: Path) -> None:
    with serving(tmp_path / "root", "--listen", "0.0.0.0:0") as running:
        assert running.process.stderr is not None
        assert running.process.stderr.readline().startswith("serving on 0.0.0.0:")
        assert running.process.stderr.readline().startswith("warning: whoever can reach 0.0.0.0:")
        assert running.process.stderr.readline() == "  = help: name users with --htpasswd\n"


def test_collections_run_while_serving(tmp_path: Path) -> None:
    with serving(tmp_path / "root", "--access-log", "none", "--gc-interval", "50ms", "--keep-unused", "0s") as running:
        data = b"x" * 1000
        location = running.ask("POST", "/v2/a/blobs/uploads/").headers["location"]
        assert running.ask("PUT", f"{location}?digest={digest_of(data)}", data).status == 201
        until = time.monotonic() + 60
        while running.ask("HEAD", f"/v2/a/blobs/{digest_of(data)}").status == 200:
            assert time.monotonic() < until


def test_idle_server_is_small(tmp_path: Path) -> None:
    """Issue 6: at most 45 MB."""
    with serving(tmp_path / "root") as running:
        running.ask("GET", "/v2/")
        status = Path(f"/proc/{running.process.pid}/status").read_text()
        assert int(status.partition("VmRSS:")[2].split()[0]) < 45_000


@pytest.mark.parametrize(("words", "status", "says"), [
    (("--listen", "nonsense"), 1, "error: `nonsense` is no address to listen on: it has no port\n  = help: such as"),
    (("--listen", "192.0.2.1:5000"), 1, "error: cannot listen on `192.0.2.1:5000`: cannot assign requested address"),
    (("--tls-key", "x"), 2, "error: TLS needs a certificate\n  = help: `--tls-cert FILE`"),
    (("--tls-cert", "/missing"), 1, "error: the certificate file `/missing` cannot be used: no such file or directory"),
    (("--htpasswd", "/missing"), 1, "error: the file of users `/missing` cannot be read: no such file or directory"),
    (("--anonymous-read",), 2, "error: `--anonymous-read` is of use with `--htpasswd` only"),
    (("--gc-interval", "soon"), 2, "error: `--gc-interval`: `soon` is no duration"),
    (("--access-log", "xml"), 2, "error: `--access-log` takes text, json, none, not `xml`")])
def test_what_is_asked_for_is_wrong(tmp_path: Path, words: tuple[str, ...], status: int, says: str) -> None:
    done = Tool(tmp_path / "root").run("pybuild", "registry", "serve", *words)
    assert done.status == status and done.err.startswith(says), done


def test_file_of_users_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "users").write_text(f"alice:{HASH}\nbob:plain\n")
    done = Tool(tmp_path / "root").run("pybuild", "registry", "serve", "--htpasswd", str(tmp_path / "users"))
    assert done.status == 1 and "has no bcrypt hash for `bob` in line 2\n  = help: make it with `htpasswd -nB bob`" in done.err


def test_certificate_is_renewed_by_a_signal(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    import ssl

    from tests.engine.http.test_hijack import TlsClient

    authority = Authority(tmp_path_factory.mktemp("ca"))
    certificate, key = authority.issue("first")
    with serving(tmp_path / "root", "--listen", "127.0.0.1:0", "--tls-cert", certificate, "--tls-key", key) as running:
        assert running.process.stderr is not None
        line = running.process.stderr.readline()
        assert line.endswith(" with TLS\n")
        port = int(line.split()[2].rpartition(":")[2])

        def name() -> str:
            import socket

            context = ssl.create_default_context(cafile=str(authority.certificate))
            client = TlsClient(Client(socket.create_connection(("127.0.0.1", port))), context)
            with client:
                return client.peer_name()

        assert name() == "first"
        for source, target in zip(authority.issue("second"), (certificate, key)):
            os.replace(source, target)
        running.process.send_signal(signal.SIGHUP)
        until = time.monotonic() + 60
        while name() != "second":
            assert time.monotonic() < until


@pytest.mark.userns
def test_full_disk_is_said_and_survived(tmp_path: Path) -> None:
    root = tmp_path / "root"
    script = f'mount -t tmpfs -o size=3m none {root} && exec "$@"'
    with serving(root, "--access-log", "none", within=("unshare", "-m" if os.geteuid() == 0 else "-Urm", "sh", "-c", script, "sh")) as running:
        data = os.urandom(6_000_000)
        for _ in range(2):
            location = running.ask("POST", "/v2/a/blobs/uploads/").headers["location"]
            found = running.ask("PUT", f"{location}?digest={digest_of(data)}", data)
            assert (found.status, json.loads(found.body)["errors"][0]["message"]) == (507, "the registry has no space left")
            assert running.ask("GET", location).status == 404
        location = running.ask("POST", "/v2/a/blobs/uploads/").headers["location"]
        assert running.ask("PUT", f"{location}?digest={digest_of(data[:1000])}", data[:1000]).status == 201


# ---------------------------------------------------------------- kill -9
def push_until_killed(running: Running, number: int, rng: random.Random, acknowledged: dict[str, bytes], images: dict[str, str]) -> None:
    """Push images by all the ways until the server is gone; note what it has acknowledged."""
    config = b'{"architecture": "amd64", "os": "linux"}'
    try:
        for turn in range(1000):
            layer = rng.randbytes(rng.randrange(1, 400_000))
            for data in (config, layer):
                location = running.ask("POST", "/v2/a/blobs/uploads/").headers["location"]
                half = len(data) // 2 if turn % 2 else 0
                if half:
                    assert running.ask("PATCH", location, data[:half], f"\nContent-Range: 0-{half - 1}").status == 202
                found = running.ask("PUT", f"{location}?digest={digest_of(data)}", data[half:])
                assert found.status == 201, found
                acknowledged[digest_of(data)] = data
            document = json.dumps(manifest(config, layer)).encode()
            found = running.ask("PUT", f"/v2/a/manifests/t{number}-{turn}", document, f"\nContent-Type: {manifest(config)['mediaType']}")
            assert found.status == 201, found
            images[f"t{number}-{turn}"] = digest_of(document)
            acknowledged[digest_of(document)] = document
    except (OSError, AssertionError):
        if running.process.poll() is None:
            running.process.wait(20)                   # the kill is on its way; anything else is a failure of the test's check below


@pytest.mark.slow
def test_killed_at_any_moment_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    import threading

    root, acknowledged, images = tmp_path / "root", {}, {}  # type: Path, dict[str, bytes], dict[str, str]
    rng = random.Random(int(os.environ.get("PYBUILD_SEED", "1")))
    rounds = 200 if LONG else 5
    for number in range(rounds):
        with serving(root, "--access-log", "none", "--gc-interval", "20ms") as running:
            timer = threading.Timer(rng.uniform(0.02, 0.4), running.process.kill)
            timer.start()
            push_until_killed(running, number, rng, acknowledged, images)
            timer.join()
        check_store(root, acknowledged)
    with serving(root, "--access-log", "none") as running:
        for tag, digest in images.items():
            found = running.ask("GET", f"/v2/a/manifests/{tag}")
            assert (found.status, digest_of(found.body)) == (200, digest)
            for part in (json.loads(found.body)["config"], *json.loads(found.body)["layers"]):
                assert digest_of(running.ask("GET", f"/v2/a/blobs/{part['digest']}").body) == part["digest"]
    print(f"kills: {rounds}, images acknowledged: {len(images)}, bytes checked: {sum(map(len, acknowledged.values()))}")


def check_store(root: Path, acknowledged: dict[str, bytes]) -> None:
    """The store opens, its next collection removes the debris, and all that was acknowledged is there."""
    with Store(open_root(str(root), str(root / "run"))) as store:
        sweep(store)
        assert os.listdir(root / "tmp") == []
        assert [name for name in os.listdir(root / "leases") if name != "gate"] == []
        blobs = set(store.blobs.all())
        assert set(acknowledged) <= blobs
        for digest in blobs:
            assert digest_of(Path(store.blobs.path(digest)).read_bytes()) == digest
