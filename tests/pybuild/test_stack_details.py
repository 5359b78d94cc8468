"""Details of stacks in which docker has something to say: labels in listings, CPUs of the machine, /dev/shm, links, networks of builds."""

import json
import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from pybuild.version import VERSION
from tests.pybuild.stacking import Stacks, services, sleeping

pytestmark = pytest.mark.userns

HERE = len(os.sched_getaffinity(0))


# ---------------------------------------------------------------- labels
def test_labels_are_one_text_and_each_by_its_name(stack: Stacks) -> None:
    it = stack(services(sleeping("labels: {x.my-name: one, b: '2'}\nvolumes: ['v:/v']")) + "volumes: {v: {labels: {q: '7'}}}\nnetworks: {default: {labels: {q: '8'}}}\n")
    it("up", "-d")
    assert "b=2," in it.rows("a")[0]["Labels"]
    assert it("ps", "--format", '{{.Label "x.my-name"}}|{{upper (.Label "x.my-name")}}|{{.Label "none"}}').out == "one|ONE|\n"
    project = f"label=com.docker.compose.project={it.name}"
    for kind, value, format in (("container", "2", '{{.Label "b"}}'), ("volume", "7", '{{.Label "q"}}'), ("network", "8", '{{.Label "q"}}')):
        row = json.loads(it.tool.pyup(kind, "ls", "--filter", project, "--format", "json").out)
        assert f"={value}" in row["Labels"] and "Label" not in row
        assert it.tool.pyup(kind, "ls", "--filter", project, "--format", format).out == f"{value}\n"
    assert [line.split() for line in it("ps", "--format", 'table {{.Service}}\t{{.Label "x.my-name"}}').out.splitlines()] == [
        ["SERVICE", "my", "name"], ["a", "one"]]
    assert "`.Label` does not take nothing" in it.fails("ps", "--format", "{{.Label}}").err


# ---------------------------------------------------------------- CPUs
@pytest.mark.parametrize("attribute", [f"cpus: {HERE + 1}", "cpus: 0.001", f"deploy: {{resources: {{limits: {{cpus: '{HERE + 0.5}'}}}}}}"])
def test_cpus_that_this_machine_has_not(stack: Stacks, attribute: str) -> None:
    it = stack(services(sleeping(attribute)))
    done = it.fails("up", "-d")
    assert f"not from 0.01 to {HERE}" in done.err and "compose.yaml:6" in done.err
    assert it.rows() == []


def test_all_cpus_of_this_machine(stack: Stacks) -> None:
    it = stack(services(sleeping(f"cpus: {HERE}")))
    it("up", "-d")
    for command in (("create",), ("update", it.ids("a")[0])):
        words = ("container", command[0], "--cpus", str(HERE + 1), *(command[1:] or ("busybox",)))
        assert f"not from 0.01 to {HERE}" in it.tool.run("pyup", *words).err


# ---------------------------------------------------------------- shared memory and links
def test_without_ipc_there_is_no_shared_memory(stack: Stacks) -> None:
    it = stack(services(sleeping("ipc: none")))
    it("up", "-d")
    assert it.sh("a", "test -e /dev/shm || grep -c shm /proc/mounts || echo none") == "0\nnone\n"


def test_a_link_to_a_container_outside_the_project(stack: Stacks) -> None:
    other = stack(services(sleeping("container_name: other-one\nnetworks: [n]")) + "networks: {n: {name: linked}}\n")
    it = stack(services(sleeping("external_links: ['other-one:db']\nnetworks: [n]")) + "networks: {n: {name: linked, external: true}}\n")
    done = (other("up", "-d"), it("up", "-d"))[1]
    assert "error" not in done.err and it.sh("a", "ping -c 1 -W 2 db | grep -c '1 packets received'") == "1\n"


def test_a_link_to_nobody(stack: Stacks) -> None:
    it = stack(services(sleeping("external_links: ['nobody:db']"), sleeping(name="b")))
    done = it.fails("up", "-d")
    assert "no such container: `nobody`" in done.err and "compose.yaml:6" in done.err
    assert it.rows("a") == []
    assert "no such container: `nobody`" in it.tool.run("pyup", "container", "create", "--link", "nobody:db", "busybox").err


# ---------------------------------------------------------------- networks of builds
BUILT = "  b: {build: {context: ., network: NAME, no_cache: true, dockerfile_inline: \"FROM busybox\\nRUN nc a 80 > /x\"}, command: cat /x}\n"


def test_steps_of_a_build_see_the_containers_of_a_network(stack: Stacks) -> None:
    serving = "  a: {image: busybox, command: nc -l -l -p 80 -e echo found, stop_grace_period: 0s, networks: [n]}\n"
    for network in ("n", "built-on"):
        it = stack(services(serving, BUILT.replace("NAME", network)) + "networks: {n: {name: built-on}}\n")
        it("up", "-d", "a")
        it("build", "b")
        assert it("run", "--rm", "b").out == "found\n"
        it("down", "-t", "0")


def test_what_a_build_is_asked_for_and_cannot_be_given_is_said(stack: Stacks) -> None:
    it = stack(services('  a: {build: {dockerfile_inline: "FROM busybox"}}\n'))
    done = it("build", "--sbom", "true", "--provenance", "mode=max", "--builder", "mine")
    assert [line.split()[1] for line in done.err.splitlines() if line.startswith("warning: ")] == ["`--sbom`", "`--provenance`", "`--builder`"]
    assert "warning" not in it("build", "--sbom", "false", "--provenance", "false", "--builder", "default").err


def test_a_build_on_a_network_that_there_is_not(stack: Stacks) -> None:
    it = stack(services(BUILT.replace("NAME", "nowhere")))
    assert "no such network: `nowhere`" in it.fails("build").err


def test_labels_that_other_tools_look_for(stack: Stacks) -> None:
    it = stack(services(sleeping("volumes: ['v:/v']\ndepends_on: [b]"), sleeping(name="b")) + "volumes: {v: {}}\n")
    it("up", "-d")
    own = json.loads(it("container", "inspect", f"{it.name}-a-1").out)[0]["Config"]["Labels"]
    beyond = {key.removeprefix("com.docker.compose."): value for key, value in own.items()}
    assert beyond.items() >= {"project": it.name, "service": "a", "container-number": "1", "oneoff": "False", "version": VERSION,
                              "depends_on": "b:service_started:false", "project.working_dir": str(it.directory),
                              "project.config_files": str(it.directory / "compose.yaml")}.items()
    assert beyond["image"].startswith("sha256:") and len(beyond["config-hash"]) == 64
    for kind, name, key in (("network", "default", "network"), ("volume", "v", "volume")):
        found = json.loads(it(kind, "inspect", f"{it.name}_{name}").out)[0]["Labels"]
        assert found.keys() == {f"com.docker.compose.{one}" for one in ("project", key, "config-hash", "version")}
        assert found[f"com.docker.compose.{key}"] == name and found["com.docker.compose.version"] == VERSION


def test_publishers_are_printed_as_go_does(stack: Stacks) -> None:
    it = stack(services(sleeping("ports: ['127.0.0.1:18974:53/udp']")))
    it("up", "-d")
    assert it("ps", "--format", "{{.Publishers}}").out == "[{127.0.0.1 53 18974 udp}]\n"


@pytest.mark.parametrize("words", [("up", "--bogus"), ("bogus",), ("up", "--build", "--no-build"), ("plan", "--bogus"), ("logs", "--tail")])
def test_misuse_has_the_status_of_compose(stack: Stacks, words: tuple[str, ...]) -> None:
    done = stack(services(sleeping())).run(*words)
    assert done.status == 1 and done.err.count("error: ") == 1


def test_a_container_with_an_image_mounted_follows_that_image(stack: Stacks) -> None:
    it = stack(services(
        "  lib: {build: {dockerfile_inline: \"FROM busybox\\nRUN echo one > /f\\n\"}, image: lib-of-it, command: 'true'}\n",
        sleeping("volumes: [{type: image, source: lib-of-it, target: /m}]\ndepends_on: [lib]", "use"), sleeping("volumes_from: [use]", "also")))
    it("up", "-d")
    assert it.sh("use", "cat /m/f") == it.sh("also", "cat /m/f") == "one\n"
    it.write("compose.yaml", (it.directory / "compose.yaml").read_text().replace("echo one", "echo two"))
    said = it("up", "-d", "--build").err
    assert f"{it.name}-use-1 Recreate (an image that is mounted in it has changed)" in said
    assert it.sh("use", "cat /m/f") == it.sh("also", "cat /m/f") == "two\n"


def test_variables_of_a_one_off_may_come_from_a_pipe(stack: Stacks) -> None:
    it = stack(services(sleeping()))
    pipe = it.directory / "pipe"
    os.mkfifo(pipe, 0o666)
    pipe.chmod(0o666)
    with ThreadPoolExecutor() as pool:
        written = pool.submit(pipe.write_text, "Q=1\n")
        assert it("run", "--rm", "-T", "--env-from-file", "pipe", "a", "sh", "-c", "echo q$Q").out == "q1\n"
        written.result()


def test_a_wait_that_fails_names_the_container(stack: Stacks) -> None:
    it = stack(services("  bad: {image: busybox, command: 'false'}\n", sleeping("depends_on: {bad: {condition: service_completed_successfully}}")))
    said = it.fails("up", "-d").err
    assert f" Container {it.name}-bad-1 Error\n" in said and f"container {it.name}-bad-1 didn't complete successfully: exit 1" in said


# ---------------------------------------------------------------- services that a command leaves alone
def test_a_file_of_variables_may_be_missing_where_no_container_is_made(stack: Stacks) -> None:
    it = stack(services(sleeping(), sleeping("env_file: /nowhere/.env", name="b")))
    it("up", "-d", "a")
    for words in (("ps",), ("logs",), ("exec", "-T", "a", "true"), ("stop", "-t", "0"), ("start", "a"), ("images",), ("pull", "--policy", "missing")):
        it(*words)
    assert "/nowhere/.env" in it.fails("up", "-d").err
    it("down", "-t", "0")
    assert it.rows() == []


def test_services_share_a_container_name_as_long_as_only_one_is_wanted(stack: Stacks) -> None:
    it = stack(services(sleeping("container_name: shared-name"), sleeping("container_name: shared-name", name="b")))
    assert "as has service `a`" in it.fails("up", "-d").err
    it("up", "-d", "b")
    assert it.rows("b")[0]["Name"] == "shared-name"


def test_exec_takes_a_container_that_run_made_where_there_is_no_other(stack: Stacks) -> None:
    it = stack(services(sleeping()))
    it("run", "-d", "--name", "one-off", "a", "cat")                       # its stdin stays open, though nobody is there
    assert it("exec", "-T", "a", "cat", "/proc/1/cmdline").out == "cat\0"
    assert "container #1 of service `a` is not running" in it.fails("exec", "--index", "1", "a", "true").err
    it("up", "-d")
    assert it("exec", "-T", "a", "cat", "/proc/1/cmdline").out.split("\0")[1:2] == ["1000"]
    it.tool.run("pyup", "container", "rm", "-f", "one-off")


def test_a_link_does_not_ask_for_a_service_that_is_left_alone(stack: Stacks) -> None:
    it = stack(services(sleeping("links: [b]"), sleeping(name="b")))
    it("up", "-d", "--no-deps", "a")
    assert [row["Service"] for row in it.rows()] == ["a"]
    it("up", "-d")
    assert it.sh("a", "ping -c 1 -W 2 b | grep -c '1 packets received'") == "1\n"


def test_statistics_count_the_memory_from_before_anybody_asked(stack: Stacks) -> None:
    it = stack(services(sleeping()))
    it("up", "-d")
    used = it("stats", "--no-stream", "--format", "{{.MemUsage}}").out.partition(" / ")[0]
    assert used != "0B" and used.endswith("B")
