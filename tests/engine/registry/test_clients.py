"""Real clients: skopeo, podman, buildah, docker, our own; alone and all at once; with passwords, tokens and TLS."""

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.engine.http.conftest import Authority
from tests.engine.registry.test_access import HASH
from tests.tool import Tool

BENCH = Path(os.environ.get("BENCH_STATE", "/var/tmp/pybuild-bench"))
NETNS, DOCKERD = BENCH / "ns/net", BENCH / "dockerd/docker.sock"

pytestmark = pytest.mark.skipif(not shutil.which("skopeo"), reason="skopeo is not installed (package skopeo)")


def run(*argv: str, env: dict[str, str] | None = None, stdin: str = "") -> str:
    done = subprocess.run(argv, input=stdin, capture_output=True, text=True, env={**os.environ, **(env or {})})
    assert done.returncode == 0, f"{' '.join(argv)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@contextmanager
def registry(root: Path, *words: str, netns: Path | None = None) -> Iterator[str]:
    """A server process on 127.0.0.1; its address. In the network namespace `netns` if there is one."""
    root.mkdir(exist_ok=True, parents=True)
    tool = Tool(root)
    argv = tool.argv("pybuild", "registry", "serve", "--listen", "127.0.0.1:0", "--access-log", "none", *words)
    process = subprocess.Popen([*(("nsenter", f"--net={netns}") if netns else ()), *argv], env=tool.env, text=True, stderr=subprocess.PIPE)
    assert process.stderr is not None
    try:
        line = process.stderr.readline()
        assert line.startswith("serving on "), line + process.stderr.read()
        yield line.split()[2]
    finally:
        process.terminate()
        process.communicate(timeout=30)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small image as an OCI layout, made by our own builder from nothing but files."""
    directory = tmp_path_factory.mktemp("image")
    context = directory / "context"
    context.mkdir()
    (context / "Dockerfile").write_text("FROM scratch\nCOPY a /a\nCOPY b /b\n")
    for name, size in (("a", 2_000_000), ("b", 300_000)):
        (context / name).write_bytes(os.urandom(size))
    tool = Tool(directory / "root", env={"HOME": str(directory)})
    (directory / "root").mkdir()
    tool.pybuild("build", "-t", "small:1", str(context))
    tool.pybuild("save", "-o", str(directory / "small.tar"), "small:1")
    return directory / "small.tar"


def layers(where: str, *words: str, env: dict[str, str] | None = None) -> list[str]:
    """Diff IDs of an image, as skopeo reads its config."""
    found = json.loads(run("skopeo", "inspect", "--config", *words, where, env=env))["rootfs"]["diff_ids"]
    assert isinstance(found, list)
    return found


def same(image: Path, where: str, *words: str, env: dict[str, str] | None = None) -> None:
    assert layers(where, *words, env=env) == layers(f"docker-archive:{image}")


# ---------------------------------------------------------------- one by one
def test_skopeo_pushes_and_pulls_all_forms(tmp_path: Path, image: Path) -> None:
    with registry(tmp_path / "root") as address:
        for form in ("oci", "v2s2"):
            run("skopeo", "copy", "-q", "--format", form, "--dest-tls-verify=false", f"docker-archive:{image}", f"docker://{address}/s/{form}:1")
            same(image, f"docker://{address}/s/{form}:1", "--tls-verify=false")
            run("skopeo", "copy", "-q", "--src-tls-verify=false", f"docker://{address}/s/{form}:1", f"dir:{tmp_path}/{form}")
        # the same layers into another repository are mounted
        run("skopeo", "copy", "-q", "--src-tls-verify=false", "--dest-tls-verify=false", f"docker://{address}/s/oci:1", f"docker://{address}/t:2")
        assert json.loads(run("skopeo", "list-tags", "--tls-verify=false", f"docker://{address}/t"))["Tags"] == ["2"]
        run("skopeo", "delete", "--tls-verify=false", f"docker://{address}/t:2")
        assert json.loads(run("skopeo", "list-tags", "--tls-verify=false", f"docker://{address}/t"))["Tags"] == []


def test_skopeo_copies_an_index_with_zstd(tmp_path: Path, image: Path) -> None:
    with registry(tmp_path / "root") as address:
        run("skopeo", "copy", "-q", "--format", "oci", "--dest-compress-format", "zstd", f"docker-archive:{image}", f"oci:{tmp_path}/layout:1")
        run("skopeo", "copy", "-q", "--all", "--dest-tls-verify=false", f"oci:{tmp_path}/layout:1", f"docker://{address}/z:1")
        same(image, f"docker://{address}/z:1", "--tls-verify=false")


@pytest.mark.parametrize("program", ["podman", "buildah"])
def test_podman_and_buildah_push_and_pull(tmp_path: Path, image: Path, program: str, run_directory: Path) -> None:
    if os.geteuid() or not shutil.which(program):
        pytest.skip(f"{program} is not installed, or not run as root")
    storage = [program, "--root", str(tmp_path / "storage"), "--runroot", str(run_directory), "--storage-driver", "vfs"]
    with registry(tmp_path / "root") as address:
        run(*storage, "pull", "-q", f"docker-archive:{image}")
        name = run(*storage, "images", "-q").split()[0]
        run(*storage, "push", "--tls-verify=false", name, f"docker://{address}/p/{program}:1")
        same(image, f"docker://{address}/p/{program}:1", "--tls-verify=false")
        run(*storage, "rmi", "-f", name)
        run(*storage, "pull", "-q", "--tls-verify=false", f"{address}/p/{program}:1")


def dockers() -> list[str]:
    return [path for path in ("/usr/bin/docker", "/usr/local/bin/docker") if os.access(path, os.X_OK)]


@pytest.fixture(scope="module")
def dockerd() -> dict[str, str]:
    """Environment of a docker client whose daemon runs in a network namespace of its own."""
    env = {"DOCKER_HOST": f"unix://{DOCKERD}"}
    if os.geteuid() or not dockers() or not NETNS.exists() or subprocess.run(
            [dockers()[0], "version"], env={**os.environ, **env}, capture_output=True).returncode:
        pytest.skip(f"no dockerd answers at {DOCKERD} (bench/setup.sh of the project's shared folder starts one)")
    return env


@pytest.mark.parametrize("docker", dockers() or ["docker"])
def test_docker_pushes_and_pulls(tmp_path: Path, image: Path, docker: str, dockerd: dict[str, str]) -> None:
    with registry(tmp_path / "root", netns=NETNS) as address:
        target = f"{address}/d/image:1"
        run(docker, "load", "-q", "-i", str(image), env=dockerd)
        run(docker, "tag", "small:1", target, env=dockerd)
        try:
            digest = run(docker, "push", target, env=dockerd).split("digest: ")[1].split()[0]
            run(docker, "rmi", target, "small:1", env=dockerd)
            assert digest in run(docker, "pull", target, env=dockerd)
            run(docker, "pull", f"{address}/d/image@{digest}", env=dockerd)
        finally:
            subprocess.run([docker, "rmi", "-f", target, "small:1"], env={**os.environ, **dockerd}, capture_output=True)


def test_docker_logs_in_pushes_with_a_password_and_pulls_without(tmp_path: Path, image: Path, dockerd: dict[str, str]) -> None:
    """The reason for tokens: docker sends a password only where it is refused at first."""
    (tmp_path / "users").write_text(f"alice:{HASH}\n")
    docker, known, nobody = dockers()[0], {**dockerd, "DOCKER_CONFIG": str(tmp_path / "known")}, {**dockerd, "DOCKER_CONFIG": str(tmp_path / "nobody")}
    with registry(tmp_path / "root", "--htpasswd", str(tmp_path / "users"), "--anonymous-read", netns=NETNS) as address:
        target = f"{address}/d/image:1"
        wrong = subprocess.run([docker, "login", "-u", "alice", "--password-stdin", address], input="wrong", env={**os.environ, **known},
                               capture_output=True, text=True)
        assert wrong.returncode and "unauthorized" in wrong.stderr.lower(), wrong.stderr
        run(docker, "login", "-u", "alice", "--password-stdin", address, env=known, stdin="secret")
        run(docker, "load", "-q", "-i", str(image), env=known)
        run(docker, "tag", "small:1", target, env=known)
        try:
            refused = subprocess.run([docker, "push", target], env={**os.environ, **nobody}, capture_output=True, text=True)
            assert refused.returncode, refused.stdout
            run(docker, "push", target, env=known)
            run(docker, "rmi", target, "small:1", env=known)
            run(docker, "pull", target, env=nobody)
        finally:
            subprocess.run([docker, "rmi", "-f", target, "small:1"], env={**os.environ, **dockerd}, capture_output=True)


# ---------------------------------------------------------------- passwords and TLS
def test_skopeo_with_a_password_over_tls(tmp_path: Path, image: Path) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.issue("server")
    (tmp_path / "users").write_text(f"alice:{HASH}\n")
    (tmp_path / "certs").mkdir()
    shutil.copy(authority.certificate, tmp_path / "certs/ca.crt")
    with registry(tmp_path / "root", "--tls-cert", certificate, "--tls-key", key, "--htpasswd", str(tmp_path / "users")) as address:
        target = f"docker://{address}/x:1"
        certs = ["--dest-cert-dir", str(tmp_path / "certs")]
        refused = subprocess.run(["skopeo", "copy", *certs, f"docker-archive:{image}", target], capture_output=True, text=True)
        assert refused.returncode and "unauthorized" in refused.stderr
        run("skopeo", "copy", "-q", *certs, "--dest-creds", "alice:secret", f"docker-archive:{image}", target)
        same(image, target, "--cert-dir", str(tmp_path / "certs"), "--creds", "alice:secret")


def test_skopeo_with_tokens(tmp_path: Path, image: Path) -> None:
    (tmp_path / "users").write_text(f"alice:{HASH}\n")
    with registry(tmp_path / "root", "--htpasswd", str(tmp_path / "users"), "--anonymous-read") as address:
        run("skopeo", "copy", "-q", "--dest-tls-verify=false", "--dest-creds", "alice:secret", f"docker-archive:{image}", f"docker://{address}/x:1")
        same(image, f"docker://{address}/x:1", "--tls-verify=false")


# ---------------------------------------------------------------- our own, and all at once
def test_our_own_client(tmp_path: Path, image: Path) -> None:
    tool = Tool(tmp_path / "client", env={"HOME": str(tmp_path)})
    (tmp_path / "client").mkdir()
    with registry(tmp_path / "root") as address:
        tool.pybuild("load", "-i", str(image))
        tool.pybuild("tag", "small:1", f"{address}/own/image:1")
        tool.pybuild("push", f"{address}/own/image:1")
        same(image, f"docker://{address}/own/image:1", "--tls-verify=false")
        tool.pybuild("rmi", "small:1", f"{address}/own/image:1")
        tool.pybuild("pull", f"{address}/own/image:1")
        assert f"{address}/own/image" in tool.pybuild("images", "--format", "{{.Repository}}").out


def test_client_and_server_on_one_store(tmp_path: Path, image: Path) -> None:
    """The blobs are there already when they are pushed, and are one file afterwards."""
    tool = Tool(tmp_path / "root", env={"HOME": str(tmp_path)})
    with registry(tmp_path / "root") as address:
        tool.pybuild("load", "-i", str(image))
        tool.pybuild("tag", "small:1", f"{address}/own/image:1")
        tool.pybuild("push", f"{address}/own/image:1")
        blobs = set(os.listdir(tmp_path / "root/blobs/sha256"))
        tool.pybuild("rmi", "-f", "small:1", f"{address}/own/image:1")
        same(image, f"docker://{address}/own/image:1", "--tls-verify=false")
        tool.pybuild("pull", f"{address}/own/image:1")
        assert set(os.listdir(tmp_path / "root/blobs/sha256")) == blobs


def test_all_at_once(tmp_path: Path, image: Path) -> None:
    """Several clients push the same and pull what others have pushed, while collections run."""
    errors: list[BaseException] = []

    def guarded(what: Callable[[], None]) -> Callable[[], None]:
        def go() -> None:
            try:
                what()
            except BaseException as error:
                errors.append(error)
        return go

    with registry(tmp_path / "root", "--gc-interval", "100ms") as address:
        def by_skopeo(number: int) -> None:
            for turn in range(3):
                target = f"docker://{address}/all/s{number % 2}:{turn}"
                run("skopeo", "copy", "-q", "--dest-tls-verify=false", f"docker-archive:{image}", target)
                same(image, target, "--tls-verify=false")
                run("skopeo", "copy", "-q", "--src-tls-verify=false", target, f"dir:{tmp_path}/dir{number}-{turn}")

        def by_own(number: int) -> None:
            tool = Tool(tmp_path / f"client{number}", env={"HOME": str(tmp_path)})
            (tmp_path / f"client{number}").mkdir()
            tool.pybuild("load", "-i", str(image))
            tool.pybuild("tag", "small:1", f"{address}/all/own{number}:1")
            tool.pybuild("push", f"{address}/all/own{number}:1")
            tool.pybuild("pull", f"{address}/all/own{number}:1")

        threads = [threading.Thread(target=guarded(lambda n=n, what=what: what(n)))  # type: ignore[misc]  # defaults bind the loop's values
                   for n, what in enumerate((by_skopeo, by_skopeo, by_skopeo, by_own))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        assert errors == []


