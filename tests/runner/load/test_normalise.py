import pytest

from tests.runner.load.folder import Folder, one


@pytest.mark.parametrize(("attributes", "networks"), [
    ("user: u", ["default"]), ("networks: []", ["default"]), ("networks: {}", ["default"]), ("network_mode: host", []),
    ("networks: [n]", ["n"]), ])
def test_the_default_network(folder: Folder, attributes: str, networks: list[str]) -> None:
    project = folder.load(one(attributes) + "networks: {n: }\n").project
    assert [key for key, _ in project.services[0].networks] == networks
    assert [network.key for network in project.networks] == networks


def test_names_of_resources(folder: Folder) -> None:
    more = ("networks: {n: {name: own}}\nvolumes: {v: , e: {external: true}, l: {external: {name: old}}}\n"
            "secrets: {s: {file: x}}\nconfigs: {c: {content: x}}\nname: p\n")
    project = folder.load(one("networks: [n]") + more, all_resources=True).project
    assert [network.name for network in project.networks] == ["own"]
    assert [(volume.key, volume.name) for volume in project.volumes] == [("e", "e"), ("l", "old"), ("v", "p_v")]
    assert [project.secrets[0].name, project.configs[0].name] == ["p_s", "p_c"]


@pytest.mark.parametrize(("attribute", "restart"), [
    ("links: ['b:x']", True), ("links: [b]", True), ("network_mode: 'service:b'", True), ("ipc: 'service:b'", True),
    ("pid: 'service:b'", True), ("volumes_from: ['b:ro']", False), ])
def test_implied_dependencies(folder: Folder, attribute: str, restart: bool) -> None:
    service = folder.service(one(attribute) + "  b: {image: b}\n")
    assert [(name, value.condition, value.restart, value.required) for name, value in service.depends_on] == [("b", "service_started", restart, True)]


def test_a_dependency_that_is_said_stands(folder: Folder) -> None:
    service = folder.service(one("links: [b]\ndepends_on: {b: {condition: service_healthy}}") + "  b: {image: b}\n")
    assert service.depends_on[0][1].condition == "service_healthy"


def test_variables_are_taken_over(folder: Folder) -> None:
    service = folder.service(one("environment: {A: , B: }\nbuild: {args: {A: , B: }}"), env={"A": "1"})
    assert service.environment == (("A", "1"), ("B", None))
    assert service.build is not None and service.build.args == (("A", "1"),)


def test_build_defaults(folder: Folder) -> None:
    build = folder.service("services: {a: {build: {target: t}}}").build
    assert build is not None and (build.context, build.dockerfile) == (str(folder.root), "Dockerfile")
    inline = folder.service("services: {a: {build: {dockerfile_inline: FROM x}}}").build
    assert inline is not None and inline.dockerfile == ""


def test_paths(folder: Folder) -> None:
    text = one("volumes: ['./a:/a', '~:/h', '~/b/../c:/c', '/x/../y:/y', 'C:\\z:/z', '..:/up']\n"
               "build: {context: sub/..//x, additional_contexts: {s: 'service:b', g: github.com/x/y}}")
    service = folder.service(text, consistency=False)
    assert [mount.source for mount in service.volumes] == [
        f"{folder.root}/a", f"{folder.home}", f"{folder.home}/c", "/x/../y", "C:\\z", str(folder.root.parent)]
    assert service.build is not None and service.build.context == f"{folder.root}/x"
    assert service.build.additional_contexts == (("g", "github.com/x/y"), ("s", "service:b"))


def test_a_volume_that_is_a_bind_mount(folder: Folder) -> None:
    more = "volumes: {v: {driver: local, driver_opts: {type: none, o: bind, device: ./d}}}"
    assert dict(folder.load(one("user: u") + more, all_resources=True).project.volumes[0].driver_opts)["device"] == f"{folder.root}/d"


def test_without_normalisation(folder: Folder) -> None:
    project = folder.load(one("links: [b]\nbuild: ."), normalize=False, consistency=False).project
    service, = project.services
    assert (service.networks, service.depends_on, project.networks, project.name) == ((), (), (), "case")
    assert service.build is not None and service.build.dockerfile == ""


def test_without_path_resolution(folder: Folder) -> None:
    assert folder.service(one("volumes: ['./a:/a', '~/b:/b']"), resolve_paths=False).volumes[0].source == "./a"


def test_secrets_and_configs_of_the_environment(folder: Folder) -> None:
    more = "secrets: {s: {environment: S}, t: {environment: NONE}}\nconfigs: {c: {environment: S}}\n"
    text = one("secrets: [s, t]\nconfigs: [c]") + more
    project = folder.load(text, env={"S": "shh"}).project
    assert [(secret.key, secret.value, secret.content) for secret in project.secrets] == [("s", "shh", ""), ("t", None, "")]
    assert project.configs[0].content == "shh"
    for options in ({}, {"interpolate": False}):
        printed = folder.printed(text, env={"S": "shh"}, **options)
        assert "shh" not in repr(printed["secrets"])
