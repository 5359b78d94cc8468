"""The registry server beside docker-registry, for the same clients: pushes and pulls by skopeo and docker, parallel downloads, many small requests.

    python bench/registry_server.py [ROUNDS]       (docker by DOCKER_HOST; BENCH_IMAGE: a docker archive, 160 MB Debian by default)

All figures are times: `ours is 0.79 x` means that the client needed 0.79 of the time that it needs with docker-registry, so below 1 our throughput is
higher. CPU is the client's. Client and server share the machine's cores: on a loaded machine the rows of downloads say little.

Every server and client runs in the network namespace BENCH_NETNS if there is one, as dockerd has to reach both servers on 127.0.0.1.
"""

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import harness
import peers

STATE = Path(os.environ.get("BENCH_STATE", "/var/tmp/pybuild-bench"))
IMAGE = os.environ.get("BENCH_IMAGE", str(STATE / "images/debian-push.tar"))
NETNS = os.environ.get("BENCH_NETNS", str(STATE / "ns/net"))
CONFIG = """version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage:
  filesystem: {{rootdirectory: {root}}}
  delete: {{enabled: true}}
http: {{addr: '{address}'}}
"""
SMALL = 2000


class Server:
    """A registry that runs, with an empty place of its own below `directory`."""

    def __init__(self, name: str, directory: Path, port: int) -> None:
        self.name, self.address = name, f"127.0.0.1:{port}"
        root = directory / f"root-{port}"
        if name == "docker-registry":
            config = directory / "config.yml"
            config.write_text(CONFIG.format(root=root, address=self.address))
            argv = ["docker-registry", "serve", str(config)]
        else:
            argv = [harness.ours("pybuild"), "--root", str(root), "registry", "serve", "--listen", self.address, "--access-log", "none"]
        self._process = subprocess.Popen(inside(argv), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                         env={**os.environ, "OTEL_TRACES_EXPORTER": "none"})
        for _ in range(100):
            if subprocess.run(inside(["curl", "-sf", f"http://{self.address}/v2/"]), stdout=subprocess.DEVNULL).returncode == 0:
                return
            time.sleep(0.05)
        sys.exit(f"{name} does not answer on {self.address}")

    def memory(self) -> float:
        """Resident, MB: of the server itself (nsenter has become it)."""
        for line in Path(f"/proc/{self._process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1]) / 1024
        return 0.0

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait()


def inside(argv: list[str]) -> list[str]:
    return ["nsenter", f"--net={NETNS}", *argv] if os.path.exists(NETNS) else argv


def forget(server: Server, repository: str) -> None:
    """Take the blobs of `repository:1` away: clients remember where a layer was, and would have it mounted instead of sending it again."""
    url = f"http://{server.address}/v2/{repository}"
    accept = [word for kind in ("vnd.oci.image", "vnd.docker.distribution") for version in ("v1", "v2")
              for word in ("-H", f"Accept: application/{kind}.manifest.{version}+json")]
    manifest = json.loads(subprocess.run(inside(["curl", "-sf", *accept, f"{url}/manifests/1"]), capture_output=True, check=True).stdout)
    for part in (manifest["config"], *manifest["layers"]):
        subprocess.run(inside(["curl", "-sf", "-X", "DELETE", f"{url}/blobs/{part['digest']}"]), check=True, stdout=subprocess.DEVNULL)


def own_image(archive: str, path: Path, name: str) -> None:
    """The archive's image with one more file in its layer, as an archive of docker's."""
    layer = path.with_suffix(".layer")
    with tarfile.open(archive) as tar:
        file = tar.extractfile("manifest.json")
        assert file
        source = tar.extractfile(json.load(file)[0]["Layers"][0])
        assert source
        with layer.open("wb") as target:
            shutil.copyfileobj(source, target, 1 << 20)
    with tarfile.open(layer, "a") as tar:
        info = tarfile.TarInfo("bench-mark")
        info.size = 32
        tar.addfile(info, io.BytesIO(os.urandom(32)))
    archive_of(layer, path, name)


def archive_of(layer: Path, path: Path, name: str) -> None:
    """An image of one layer, which is used up."""
    with layer.open("rb") as file:
        diff_id = hashlib.file_digest(file, "sha256").hexdigest()
    rootfs = {"type": "layers", "diff_ids": [f"sha256:{diff_id}"]}
    config = json.dumps({"architecture": "amd64", "os": "linux", "config": {"Cmd": ["sh"]}, "rootfs": rootfs})
    manifest = json.dumps([{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}])
    with tarfile.open(path, "w") as tar:
        tar.add(layer, "layer.tar")
        for member, content in (("config.json", config.encode()), ("manifest.json", manifest.encode())):
            info = tarfile.TarInfo(member)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    layer.unlink()


def push_and_pull_skopeo(servers: list[Server], directory: Path, rounds: int) -> None:
    """From and to a `dir:`, where the layers are compressed already: what is measured is the server, not gzip."""
    source = directory / "image"
    harness.measure(["skopeo", "copy", "-q", f"docker-archive:{IMAGE}", f"dir:{source}", "--dest-compress"])

    def push(server: Server) -> tuple[float, float]:
        """Into a repository that has nothing, and no other has: clients remember where a layer was, and would have it mounted."""
        target = f"docker://{server.address}/push:1"
        taken = harness.measure(inside(["skopeo", "copy", "-q", "--dest-tls-verify=false", f"dir:{source}", target]))
        forget(server, "push")
        return taken

    def pull(server: Server) -> tuple[float, float]:
        target = directory / "pulled"
        shutil.rmtree(target, ignore_errors=True)
        return harness.measure(inside(["skopeo", "copy", "-q", "--src-tls-verify=false", f"docker://{server.address}/kept:1", f"dir:{target}"]))

    harness.compare("skopeo pushes 160 MB", {s.name: partial(push, s) for s in servers}, rounds)
    for server in servers:
        harness.measure(inside(["skopeo", "copy", "-q", "--dest-tls-verify=false", f"dir:{source}", f"docker://{server.address}/kept:1"]))
    harness.compare("skopeo pulls it", {s.name: partial(pull, s) for s in servers}, rounds)


def push_and_pull_docker(servers: list[Server], docker: list[str], directory: Path, rounds: int) -> None:
    """Of an image whose layer docker has under no other name."""
    name, archive = f"bench-server-{os.getpid()}:1", directory / "own.tar"
    own_image(IMAGE, archive, name)
    subprocess.run([*docker, "load", "-q", "-i", str(archive)], check=True, stdout=subprocess.DEVNULL)

    def push(server: Server) -> tuple[float, float]:
        target = f"{server.address}/push:1"
        subprocess.run([*docker, "tag", name, target], check=True)
        taken = harness.measure([*docker, "push", "-q", target])
        subprocess.run([*docker, "rmi", target], check=True, stdout=subprocess.DEVNULL)
        forget(server, "push")
        return taken

    def pull(server: Server) -> tuple[float, float]:
        target = f"{server.address}/docker:1"
        taken = harness.measure([*docker, "pull", "-q", target])
        subprocess.run([*docker, "rmi", "-f", target], check=True, stdout=subprocess.DEVNULL)
        return taken

    harness.compare("docker pushes it", {s.name: partial(push, s) for s in servers}, rounds)
    for server in servers:
        target = f"{server.address}/docker:1"
        for argv in (["tag", name, target], ["push", "-q", target], ["rmi", target]):
            subprocess.run([*docker, *argv], check=True, stdout=subprocess.DEVNULL)
    subprocess.run([*docker, "rmi", "-f", name], stdout=subprocess.DEVNULL)
    harness.compare("docker pulls it", {s.name: partial(pull, s) for s in servers}, rounds)


def downloads(servers: list[Server], directory: Path, rounds: int) -> None:
    """Eight at once of the largest layer; then small requests over kept connections."""
    layer = max((directory / "image").iterdir(), key=lambda path: path.stat().st_size).name

    def parallel(server: Server) -> tuple[float, float]:
        urls = [word for _ in range(8) for word in ("-o", "/dev/null", f"http://{server.address}/v2/kept/blobs/sha256:{layer}")]
        return harness.measure(inside(["curl", "-sfZ", "--parallel-max", "8", *urls]))

    def small(server: Server, what: str, head: bool) -> tuple[float, float]:
        config = directory / "urls"
        config.write_text(f'url = "http://{server.address}/v2/kept/{what}"\noutput = "/dev/null"\n' * SMALL)
        return harness.measure(inside(["curl", "-sfZ", *(["-I"] if head else []), "--parallel-max", "4", "-K", str(config)]))

    harness.compare("8 parallel downloads of a layer", {s.name: partial(parallel, s) for s in servers}, rounds)
    harness.compare(f"{SMALL} x GET manifest by tag", {s.name: partial(small, s, "manifests/1", False) for s in servers}, rounds)
    harness.compare(f"{SMALL} x HEAD blob", {s.name: partial(small, s, f"blobs/sha256:{layer}", True) for s in servers}, rounds)


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    if not harness.program("docker-registry") or not harness.program("skopeo"):
        sys.exit("docker-registry and skopeo are needed to compare with")
    with tempfile.TemporaryDirectory(prefix="bench-", dir=STATE if STATE.exists() else None, ignore_cleanup_errors=True) as name:
        directory = Path(name)
        servers = [Server("pybuild", directory, 5981), Server("docker-registry", directory, 5982)]
        print("memory idle, MB: " + ", ".join(f"{s.name} {s.memory():.1f}" for s in servers))
        try:
            push_and_pull_skopeo(servers, directory, rounds)
            for host in list(peers.dockers().values())[:1]:
                push_and_pull_docker(servers, peers.docker(host), directory, max(rounds // 2, 2))
            downloads(servers, directory, rounds)
            print("\nmemory afterwards, MB: " + ", ".join(f"{s.name} {s.memory():.1f}" for s in servers))
        finally:
            for server in servers:
                server.stop()


if __name__ == "__main__":
    main()
