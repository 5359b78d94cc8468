from typing import Any

import pytest

from runner.errors import FileUnreadable, InvalidCompose
from tests.runner.load.folder import Folder


def test_an_included_project_has_its_own_directory_and_variables(folder: Folder) -> None:
    folder.write("sub/compose.yaml", "services: {b: {image: 'i:${TAG}-${OURS}', build: ., env_file: [e]}}\nsecrets: {s: {environment: TAG}}")
    folder.write("sub/.env", "TAG=theirs\nOURS=theirs\n")
    folder.write("sub/e", "E=1\n")
    loaded = folder.load("include: [sub/compose.yaml]\nservices: {a: {image: 'a:${TAG:-none}', secrets: [s]}}", env={"OURS": "ours"})
    first, second = loaded.project.services
    assert (first.image, second.image) == ("a:none", "i:theirs-ours")
    assert second.build is not None and second.build.context == f"{folder.root}/sub"
    assert second.environment == (("E", "1"),)
    assert loaded.project.secrets[0].value == "theirs"


def test_project_directory_and_env_file(folder: Folder) -> None:
    folder.write("sub/compose.yaml", "services: {b: {image: '${TAG}', volumes: ['./v:/v']}}")
    folder.write("other/tags.env", "TAG=t\n")
    loaded = folder.load("include: [{path: sub/compose.yaml, project_directory: other, env_file: other/tags.env}]")
    assert loaded.project.services[0].image == "t"
    assert loaded.project.services[0].volumes[0].source == f"{folder.root}/other/v"


def test_files_of_one_entry_are_merged(folder: Folder) -> None:
    folder.write("i/one.yaml", "services: {b: {image: x, user: u}}")
    folder.write("i/two.yaml", "services: {b: {image: y}}")
    service = folder.load("include: [{path: [i/one.yaml, i/two.yaml]}]").project.services[0]
    assert (service.image, service.user) == ("y", "u")


def test_the_including_file_has_the_last_word(folder: Folder) -> None:
    folder.write("i.yaml", "services: {a: {image: theirs, user: u, ports: ['1:1']}}\nvolumes: {data: {driver: d}}")
    loaded = folder.load("include: [i.yaml]\n"
                         "services: {a: {image: ours, ports: !override ['2:2'], volumes: ['data:/v']}}\n"
                         "volumes: {data: {labels: {l: 1}}}\n")
    service, = loaded.project.services
    assert (service.image, service.user, [port.target for port in service.ports]) == ("ours", "u", [2])
    assert (loaded.project.volumes[0].driver, loaded.project.volumes[0].labels) == ("d", (("l", "1"),))


def test_an_override_file_has_the_last_word(folder: Folder) -> None:
    folder.write("i.yaml", "services: {a: {image: theirs, user: u}}")
    assert folder.service("include: [i.yaml]", "services: {a: {image: ours}}").image == "ours"


def test_two_includes_that_differ_conflict(folder: Folder) -> None:
    folder.write("i.yaml", "services: {b: {image: x}}")
    folder.write("j.yaml", "services: {b: {image: y}}")
    assert "`services.b` is in two included files, and they differ" in folder.refused("include: [i.yaml, j.yaml]")


def test_the_same_project_may_be_included_twice(folder: Folder) -> None:
    folder.write("d/base.yaml", "services: {b: {image: x, volumes: ['./v:/v']}}")
    folder.write("i.yaml", "include: [d/base.yaml]")
    folder.write("j.yaml", "include: [d/base.yaml]")
    assert len(folder.load("include: [i.yaml, j.yaml, d/base.yaml]").project.services) == 1


def test_a_circle(folder: Folder) -> None:
    folder.write("i.yaml", "include: [f0.yaml]")
    text = folder.refused("include: [i.yaml]\nservices: {a: {image: x}}")
    assert "the file includes itself: `f0.yaml` -> `i.yaml` -> `f0.yaml`" in text


def test_a_missing_file_is_told_where_it_is_named(folder: Folder) -> None:
    text = folder.refused("include:\n  - path: nope.yaml\n")
    assert "`nope.yaml`: no such file or directory" in text and "f0.yaml:2:11" in text


def test_faults_of_an_included_file_are_told_there(folder: Folder) -> None:
    folder.write("sub/c.yaml", "services:\n  b:\n    image: [x]\n")
    assert "sub/c.yaml:3:5" in folder.refused("include: [sub/c.yaml]")


def test_a_missing_env_file(folder: Folder) -> None:
    folder.write("i.yaml", "services: {b: {image: x}}")
    assert "no such file" in folder.refused("include: [{path: i.yaml, env_file: nope.env}]")
    assert folder.load("include: [{path: i.yaml, env_file: /dev/null}]").project.services


@pytest.mark.parametrize("reference", ["https://example.org/x.git", "git@example.org:x.git", "oci://example.org/x", "ssh://g@h/x"])
@pytest.mark.parametrize("how", ["include: ['{}']", "services: {{a: {{extends: {{service: b, file: '{}'}}}}}}"])
def test_what_is_elsewhere_is_refused(folder: Folder, reference: str, how: str) -> None:
    text = folder.refused(how.format(reference))
    assert f"`{reference}`: it is on another machine" in text and "--allow remote" in text


def test_what_is_elsewhere_is_fetched_if_allowed(folder: Folder) -> None:
    folder.write("cache/compose.yaml", "services: {b: {image: x, build: .}}")
    loaded = folder.load("include: ['https://h/x.git']", fetch=lambda reference: f"{folder.root}/cache/compose.yaml")
    assert loaded.project.services[0].build is not None and loaded.project.services[0].build.context == f"{folder.root}/cache"


def test_the_including_file_may_give_variables_to_what_is_elsewhere(folder: Folder) -> None:
    folder.write("cache/compose.yaml", "services: {b: {image: '$V'}}")
    folder.write("ours.env", "V=ours")
    loaded = folder.load("include: [{path: 'https://h/x.git', env_file: ours.env}]", fetch=lambda reference: f"{folder.root}/cache/compose.yaml")
    assert loaded.project.services[0].image == "ours"


def test_the_file_of_the_command_line_may_be_elsewhere(folder: Folder) -> None:
    folder.write("cache/compose.yaml", "services: {b: {image: x, build: ., volumes: ['/etc:/etc']}}")
    options: dict[str, Any] = {"files": ("https://h/x.git",), "fetch": lambda reference: f"{folder.root}/cache/compose.yaml"}
    with pytest.raises(InvalidCompose, match="outside of the remote project"):
        folder.load(**options)
    assert folder.load(**options, remote_paths=True).project.working_dir == f"{folder.root}/cache"
    with pytest.raises(FileUnreadable, match="on another machine") as caught:
        folder.load(files=("https://h/x.git",))
    assert "--allow remote" in caught.value.help


def test_what_cannot_be_fetched(folder: Folder) -> None:
    def fetch(reference: str) -> str:
        raise FileUnreadable(reference, "no such branch")
    assert "it cannot be fetched: `https://h/x.git`: no such branch" in folder.refused("include: ['https://h/x.git']", fetch=fetch)


@pytest.mark.parametrize("attribute", [
    "env_file: ../secret", "env_file: /etc/passwd", "label_file: link", "extends: {service: b, file: ../f0.yaml}", "volumes: ['/:/host']",
    "build: ../..", "volumes: ['~/.ssh:/s']",
])
def test_remote_files_may_not_name_paths_of_this_machine(folder: Folder, attribute: str) -> None:
    folder.write("secret", "S=1")
    folder.write("cache/compose.yaml", f"services: {{b: {{image: x, {attribute}}}}}")
    (folder.root / "cache/link").symlink_to("/etc/passwd")

    def fetch(reference: str) -> str:
        return f"{folder.root}/cache/compose.yaml"

    assert "outside of the remote project" in folder.refused("include: ['https://h/x.git']", fetch=fetch)
    if attribute.startswith(("volumes", "build")):
        assert folder.load("include: ['https://h/x.git']", remote_paths=True, fetch=fetch).project.services


@pytest.mark.parametrize("section", ["secrets", "configs"])
def test_remote_files_may_not_read_ours(folder: Folder, section: str) -> None:
    folder.write("cache/compose.yaml", f"services: {{b: {{image: x}}}}\n{section}: {{s: {{file: /etc/shadow}}}}")
    fetched = f"{folder.root}/cache/compose.yaml"
    assert "outside of the remote project" in folder.refused("include: ['https://h/x.git']", fetch=lambda reference: fetched)


def test_includes_that_fan_out_are_stopped(folder: Folder) -> None:
    for index in range(12):
        folder.write(f"i{index}.yaml", f"include: [{', '.join([f'i{index + 1}.yaml'] * 2)}]\n")
    folder.write("i12.yaml", "services: {b: {image: x}}")
    with pytest.raises(InvalidCompose, match="at most 1,000"):
        folder.load("include: [i0.yaml]")


def test_an_include_of_nothing_includes_nothing(folder: Folder) -> None:
    assert folder.printed("include:\nservices: {a: {image: i}}") == folder.printed("services: {a: {image: i}}")
