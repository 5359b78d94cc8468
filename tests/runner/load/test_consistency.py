import pytest

from tests.runner.load.folder import Folder, one

B = "  b: {image: b}\n"


@pytest.mark.parametrize(("attributes", "more", "reason"), [
    ("volumes: ['undefined:/x']", "", "service `a` refers to undefined volume `undefined`"),
    ("networks: [nope]", "", "refers to undefined network `nope`"),
    ("secrets: [nope]", "", "refers to undefined secret `nope`"), ("configs: [nope]", "", "refers to undefined config `nope`"),
    ("models: [nope]", "", "refers to undefined model `nope`"),
    ("build: {secrets: [nope]}", "", "refers to undefined build secret `nope`"),
    ("network_mode: host\nnetworks: [n]", "networks: {n: }", "service `a` has `network_mode` and `networks`"),
    ("healthcheck: {test: [curl, x]}", "", "`services.a.healthcheck.test` begins with `curl`"),
    ("build: {dockerfile: D, dockerfile_inline: FROM x}", "", "has `dockerfile` and `dockerfile_inline`"),
    ("build: {platforms: [linux/amd64]}\nplatform: linux/arm64", "", "lacks the service's platform `linux/arm64`"),
    ("build: {additional_contexts: {c: 'service:b'}}", B, "is service `b`, which is not built"),
    ("build: {additional_contexts: {c: 'service:z'}}", B, "`z`, which is not there"),
    ("depends_on: [nope]", "", "depends on undefined service `nope`"),
    ("depends_on: {nope: {condition: service_started, required: false}}", "", "depends on undefined service `nope`"),
    ("links: [nope]", "", "depends on undefined service `nope`"), ("ipc: 'service:nope'", "", "depends on undefined service `nope`"),
    ("volumes_from: [nope]", "", "undefined service `nope`"),
    ("depends_on: [c]", "  c: {image: c, profiles: [p]}\n", "depends on `c`, which no active profile has"),
    ("scale: 2\ndeploy: {replicas: 3}", "", "has distinct values for `scale` and `deploy.replicas`"),
    ("cpus: 1\ndeploy: {resources: {limits: {cpus: '2'}}}", "", "distinct values for `cpus`"),
    ("mem_limit: 1m\ndeploy: {resources: {limits: {memory: 2m}}}", "", "distinct values for `mem_limit`"),
    ("pids_limit: 1\ndeploy: {resources: {limits: {pids: 2}}}", "", "values for `pids_limit`"),
    ("container_name: name\nscale: 2", "", "has a `container_name` and 2 replicas"),
    ("container_name: same", "  b: {image: b, container_name: same}\n", "\"same\", as has service `a`"),
    ("develop: {watch: [{path: ., action: sync}]}", "", "develop.watch[0]` syncs without a `target`"),
    ("tmpfs: /x\nvolumes: ['vv:/x']", "volumes: {vv: }", "`services.a.volumes[0]` is mounted at `/x`"),
    ("tmpfs: ['/x:size=1m', '/x']", "", "`services.a.tmpfs[1]` is mounted at `/x`"),
    ("restart: sometimes", "", "`services.a.restart` is `sometimes`"), ("restart: 'always:3'", "", "`services.a.restart` is `always:3`"),
    ("restart: 'on-failure:x'", "", "is `on-failure:x`"), ("hostname: \"h\\n127.0.0.1 evil\"", "", "`services.a.hostname` has"),
    ("dns: ['1.1.1.1 evil']", "", "no name has white space"),
    ("networks: {default: {aliases: ['a b']}}", "", "networks.default.aliases` has `a b`"),
    ("user: u", "secrets: {s: {driver: d}}", "secret `s` has neither `file` nor `environment`"),
])
def test_what_does_not_fit_together(folder: Folder, attributes: str, more: str, reason: str) -> None:
    text = one(attributes) + more
    assert reason in folder.refused(text)
    assert folder.load(text, consistency=False)


@pytest.mark.parametrize(("text", "reason"), [
    ("services: {a: {command: x}}", "service `a` has neither an image nor a build context"),
    ("volumes: {v: {external: true, driver: d}}", "`volumes.v` is external and has `driver`"),
    ("secrets: {s: {file: x, environment: y}}", "`secrets.s` has `file` and `environment`"),
    ("configs: {c: {file: x, content: y}}", "`configs.c` has `file` and `content`"),
    ("configs: {c: {name: x}}", "`configs.c` has none of `file`, `environment`, `content`"),
    ("networks: {n: {name: x, external: {name: y}}}", "`networks.n` has a `name` and another `external.name`"),
])
def test_resources_that_contradict_themselves(folder: Folder, text: str, reason: str) -> None:
    assert reason in folder.refused(text)


@pytest.mark.parametrize(("services", "circle"), [
    ("a: {image: x, depends_on: [a]}", "`a` -> `a`"),
    ("a: {image: x, depends_on: [b]}, b: {image: x, depends_on: [c]}, c: {image: x, depends_on: [a]}", "`a` -> `b` -> `c` -> `a`"),
    ("a: {image: x, depends_on: [b]}, b: {image: x, links: [c]}, c: {image: x, network_mode: 'service:b'}", "`b` -> `c` -> `b`"),
    ("a: {build: {additional_contexts: {x: 'service:b'}}}, b: {build: {additional_contexts: {x: 'service:a'}}}", "`a` -> `b` -> `a`"),
])
def test_circles(folder: Folder, services: str, circle: str) -> None:
    assert f"dependency cycle detected: {circle}" in folder.refused(f"services: {{{services}}}")


def test_many_ways_to_one_service_are_no_circle(folder: Folder) -> None:
    services = [f"s{i}: {{image: x, depends_on: [s{i + 1}, s{i + 2}]}}" for i in range(200)]
    assert folder.load("services: {" + ", ".join(services) + ", s200: {image: x}, s201: {image: x}}").project.services


def test_a_dependency_on_a_disabled_service_that_is_not_required(folder: Folder) -> None:
    text = one("depends_on: {c: {condition: service_started, required: false}}") + "  c: {image: c, profiles: [p]}\n"
    assert folder.service(text).depends_on[0][0] == "c"


def test_all_inconsistencies_in_one_run(folder: Folder) -> None:
    text = folder.refused(one("volumes: ['vv:/x']\nnetworks: [n]\nsecrets: [s]\ndepends_on: [z]"))
    assert text.count("error:") == 4


@pytest.mark.parametrize(("attributes", "more", "message"), [
    ("credential_spec: {file: x}", "", "`services.a.credential_spec` has no effect: it is for containers of Windows"),
    ("isolation: hyperv", "", "`services.a.isolation` has no effect"),
    ("deploy: {placement: {constraints: [a]}}", "", "`services.a.deploy.placement` has no effect: it is for several machines"),
    ("deploy: {mode: global}", "", "`services.a.deploy.mode` is `global`"),
    ("command: a && b", "", "`services.a.command` ends before `&& b`: no shell runs it"),
    ("volumes: [{type: npipe, source: x, target: y}]", "", "volumes[0]` is a mount for containers of Windows"),
    ("volumes: ['/a:/b:wat']", "", "has the option `wat`, which means nothing"),
    ("networks: [x-n, m]", "networks: {x-n: , m: }", "`services.a.networks.x-n` joins no network"),
    ("volumes: ['v:/x']", "volumes: {v: }", "volumes[0]` is an anonymous volume at `v:/x`: one letter and a colon"),
    ("networks: [n]", "networks: {n: {external: true, driver: d}}", "`networks.n` is external, so its `driver` is not looked at"),
    ("volumes: ['vv:/x']", "volumes: {vv: {external: {name: old}}}", "`volumes.vv` uses `external.name`, which is deprecated"),
])
def test_what_has_no_effect_is_said(folder: Folder, attributes: str, more: str, message: str) -> None:
    assert any(message in said for said in folder.warned(one(attributes) + more))


def test_an_obsolete_version_is_said(folder: Folder) -> None:
    assert folder.warned("version: '3.9'\n" + one("user: u")) == ["f0.yaml: the attribute `version` is obsolete, it is ignored"]


def test_a_plain_project_says_nothing(folder: Folder) -> None:
    assert folder.warned(one("isolation: default\ncommand: a '&&' b\ndeploy: {mode: replicated}")) == []


def test_scale_is_told_to_deploy(folder: Folder) -> None:
    service = folder.service(one("scale: 3\ndeploy: {mode: replicated}"))
    assert service.deploy is not None and (service.deploy.replicas, service.replicas()) == (3, 3)
