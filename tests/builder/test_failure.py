"""A RUN that fails: kept, opened on another machine, looked into at once, its files taken out; as root and as an ordinary user."""

import os
import pty
import select
import shutil
import time
from pathlib import Path

import pytest

from tests.builder.conftest import Builds
from tests.tool import Done, Tool

pytestmark = pytest.mark.userns

FAILS = "FROM busybox\nENV WHO=me\nRUN mkdir /out && echo early > /out/early.xml\nWORKDIR /src\nRUN echo late > /out/late.xml; echo part > part; exit 3\n"


def fails(builds: Builds, *options: str, dockerfile: str = FAILS) -> Done:
    (builds.context / "Dockerfile").write_text(dockerfile)
    done = builds.tool.run("pybuild", *options, str(builds.context))
    assert done.status == 1 and "exited with status 3" in done.err, done
    return done


def unfinished(builds: Builds) -> set[Path]:
    """Drafts of layers: other tests kill builds, so there may be some already."""
    return set((builds.tool.root / "tmp").glob("*/fs"))


def test_keep_leaves_an_image_of_the_failed_step(builds: Builds) -> None:
    fails(builds, "--on-error", "keep")
    done = builds.tool.pybuild("debug", "failed-step", "sh", "-c", "pwd; cat part /out/early.xml /out/late.xml; echo $WHO")
    assert done.out.splitlines() == ["/src", "part", "early", "late", "me"]


def test_debug_says_what_failed_and_runs_a_shell_on_stdin(builds: Builds) -> None:
    fails(builds, "--on-error", "keep")
    done = builds.tool.run("pybuild", "debug", stdin=b"cat part; exit 5\n")
    assert (done.status, done.out) == (5, "part\n")
    assert "RUN echo late" in done.err and "exited with status 3" in done.err


def test_a_kept_step_opens_in_another_store(builds: Builds, tmp_path: Path) -> None:
    layout = builds.context.parent / "failed.oci"
    fails(builds, "--on-error", f"keep={layout}")
    elsewhere = Tool(tmp_path / "elsewhere") if builds.tool.user is None else Tool(builds.tool.root.with_name("elsewhere"), builds.tool.user)
    try:
        assert elsewhere.pybuild("debug", str(layout), "cat", "/out/late.xml").out == "late\n"
    finally:
        shutil.rmtree(elsewhere.root, ignore_errors=True)


def test_only_the_last_failed_step_is_kept(builds: Builds) -> None:
    fails(builds, "--on-error", "keep")
    first = builds.tool.pybuild("images", "-q", "failed-step").out.strip()
    fails(builds, "--on-error", "keep", dockerfile=FAILS.replace("late", "later"))
    now = builds.tool.pybuild("images", "-q").out.split()
    assert first and first not in now and builds.tool.pybuild("images", "-q", "failed-step").out.strip() in now


def test_nothing_is_kept_unless_asked_for(builds: Builds) -> None:
    before, drafts = builds.tool.pybuild("images", "-q").out, unfinished(builds)
    fails(builds)
    assert builds.tool.pybuild("images", "-q").out == before
    assert unfinished(builds) <= drafts


def test_the_next_build_runs_the_failed_step_again(builds: Builds) -> None:
    fails(builds, "--on-error", "keep")
    done = builds.ok(FAILS.replace("exit 3", "exit 0"))
    assert "CACHED" in done.err
    fails(builds)


def test_files_are_copied_out_of_a_failed_step(builds: Builds) -> None:
    out = builds.context.parent / "got"
    fails(builds, "--output-on-failure", f"src=/out/*.xml,dest={out}/", "--output-on-failure", f"src=/src/part,dest={out}/renamed",
          "--output-on-failure", f"src=/out,dest={out}/all")
    assert sorted(p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()) == ["all/early.xml", "all/late.xml", "early.xml", "late.xml", "renamed"]
    assert (out / "renamed").read_text() == "part\n"
    assert {p.stat().st_uid for p in out.rglob("*")} == {builds.tool.user.uid if builds.tool.user else os.geteuid()}


def test_a_file_that_is_not_there_does_not_hide_the_failure(builds: Builds) -> None:
    done = fails(builds, "--output-on-failure", "src=/no/such,dest=.")
    assert "`no/such` does not exist in the failed step" in done.err


@pytest.mark.parametrize(("option", "says"), [
    ("--on-error=never", "none of fail, shell, keep"), ("--on-error=shell=x", "none of fail, shell, keep"),
    ("--output-on-failure=dest=.", "has no src")])
def test_options_that_mean_nothing_are_refused(builds: Builds, option: str, says: str) -> None:
    (builds.context / "Dockerfile").write_text(FAILS)
    done = builds.tool.run("pybuild", option, str(builds.context))
    assert done.status == 2 and says in done.err


def test_shell_without_a_terminal_keeps(builds: Builds) -> None:
    assert "is kept as the image" in fails(builds, "--on-error", "shell").err


class Terminal:
    """A command on a terminal of its own."""

    def __init__(self, argv: list[str], env: dict[str, str]) -> None:
        self.seen = b""
        self.pid, self.fd = pty.fork()
        if not self.pid:
            os.execvpe(argv[0], argv, env)

    def until(self, text: bytes, seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while text not in self.seen:
            assert select.select([self.fd], [], [], max(0, end - time.monotonic()))[0], f"{text!r} did not come: {self.seen.decode()}"
            self.seen += os.read(self.fd, 4096)

    def type(self, text: bytes) -> None:
        os.write(self.fd, text)

    def end(self) -> int:
        try:
            while data := os.read(self.fd, 4096):
                self.seen += data
        except OSError:                                  # EIO: the other end is closed
            os.close(self.fd)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def test_shell_is_in_the_very_sandbox_of_the_failed_step(builds: Builds) -> None:
    if builds.tool.user is not None:
        pytest.skip("the terminal of this test belongs to root")
    secret = builds.context.parent / "secret"
    secret.write_text("of the mount")
    run = "RUN --mount=type=secret,id=s,target=/run/s --mount=type=tmpfs,target=/mem echo part > part; exit 3"
    (builds.context / "Dockerfile").write_text(FAILS.rpartition("RUN")[0] + run + "\n")
    drafts = unfinished(builds)
    terminal = Terminal(builds.tool.argv("pybuild", "--on-error=shell", "--secret", f"id=s,src={secret}", str(builds.context)), builds.tool.env)
    terminal.until(b"# ")
    terminal.type(b"cat part /run/s; grep -c /mem /proc/mounts; tty; stty size; echo en''d\n")
    terminal.until(b"end")
    terminal.type(b"exit 0\n")
    assert terminal.end() == 1
    assert all(text in terminal.seen for text in (b"part\r\n", b"of the mount", b"/dev/pts/0", b"exited with status 3")), terminal.seen.decode()
    assert unfinished(builds) <= drafts
