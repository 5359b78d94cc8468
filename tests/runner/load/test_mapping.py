import json
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pybuild.output.yaml import dump
from runner.load.fields import FIELDS
from runner.load.mapping import to_mapping
from runner.load.normalise import normalise
from runner.load.project import load_tree
from runner.load.schema import SERVICE as SHAPE
from runner.load.tree import clone
from runner.model.project import Project
from runner.model.service import Service
from tests.runner.load.folder import Folder, one
from tests.runner.load.samples import REST, SERVICE

ANY = {"consistency": False, "profiles": ("*",), "all_resources": True}


def text_of(attributes: list[str]) -> str:
    text = one("\n".join(attributes))
    return (text.replace("    image: busybox\n", "") if any(line.startswith("image:") for line in attributes) else text) + REST


def again(folder: Folder, project: Project, printed: str) -> None:
    """What is printed of `project` loads as what it was."""
    assert folder.load(printed, **ANY).project == project  # type: ignore[arg-type]


@pytest.mark.parametrize("attribute", SERVICE)
def test_what_is_printed_loads_as_what_it_was(folder: Folder, attribute: str) -> None:
    project = folder.load(text_of([attribute]), **ANY).project  # type: ignore[arg-type]
    again(folder, project, dump(to_mapping(project)).replace("$", "$$"))


@settings(derandomize=True, max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(SERVICE), min_size=2, max_size=30, unique_by=lambda line: line.partition(":")[0]))
def test_any_project_loads_as_what_was_printed(folder: Folder, attributes: list[str]) -> None:
    project = folder.load(text_of(attributes), **ANY).project  # type: ignore[arg-type]
    again(folder, project, dump(to_mapping(project)).replace("$", "$$"))


@settings(derandomize=True, max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(SERVICE), max_size=20, unique_by=lambda line: line.partition(":")[0]))
def test_normalise_is_idempotent(folder: Folder, attributes: list[str]) -> None:
    folder.write("compose.yaml", text_of(attributes))
    tree, _ = load_tree(folder.options({}))
    before = clone(tree.root)
    normalise(tree.root, tree.name, tree.environment)
    assert tree.root == before


def test_every_attribute_has_a_sample() -> None:
    assert {re.split(":", line)[0] for line in SERVICE} >= set(SHAPE.keys or ()) - {"extends", "label_file"}


def test_fields_and_models_have_the_same_attributes() -> None:
    for make, fields in FIELDS.items():
        declared = [name for name in make._fields if name not in ("extensions", "key", "value" if make.__name__ == "File" else "")]  # type: ignore[attr-defined]
        read = [field.attribute or field.key for field in fields]
        assert sorted(read) == sorted(declared if make is not Service else declared[1:]), make


def test_fields_have_what_the_schema_has() -> None:
    assert {field.key for field in FIELDS[Service]} == set(SHAPE.keys or ())


def test_json_says_some_defaults_and_no_extensions(folder: Folder) -> None:
    project = folder.load(one("deploy: {mode: replicated}\nblkio_config: {device_read_bps: [{path: /p, rate: 1k}]}\nx-a: 1") + "x-t: 1\n").project
    found = to_mapping(project, json=True)
    service = found["services"]["a"]
    assert service["deploy"] == {"mode": "replicated", "resources": {}, "placement": {}}
    assert service["blkio_config"] == {"device_read_bps": [{"Path": "/p", "Rate": "1024"}]}
    assert found["networks"] == {"default": {"name": "case_default", "ipam": {}}}
    assert ("x-a" in service, found["x-t"], "models" in found) == (False, 1, False)
    assert json.dumps(found)


def test_values_of_the_model(folder: Folder) -> None:
    service = folder.service(one("stop_grace_period: 1m30s\nmem_limit: 1.5k\nenvironment: [B=2, A]\nsecrets: [{source: s, mode: '0440'}]\n"
                                 "tmpfs: /t\ndevices: ['/dev/x']\nulimits: {n: 5, m: {soft: 1, hard: 2}}"), consistency=False)
    assert (service.stop_grace_period, service.mem_limit, service.environment) == (90 * 10 ** 9, 1536, (("A", None), ("B", "2")))
    assert (service.secrets[0].target, service.secrets[0].mode, service.tmpfs) == ("/run/secrets/s", 0o440, ("/t",))
    assert (service.devices[0].target, service.devices[0].permissions) == ("/dev/x", "rwm")
    assert [(name, limit.soft, limit.hard) for name, limit in service.ulimits] == [("m", 1, 2), ("n", 5, 5)]
    assert hash(service) == hash(service._replace())


@pytest.mark.parametrize(("attribute", "reason"), [
    ("mem_limit: 12xyz", "`services.a.mem_limit` is `12xyz`: `xyz` is no unit"), ("mem_limit: -1k", "is `-1k`: no size"),
    ("command: echo \"x", "`services.a.command` is an invalid command line"),
    ("stop_grace_period: 1x", "`services.a.stop_grace_period` is `1x`: `x` is no unit of time"),
    ("healthcheck: {interval: soon}", "`services.a.healthcheck.interval` is `soon`"),
    ("extra_hosts: [nowhere]", "`services.a.extra_hosts[0]` is `nowhere`: no address"),
    ("extra_hosts: {'a b': 1.1.1.1}", "no name of a host"), ("extra_hosts: ['h=1 evil']", ": no address"),
    ("environment: {'A ': 1}", "its name ends in white space"), ("gpus: [{count: x}]", "`services.a.gpus[0].count` is `x`"),
    ("configs: [{source: c, mode: '0888'}]", "`0888`: no octal mode"),
    ("ports: ['80:80:80']", "`services.a.ports[0]` is `80:80:80`: `80` is no IP address"), ("ports: [80.5]", "has a fraction"),
    ("volumes: ['/a:']", "nothing stands between two colons"),
    ("devices: ['a:b:c:d']", "too many colons"), ("ports: [{published: 80}]", "`services.a.ports[0]` has no `target`"),
    ("ports: [{target: 1, host_ip: x}]", "`x` is no IP address"),
    ("volumes: [{type: volume}]", "`services.a.volumes[0]` has no `target`"),
    ("volumes: [{type: bind, target: /x}]", "a bind mount without a `source`"),
    ("gpus: [{count: 1, device_ids: [a]}]", "both `count` and `device_ids`"),
    ("build: {ssh: [k]}", "has the key `k` without a path"), ("develop: {watch: [{path: '', action: rebuild}]}", "path` is empty"),
    ("cpus: .inf", "no number"), ("cpus: .nan", "no number"),
])
def test_values_that_cannot_be_read(folder: Folder, attribute: str, reason: str) -> None:
    assert reason in folder.refused(one(attribute), consistency=False)


def test_all_values_that_cannot_be_read_in_one_run(folder: Folder) -> None:
    assert folder.refused(one("mem_limit: x\nshm_size: y\nstop_grace_period: z")).count("error:") == 3
