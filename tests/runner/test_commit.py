"""Images of what containers have become, and containers that run again after the machine was started."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from runner import labels
from runner.commit import commit
from runner.container import Container, ContainerSpec, Mount
from runner.engine import Engine
from runner.layercopy import copy_layer
from runner.reboot import in_order, is_due, recover
from runner.state import State
from runner.upkeep import CREATED, EXITED, RUNNING, Restart
from store.images import Runtime
from tests.runner.scene import Scene, await_output, make, output, run, start

pytestmark = pytest.mark.userns
NOTHING = Runtime((), (), (), "", "", (), (), "", -1, None, (), "linux/amd64", ("/lower",))


def test_committed_image_has_the_files_and_settings(scene: Scene) -> None:
    def play(engine: Engine) -> "list[Any]":
        container = run(engine, "/bin/sh", "-c", "echo new >/new; chown 1000 /new; rm /etc/group; echo ready; exec sleep 1000", env=("A=1",), user="0",
                        working_dir="/srv", labels=(("k", "v"),), mounts=(Mount("volume", "/data", "data"),))
        await_output(engine, container, "ready")
        image = commit(engine, container, "committed", author="me", message="a line")
        config = json.loads(engine.store.images.config_bytes(image))
        again = engine.create(ContainerSpec("committed", network_mode="none", cmd=("/bin/sh", "-c", "cat /new; stat -c %u /new; ls /etc/group 2>&1; pwd; echo $A")))
        start(engine, again)
        engine.wait(again)
        found = [engine.state(container).status, output(engine, again), config["history"][-1]["comment"], config["author"], config["config"]["Labels"]["k"],
                 config["config"]["WorkingDir"], sorted(config["config"]["Volumes"]), len(config["rootfs"]["diff_ids"])]
        engine.remove(again, volumes=True)
        engine.store.images.remove("committed", force=True)
        return found
    assert scene.do(play) == [
        RUNNING, "new\n1000\nls: /etc/group: No such file or directory\n/srv\n1\n", "a line", "me", "v", "/srv", ["/data"], 2]


def test_commit_leaves_out_what_is_only_mounted(scene: Scene) -> None:
    def play(engine: Engine) -> "list[str]":
        container = run(engine, "/bin/sleep", "1000", mounts=(Mount("tmpfs", "/scratch/deep"),))
        image = commit(engine, container)
        layer = engine.store.images.layers(image)[-1]
        found = sorted(name for rows in engine.store.snapshots.tree(layer.snapshot).values() for name, *_ in rows)
        engine.store.images.remove(image, force=True)
        return found
    assert [name for name in scene.do(play) if name not in ("etc",)] == []


def test_commit_with_changes(scene: Scene) -> None:
    scene.pyup("create", "--name", "main", "--network", "none", "busybox", "true")
    id = scene.pyup("commit", "-c", 'CMD ["echo", "changed"]', "-c", "ENV B=2", "main", "changed:1").strip()
    assert id.startswith("sha256:")
    assert scene.pyup("run", "--rm", "--network", "none", "changed:1") == "changed\n"
    bad = scene.tool.run("pyup", "container", "commit", "-c", "RUN true", "main")
    assert bad.status == 1 and bad.err.startswith("error: ") and "Traceback" not in bad.err
    scene.tool.run("pybuild", "rmi", "-f", "changed:1")


def test_layer_copy_keeps_links_and_whiteouts(tmp_path: Path) -> None:
    if os.geteuid():
        pytest.skip("making a whiteout needs root")
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "sub").mkdir(parents=True)
    target.mkdir()
    (source / "one").write_text("x")
    os.link(source / "one", source / "sub/two")
    os.symlink("nowhere", source / "link")
    os.mknod(source / "gone", 0o020000, 0)
    os.setxattr(source / "sub", "trusted.overlay.opaque", b"y")
    os.setxattr(source / "sub", "trusted.overlay.origin", b"secret")
    os.utime(source / "sub", ns=(5, 6))
    fds = [os.open(path, os.O_RDONLY) for path in (source, target)]
    copy_layer(fds[0], fds[1], lambda path: path == "/link")
    for fd in fds:
        os.close(fd)
    assert (target / "one").stat().st_ino == (target / "sub/two").stat().st_ino
    assert not os.path.lexists(target / "link")
    assert (os.lstat(target / "gone").st_mode, os.lstat(target / "gone").st_rdev) == (0o020000, 0)
    assert os.listxattr(target / "sub") == ["trusted.overlay.opaque"] and (target / "sub").stat().st_mtime_ns == 6


@pytest.mark.parametrize(("policy", "state", "due"), [
    ("always", State(EXITED, started_at=1, boot="old"), True), ("always", State(EXITED, started_at=1, boot="old", manual=True), True),
    ("unless-stopped", State(EXITED, started_at=1, boot="old", exit_code=137), True),
    ("unless-stopped", State(EXITED, started_at=1, boot="old", manual=True), False), ("no", State(EXITED, started_at=1, boot="old"), False),
    ("on-failure", State(EXITED, started_at=1, boot="old", exit_code=137), True), ("on-failure", State(EXITED, started_at=1, boot="old"), False),
    ("always", State(EXITED, started_at=1, boot="now"), False), ("always", State(CREATED), False), ("always", State(RUNNING, started_at=1, boot="now"), False)])
def test_who_is_started_with_the_machine(policy: str, state: State, due: bool) -> None:
    assert is_due(Restart(policy), state, "now") is due


def _part(name: str, needs: str = "", project: str = "p", **fields: Any) -> Container:
    """A container of the service that is called so."""
    own = ((labels.PROJECT, project), (labels.SERVICE, name), (labels.DEPENDS_ON, needs))
    return Container(name, name, 0, "sha256:0", ContainerSpec("i", labels=own, **fields), NOTHING)       # type: ignore[arg-type]


@pytest.mark.parametrize(("given", "order"), [
    ([_part("web", "db:service_healthy:false,cache:service_started:false"), _part("cache", "db"), _part("db"), _part("x")], "db cache web x"),
    ([_part("a", network_mode="container:z"), _part("b", pid_mode="container:gone"), _part("z", ipc_mode="container:b")], "b z a"),
    ([_part("a", "b"), _part("b", "a"), _part("c", "c")], "b a c"), ([_part("a", "b"), _part("b", project="q")], "a b"),
    ([Container("i", "i", 0, "sha256:0", ContainerSpec("i"), NOTHING)], "i"), ([], "")])       # type: ignore[arg-type]
def test_order_in_which_containers_are_started_with_the_machine(given: "list[Container]", order: str) -> None:
    assert [one.name for one in in_order(given)] == order.split()


def test_a_long_line_of_dependencies_is_followed_to_its_end() -> None:
    names = [f"s{number}" for number in range(3000)]
    given = [_part(name, below) for name, below in zip(names, [*names[1:], ""])]
    assert [one.name for one in in_order(given)] == names[::-1]


def test_machine_that_was_started_again(scene: Scene) -> None:
    def play(engine: Engine) -> "list[Any]":
        for name, policy in (("kept", "always"), ("left", "no")):
            container = make(engine, "/bin/sleep", "1000", name=name, restart=Restart(policy))
            engine.place(container.id).write(State(RUNNING, pid=1, started_at=5, boot="another"))
        started = [(container.name, failure) for container, failure in recover(engine)]
        return [started, [engine.state(engine.find(name)).status for name in ("kept", "left")], list(recover(engine))]
    assert scene.do(play) == [[("kept", None)], [RUNNING, EXITED], []]
