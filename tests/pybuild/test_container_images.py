"""`pyup container run`: where its image comes from, by `--pull`. 127.0.0.1:1 is a registry at which nobody listens."""

import pytest

from tests.tool import Done, Tool

pytestmark = pytest.mark.userns


def run(busybox: Tool, *words: str) -> Done:
    return busybox.run("pyup", "container", "run", "--rm", "--network", "none", *words)


def test_a_missing_image_is_looked_for_in_its_registry(busybox: Tool) -> None:
    done = run(busybox, "127.0.0.1:1/none", "true")
    assert done.status == 125 and "Unable to find image '127.0.0.1:1/none' locally" in done.err and "`127.0.0.1:1`" in done.err, done


def test_pull_never_asks_nobody(busybox: Tool) -> None:
    done = run(busybox, "--pull", "never", "127.0.0.1:1/none", "true")
    assert done.status == 125 and done.err == "error: no image `127.0.0.1:1/none` in the store\n", done


def test_pull_always_asks_although_it_is_here(busybox: Tool) -> None:
    busybox.pybuild("tag", "busybox", "127.0.0.1:1/here")
    assert run(busybox, "127.0.0.1:1/here", "echo", "ran").out == "ran\n"
    done = run(busybox, "--pull", "always", "127.0.0.1:1/here", "echo", "ran")
    assert done.status == 125 and not done.out, done


def test_a_reserved_name_is_made_of_this_machine(busybox: Tool) -> None:
    assert run(busybox, "host/base", "echo", "ran").out == "ran\n"
