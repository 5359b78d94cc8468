"""Rules of `develop.watch`, and the watching of trees."""

from pathlib import Path
from typing import Any

import pytest

from runner.model.build import Build, Develop, Hook, Watch
from runner.model.part import Mount
from runner.model.service import Service
from runner.reactor import Reactor
from runner.treewatch import TreeWatch
from runner.watch import Copy, Rule, Todo, bound, decide, first_copies, rules
from store.events import Events


def service(*watches: Watch, name: str = "web", **more: Any) -> Service:
    return Service(name, develop=Develop(watches), **more)


def decided(one: Service, *paths: str, gone: tuple[str, ...] = ()) -> list[Todo]:
    return decide(rules([one]), {**dict.fromkeys(paths, True), **dict.fromkeys(gone, False)})


def test_sync_puts_files_where_they_belong() -> None:
    one = service(Watch("/src", "sync", "/app"))
    assert decided(one, "/src/a/b.py", gone=("/src/c.py",)) == [
        Todo("web", copies=(Copy("/src/a/b.py", "/app/a/b.py"), Copy("/src/c.py", "/app/c.py", there=False)), changed=2)]


def test_a_rule_for_one_file() -> None:
    one = service(Watch("/src/conf", "sync", "/etc/conf"))
    assert decided(one, "/src/conf")[0].copies == (Copy("/src/conf", "/etc/conf"),)
    assert decided(one, "/src/conf2", "/src/other") == []


@pytest.mark.parametrize("path", ["/src/.git/HEAD", "/src/a/.git/x", "/src/x.swp", "/src/a/.#x", "/src/x~", "/src/4913", "/elsewhere/x", "/srcs/x"])
def test_what_nobody_means(path: str) -> None:
    assert decided(service(Watch("/src", "sync", "/app")), path) == []


@pytest.mark.parametrize(("ignore", "include", "path", "concerns"), [
    (("*.md",), (), "/src/README.md", False), (("*.md",), (), "/src/a/README.md", True), (("**/*.md",), (), "/src/a/README.md", False),
    (("build/",), (), "/src/build/x", False), ((), ("*.py",), "/src/a.py", True), ((), ("**/*.py",), "/src/b/a.py", True),
    ((), ("*.py",), "/src/a.js", False), (("a.py",), ("*.py",), "/src/a.py", False), (("*", "!keep"), (), "/src/keep", True)])
def test_ignore_and_include(ignore: tuple[str, ...], include: tuple[str, ...], path: str, concerns: bool) -> None:
    one = service(Watch("/src", "sync", "/app", ignore=ignore, include=include))
    assert bool(decided(one, path)) is concerns


def test_the_ignore_file_of_the_build_context(tmp_path: Path) -> None:
    (tmp_path / ".dockerignore").write_text("dist\n")
    one = service(Watch(str(tmp_path), "sync", "/app"), build=Build(str(tmp_path), "Dockerfile"))
    assert decided(one, f"{tmp_path}/dist/x") == []
    assert decided(one, f"{tmp_path}/src/x")


def test_actions_of_several_rules_come_together() -> None:
    hook = Hook(("reload",))
    one = service(Watch("/src", "sync+restart", "/app"), Watch("/src/conf", "sync+exec", "/etc", exec=hook), Watch("/src/py.lock", "rebuild"))
    (todo,) = decided(one, "/src/conf/x")
    assert (todo.restart, todo.execs, [copy.target for copy in todo.copies]) == (True, (hook,), ["/app/conf/x", "/etc/x"])
    assert decided(one, "/src/py.lock")[0].rebuild
    assert not decided(one, "/src/x")[0].rebuild
    assert decided(service(Watch("/src", "restart")), "/src/x") == [Todo("web", restart=True, changed=1)]


def test_what_is_mounted_anyway() -> None:
    one = service(volumes=(Mount("bind", "/src", "/app"),))
    assert bound(one, Watch("/src", "sync", "/app"))
    assert bound(one, Watch("/src/sub", "sync", "/app"))
    assert not bound(one, Watch("/other", "sync", "/app"))
    assert not bound(one, Watch("/src", "rebuild"))


def test_first_copies(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b").write_text("")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "c").write_text("")
    rule = Rule(service(), Watch(str(tmp_path), "sync", "/app"))
    assert first_copies(rule) == [Copy(f"{tmp_path}/a/b", "/app/a/b")]


class Batches:
    """A tree that is watched, and what was told of it."""

    def __init__(self, top: Path, events: Path) -> None:
        self.reactor = Reactor(Events(str(events)))
        self.told: list[dict[str, bool]] = []
        self.tree = TreeWatch(self.reactor, self.told.append, lambda path: path.endswith("/skipped"))
        self.tree.add(str(top))

    def next(self) -> dict[str, bool]:
        count = len(self.told)
        while len(self.told) == count:
            self.reactor.turn()
        return self.told[-1]


@pytest.fixture
def batches(tmp_path: Path) -> Batches:
    (tmp_path / "top" / "deep").mkdir(parents=True)
    (tmp_path / "top" / "skipped").mkdir()
    (tmp_path / "events").mkdir()
    return Batches(tmp_path / "top", tmp_path / "events")


def test_changes_come_in_batches(batches: Batches, tmp_path: Path) -> None:
    top = tmp_path / "top"
    (top / "a").write_text("1")
    (top / "deep" / "b").write_text("2")
    (top / "skipped" / "c").write_text("3")
    assert batches.next() == {f"{top}/a": True, f"{top}/deep/b": True}
    (top / "a").unlink()
    (top / "deep" / "b").rename(top / "moved")
    assert batches.next() == {f"{top}/a": False, f"{top}/deep/b": False, f"{top}/moved": True}


def test_new_directories_are_watched_too(batches: Batches, tmp_path: Path) -> None:
    top = tmp_path / "top"
    (top / "new" / "er").mkdir(parents=True)
    (top / "new" / "er" / "f").write_text("1")
    assert f"{top}/new/er/f" in batches.next()
    (top / "new" / "er" / "g").write_text("2")
    assert batches.next() == {f"{top}/new/er/g": True}


def test_a_file_that_is_replaced(batches: Batches, tmp_path: Path) -> None:
    top = tmp_path / "top"
    (top / "f").write_text("1")
    batches.next()
    (top / "f.new").write_text("2")
    (top / "f.new").rename(top / "f")
    assert batches.next()[f"{top}/f"] is True
