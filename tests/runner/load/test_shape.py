import pytest

from tests.runner.load.folder import Folder, one


@pytest.mark.parametrize(("attribute", "reason", "place"), [
    ("privileged: 1", "`services.a.privileged` is an integer, not a string or a boolean", "4:17"),
    ("environment: FOO=1", "`services.a.environment` is a string, not a list or a mapping", "4:18"),
    ("environment: {V: [1]}", "`services.a.environment.V` is a list, not a string, a boolean, a number or null", "4:19"),
    ("ports:", "`services.a.ports` is null, not a list", "4:5"),
    ("image2: x", "`services.a` has an unknown attribute `image2`", "4:5"),
    ("healthcheck: {tets: [CMD]}", "`services.a.healthcheck` has an unknown attribute `tets`", "4:19"),
    ("depends_on: {b: {required: false}}", "`services.a.depends_on.b` has no `condition`", "4:18"),
    ("ulimits: {nofile: {soft: 1}}", "`services.a.ulimits.nofile` has no `hard`", "4:15"),
    ("volumes: [{target: /x}]", "`services.a.volumes[0]` has no `type`", "4:15"),
    ("volumes: [{type: foo, target: /x}]", "`services.a.volumes[0].type` is `foo`, none of `bind`", "4:22"),
    ("volumes: [{type: tmpfs, target: /x, tmpfs: {size: -1}}]", "`services.a.volumes[0].tmpfs.size` is negative", "4:55"),
    ("cgroup: foo", "`services.a.cgroup` is `foo`, none of `host`, `private`", "4:13"),
    ("oom_score_adj: 1001", "is 1001, not from -1000 to 1000", "4:20"), ("cpu_percent: 101", "not a whole number from 0 to 100", "4:18"),
    ("container_name: x", "is `x`: a container's name has at least two", "4:21"),
    ("container_name: 'a b'", "is `a b`: a container's name", "4:21"),
    ("pull_policy: every_", "is `every_`, none of `always`", "4:18"),
    ("security_opt: [a, b, a]", "`services.a.security_opt[2]` is the same as", "4:26"),
    ("deploy: {resources: {reservations: {devices: [{count: 1}]}}}", "devices[0]` has no `capabilities`", "4:51"),
    ("configs: [{source: c, mode: 1.5}]", "mode` is a number, not a string or an integer", "4:33"),
    ("networks: {'a/b': }", "the name `a/b` in `services.a.networks` has other characters", "4:16"),
    ("stop_grace_period: 10", "is an integer, not a string", "4:24"),
    ("gpus: some", "is `some`, none of `all`", "4:11"), ("scale: -1", "is negative", "4:12"),
    ("command: {a: 1}", "is a mapping, not a string, null or a list", "4:5"),
])
def test_what_the_schema_refuses(folder: Folder, attribute: str, reason: str, place: str) -> None:
    text = folder.refused(one(attribute))
    assert reason in text
    assert f"--> f0.yaml:{place}\n" in text


@pytest.mark.parametrize(("text", "reason"), [
    ("[a]", "the top level is no mapping"), ("x", "the top level is no mapping"), ("1", "the top level is no mapping"),
    ("services: [a]", "`services` is a list, not a mapping"),
    ("services: {a: x}", "`services.a` is a string, not a mapping"), ("services: {a: }", "`services.a` is null, not a mapping"),
    ("networks: [x]", "`networks` is a list"),
    ("volumes: {d: local}", "`volumes.d` is a string, not null or a mapping"),
    ("networks: {n: {foo: 1}}", "`networks.n` has an unknown attribute `foo`"),
    ("service: {}", "the file has an unknown attribute `service`"),
    ("services: {'a b': {image: x}}", "the name `a b` in `services` has other characters"),
    ("secrets: {s: }", "`secrets.s` is null"), ("volumes:", "`volumes` is null"), ("version: 3", "`version` is an integer, not a string"),
    ("name: [x]", "`name` is a list"),
    ("models: {m: {}}", "`models.m` has no `model`"), ("include: x", "`include` is a string, not null or a list"),
])
def test_what_the_schema_refuses_at_the_top(folder: Folder, text: str, reason: str) -> None:
    assert reason in folder.refused(text)


def test_several_errors_in_one_run_in_their_order(folder: Folder) -> None:
    text = folder.refused(one("ports: 1\nimgae: x\nuser: [u]") + "nets: {}\n")
    places = [line.strip() for line in text.split("\n") if "-->" in line]
    assert places == ["--> f0.yaml:4:12", "--> f0.yaml:5:5", "--> f0.yaml:6:5", "--> f0.yaml:7:1"]


def test_at_most_twenty_errors(folder: Folder) -> None:
    text = folder.refused(one("\n".join(f"k{index}: 1" for index in range(30))))
    assert text.count("error:") == 20


@pytest.mark.parametrize("attribute", ["user: 1000", "hostname: true", "command: [sleep, 5]", "labels: [1.5]"])
def test_what_is_no_string_without_quotes(folder: Folder, attribute: str) -> None:
    assert "put it into quotes" in folder.refused(one(attribute))


@pytest.mark.parametrize(("wrong", "right"), [
    ("imgae", "image"), ("enviroment", "environment"), ("dependson", "depends_on"), ("port", "ports"), ("healtcheck", "healthcheck")])
def test_did_you_mean(folder: Folder, wrong: str, right: str) -> None:
    assert f"did you mean `{right}`?" in folder.refused(one(f"{wrong}: x"))


def test_extensions_are_kept_everywhere(folder: Folder) -> None:
    printed = folder.printed(one("x-a: {k: [1]}\nlogging: {driver: d, x-b: 1}") + "x-top: t\nnetworks: {default: {x-n: 1}}\n")
    service = printed["services"]["a"]
    assert (service["x-a"], service["logging"]["x-b"], printed["x-top"], printed["networks"]["default"]["x-n"]) == ({"k": [1]}, 1, "t", 1)


def test_variables_may_stand_for_anything_before_they_are_replaced(folder: Folder) -> None:
    attributes = "container_name: ${N}\nports: ['${P}:80', '${Q}']\nprivileged: ${B}\ncgroup: ${C}\nvolumes: ['${V}']\nmem_limit: ${M}"
    printed = folder.printed(one(attributes), interpolate=False)
    assert printed["services"]["a"]["ports"] == ["${P}:80", "${Q}"]
    assert printed["services"]["a"]["privileged"] == "${B}"
