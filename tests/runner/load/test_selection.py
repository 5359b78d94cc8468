import pytest

from runner.errors import ServiceMissing
from runner.load import selection
from runner.model.part import Dependency, Mount
from runner.model.project import Network, Project, Volume
from runner.model.service import Service
from tests.runner.load.folder import Folder

STARTED = Dependency()
PROJECT = Project("p", (
    Service("a", depends_on=(("b", STARTED),)), Service("b"), Service("c", profiles=("x",), depends_on=(("d", STARTED),)),
    Service("d", profiles=("x", "y")), Service("e", profiles=("z",))))


def names(services: "tuple[Service, ...]") -> list[str]:
    return [service.name for service in services]


@pytest.mark.parametrize(("profiles", "enabled"), [
    ((), ["a", "b"]), (("x",), ["a", "b", "c", "d"]), (("y", "z"), ["a", "b", "d", "e"]), (("*",), ["a", "b", "c", "d", "e"]),
    (("q",), ["a", "b"])])
def test_profiles(profiles: tuple[str, ...], enabled: list[str]) -> None:
    project = selection.activate(PROJECT, profiles)
    assert names(project.services) == enabled
    assert sorted(names(project.services) + names(project.disabled)) == ["a", "b", "c", "d", "e"]
    assert selection.activate(project, profiles) == project


def test_named_services_bring_what_they_depend_on() -> None:
    project = selection.select(selection.activate(PROJECT, ()), ("a",))
    assert names(project.services) == ["a", "b"]
    assert names(selection.select(project, ("a",), dependencies=False).services) == ["a"]
    assert selection.select(project, ("a",), dependencies=False).services[0].depends_on == ()


def test_a_named_service_activates_its_profiles() -> None:
    project = selection.select(selection.activate(PROJECT, ()), ("c",))
    assert names(project.services) == ["c", "d"]
    assert project.profiles == ("x",)


def test_no_name_means_all() -> None:
    project = selection.activate(PROJECT, ())
    assert selection.select(project, ()) == project


def test_an_unknown_name() -> None:
    with pytest.raises(ServiceMissing, match="no such service: `webb`") as caught:
        selection.select(Project("p", (Service("web"),)), ("webb",))
    assert caught.value.help == "did you mean `web`?"


def test_resources_that_nobody_uses_are_dropped() -> None:
    service = Service("a", networks=(("n", None),), volumes=(Mount("volume", "v", "/v"), Mount("bind", "w", "/w")))
    project = Project("p", (service,), (Network("n"), Network("m")), (Volume("v"), Volume("w")))
    kept = selection.used(project)
    assert ([one.key for one in kept.networks], [one.key for one in kept.volumes]) == (["n"], ["v"])


def test_all_resources(folder: Folder) -> None:
    text = "services: {a: {image: x}}\nvolumes: {v: }\n"
    assert folder.load(text).project.volumes == ()
    assert [one.key for one in folder.load(text, all_resources=True).project.volumes] == ["v"]


def test_profiles_of_the_environment(folder: Folder) -> None:
    text = "services: {a: {image: x, profiles: [p]}, b: {image: x, profiles: [q]}}"
    assert names(folder.load(text, env={"COMPOSE_PROFILES": "p, q"}).project.services) == ["a", "b"]
    assert names(folder.load(text, env={"COMPOSE_PROFILES": "p"}, profiles=("q",)).project.services) == ["b"]
    assert names(folder.load(text).project.disabled) == ["a", "b"]


def test_what_a_named_service_needs_must_be_active(folder: Folder) -> None:
    text = "services: {a: {image: x, profiles: [p], depends_on: [b]}, b: {image: x, profiles: [q]}}"
    assert "depends on `b`, which no active profile has" in folder.refused(text, services=("a",))
    assert names(folder.load(text, services=("a",), profiles=("q",)).project.services) == ["a", "b"]
