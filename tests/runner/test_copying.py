"""Files into containers and out of them, what has changed in them, and their whole root as an archive; running or not."""

import gzip
import io
import os
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from runner.archive import PathStat, path_stat
from runner.changes import changes
from runner.container import Mount
from runner.engine import Engine
from runner.errors import Conflict, InvalidOption
from runner.files import Files
from tests.runner.scene import Scene, await_output, make, run, shell
from tests.runner.test_lifecycle import error_of

pytestmark = pytest.mark.userns


@pytest.fixture(params=["running", "stopped"])
def name(request: pytest.FixtureRequest, scene: Scene) -> str:
    """A container in one state or the other."""
    def play(engine: Engine, running: bool) -> str:
        command = "mkdir -p /tree/sub; echo one >/tree/one; ln -s one /tree/link; echo two >/tree/sub/two; chown 1000:1001 /tree/one; chmod 640 /tree/one;"
        container = run(engine, "/bin/sh", "-c", command + (" echo ready; exec sleep 1000" if running else ""), name="main",
                        mounts=(Mount("volume", "/data", "data"),))
        if running:
            await_output(engine, container, "ready")
        else:
            engine.wait(container)
        return container.name
    return scene.do(play, request.param == "running")


def test_file_is_copied_out(scene: Scene, name: str, shared: Path) -> None:
    scene.pyup("cp", f"{name}:/tree/one", str(shared / "copy"))
    assert (shared / "copy").read_text() == "one\n"
    assert (shared / "copy").stat().st_mode & 0o777 == 0o640
    assert (shared / "copy").stat().st_uid == (scene.user.uid if scene.user else 0)


def test_directory_is_copied_out(scene: Scene, name: str, shared: Path) -> None:
    scene.pyup("cp", f"{name}:/tree", str(shared))
    assert sorted(os.listdir(shared / "tree")) == ["link", "one", "sub"] and os.readlink(shared / "tree/link") == "one"
    scene.pyup("cp", f"{name}:/tree/.", str(shared))
    assert (shared / "sub/two").read_text() == "two\n"
    scene.pyup("cp", f"{name}:/tree", str(shared / "new"))
    assert (shared / "new/sub/two").read_text() == "two\n"


def test_link_is_copied_as_one_or_followed(scene: Scene, name: str, shared: Path) -> None:
    scene.pyup("cp", f"{name}:/tree/link", str(shared / "link"))
    assert os.readlink(shared / "link") == "one"
    scene.pyup("cp", "-L", f"{name}:/tree/link", str(shared / "followed"))
    assert (shared / "followed").read_text() == "one\n"


def test_owner_is_kept_only_with_archive(root_scene: Scene, tmp_path: Path) -> None:
    def play(engine: Engine) -> None:
        engine.wait(run(engine, "/bin/sh", "-c", "touch /file; chown 1000:1001 /file", name="owned"))
    root_scene.do(play)
    root_scene.pyup("cp", "owned:/file", str(tmp_path / "mine"))
    root_scene.pyup("cp", "-a", "owned:/file", str(tmp_path / "theirs"))
    assert ((tmp_path / "mine").stat().st_uid, (tmp_path / "theirs").stat().st_uid, (tmp_path / "theirs").stat().st_gid) == (0, 1000, 1001)


def _tree(engine: Engine) -> None:
    engine.wait(run(engine, "/bin/sh", "-c", "mkdir -p /tree/sub; echo two >/tree/sub/two; ln /tree/sub/two /tree/hard", name="main"))


def test_archive_on_stdout(root_scene: Scene) -> None:
    root_scene.do(_tree)
    data = subprocess.run(root_scene.tool.argv("pyup", "container", "cp", "main:/tree", "-"), env=root_scene.tool.env, capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        assert sorted(archive.getnames()) == ["tree", "tree/hard", "tree/sub", "tree/sub/two"]
        assert archive.getmember("tree/sub/two").linkname == "tree/hard"
        assert archive.extractfile("tree/sub/two").read() == b"two\n"      # type: ignore[union-attr]  # a link to a file


def test_file_is_copied_in(scene: Scene, name: str, shared: Path) -> None:
    (shared / "file").write_text("new")
    scene.pyup("cp", str(shared / "file"), f"{name}:/tree/sub")
    scene.pyup("cp", str(shared / "file"), f"{name}:/tree/renamed")
    scene.pyup("cp", str(shared / "file"), f"{name}:/tree/one")
    assert scene.do(_read, name, ("/tree/sub/file", "/tree/renamed", "/tree/one")) == ["new", "new", "new"]


def _read(engine: Engine, name: str, paths: "tuple[str, ...]") -> "list[str]":
    from kernel.paths import read_regular

    with Files(engine, engine.find(name)) as files:
        found = []
        for path in paths:
            spot = files.spot(path)
            found.append(read_regular(spot.fd, spot.path, 1000).decode())
        return found


def test_copied_in_files_belong_to_root(scene: Scene, name: str, shared: Path) -> None:
    (shared / "file").write_text("new")
    scene.pyup("cp", str(shared / "file"), f"{name}:/tree/new")

    def play(engine: Engine, name: str) -> "list[int]":
        with Files(engine, engine.find(name)) as files:
            fd, leaf = files.open_parent("/tree/new")
            status = os.stat(leaf, dir_fd=fd)
            os.close(fd)
            return [status.st_uid, status.st_gid]
    assert scene.do(play, name) == [0, 0]


def archive_of(*members: "tuple[str, bytes]") -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return data.getvalue()


def test_archive_on_stdin(scene: Scene, name: str) -> None:
    scene.pyup("cp", "-", f"{name}:/tree", stdin=archive_of(("deep/file", b"abc")))
    assert scene.do(_read, name, ("/tree/deep/file",)) == ["abc"]


def test_compressed_archive_on_stdin(root_scene: Scene) -> None:
    root_scene.do(lambda engine: make(engine, "true", name="main"))
    subprocess.run(root_scene.tool.argv("pyup", "container", "cp", "-", "main:/tmp"), env=root_scene.tool.env, check=True,
                   input=gzip.compress(archive_of(("file", b"abc"))))
    assert root_scene.do(_read, "main", ("/tmp/file",)) == ["abc"]


def test_copies_go_through_volumes(scene: Scene, name: str, shared: Path) -> None:
    (shared / "file").write_text("in volume")
    scene.pyup("cp", str(shared / "file"), f"{name}:/data/sub")
    assert scene.do(_with_volume) == (0, "in volume")
    scene.pyup("cp", f"{name}:/data/sub", str(shared / "back"))
    assert (shared / "back").read_text() == "in volume"


def _with_volume(engine: Engine) -> "tuple[int, str]":
    return shell(engine, "cat /v/sub", mounts=(Mount("volume", "/v", "data"),))


def test_what_is_at_a_path(scene: Scene, name: str) -> None:
    def play(engine: Engine, name: str) -> "list[Any]":
        with Files(engine, engine.find(name)) as files:
            one, link, tree = (path_stat(files, path) for path in ("/tree/one", "/tree/link", "/tree/"))
            return [one.size, one.mode & 0o777, link.link, tree.is_directory, one.go_mode, hex(tree.go_mode), hex(link.go_mode),
                    error_of(path_stat, files, "/tree/nothing")[0], error_of(path_stat, files, "/tree/one/x")[0], path_stat(files, "/").name]
    assert scene.do(play, name) == [4, 0o640, "one", True, 0o640, hex(1 << 31 | 0o755), hex(1 << 27 | 0o777), *[InvalidOption.__name__] * 2, "/"]


def test_modes_as_go_has_them() -> None:
    import stat

    def mode(kind: int) -> int:
        return PathStat("x", 0, kind | 0o755, 0, "").go_mode & ~0o777
    assert [mode(stat.S_IFREG | stat.S_ISUID), mode(stat.S_IFDIR | stat.S_ISVTX), mode(stat.S_IFCHR), mode(stat.S_IFSOCK)] == [
        1 << 23, 1 << 31 | 1 << 20, 1 << 26 | 1 << 21, 1 << 24]


@pytest.mark.parametrize(("source", "target"), [("main:/tree/nothing", "/tmp/x"), ("main:/tree", "/no/such/directory/x"), ("/no/such", "main:/tmp"),
                                                ("/etc/hostname", "main:/no/such/"), ("/etc", "main:/tree/one")])
def test_copies_that_cannot_be(root_scene: Scene, source: str, target: str) -> None:
    root_scene.do(lambda engine: engine.wait(run(engine, "/bin/sh", "-c", "mkdir /tree; echo one >/tree/one", name="main")))
    done = root_scene.tool.run("pyup", "container", "cp", source, target)
    assert done.status == 1 and done.err.startswith("error: ") and "Traceback" not in done.err


def test_nothing_is_copied_into_a_read_only_container(root_scene: Scene) -> None:
    def play(engine: Engine) -> str:
        container = make(engine, "true", read_only=True)
        with Files(engine, container) as files:
            return error_of(files.writable, "/tmp")[0]
    assert root_scene.do(play) == Conflict.__name__


def test_links_in_a_container_do_not_lead_out(scene: Scene, shared: Path) -> None:
    """CVE-2018-15664, CVE-2019-14271: what a container's links lead to is inside of it."""
    marker = shared / "marker"
    marker.mkdir()
    marker.chmod(0o777)

    def play(engine: Engine, path: str) -> None:
        text = f"ln -s {path} /out; ln -s ../../../../../../../../..{path} /up; mkdir -p {path}; ln -s / /root2"
        engine.wait(run(engine, "/bin/sh", "-c", text, name="main"))
    scene.do(play, str(marker))
    for target in ("/out", "/up", f"/root2{marker}"):
        scene.pyup("cp", "/etc/hostname", f"main:{target}")
    assert os.listdir(marker) == []
    assert scene.do(_read, "main", (f"{marker}/hostname",))[0]
    (marker / "host").write_text("secret")
    done = scene.tool.run("pyup", "container", "cp", "main:/out/host", str(shared / "stolen"))
    assert done.status == 1 and not (shared / "stolen").exists()


def test_hostile_archives_do_not_lead_out(root_scene: Scene, tmp_path: Path) -> None:
    root_scene.do(lambda engine: make(engine, "true", name="main"))
    for name, kind, link in (("../../../evil", tarfile.REGTYPE, ""), ("/evil", tarfile.REGTYPE, ""), ("l/evil", tarfile.REGTYPE, str(tmp_path))):
        data = io.BytesIO()
        with tarfile.open(fileobj=data, mode="w") as archive:
            if link:
                one = tarfile.TarInfo("l")
                one.type, one.linkname = tarfile.SYMTYPE, link
                archive.addfile(one)
            member = tarfile.TarInfo(name)
            member.type = kind
            archive.addfile(member)
        root_scene.tool.run("pyup", "container", "cp", "-", "main:/tmp", stdin=data.getvalue())
    assert not os.path.exists("/evil") and not os.path.exists("/tmp/evil") and os.listdir(tmp_path) == []


def test_diff_tells_added_changed_and_deleted(scene: Scene) -> None:
    def play(engine: Engine) -> "list[list[str]]":
        container = run(engine, "/bin/sh", "-c", "echo x >/new; mkdir /d; touch /d/f; echo y >>/etc/passwd; rm /etc/group; echo ready; exec sleep 1000",
                        name="main", mounts=(Mount("volume", "/v/deep", "data"),))
        await_output(engine, container, "ready")
        running = [f"{one.kind} {one.path}" for one in changes(engine, container)]
        engine.stop(container, timeout_s=0)
        return [running, [f"{one.kind} {one.path}" for one in changes(engine, container)]]
    running, stopped = scene.do(play)
    assert running == stopped == ["A /d", "A /d/f", "C /etc", "D /etc/group", "C /etc/passwd", "A /new"]


def test_fresh_container_has_no_changes(scene: Scene) -> None:
    assert scene.do(lambda engine: changes(engine, run(engine, "/bin/sleep", "1000"))) == []


def test_replaced_directory_shows_what_it_hides(scene: Scene) -> None:
    def play(engine: Engine) -> "list[str]":
        container = run(engine, "/bin/sh", "-c", "mv /etc/group /; rm -r /etc; mkdir /etc; mv /group /etc")
        engine.wait(container)
        return [f"{one.kind} {one.path}" for one in changes(engine, container)]
    found = scene.do(play)
    assert "D /etc/passwd" in found and "C /etc/group" in found and "D /etc/group" not in found


def test_export_is_the_whole_root(scene: Scene, shared: Path) -> None:
    def play(engine: Engine) -> None:
        engine.wait(run(engine, "/bin/sh", "-c", "echo x >/new; rm /etc/group", name="main", mounts=(Mount("volume", "/v", "data"),)))
    scene.do(play)
    scene.pyup("export", "-o", str(shared / "root.tar"), "main")
    with tarfile.open(shared / "root.tar") as archive:
        names = archive.getnames()
        assert archive.extractfile("./new").read() == b"x\n"      # type: ignore[union-attr]  # it is a file
    assert "./etc/passwd" in names and "./etc/group" not in names and not any(name.startswith("./v/") for name in names)
