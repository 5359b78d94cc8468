import json
from typing import Any

import pytest

from runner.errors import InvalidCompose
from runner.load import config
from runner.load.identity import config_hash
from runner.model.build import Build
from runner.model.deploy import Deploy
from runner.model.part import Dependency
from runner.model.project import Project
from runner.model.service import Service
from tests.runner.load.folder import Folder

TEXT = """name: p
services:
  b: {image: "b:${TAG:-1}", depends_on: [c], profiles: [x], networks: [n], volumes: ["vv:/v"]}
  a: {build: ".", depends_on: [b], command: "$$x ${Y}"}
  c: {image: c, profiles: [y, x]}
networks: {n: }
volumes: {vv: , w: }
x-e: .inf
"""


def lines(folder: Folder, what: str, **options: Any) -> list[str]:
    folder.write("compose.yaml", TEXT)
    return config.listed(folder.options({"TAG": "2"}, profiles=("x",), **options), what)[0]


@pytest.mark.parametrize(("what", "found"), [
    ("services", ["c", "b", "a"]), ("networks", ["default", "n"]), ("volumes", ["vv"]), ("images", ["p-a", "b:2", "c"]),
    ("profiles", ["x", "y"]), ("models", []),
])
def test_lists(folder: Folder, what: str, found: list[str]) -> None:
    assert lines(folder, what) == found


def test_lists_without_interpolation(folder: Folder) -> None:
    assert lines(folder, "services", interpolate=False) == ["a", "b", "c"]
    assert lines(folder, "volumes", interpolate=False) == ["vv", "w"]


def test_the_environment(folder: Folder) -> None:
    folder.write(".env", "FILE=f\n")
    assert lines(folder, "environment") == ["COMPOSE_PROJECT_NAME=p", "FILE=f", f"HOME={folder.home}", f"PWD={folder.root}", "TAG=2"]


def test_variables(folder: Folder) -> None:
    folder.write("compose.yaml", "services: {a: {image: '${A:-x}${B:?no}${C+p}', user: $D}}\nx-e: ['${A-y}', '$$E']")
    found = config.asked(folder.options({}))
    assert [(one.name, one.required, one.default, one.presence) for one in found] == [("A", False, "y", ""), ("B", True, "", ""),
    ("C", False, "", "p"), ("D", False, "", "")]
    assert config.variable_lines(found)[:2] == [
        "NAME                REQUIRED            DEFAULT VALUE       ALTERNATE VALUE", "A                   false               y                   "]


def test_variables_of_a_template_that_is_none(folder: Folder) -> None:
    folder.write("compose.yaml", "services: {a: {image: '${'}}")
    with pytest.raises(InvalidCompose, match="invalid template"):
        config.asked(folder.options({}))


def test_without_interpolation(folder: Folder) -> None:
    folder.write("compose.yaml", TEXT)
    found, _ = config.resolved(folder.options({}, interpolate=False))
    assert list(found) == ["name", "networks", "services", "volumes", "x-e"]
    assert found["services"]["a"] == {"build": {"context": str(folder.root), "dockerfile": "Dockerfile"}, "command": "$$x ${Y}",
                                      "depends_on": {"b": {"condition": "service_started", "required": True}}, "networks": {"default": None}}


def test_json_has_no_infinity(folder: Folder) -> None:
    for interpolate in (True, False):
        found = folder.printed(TEXT, profiles=("x",), interpolate=interpolate)
        assert found["x-e"] == float("inf")
        mapping, _ = config.resolved(folder.options({}, files=("f0.yaml",), profiles=("x",), interpolate=interpolate), json=True)
        assert json.loads(json.dumps(mapping, allow_nan=False))["x-e"] == "+Inf"


def test_digests(folder: Folder) -> None:
    mapping = folder.printed(TEXT, profiles=("x",), env={"TAG": "2"})
    pinned = config.pinned(mapping, lambda image: f"{image}@sha256:0")
    assert [service.get("image") for service in pinned["services"].values()] == [None, "b:2@sha256:0", "c@sha256:0"]
    assert pinned["networks"] == mapping["networks"]
    locked = config.pinned(mapping, lambda image: f"{image}@sha256:0", only=True)
    assert locked == {"services": {"a": {}, "b": {"image": "b:2@sha256:0"}, "c": {"image": "c@sha256:0"}}}


def test_hashes(folder: Folder) -> None:
    folder.write("compose.yaml", TEXT)
    options = folder.options({}, profiles=("x",))
    every, _ = config.hashes(options, ())
    assert [line.partition(" ")[0] for line in every] == ["a", "b", "c"]
    assert config.hashes(options, ("b",))[0] == [every[1]]


def test_dependency_order() -> None:
    def service(name: str, *others: str) -> Service:
        return Service(name, depends_on=tuple((other, Dependency()) for other in others))
    project = Project("p", (service("a", "c", "b"), service("b", "c"), service("c"), service("d")))
    assert [one.name for one in config.in_dependency_order(project)] == ["c", "b", "a", "d"]


SERVICE = Service("a", image="x", labels=(("k", "<&>"),))


@pytest.mark.parametrize("change", [
    {"build": Build(".")}, {"pull_policy": "always"}, {"scale": 5}, {"depends_on": (("b", Dependency()),)}, {"profiles": ("p",)},
    {"name": "b"}, {"extensions": (("x-a", 1),)},
])
def test_what_is_not_in_the_hash(change: "dict[str, object]") -> None:
    assert config_hash(SERVICE._replace(**change)) == config_hash(SERVICE)  # type: ignore[arg-type]


@pytest.mark.parametrize("change", [
    {"image": "y"}, {"labels": ()}, {"command": ()}, {"environment": (("A", None),)}, {"environment": (("A", ""),)}, {"privileged": True},
    {"init": False}, {"stop_grace_period": 0}, {"deploy": Deploy(mode="x")},
])
def test_what_is_in_the_hash(change: "dict[str, object]") -> None:
    assert config_hash(SERVICE._replace(**change)) != config_hash(SERVICE)  # type: ignore[arg-type]


def test_replicas_are_not_in_the_hash() -> None:
    deployed = SERVICE._replace(deploy=Deploy(mode="replicated", replicas=1))
    assert config_hash(deployed) == config_hash(deployed._replace(deploy=Deploy(mode="replicated", replicas=2)))


def test_the_hash_is_that_of_docker_compose() -> None:
    """sha256 of the JSON that compose-go makes, with its escapes and its nulls."""
    from hashlib import sha256
    expected = '{"command":null,"entrypoint":null,"image":"x","labels":{"k":"\\u003c\\u0026\\u003e"}}'
    assert config_hash(SERVICE) == sha256(expected.encode()).hexdigest()


def test_contents_are_in_the_hash() -> None:
    one = config_hash(SERVICE, [("/run/secrets/s", b"1")])
    assert len({config_hash(SERVICE), one, config_hash(SERVICE, [("/run/secrets/s", b"2")]), config_hash(SERVICE, [("/run/secrets/t", b"1")])}) == 4
