"""The escape probe, in every kind of sandbox: nothing gets out, nothing hangs."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kernel.release import RELEASE
from sandbox import idmap, userns
from sandbox.chroot import ChrootClient
from sandbox.client import connect
from sandbox.spec import ExecSpec, Overlay, SandboxSpec
from tests.sandbox.harness import Box
from tests.sandbox.test_mapped import FIRST, IDS
from tests.sandbox.test_visit import finish, layers
from tests.security.conftest import PROBE
from tests.security.host import World

pytestmark = pytest.mark.userns
ENV = (("PATH", "/usr/local/bin:/usr/bin:/bin"), ("PYTHONPATH", f"/{PROBE}"), ("PYTHONDONTWRITEBYTECODE", "1"))
ARGV = ("python3", "-m", "tests.security.probe")
LEAST = 250                  # attempts; fewer would mean that the probe itself did not come through


def verdicts(text: str) -> dict[str, str]:
    """Of the attempts that did not come back with `held`; the test fails with what was printed if there are too few lines."""
    found = dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)
    if len(found) < LEAST:
        pytest.fail(text[-2000:])
    return {name: verdict for name, verdict in found.items() if not verdict.startswith("held")}


def inside(box: Box, world: World, **fields: Any) -> str:
    """What the probe prints as first process of a sandbox."""
    outcome = box.run(*ARGV, *world.facts(str(box.run_directory)), **{"env": ENV, **fields})
    assert not outcome.error, outcome.message
    return outcome.out + outcome.err


def beside(run_directory: str, scratch: str, rootfs: str, facts: tuple[str, ...]) -> str:
    """What the probe prints when it is executed in a sandbox that runs already."""
    with connect(run_directory, idle_s=3) as client:
        userns.enter(run_directory, client)
        base = Path(tempfile.mkdtemp(dir=scratch))
        with client.spawn(SandboxSpec(layers(base, Path(rootfs)), ("/bin/sleep", "1000"), env=ENV)) as main:
            return finish(lambda out: client.exec(main.pidfd, ExecSpec((*ARGV, *facts), env=ENV), 0, out, out))[1]


@pytest.mark.parametrize("kind", ["root", "user", "single"])
def test_nothing_gets_out_of_a_sandbox(request: pytest.FixtureRequest, world: World, kind: str) -> None:
    assert verdicts(inside(request.getfixturevalue(f"{kind}_box"), world)) == {}


@pytest.mark.parametrize("fields", [{"user": "1000"}, {"no_new_privileges": True}, {"init": True}, {"readonly_root": True, "capabilities": 0}],
                         ids=["user", "no-new-privileges", "init", "read-only"])
def test_nothing_gets_out_with_less(root_box: Box, world: World, fields: dict[str, Any]) -> None:
    assert verdicts(inside(root_box, world, **fields)) == {}


@pytest.fixture
def remapped() -> Iterator[dict[str, Any]]:
    """What a spec needs to be in a user namespace that root makes."""
    if os.geteuid() or RELEASE < idmap.NEEDED:
        pytest.skip("root maps the owners of files, with Linux 5.19 or newer")
    user, network = idmap.make_namespaces(IDS, IDS)
    yield {"user_namespace": user, "outer_root": (FIRST, FIRST)}
    os.close(user)
    os.close(network)


@pytest.mark.parametrize("fields", [{}, {"user": "1000"}, {"init": True}], ids=["root", "user", "init"])
def test_nothing_gets_out_of_a_user_namespace_of_its_own(root_box: Box, world: World, remapped: dict[str, Any], fields: dict[str, Any]) -> None:
    assert verdicts(inside(root_box, world, **remapped, **fields)) == {}


def test_nothing_gets_out_of_an_exec_in_a_user_namespace(root_box: Box, world: World, remapped: dict[str, Any]) -> None:
    facts = world.facts(str(root_box.run_directory))
    with connect(str(root_box.run_directory), idle_s=3) as client:
        main = SandboxSpec(layers(root_box.scratch, root_box.rootfs), ("/bin/sleep", "1000"), env=ENV, **remapped)
        with client.spawn(main) as running:
            _, text = finish(lambda out: client.exec(running.pidfd, ExecSpec((*ARGV, *facts), env=ENV), 0, out, out))
    assert verdicts(text) == {}


@pytest.mark.parametrize("kind", ["root", "user", "single"])
def test_nothing_gets_out_of_an_exec(request: pytest.FixtureRequest, world: World, kind: str) -> None:
    box = request.getfixturevalue(f"{kind}_box")
    arguments = (str(box.run_directory), str(box.scratch), str(box.rootfs), world.facts(str(box.run_directory)))
    assert verdicts(box.user.call(beside, *arguments) if box.user else beside(*arguments)) == {}


def test_attempts_are_real_ones(request: pytest.FixtureRequest, world: World) -> None:
    """Where nothing is held back (root of a user namespace, no filter, no masks) most of them work: the probe can tell."""
    found = verdicts(inside(request.getfixturevalue("user_box"), world, privileged=True, network="host", ipc="host", uts="host"))
    for name in ("call mount", "call fsopen", "call keyctl", "unshare user", "clone pid", "mount overlay", "remount /", "bind /", "no filter",
                 "bounding set", "abstract socket of the host", "loopback of the host", "shared memory of the host", "name of the host",
                 "interfaces of the host"):
        assert found.get(name, "held").startswith("OUT"), name
    assert len(found) > 90


# without namespaces these are the machine's own, as for any process of it; the rest must hold all the same
SHARED = {"name of the host", "loopback of the host", "abstract socket of the host", "interfaces of the host", "shared memory of the host",
          "message queue of the host"}


def test_nothing_but_what_is_shared_gets_out_of_a_changed_root(root_box: Box, world: World) -> None:
    base = root_box.scratch
    for name in ("pool", "upper", "work"):
        (base / name).mkdir()
    root = Overlay((str(root_box.rootfs),), str(base / "upper"), str(base / "work"))
    spec = SandboxSpec(root, (*ARGV, *world.facts(str(root_box.run_directory))), env=ENV, network="host")
    _, text = finish(lambda out: ChrootClient(str(base / "pool"), user_xattrs=False).spawn(spec, 0, out, out))
    assert set(verdicts(text)) <= SHARED, verdicts(text)


@pytest.mark.parametrize("runtime", ["crun", "runc"])
@pytest.mark.parametrize("kind", ["root", "user"])
def test_nothing_gets_out_below_another_runtime(request: pytest.FixtureRequest, world: World, kind: str, runtime: str) -> None:
    path = shutil.which(runtime)
    if not path:
        pytest.skip(f"{runtime} is not installed (package {runtime})")
    assert verdicts(inside(request.getfixturevalue(f"{kind}_box"), world, runtime=path)) == {}
