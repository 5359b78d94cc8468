"""Containers of root with a user namespace of their own: ids that are theirs alone, files that keep their owners, and everything else as ever."""

import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kernel.release import RELEASE
from runner.archive import pack
from runner.container import Container, Mount
from runner.copying import copy_in, copy_out
from runner.engine import Engine
from runner.errors import InvalidOption
from runner.files import Files
from runner.upkeep import Restart
from sandbox.idmap import NEEDED
from tests.runner import scene as scenes
from tests.runner.scene import Scene
from tests.users import User

pytestmark = [pytest.mark.userns, pytest.mark.skipif(os.geteuid() != 0, reason="the owners of files are mapped by root"),
              pytest.mark.skipif(RELEASE < NEEDED, reason="overlays on id-mapped layers are of Linux 5.19")]


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    (tmp_path / "root").mkdir(mode=0o700)
    scene = Scene(tmp_path / "root", None)
    scene.do(scenes.prepare)
    yield scene
    assert scene.do(scenes.clean) == []


def _auto(engine: Engine, script: str, **fields: Any) -> "tuple[int, str]":
    return scenes.shell(engine, script, userns_mode="auto", **fields)


def test_container_is_root_of_its_own_ids(scene: Scene) -> None:
    code, out = scene.do(_auto, "id -u; cat /proc/self/uid_map; cat /proc/sys/net/ipv4/ping_group_range; echo out > /dev/stdout")
    words = out.split()
    assert (code, words[0], words[1], words[3]) == (0, "0", "0", "65536")
    assert int(words[2]) >= 0x70000000
    assert words[4:] == ["0", "65535", "out"]


def _two(engine: Engine) -> "list[Any]":
    found = [scenes.make(engine, "true", userns_mode="auto").ids for _ in range(4)]
    found.append(scenes.make(engine, "true").ids)
    return found


def test_no_two_have_the_same_ids(scene: Scene) -> None:
    *mapped, plain = scene.do(_two)
    assert plain is None
    assert len({one.uid for one in mapped}) == 4
    assert all(abs(one.uid - other.uid) >= 65536 for one in mapped for other in mapped if one is not other)


def _ids_are_kept(engine: Engine) -> "tuple[str, ...]":
    container = scenes.run(engine, "/bin/sh", "-c", "cat /proc/self/uid_map", userns_mode="auto")
    engine.wait(container)
    scenes.start(engine, container)
    engine.wait(container)
    return tuple(scenes.output(engine, container).split())


def test_ids_are_kept_across_starts(scene: Scene) -> None:
    words = scene.do(_ids_are_kept)
    assert len(words) == 6
    assert words[:3] == words[3:]


def _restarted(engine: Engine) -> str:
    script = "cat /proc/self/uid_map; test -e /second && exit 0; touch /second; exit 3"
    return _auto(engine, script, restart=Restart("on-failure", 2))[1]


def test_a_restart_by_the_shim_is_in_the_same_namespace(scene: Scene) -> None:
    words = scene.do(_restarted).split()
    assert len(words) == 6
    assert words[:3] == words[3:]


def _volume_and_bind(engine: Engine, bound: str) -> "tuple[str, Any]":
    mounts = (Mount("volume", "/v", "kept"), Mount("bind", "/b", bound))
    _, out = _auto(engine, "touch /v/made /b/made /made; chown 7:7 /v/made; cat /b/secret", mounts=mounts)
    source = engine.volumes.prepare("kept")
    (container,) = engine.records.containers()
    statuses = [os.stat(path) for path in (f"{source}/made", f"{bound}/made", f"{engine.place(container.id).fs}/made")]
    return out, [(one.st_uid, one.st_gid) for one in statuses]


def test_files_keep_their_owners_on_disk(scene: Scene, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("mine\n")
    (tmp_path / "secret").chmod(0o600)
    out, owners = scene.do(_volume_and_bind, str(tmp_path))
    assert out == "mine\n"
    assert owners == [(7, 7), (0, 0), (0, 0)]


def _copied(engine: Engine, source: str, target: str) -> "tuple[str, list[tuple[str, int]]]":
    container = scenes.run(engine, "/bin/sh", "-c", "mkdir /d; chown 9:9 /d; until test -e /stop; do sleep 0.05; done; stat -c '%n %u:%g' /d/file /root",
                           userns_mode="auto")
    while not os.path.exists(f"{engine.place(container.id).fs}/d"):
        pass                                              # made by what was started a moment ago
    copy_in(engine, container, source, "/d/file", archive=True)
    with Files(engine, container) as files:
        with tarfile.open(fileobj=io.BytesIO(b"".join(pack(files, "/d")))) as archive:
            shown = [(member.name, member.uid) for member in archive]
    copy_out(engine, container, "/d", target, archive=True)
    _touch(engine, container)
    engine.wait(container)
    return scenes.output(engine, container), shown


def _touch(engine: Engine, container: Container) -> None:
    path = f"{engine.place(container.id).path}/empty-file"
    Path(path).touch()
    copy_in(engine, container, path, "/stop")


def test_copies_into_and_out_of_one_that_runs_have_its_owners(scene: Scene, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    os.chown(tmp_path / "file", 33, 33)
    out, shown = scene.do(_copied, str(tmp_path / "file"), str(tmp_path / "out"))
    assert out == "/d/file 33:33\n/root 0:0\n"
    assert shown == [("d", 9), ("d/file", 33)]
    assert ((tmp_path / "out").stat().st_uid, (tmp_path / "out" / "file").stat().st_uid) == (9, 33)


def _copy_fails(engine: Engine, target: str) -> str:
    container = scenes.run(engine, "sleep", "1010", userns_mode="auto")
    try:
        copy_in(engine, container, "/etc/hostname", target)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def test_a_copy_that_fails_inside_is_told_outside(scene: Scene) -> None:
    assert scene.do(_copy_fails, "/proc/").startswith("StoreError: cannot unpack `hostname`")


def test_exec_is_inside(scene: Scene) -> None:
    scene.pyup("run", "-d", "--name", "one", "--userns", "auto", "--network", "none", "busybox", "sleep", "1010")
    assert scene.pyup("exec", "one", "sh", "-c", "echo $(id -u) > /dev/stdout; touch /here; stat -c %u /here") == "0\n0\n"
    assert scene.pyup("exec", "-u", "1000", "one", "sh", "-c", "id -u") == "1000\n"


def test_own_network_belongs_to_it(scene: Scene) -> None:
    """A raw socket takes a capability in the user namespace that the network belongs to."""
    for network in ("none", "bridge"):
        out = scene.pyup("run", "--rm", "--userns", "auto", "--network", network, "busybox", "ping", "-c", "1", "127.0.0.1")
        assert "1 packets received" in out


def test_process_numbers_of_the_machine(scene: Scene) -> None:
    out = scene.pyup("run", "--rm", "--userns", "auto", "--network", "none", "--pid", "host", "busybox", "sh", "-c",
                     f"kill -0 {os.getpid()} || echo refused; ls /proc/{os.getpid()}/status")
    assert out == f"refused\n/proc/{os.getpid()}/status\n"


def test_remap_takes_the_ids_of_a_user(scene: Scene, unprivileged: User) -> None:
    out = scene.pyup("run", "--rm", "--userns", f"remap:{unprivileged.name}", "--network", "none", "busybox", "cat", "/proc/self/uid_map")
    assert out.split() == ["0", str(unprivileged.subordinate), "65536"]


@pytest.mark.parametrize("mode,fields,message", [
    ("remap:nobody", {}, "user namespace `remap:nobody`: the user `nobody` has no ids in /etc/subuid and /etc/subgid"),
    ("keep-id", {}, "user namespace `keep-id`: is unknown"),
    ("auto:size=9", {}, "user namespace `auto:size=9`: has options, and there are none: a range always has 65536 ids"),
    ("auto", {"runtime": "crun"}, "user namespace `auto`: is not there with the runtime `crun`")])
def test_what_cannot_be_had_is_refused(scene: Scene, mode: str, fields: "dict[str, Any]", message: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        scene.do(lambda engine: scenes.make(engine, "true", userns_mode=mode, **fields))
    assert str(caught.value) == message
