"""`up -d`, `up -d` again with nothing to do, and `down -t 0` of stacks of sleeping services on one network, beside docker-compose and podman-compose;
and `config` of sixty services.

    python bench/up.py [ROUNDS] [SERVICES,..] [podman]

The daemon is that of DOCKER_HOST. BENCH_COMPOSE and BENCH_PODMAN_COMPOSE name other programs than those in PATH. podman-compose takes minutes: it
is measured only if it is named.
"""

import os
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import harness
import peers

SCENARIOS = ("up -d", "up -d, nothing to do", "down -t 0")


def stack(count: int, image: str) -> str:
    services = "".join(f"  s{number:02d}: {{image: '{image}', command: sleep 1000, stop_signal: SIGKILL}}\n" for number in range(count))
    return f"version: '3.8'\nservices:\n{services}"


def many(count: int) -> str:
    """Services that have something of everything."""
    services = "".join(
        f"  s{number:02d}:\n    image: 'registry.example/app:${{TAG:-1}}'\n    command: [serve, '--port', '{8000 + number}']\n"
        f"    environment: {{A: '${{A:-x}}', B: '{number}'}}\n    ports: ['{9000 + number}:80']\n"
        f"    volumes: ['data{number % 5}:/data', './src:/src:ro']\n"
        f"    depends_on: {{s{number - 1:02d}: {{condition: service_started}}}}\n    healthcheck: {{test: [CMD, 'true'], interval: 5s}}\n"
        f"    networks: [front, back]\n" for number in range(1, count))
    return f"services:\n  s00: {{image: x}}\n{services}networks: {{front: , back: }}\nvolumes: {{{', '.join(f'data{one}: ' for one in range(5))}}}\n"


def commands(root: Path, directory: Path, count: int, *, podman: bool) -> dict[str, tuple[list[str], dict[str, str]]]:
    """argv up to the file, and environment, of each peer."""
    found = {"pyup": ([harness.ours("pyup"), "--root", str(root), "--progress", "quiet"], {})}
    compose = os.environ.get("BENCH_COMPOSE") or harness.program("docker-compose")
    if compose and subprocess.run([compose, "version"], capture_output=True).returncode == 0 and peers.dockers():
        found["docker-compose"] = ([compose], {})
    podman_compose = os.environ.get("BENCH_PODMAN_COMPOSE", "/var/tmp/pybuild-bench/venv/bin/podman-compose")
    if podman and os.path.exists(podman_compose):
        found["podman-compose"] = ([podman_compose], {})
    for peer in found:
        (directory / f"{peer}.yaml").write_text(stack(count, "localhost/busybox:latest" if peer == "podman-compose" else "busybox:latest"))
    return {peer: ([*argv, "-p", f"bench{peer.replace('-', '')}{count}", "-f", str(directory / f"{peer}.yaml")], env)
            for peer, (argv, env) in found.items()}


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    counts = [int(word) for word in (sys.argv[2] if len(sys.argv) > 2 else "10,30").split(",")]
    with tempfile.TemporaryDirectory(prefix="bench-", dir=peers.scratch(), ignore_cleanup_errors=True) as name:
        root = Path(name) / "root"
        peers.our_store(root)
        file = Path(name) / "many.yaml"
        file.write_text(many(60))
        harness.compare("config, 60 services", harness.runs({"pyup": [harness.ours("pyup"), "-f", str(file), "config"]}), rounds)
        for count in counts:
            found = commands(root, Path(name), count, podman="podman" in sys.argv)
            taken: dict[str, dict[str, list[tuple[float, float]]]] = {scenario: {peer: [] for peer in found} for scenario in SCENARIOS}
            order = list(found)
            for turn in range(rounds + 1):                # the first round warms up
                for peer in (*order[turn % len(order):], *order[:turn % len(order)]):
                    argv, env = found[peer]
                    for scenario, words in zip(SCENARIOS, (["up", "-d"], ["up", "-d"], ["down", "-t", "0"])):
                        measured = harness.measure([*argv, *words], env)
                        if turn:
                            taken[scenario][peer].append(measured)
            for scenario, by_peer in taken.items():
                harness.compare(f"{scenario}, {count} services", {peer: partial(next, iter(pairs)) for peer, pairs in by_peer.items()}, rounds)


if __name__ == "__main__":
    main()
