"""RUN's network in whole builds, on a private machine with an uplink: as root, as an ordinary user, and where there can be none."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import BUSYBOX
from tests.runner.agent.conftest import ground as ground
from tests.runner.agent.ground import MACHINE, SERVER, Ground, eventually, links, name_server, tell_peer
from tests.tool import Done, Tool
from tests.users import User

pytestmark = pytest.mark.userns


class Site:
    """A context, and builds of it."""

    def __init__(self, tool: Tool, context: Path) -> None:
        self.tool, self.context = tool, context

    def build(self, *steps: str, words: tuple[str, ...] = (), env: dict[str, str] | None = None) -> Done:
        (self.context / "Dockerfile").write_text("FROM busybox\n" + "".join(f"{step}\n" for step in steps))
        (self.context / "Dockerfile").chmod(0o644)
        return self.tool.run("pybuild", "build", "--no-cache", "--progress", "plain", "-t", "it", *words, str(self.context), env=env)


def said(done: Done) -> list[str]:
    """What the steps printed; not what the machine's network had to be told."""
    words = [line.split(" ", 2) for line in done.ok().err.splitlines() if line.startswith("#")]
    return [rest[2] for rest in words if len(rest) == 3 and rest[1].replace(".", "").isdigit() and not rest[2].startswith("note: ")]


@pytest.fixture
def site(ground: Ground, tmp_path: Path) -> Site:
    if not Path(BUSYBOX).exists():
        pytest.skip("an image for tests needs busybox (package busybox-static)")
    tool = Tool(ground.root("b"))
    shutil.rmtree(tool.root)
    tool.pybuild("base", "busybox", "-t", "busybox")
    (tmp_path / "context").mkdir()
    return Site(tool, tmp_path / "context")


@pytest.fixture
def users_site(ground: Ground, unprivileged: User) -> Iterator[Site]:
    if not Path(BUSYBOX).exists():
        pytest.skip("an image for tests needs busybox (package busybox-static)")
    root = ground.root(f"b{os.urandom(4).hex()}", unprivileged)
    shutil.rmtree(root)
    tool = Tool(root, unprivileged)
    tool.pybuild("base", "busybox", "-t", "busybox")
    yield Site(tool, unprivileged.directory(root / "context"))
    shutil.rmtree(root)


@pytest.fixture
def world(ground: Ground) -> None:
    ground.serve(ground.world, tell_peer, 80)
    ground.serve(ground.world, name_server, SERVER, {"example.org": SERVER})


ASK = "RUN nc example.org 80 && echo"


@pytest.mark.usefixtures("world")
def test_a_step_reaches_the_world_by_name(site: Site) -> None:
    assert said(site.build(ASK, ASK)) == [MACHINE, MACHINE]


@pytest.mark.usefixtures("world")
def test_a_users_step_reaches_the_world_by_name(users_site: Site) -> None:
    assert said(users_site.build(ASK, ASK)) == [MACHINE, MACHINE]


@pytest.mark.usefixtures("world")
def test_steps_side_by_side_each_have_one(site: Site) -> None:
    done = said(site.build("RUN nc example.org 80 > /a", "FROM busybox AS two", "RUN nc example.org 80 > /b", "FROM busybox", "COPY --from=0 /a /",
                           "COPY --from=two /b /", "RUN cat /a /b && echo"))
    assert done == [2 * MACHINE]


@pytest.mark.usefixtures("world")
@pytest.mark.parametrize(("words", "interfaces"), [((), "eth0 lo"), (("--network", "none"), "lo"), (("--network", "host"), "lo up0")])
def test_modes_of_the_command(site: Site, words: tuple[str, ...], interfaces: str) -> None:
    done = said(site.build("RUN echo $(ip -o link | cut -d: -f2 | cut -d@ -f1 | grep -v pyup | sort)", words=words))
    assert done == [interfaces]


@pytest.mark.usefixtures("world")
def test_one_step_says_otherwise(site: Site) -> None:
    assert said(site.build("RUN --network=none ip -o link | wc -l", "RUN ip -o link | wc -l")) == ["1", "2"]


def test_hosts_that_are_added(site: Site) -> None:
    done = said(site.build("RUN grep -c buildkitsandbox /etc/hosts; grep -w m /etc/hosts; grep -w x /etc/hosts; ip route | head -1",
                           words=("--add-host", "m:host-gateway", "--add-host", "x=10.1.2.3")))
    gateway = done[3].split()[2]
    assert done[:3] == ["1", f"{gateway}\tm", "10.1.2.3\tx"]


def test_proxies_are_seen(site: Site) -> None:
    assert said(site.build("RUN echo $https_proxy", env={"https_proxy": "http://10.0.0.1:3128"})) == ["http://10.0.0.1:3128"]


def test_hosts_and_networks_that_cannot_be(site: Site) -> None:
    done = site.build("RUN true", words=("--add-host", "nowhere"))
    assert (done.status, "`nowhere` adds no host" in done.err) == (1, True)


def test_nothing_of_it_is_in_the_image(site: Site) -> None:
    site.build("RUN true", words=("--add-host", "x:10.1.2.3")).ok()
    done = said(site.build("COPY --from=it / /it", "RUN --network=none grep -rc -e 10.1.2.3 -e 127.0.0.11 /it/etc/hosts /it/etc/resolv.conf || true"))
    assert [line.rpartition(":")[2] for line in done if "No such file" not in line] in ([], ["0"], ["0", "0"])


def test_a_build_without_steps_that_run_starts_no_agent(site: Site) -> None:
    site.build("COPY --from=busybox /bin/busybox /b").ok()
    assert not (site.tool.root / "run/agent").exists()


def test_where_there_can_be_none_it_is_said_and_the_step_runs(site: Site) -> None:
    run = site.tool.root / "run"
    run.mkdir(mode=0o700, exist_ok=True)
    (run / "agent").mkdir()                               # nobody can listen there
    done = said(site.build("RUN ip -o link | wc -l"))
    assert done[-1] == "1" and done[0].startswith("warning: cannot give this step a network: ") and "; it runs without" in done[0]


def test_a_build_that_is_killed_leaves_no_cable(ground: Ground, site: Site) -> None:
    (site.context / "Dockerfile").write_text("FROM busybox\nRUN sleep 1000\n")
    command = subprocess.Popen(site.tool.argv("pybuild", "build", "--no-cache", str(site.context)), env=site.tool.env,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert len(eventually(_cables, lambda found: len(found) == 2)) == 2
    command.send_signal(signal.SIGKILL)
    command.wait()
    assert eventually(_cables, lambda found: not found) == []


@pytest.mark.usefixtures("world")
def test_pyup_builds_with_a_network_too(site: Site) -> None:
    (site.context / "Dockerfile").write_text(f"FROM busybox\n{ASK}\n")
    (site.context / "compose.yaml").write_text("services: {a: {build: {context: ., extra_hosts: ['m:host-gateway']}}}\n")
    done = site.tool.run("pyup", "build", cwd=site.context)
    assert MACHINE in done.ok().err


def _cables() -> list[str]:
    return [name for name in links() if name.startswith("pv")]
