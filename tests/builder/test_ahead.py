"""RUN steps that begin while the one before is still looked at: nobody can tell, but for the time it takes."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.builder.conftest import Builds

pytestmark = pytest.mark.userns
STEPS = 6
CHAIN = "FROM busybox\n" + "".join(f"RUN --network=none echo step{n}; echo {n} >> /all; echo {n} > /f{n}\n" for n in range(STEPS))


def root(builds: Builds) -> Path:
    return Path(builds.tool.root)


def nothing_is_left(builds: Builds) -> bool:
    return os.listdir(root(builds) / "tmp") == []


def snapshots(builds: Builds) -> set[str]:
    return set(os.listdir(root(builds) / "snapshots"))


def test_each_step_sees_what_the_one_before_left(as_root: Builds) -> None:
    as_root.ok(CHAIN + f"RUN --network=none test \"$(cat /all | tr '\\n' ' ')\" = '{' '.join(map(str, range(STEPS)))} ' && rm /f0\n"
               "RUN --network=none test ! -e /f0 && test -e /f1\n")
    assert nothing_is_left(as_root)
    done = as_root.ok(CHAIN)
    assert f"({STEPS} of {STEPS} steps cached)" in done.err


def test_building_again_without_cache_keeps_the_earlier_layers_and_the_image(as_root: Builds) -> None:
    first = as_root.ok(CHAIN).err.splitlines()[-1].split()[0]
    before = snapshots(as_root)
    second = as_root.ok(CHAIN, "--no-cache").err.splitlines()[-1].split()[0]
    assert first == second and snapshots(as_root) == before and nothing_is_left(as_root)


def test_steps_below_a_changed_one_that_yields_the_same_are_hits(as_root: Builds) -> None:
    as_root.ok("FROM busybox\nRUN --network=none echo a > /a\nRUN --network=none cat /a > /b\n")
    done = as_root.ok("FROM busybox\nRUN --network=none echo  a > /a\nRUN --network=none cat /a > /b\n")
    assert "(1 of 2 steps cached)" in done.err and nothing_is_left(as_root)


def test_a_layer_that_cannot_be_one_fails_at_its_own_line(as_root: Builds) -> None:
    before = snapshots(as_root)
    done = as_root.build("FROM busybox\nRUN --network=none touch /.wh.x\nRUN --network=none echo later; sleep 4321\n")
    assert done.status == 1 and ".wh." in done.err and "Dockerfile:2:1" in done.err and "later\n" not in done.err.replace("echo later", "")
    assert snapshots(as_root) == before and nothing_is_left(as_root)


def test_what_was_finished_before_a_failure_is_a_hit_afterwards(as_root: Builds) -> None:
    broken = CHAIN + "RUN --network=none exit 3\n"
    done = as_root.build(broken)
    assert done.status == 1 and f"Dockerfile:{STEPS + 2}:1" in done.err and nothing_is_left(as_root)
    assert f"({STEPS} of {STEPS + 1} steps cached)" in as_root.ok(broken.replace("exit 3", "true")).err


def test_the_log_of_each_step_is_kept_under_its_key(as_root: Builds) -> None:
    known = set(os.listdir(root(as_root) / "logs"))
    token = os.urandom(4).hex()
    as_root.ok("FROM busybox\n" + "".join(f"RUN --network=none echo {token} {n}; echo {n} > /f\n" for n in range(3)))
    logs = {name: (root(as_root) / "logs" / name).read_text() for name in set(os.listdir(root(as_root) / "logs")) - known}
    kept = {text for name, text in logs.items() if name.startswith("step-") and len(name) == len("step-.log") + 32}
    assert {f"{token} {n}\n" for n in range(3)} <= kept and len(logs) - ("events" in logs) == 3


def test_two_builds_of_a_chain_run_each_step_once(as_root: Builds) -> None:
    token = os.urandom(4).hex()
    steps = "".join(f"RUN --network=none echo {token}-{n}; sleep 0.3; echo {n} > /f{n}\n" for n in range(4))
    (as_root.context / "Dockerfile").write_text(f"FROM busybox\n{steps}")
    argv = as_root.tool.argv("pybuild", "build", "--progress", "plain", str(as_root.context))
    both = [subprocess.Popen(argv, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=as_root.tool.env) for _ in (1, 2)]
    lines = [line for process in both for line in process.communicate()[1].splitlines()]
    assert [process.returncode for process in both] == [0, 0], lines
    for n in range(4):
        assert sum(line.endswith(f" {token}-{n}") and "RUN" not in line for line in lines) == 1, (n, lines)


def test_the_next_build_clears_up_after_one_that_was_killed_at_its_work(as_root: Builds) -> None:
    (as_root.context / "Dockerfile").write_text("FROM busybox\nRUN --network=none head -c 300000000 /dev/zero > /big\nRUN --network=none echo done\n")
    before = snapshots(as_root)
    process = subprocess.Popen(as_root.tool.argv("pybuild", "build", str(as_root.context)), env=as_root.tool.env, stderr=subprocess.DEVNULL)
    while snapshots(as_root) == before and process.poll() is None:
        pass                                             # the draft of the first step is at its place as soon as that has run
    process.kill()
    process.wait()
    as_root.ok("FROM busybox\nRUN --network=none true\n")
    assert len(snapshots(as_root) - before) <= 1 and nothing_is_left(as_root)
