"""Where things lie in an image, and what a plan makes of what it is given."""

import pytest

from builder.base.host import Hop
from builder.base.layout import Move, image_hop, image_path
from builder.base.plan import Directory, File, Link, Planner, Text

MOVES = (Move("/usr/bin/python3.11", "/usr/local/bin/python3.11"), Move("/home/me/py", "/usr/local"))


@pytest.mark.parametrize(("real", "path"), [
    ("/usr/bin/ls", "/usr/bin/ls"), ("/bin/ls", "/usr/bin/ls"), ("/lib64/ld.so", "/usr/lib64/ld.so"), ("/lib32/x", "/usr/lib32/x"),
    ("/bin", "/bin"), ("/binary/x", "/binary/x"), ("/etc/passwd", "/etc/passwd"), ("/usr/bin/python3.11", "/usr/local/bin/python3.11"),
    ("/usr/bin/python3.11-config", "/usr/bin/python3.11-config"), ("/home/me/py/lib/os.py", "/usr/local/lib/os.py"),
    ("/home/me/python", "/home/me/python")])
def test_image_path(real: str, path: str) -> None:
    assert image_path(real, MOVES) == path


@pytest.mark.parametrize(("hop", "link"), [
    (Hop("/usr/bin/awk", "/usr/bin/mawk"), Hop("/usr/bin/awk", "mawk")),
    (Hop("/bin/which", "/usr/bin/which"), None),                                        # one file once /bin is /usr/bin
    (Hop("/lib64/ld.so", "/lib/x86_64/ld-2.31.so"), Hop("/usr/lib64/ld.so", "../lib/x86_64/ld-2.31.so")),
    (Hop("/usr/lib64", "/lib"), Hop("/usr/lib64", "lib")),
    (Hop("/usr/bin", "/bin"), None),
    (Hop("/home/me/py/bin/python3", "/usr/bin/python3.11"), Hop("/usr/local/bin/python3", "python3.11"))])
def test_image_hop(hop: Hop, link: Hop | None) -> None:
    assert image_hop(hop, MOVES) == link


def test_plan_has_parents_first_and_every_path_once() -> None:
    planner = Planner()
    planner.add(Directory("/root", 0o700), Text("/etc/hosts", b""), Directory("/etc"))
    planner.copy(["/usr/bin/mawk"], [Hop("/usr/bin/awk", "/usr/bin/mawk")])
    assert [entry.path for entry in planner.done().entries] == ["/etc", "/etc/hosts", "/root", "/usr", "/usr/bin", "/usr/bin/awk", "/usr/bin/mawk"]


def test_plan_keeps_the_first_of_a_path() -> None:
    planner = Planner()
    planner.copy(["/usr/bin/x"])
    planner.copy(["/bin/x"], [Hop("/usr/bin/x", "/usr/bin/y")])
    assert planner.done().entries[-1] == File("/usr/bin/x", "/usr/bin/x")


def test_plan_has_nothing_below_a_link() -> None:
    planner = Planner()
    planner.add(Link("/usr/lib64", "lib"), Text("/usr/lib64/x", b""), Text("/usr/lib64/y/z", b""))
    assert [entry.path for entry in planner.done().entries] == ["/usr", "/usr/lib64"]


def test_plan_does_not_depend_on_the_order_of_what_differs() -> None:
    one, other = Planner(), Planner()
    one.copy(["/a/b", "/a/c", "/a-b/d"])
    other.copy(["/a-b/d", "/a/c", "/a/b"])
    assert one.done() == other.done()
