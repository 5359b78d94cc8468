"""What is mounted in containers: volumes, paths of the host, file systems in memory, images, secrets; and what becomes of it."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from runner.container import File, Mount
from runner.engine import Engine
from runner.errors import Conflict, InvalidOption, Missing
from tests.runner.scene import Scene, finish, make, output, run, shell, start
from tests.runner.test_lifecycle import error_of

pytestmark = pytest.mark.userns


def volume(target: str, source: str = "data", **fields: Any) -> Mount:
    return Mount("volume", target, source, **fields)


def script(engine: Engine, text: str, *mounts: Mount, **fields: Any) -> "tuple[int, str]":
    return shell(engine, text, mounts=mounts, **fields)


def test_volume_outlives_containers(scene: Scene) -> None:
    def play(engine: Engine) -> "list[Any]":
        return [script(engine, "echo kept >/data/file", volume("/data")), script(engine, "cat /data/file", volume("/data"))]
    assert scene.do(play) == [(0, ""), (0, "kept\n")]


def test_new_volume_gets_what_the_image_has_there(scene: Scene) -> None:
    def play(engine: Engine) -> "list[Any]":
        first = script(engine, "stat -c '%a %u' /etc/passwd; test -d /etc && rm /etc/passwd", volume("/etc"))
        return [first, script(engine, "test -e /etc/passwd || echo gone", volume("/etc"))]
    assert scene.do(play) == [(0, "644 0\n"), (0, "gone\n")]


def test_volume_with_something_in_it_is_left_alone(scene: Scene) -> None:
    def play(engine: Engine) -> "list[Any]":
        script(engine, "touch /data/own", volume("/data"))
        return [script(engine, "test -e /etc/own && ! test -e /etc/passwd", volume("/etc"))]
    assert scene.do(play) == [(0, "")]


def test_nocopy_leaves_the_volume_empty(scene: Scene) -> None:
    assert scene.do(script, "test -e /etc/passwd || echo empty", volume("/etc", nocopy=True)) == (0, "empty\n")


def test_anonymous_volume_goes_with_its_container_if_so_wanted(scene: Scene) -> None:
    def play(engine: Engine) -> "list[int]":
        one = run(engine, "true", mounts=(volume("/data", ""),))
        engine.wait(one)
        made = len(engine.records.volumes())
        engine.remove(one)
        kept = len(engine.records.volumes())
        two = run(engine, "true", mounts=(volume("/data", ""), volume("/named", "named")))
        engine.wait(two)
        engine.remove(two, volumes=True)
        return [made, kept, len(engine.records.volumes())]
    assert scene.do(play) == [1, 1, 2]


def test_volume_in_use_is_not_removed(scene: Scene) -> None:
    def play(engine: Engine) -> "list[Any]":
        container = make(engine, "true", mounts=(volume("/data"),))
        refused = error_of(engine.volumes.remove, "data")
        engine.remove(container)
        return [refused[0], container.short_id in refused[1], engine.volumes.remove("data"), error_of(engine.volumes.remove, "data")[0],
                engine.volumes.remove("data", force=True), os.path.exists(f"{engine.volumes.directory}/data")]
    assert scene.do(play) == [Conflict.__name__, True, True, Missing.__name__, False, False]


def test_volume_subpath(scene: Scene) -> None:
    def play(engine: Engine) -> "list[Any]":
        script(engine, "mkdir /data/sub; echo in >/data/sub/file; ln -s / /data/out", volume("/data"))
        return [script(engine, "cat /here/file", volume("/here", subpath="sub")), error_of(script, engine, "true", volume("/here", subpath="missing"))[0],
                error_of(script, engine, "true", volume("/here", subpath="out"))[0], error_of(script, engine, "true", volume("/here", subpath="../x"))[0]]
    assert scene.do(play) == [(0, "in\n"), *[InvalidOption.__name__] * 3]


@pytest.mark.parametrize("mount", [Mount("volume", "/a\0b", "data"), Mount("bind", "/a", "/a\0b", create=True), Mount("volume", "/a", "data", subpath="\0")])
def test_path_with_a_nul_byte_is_refused(scene: Scene, mount: Mount) -> None:
    """As an image may say in its volumes."""
    def play(engine: Engine) -> str:
        return error_of(script, engine, "true", mount)[0]
    assert scene.do(play) == InvalidOption.__name__


def test_read_only_volume(scene: Scene) -> None:
    assert scene.do(script, "touch /data/x 2>&1 | grep -o 'Read-only'", volume("/data", readonly=True)) == (0, "Read-only\n")


def test_volume_with_options_is_mounted(root_scene: Scene) -> None:
    def play(engine: Engine) -> "list[Any]":
        options = (("type", "tmpfs"), ("device", "tmpfs"), ("o", "size=1m,mode=700"))
        first = script(engine, "grep ' /data ' /proc/mounts | cut -d' ' -f3; echo x >/data/file", volume("/data", driver_options=options))
        second = script(engine, "cat /data/file", volume("/data"))
        for container in engine.records.containers():
            engine.remove(container)
        engine.volumes.remove("data")
        with open("/proc/self/mountinfo") as file:
            return [first, second, "volumes/data" in file.read()]
    assert root_scene.do(play) == [(0, "tmpfs\n"), (0, "x\n"), False]


def test_volume_that_is_a_directory_of_the_host(scene: Scene, shared: Path) -> None:
    options = (("type", "none"), ("device", str(shared)), ("o", "bind"))
    assert scene.do(script, "echo x >/data/file", volume("/data", driver_options=options)) == (0, "")
    assert (shared / "file").read_text() == "x\n"


def test_bind_is_the_host_s_file(scene: Scene, shared: Path) -> None:
    assert scene.do(script, "echo out >/here/file; cat /here/file", Mount("bind", "/here", str(shared))) == (0, "out\n")
    assert (shared / "file").read_text() == "out\n"
    assert scene.do(script, "cat /one; echo no 2>/dev/null >/one || echo refused", Mount("bind", "/one", str(shared / "file"), readonly=True)) == (
        0, "out\nrefused\n")


def test_bind_source_is_looked_up_at_every_start(scene: Scene, shared: Path) -> None:
    def play(engine: Engine, path: str) -> str:
        for number in (1, 2):
            _write(engine, f"{path}{number}", f"file {number}\n")
        _write(engine, path, "")
        container = make(engine, "cat", "/here/file", mounts=(Mount("bind", "/here", path),))
        for number in (1, 2):
            shutil.rmtree(path)
            os.rename(f"{path}{number}", path)
            start(engine, container)
            engine.wait(container)
        return output(engine, container)
    assert scene.do(play, str(shared / "source")) == "file 1\nfile 2\n"


def _write(engine: Engine, directory: str, text: str) -> None:
    os.makedirs(directory, exist_ok=True)
    with open(f"{directory}/file", "w") as file:
        file.write(text)


def test_missing_bind_source_is_made_only_if_so_wanted(scene: Scene, shared: Path) -> None:
    def play(engine: Engine, path: str) -> "list[Any]":
        refused = error_of(script, engine, "true", Mount("bind", "/here", f"{path}/new"))
        return [refused[0], script(engine, "touch /here/x", Mount("bind", "/here", f"{path}/new", create=True)), os.listdir(f"{path}/new")]
    assert scene.do(play, str(shared)) == [InvalidOption.__name__, (0, ""), ["x"]]


def test_memory_file_system(scene: Scene) -> None:
    mount = Mount("tmpfs", "/scratch", options=("size=1m", "mode=750"))
    assert scene.do(script, "stat -c %a /scratch; grep -o '/scratch tmpfs.*noexec' /proc/mounts | cut -d' ' -f2", mount) == (0, "750\ntmpfs\n")


def test_image_as_a_mount(scene: Scene) -> None:
    assert scene.do(script, "ls /other/etc >/dev/null && touch /other/x 2>&1 | grep -o Read-only", Mount("image", "/other", "busybox")) == (0, "Read-only\n")


def test_secret_has_the_owner_and_mode_that_were_asked_for(scene: Scene, shared: Path) -> None:
    (shared / "secret").write_text("from file")
    files = (File("/run/secrets/one", content=b"inline", uid=1000, gid=1001, mode=0o440), File("/run/secrets/two", str(shared / "secret"), mode=0o400))
    code, out = scene.do(_with_files, files)
    assert (code, out) == (0, "440 1000 1001\n400 0 0\ninlinefrom file")


def _with_files(engine: Engine, files: "tuple[File, ...]") -> "tuple[int, str]":
    return shell(engine, "stat -c '%a %u %g' /run/secrets/one /run/secrets/two; cat /run/secrets/one /run/secrets/two", files=files)


def test_secrets_are_not_in_the_writable_layer(scene: Scene) -> None:
    def play(engine: Engine) -> "list[str]":
        container = run(engine, "true", files=(File("/run/secrets/one", content=b"inline"),))
        engine.wait(container)
        return [name for _, directories, files in os.walk(engine.place(container.id).fs) for name in (*directories, *files)]
    assert scene.do(play) == []


def test_volumes_from_another_container(scene: Scene) -> None:
    def play(engine: Engine) -> "tuple[int, str]":
        run(engine, "/bin/sh", "-c", "echo shared >/data/file; sleep 1000", name="first", mounts=(volume("/data", ""),))
        return finish(engine, "/bin/sh", "-c", "while ! cat /data/file; do sleep 0.02; done 2>/dev/null; touch /data/x 2>/dev/null || echo refused",
                      volumes_from=("first:ro",))
    assert scene.do(play) == (0, "shared\nrefused\n")


@pytest.mark.parametrize("mount", [
    Mount("bind", "relative", "/tmp"), Mount("bind", "/", "/tmp"), Mount("bind", "/x/../..", "/tmp"), Mount("bind", "/x", "tmp"),
    Mount("volume", "/x", "a/b"), Mount("nonsense", "/x"), Mount("volume", "/x", "data", driver_options=(("nonsense", "1"),))])
def test_mounts_that_cannot_be(root_scene: Scene, mount: Mount) -> None:
    assert root_scene.do(lambda engine: error_of(make, engine, "true", mounts=(mount,))[0]) == InvalidOption.__name__


def test_target_is_taken_once(root_scene: Scene) -> None:
    def play(engine: Engine) -> str:
        return error_of(make, engine, "true", mounts=(volume("/data"), volume("/data/", "other")))[1]
    assert "given twice" in root_scene.do(play)


def test_volume_commands(scene: Scene) -> None:
    tool = scene.tool
    assert tool.pyup("volume", "create", "--label", "a=1", "store").out == "store\n"
    assert tool.pyup("volume", "create", "store").out == "store\n"
    assert tool.pyup("volume", "ls", "-q", "--filter", "label=a").out == "store\n"
    assert tool.pyup("volume", "inspect", "-f", "{{.Name}} {{.Driver}} {{json .Labels}}", "store").out == 'store local {"a":"1"}\n'
    assert tool.run("pyup", "volume", "inspect", "nothing").status == 1
    scene.pyup("create", "-v", "used:/x", "-v", "/anonymous", "--network", "none", "busybox", "true")
    assert tool.pyup("volume", "ls", "-q", "--filter", "dangling=true").out == "store\n"
    assert "anonymous volume" in tool.run("pyup", "volume", "prune").err
    scene.pyup("prune", "-f")
    assert len(tool.pyup("volume", "prune", "-f").out.splitlines()) == 4
    assert "store" in tool.pyup("volume", "prune", "-f", "--all").out
    assert tool.pyup("volume", "ls", "-q").out == ""
