"""`up`, `down` and what they leave: which containers there are, which stay, which are made anew."""

import json

import pytest

from tests.pybuild.stacking import Stacks, services, sleeping

pytestmark = pytest.mark.userns


def test_up_makes_and_starts_everything(stack: Stacks) -> None:
    it = stack(services(sleeping("volumes: [data:/data]"), sleeping(name="b")) + "volumes: {data: }\n")
    it("up", "-d")
    assert (it.names("a"), it.states("a"), it.states("b")) == (["a-1"], ["running"], ["running"])
    assert f"{it.name}_data" in it("volumes", "-q").out.split()


def test_up_again_changes_nothing(stack: Stacks) -> None:
    it = stack(services(sleeping(), sleeping(name="b")))
    it("up", "-d")
    before = it.rows()
    done = it("up", "-d")
    assert [row["ID"] for row in it.rows()] == [row["ID"] for row in before]
    assert "Container" in done.err and "Running" in done.err and "Creating" not in done.err
    assert it.run("plan").status == 0


def test_up_recreates_only_what_changed(stack: Stacks) -> None:
    it = stack(services(sleeping("environment: {A: '1'}"), sleeping(name="b")))
    it("up", "-d")
    a, b = it.ids("a"), it.ids("b")
    it.write("compose.yaml", services(sleeping("environment: {A: '2'}"), sleeping(name="b")))
    plan = it.run("plan")
    assert plan.status == 2
    assert "environment.A: changed" in plan.out
    it("up", "-d")
    assert it.ids("a") != a
    assert it.ids("b") == b
    assert it.sh("a", "echo $A") == "2\n"


@pytest.mark.parametrize(("option", "same"), [("--force-recreate", False), ("--no-recreate", True)])
def test_recreate_options(stack: Stacks, option: str, same: bool) -> None:
    it = stack(services(sleeping("environment: {A: '1'}")))
    it("up", "-d")
    before = it.ids("a")
    if same:
        it.write("compose.yaml", services(sleeping("environment: {A: '2'}")))
    it("up", "-d", option)
    assert (it.ids("a") == before) is same


def test_what_is_not_in_a_container_recreates_nothing(stack: Stacks) -> None:
    it = stack(services(sleeping(), sleeping(name="b")))
    it("up", "-d")
    before = it.ids("a")
    it.write("compose.yaml", services(sleeping("depends_on: [b]\npull_policy: missing\nscale: 1"), sleeping(name="b")))
    it("up", "-d")
    assert it.ids("a") == before


def test_labels_and_annotations_recreate(stack: Stacks) -> None:
    it = stack(services(sleeping("labels: {x: '1'}")))
    it("up", "-d")
    before = it.ids("a")
    it.write("compose.yaml", services(sleeping("labels: {x: '2'}")))
    it("up", "-d")
    assert it.ids("a") != before
    assert it.inspect("a")["Config"]["Labels"]["x"] == "2"


def test_a_changed_image_recreates(stack: Stacks) -> None:
    it = stack(services("  a:\n    build: .\n    command: sleep 1000\n    stop_grace_period: 0s\n"))
    it.write("Dockerfile", "FROM busybox\nCOPY f /f\n")
    it.write("f", "one")
    it("up", "-d")
    before = it.ids("a")
    it.write("f", "two")
    it("up", "-d")
    assert it.ids("a") == before
    it("up", "-d", "--build")
    assert it.ids("a") != before
    assert it.sh("a", "cat /f") == "two"
    after = it.ids("a")
    it("up", "-d", "--build")
    assert it.ids("a") == after


def test_a_recreated_container_keeps_its_anonymous_volumes_and_its_log(stack: Stacks) -> None:
    text = services("  a:\n    image: busybox\n    command: sh -c 'echo began; sleep 1000'\n    volumes: [/data]\n    stop_grace_period: 0s\n"
                    "    environment: {A: '${A:-1}'}\n")
    it = stack(text)
    it("up", "-d")
    it.sh("a", "echo kept > /data/f")
    it("up", "-d", env={"A": "2"})
    assert it.sh("a", "cat /data/f; echo $A") == "kept\n2\n"
    it.until(lambda: it.logs("--no-log-prefix", "a") == "began\nbegan\n")
    it("up", "-d", "-V", env={"A": "3"})
    assert it.sh("a", "ls /data") == ""


def test_scale(stack: Stacks) -> None:
    it = stack(services(sleeping("deploy: {replicas: 2}"), sleeping(name="b")))
    it("up", "-d")
    first, b = it.ids("a"), it.ids("b")
    assert it.names("a") == ["a-1", "a-2"]
    it("up", "-d", "--scale", "a=3")
    assert set(first) < set(it.ids("a"))
    it("scale", "a=1")
    assert it.names("a") == ["a-1"]
    assert it.ids("b") == b
    it("up", "-d", "--scale", "a=0")
    assert it.rows("a") == []
    it.fails("up", "-d", "--scale", "nothing=2")


def test_new_replicas_get_new_numbers(stack: Stacks) -> None:
    it = stack(services(sleeping("scale: 3")))
    it("up", "-d")
    it.tool.pyup("container", "rm", "-f", f"{it.name}-a-2")
    it("up", "-d")
    assert it.names("a") == ["a-1", "a-3", "a-4"]


def test_scale_of_a_container_with_a_name(stack: Stacks) -> None:
    it = stack(services(sleeping("container_name: alone")))
    assert "container_name" in it.fails("up", "-d", "--scale", "a=2").err


def test_orphans_are_told_and_removed(stack: Stacks) -> None:
    it = stack(services(sleeping(), sleeping(name="old")))
    it("up", "-d")
    it.write("compose.yaml", services(sleeping()))
    assert "orphan" in it("up", "-d").err
    assert "orphan" not in it("up", "-d", env={"COMPOSE_IGNORE_ORPHANS": "1"}).err
    assert it.states("old") == ["running"]
    it("up", "-d", "--remove-orphans")
    assert it.rows("old") == []


def test_a_disabled_profile_is_no_orphan(stack: Stacks) -> None:
    it = stack(services(sleeping(), sleeping("profiles: [x]", "b")))
    it("--profile", "x", "up", "-d")
    done = it("up", "-d", "--remove-orphans")
    assert "orphan" not in done.err
    assert it.states("b") == ["running"]


def test_a_named_service_and_its_dependencies(stack: Stacks) -> None:
    it = stack(services(sleeping("depends_on: [b]"), sleeping(name="b"), sleeping(name="c")))
    it("up", "-d", "a")
    assert (it.states("a"), it.states("b"), it.rows("c")) == (["running"], ["running"], [])
    it("down", "-t", "0")
    it("up", "-d", "--no-deps", "a")
    assert (it.states("a"), it.rows("b")) == (["running"], [])


def test_no_start_and_create(stack: Stacks) -> None:
    it = stack(services(sleeping()))
    it("up", "--no-start")
    assert it.states("a") == ["created"]
    before = it.ids("a")
    it("create")
    it("start")
    assert (it.states("a"), it.ids("a")) == (["running"], before)


def test_start_of_what_was_never_made(stack: Stacks) -> None:
    it = stack(services(sleeping()))
    assert "no container to start" in it.fails("start", "a").err


def test_down_leaves_nothing(stack: Stacks) -> None:
    it = stack(services(sleeping("volumes: [data:/data, /anonymous]"), sleeping(name="b")) + "volumes: {data: }\nnetworks: {default: {name: own-net-x}}\n")
    it("up", "-d")
    it("down", "-t", "0")
    assert it.rows() == []
    volumes = it.tool.pyup("volume", "ls", "-q").out.split()
    assert f"{it.name}_data" in volumes
    it("up", "-d")
    it("down", "-t", "0", "-v")
    assert f"{it.name}_data" not in it.tool.pyup("volume", "ls", "-q").out.split()
    done = it("down")
    assert "no resource" in done.err


def test_down_by_name_without_files(stack: Stacks) -> None:
    it = stack(services(sleeping("depends_on: [b]"), sleeping(name="b")))
    it("up", "-d")
    (it.directory / "compose.yaml").unlink()
    assert len(it.rows()) == 2
    it("stop", "a")
    assert (it.states("a"), it.states("b")) == (["exited"], ["running"])
    it("start", "a")
    it("down", "-t", "0")
    assert it.rows() == []


def test_down_of_some_services(stack: Stacks) -> None:
    it = stack(services(sleeping(), sleeping(name="b")))
    it("up", "-d")
    it("down", "-t", "0", "a")
    assert (it.rows("a"), it.states("b")) == ([], ["running"])
    it("up", "-d")
    assert it.sh("b", "ping -c 1 -W 2 a | grep -c '1 packets received'") == "1\n"


def test_down_removes_images(stack: Stacks) -> None:
    it = stack(services("  a:\n    build: {dockerfile_inline: \"FROM busybox\\nRUN touch /a\"}\n    command: sleep 9\n",
                        "  b:\n    build: {dockerfile_inline: \"FROM busybox\\nRUN touch /b\"}\n    image: mine-b\n    command: sleep 9\n"))
    it("up", "-d")
    it("down", "-t", "0", "--rmi", "local")
    images = it.tool.pybuild("images", "--format", "{{.Repository}}").out.split()
    assert f"{it.name}-a" not in images
    assert "mine-b" in images
    it("up", "-d")
    it("down", "-t", "0", "--rmi", "all")
    assert "mine-b" not in it.tool.pybuild("images", "--format", "{{.Repository}}").out.split()


def test_down_takes_one_off_containers_on_request(stack: Stacks) -> None:
    it = stack(services(sleeping()))
    it("run", "-d", "a", "sleep", "100")
    done = it("down", "-t", "0")
    assert "in use" in done.err
    assert len(it.rows()) == 1
    it("down", "-t", "0", "--remove-orphans")
    assert it.rows() == []


def test_two_projects_do_not_touch_each_other(stack: Stacks) -> None:
    one, other = stack(services(sleeping())), stack(services(sleeping()))
    one("up", "-d")
    other("up", "-d")
    other("down", "-t", "0")
    assert one.states("a") == ["running"]
    listed = {row["Name"]: row["Status"] for row in json.loads(one("ls", "--format", "json").out)}
    assert listed.get(one.name) == "running(1)"
    assert other.name not in listed


def test_a_taken_container_name(stack: Stacks) -> None:
    one = stack(services(sleeping("container_name: same-name")))
    other = stack(services(sleeping("container_name: same-name")))
    one("up", "-d")
    assert "same-name" in other.fails("up", "-d").err
    assert one.states("a") == ["running"]


def test_compatibility_names(stack: Stacks) -> None:
    it = stack(services(sleeping()))
    it("--compatibility", "up", "-d")
    assert [row["Name"] for row in it.rows()] == [f"{it.name}_a_1"]


def test_what_is_missing_is_said_before_anything_is_made(stack: Stacks) -> None:
    it = stack(services(sleeping("volumes: ['v:/v']")) + "volumes: {v: {external: true, name: no-such-volume}}\n")
    done = it.fails("up", "-d")
    assert "no-such-volume" in done.err and "compose.yaml:" in done.err and "^" in done.err
    assert it.rows() == []
    it.write("compose.yaml", services(sleeping("networks: [n]")) + "networks: {n: {external: true, name: no-such-net}}\n")
    assert "no-such-net" in it.fails("up", "-d").err
    it.write("compose.yaml", services("  a: {image: no-such-image, pull_policy: never}\n"))
    assert "no-such-image" in it.fails("up", "-d").err
    assert it.rows() == []


def test_external_networks_and_volumes_stay(stack: Stacks) -> None:
    it = stack(services(sleeping("volumes: ['v:/v']\nnetworks: [n]"))
               + "volumes: {v: {external: true, name: mine-v}}\nnetworks: {n: {external: true, name: mine-n}}\n")
    owner = stack(services(sleeping("volumes: ['v:/v']\nnetworks: [n]")) + "volumes: {v: {name: mine-v}}\nnetworks: {n: {name: mine-n}}\n")
    owner("create")
    it("up", "-d")
    assert list(it.inspect("a")["NetworkSettings"]["Networks"]) == ["mine-n"]
    it("down", "-v", "-t", "0")
    assert "mine-v" in owner("volumes", "-q").out.split()
    owner("up", "-d")
    assert owner.states("a") == ["running"]


def test_a_changed_network_is_made_anew_and_containers_stay(stack: Stacks) -> None:
    text = services(sleeping(), sleeping(name="b")) + "networks: {default: {ipam: {config: [{subnet: 10.201.%d.0/24}]}}}\n"
    it = stack(text % 3)
    it("up", "-d")
    before = it.ids("a")
    it.write("compose.yaml", text % 4)
    it("up", "-d")
    assert it.ids("a") == before
    assert "10.201.4." in it.sh("a", "ip addr")
    assert it.sh("a", "ping -c 1 -W 2 b | grep -c '1 packets received'") == "1\n"


def test_a_changed_volume_is_kept_unless_the_user_agrees(stack: Stacks) -> None:
    text = services(sleeping("volumes: [data:/data]")) + "volumes: {data: {labels: {x: '%s'}}}\n"
    it = stack(text % 1)
    it("up", "-d")
    it.sh("a", "echo kept > /data/f")
    it.write("compose.yaml", text % 2)
    assert "it stays as it is" in it("up", "-d").err
    assert it.sh("a", "cat /data/f") == "kept\n"
    it("up", "-d", "-y")
    assert it.sh("a", "ls /data") == ""


@pytest.mark.parametrize("words", [
    ("--build", "--no-build"), ("--force-recreate", "--no-recreate"), ("-V", "--no-recreate"), ("-d", "--abort-on-container-exit"),
    ("-d", "--attach", "a"), ("--wait-timeout", "3"), ("--remove-orphans",)])
def test_options_that_contradict_each_other(stack: Stacks, words: tuple[str, ...]) -> None:
    it = stack(services(sleeping()))
    assert it.run("up", *words, env={"COMPOSE_IGNORE_ORPHANS": "1"}).status == 1
