"""What goes beyond containers: plans in files, providers, files from elsewhere, builds and their images."""

import json
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tests.pybuild.stacking import Stack, Stacks, services, sleeping
from tests.store.registry.fake import FakeRegistry, digest_of
from tests.tool import Tool

pytestmark = pytest.mark.userns


def planned(it: Stack) -> str:
    done = it.run("plan", "--format", "json")
    assert done.status in (0, 2), done
    it.write("plan.json", done.out)
    return done.out


# ---------------------------------------------------------------- plan and apply
def test_apply_does_what_was_planned(stack: Stacks) -> None:
    it = stack(services(sleeping("environment: {A: '1'}")))
    assert json.loads(planned(it))["changes"] is True
    it("apply", "plan.json")
    assert it.states("a") == ["running"]
    assert json.loads(planned(it))["changes"] is False
    it("apply", "plan.json")


@pytest.mark.parametrize("moved", ["file", "container", "image", "content"])
def test_apply_refuses_when_the_world_has_moved(stack: Stacks, moved: str) -> None:
    it = stack(services(sleeping("configs: [c]\nenvironment: {A: '1'}"), "  b: {build: {dockerfile_inline: \"FROM busybox\\nRUN touch /x\"}, command: sleep 9}\n")
               + "configs: {c: {file: ./c}}\n")
    it.write("c", "1")
    it("build")
    planned(it)
    if moved == "file":
        it.write("compose.yaml", (it.directory / "compose.yaml").read_text().replace("'1'", "'2'"))
    elif moved == "container":
        it("create", "a")
    elif moved == "image":
        it.tool.pybuild("tag", "busybox", f"{it.name}-b")
    else:
        it.write("c", "2")
    before = it.rows()
    done = it.fails("apply", "plan.json")
    assert "moved" in done.err
    assert it.rows() == before


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"version": 9, "project": "x", "steps": [], "identity": {}, "options": {}}', "\x00"])
def test_apply_of_what_is_no_plan(stack: Stacks, text: str) -> None:
    it = stack(services(sleeping()))
    it.write("plan.json", text)
    assert "no plan" in it.fails("apply", "plan.json").err
    assert "no plan" in it.fails("apply", "nothing.json").err


# ---------------------------------------------------------------- providers
PROVIDER = """#!/bin/sh
[ "$3" = up ] || { echo "$@" > down.txt; exit 0; }
echo "$@" > up.txt
echo '{"type": "info", "message": "making it"}'
echo '{"type": "setenv", "message": "URL=http://x"}'
echo '{"type": "rawsetenv", "message": "RAW=y"}'
"""


def test_a_provider_gives_variables_to_dependents(stack: Stacks) -> None:
    it = stack(services("  my-db:\n    provider: {type: ./mine, options: {size: [1, 2], name: z}}\n", sleeping("depends_on: [my-db]"), sleeping(name="b")))
    it.write("mine", PROVIDER).chmod(0o755)
    assert "--allow provider" in it.fails("up", "-d").err
    plan = it.run("--allow", "provider", "plan")
    assert plan.status == 2 and not (it.directory / "up.txt").exists()
    it("--allow", "provider", "up", "-d")
    assert it.sh("a", "echo $MY_DB_URL $RAW") == "http://x y\n"
    assert it.sh("b", "echo $MY_DB_URL") == "\n"
    assert (it.directory / "up.txt").read_text() == f"compose --project-name={it.name} up --name=z --size=1 --size=2 my-db\n"
    it("--allow", "provider", "down", "-t", "0")
    assert "down" in (it.directory / "down.txt").read_text()


@pytest.mark.parametrize(("script", "word"), [
    ("echo '{\"type\": \"error\", \"message\": \"no room\"}'; exit 1", "no room"), ("exit 3", "status 3"), ("echo nonsense", "no JSON")])
def test_a_provider_that_fails(stack: Stacks, script: str, word: str) -> None:
    it = stack(services("  db: {provider: {type: ./mine}}\n", sleeping("depends_on: [db]")))
    it.write("mine", f"#!/bin/sh\n{script}\n").chmod(0o755)
    assert word in it.fails("--allow", "provider", "up", "-d").err
    assert it.rows("a") == []


# ---------------------------------------------------------------- files from elsewhere
class Silent(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def test_a_project_that_includes_a_file_from_a_server(stack: Stacks) -> None:
    it = stack(services(sleeping()))
    it.write("served/compose.yaml", services(sleeping("configs: [c]", "far")) + "configs: {c: {content: 'from afar'}}\n")
    handler = partial(Silent, directory=str(it.directory / "served"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        it.write("compose.yaml", f"include: ['http://127.0.0.1:{server.server_port}/compose.yaml']\n" + services(sleeping()))
        assert "--allow remote" in it.fails("up", "-d").err
        it("--allow", "remote", "up", "-d")
        server.shutdown()
    it.write("compose.yaml", services(sleeping(), sleeping(name="far")))
    assert it.sh("far", "cat /c") == "from afar"


# ---------------------------------------------------------------- builds
def test_build_with_every_kind_of_attribute(stack: Stacks) -> None:
    it = stack("""services:
  base:
    build: {dockerfile_inline: "FROM busybox\\nRUN echo base > /base"}
    command: sleep 9
  a:
    build:
      context: ctx
      dockerfile: Other
      args: {ONE: "1", TWO: }
      target: last
      labels: {built: "yes"}
      additional_contexts: {base: "service:base", dir: ./more}
      secrets: [s, {source: e, target: named}]
      extra_hosts: ["there:10.1.1.1"]
      network: none
      tags: ["second-name:1"]
      shm_size: 32m
      ulimits: {nofile: 77}
    command: sleep 1000
    stop_grace_period: 0s
secrets: {s: {file: ./s.txt}, e: {environment: SECRET}}
""", env={"TWO": "2", "SECRET": "from-env"})
    it.write("s.txt", "from-file")
    it.write("more/m", "more")
    it.write("ctx/Other", """FROM base AS one
FROM busybox AS last
ARG ONE
ARG TWO
COPY --from=base /base /base
COPY --from=dir m /m
RUN --mount=type=secret,id=s --mount=type=secret,id=named cat /run/secrets/s /run/secrets/named > /secrets
RUN echo $ONE$TWO $(ulimit -n) > /args; grep there /etc/hosts > /hosts
""")
    it("build")
    it("up", "-d")
    assert it.sh("a", "cat /base /m /secrets /args; grep -c there /hosts") == "base\nmorefrom-filefrom-env12 77\n1\n"
    assert it.inspect("a")["Config"]["Labels"]["built"] == "yes"
    assert "second-name" in it.tool.pybuild("images", "--format", "{{.Repository}}").out.split()


def test_build_options(stack: Stacks) -> None:
    it = stack(services("  a:\n    build: {dockerfile_inline: \"FROM busybox\\nARG V=1\\nRUN echo $$V > /v\"}\n    image: mine-a:1\n    command: cat /v\n",
                        "  b: {build: {dockerfile_inline: \"FROM busybox\"}, depends_on: [a]}\n"))
    it("build", "--build-arg", "V=2", "a")
    assert it("run", "--rm", "a").out == "2\n"
    bake = json.loads(it("build", "--print").out)
    assert bake["target"]["a"]["tags"] == ["mine-a:1"]
    assert "CACHED" in it("build", "a", "--build-arg", "V=2").err
    assert "CACHED" not in it("build", "--no-cache", "--build-arg", "V=2", "a").err
    assert it("build", "-q").err == ""
    it("build", "--check")


def test_a_build_that_fails(stack: Stacks) -> None:
    it = stack(services("  a: {build: {dockerfile_inline: \"FROM busybox\\nRUN exit 3\"}}\n", "  b: {build: nothing-there}\n", sleeping(name="c")))
    done = it.fails("up", "-d")
    assert "service `a`" in done.err and "nothing-there" in done.err and " --> compose.yaml:3:" in done.err
    assert it.rows() == []


def test_build_caches_elsewhere(stack: Stacks) -> None:
    it = stack(services("  a:\n    build:\n      dockerfile_inline: \"FROM busybox\\nRUN echo kept > /v\"\n"
                        "      cache_to: ['type=local,dest=cache,mode=max']\n      cache_from: ['type=local,src=cache']\n"))
    it("build")
    assert (it.directory / "cache" / "index.json").exists()
    it.write("compose.yaml", services("  a: {build: {dockerfile_inline: \"FROM busybox\", cache_from: ['type=bogus']}}\n"))
    assert "`services.a.build.cache_from[0]`" in it.fails("build").err


def test_no_build(stack: Stacks) -> None:
    it = stack(services("  a: {build: {dockerfile_inline: \"FROM busybox\"}}\n"))
    assert "--no-build" in it.fails("up", "-d", "--no-build").err


def test_images_of_this_machine(stack: Stacks) -> None:
    it = stack("services: {a: {image: host/base, command: sh -c 'echo made of this machine'}}\n")
    it("up", "-d")
    it.until(lambda: "made of this machine" in it.logs("a"))
    assert it.run("plan").err == ""


# ---------------------------------------------------------------- version and config
def test_version_and_config(stack: Stacks) -> None:
    it = stack(services(sleeping("environment: {A: '$$x'}")))
    assert it("version", "--short").out.strip().count(".") == 2
    assert json.loads(it("version", "-f", "json").out)["version"]
    assert "A: $$x" in it("config").out
    assert json.loads(it("config", "--format", "json").out)["services"]["a"]["environment"] == {"A": "$$x"}
    assert it("config", "--services").out == "a\n"
    assert it("config", "-q").out == ""
    assert it("config", "--hash", "*").out.startswith("a ")
    it.write("vars.yaml", services(sleeping("environment: ['A=${ONE:-1}', 'B=${TWO:?say}']")))
    assert json.loads(it("-f", "vars.yaml", "config", "--variables", "--format", "json").out)["ONE"] == {
        "Name": "ONE", "DefaultValue": "1", "PresenceValue": "", "Required": False}
    assert "  required: true" in it("-f", "vars.yaml", "config", "--variables", "--format", "yaml").out
    assert it("-f", "vars.yaml", "config", "--variables").out.startswith("NAME ")
    it("config", "-o", "out.yaml")
    assert "services:" in (it.directory / "out.yaml").read_text()
    assert "services:" in it("convert").out


def test_a_project_is_published_and_taken_from_its_registry(stack: Stacks) -> None:
    it = stack(services(sleeping("env_file: a.env\nconfigs: [c]")) + "configs: {c: {content: 'said ${WORD:-nothing}'}}\n")
    it.write("a.env", "A=from the file\n")
    with FakeRegistry() as registry:
        name = f"{registry.host}/shop"
        assert "--with-env" in it.fails("publish", name).err
        assert "would publish" in it("publish", "--with-env", "--dry-run", name).out and not registry.manifests
        for version in ("1.1", "1.0"):
            assert "published: sha256:" in it("publish", "--with-env", "--oci-version", version, f"{name}:{version}").err
        for version in ("1.1", "1.0"):
            (it.directory / "compose.yaml").unlink(missing_ok=True)
            (it.directory / "a.env").unlink(missing_ok=True)
            assert "--allow remote" in it.fails("-f", f"oci://{name}:{version}", "config").err
            found = it("--allow", "remote", "-f", f"oci://{name}:{version}", "config", env={"WORD": "much"}).out
            assert "A: from the file" in found and "content: said much" in found
        it("--allow", "remote", "-f", f"oci://{name}:1.1", "up", "-d")
        assert "has no" in it.fails("--allow", "remote", "-f", f"oci://{registry.host}/none", "config").err
    it.write("compose.yaml", services(sleeping()))
    assert it.sh("a", "echo $A; cat /c") == "from the file\nsaid nothing"


def test_what_cannot_be_published(stack: Stacks) -> None:
    it = stack(services(sleeping("volumes: ['./x:/x']")))
    assert "`./x`" in it.fails("publish", "127.0.0.1:1/x").err
    it.write("compose.yaml", services("  a: {build: .}\n"))
    assert "has no name" in it.fails("publish", "127.0.0.1:1/x").err
    it.write("compose.yaml", services("  a: {build: ., image: nowhere.example/a}\n"))
    assert "`pyup build a`" in it.fails("publish", "--app", "127.0.0.1:1/x").err


def test_an_application_is_published_with_its_images(stack: Stacks, tmp_path: Path) -> None:
    it = stack(services(sleeping(), "  b: {image: mine, build: {dockerfile_inline: \"FROM busybox\\nRUN echo built > /x\"}, command: sleep 1000}\n"))
    it("build")
    with FakeRegistry() as registry:
        name = f"{registry.host}/shop:1.0"
        assert f"would push {name}-b" in it("publish", "--app", "--dry-run", name).out and not registry.manifests
        it("publish", "--app", name)
        assert {"1.0", "1.0-a", "1.0-b"} <= set(registry.manifests["shop"])
        _, data = next(one for one in registry.manifests["shop"].values() if one[0].endswith("index.v1+json"))
        index = json.loads(data)
        assert index["subject"]["digest"] == digest_of(registry.manifests["shop"]["1.0"][1]) and len(index["manifests"]) == 2
        elsewhere = Stack(Tool(tmp_path / "r"), tmp_path / "e", services())
        try:
            elsewhere("--allow", "remote", "-f", f"oci://{name}", "up", "-d")
            assert elsewhere("--allow", "remote", "-f", f"oci://{name}", "exec", "-T", "b", "cat", "/x").out == "built\n"
        finally:
            elsewhere("--allow", "remote", "-f", f"oci://{name}", "down", "-t", "0")


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".."])
def test_a_published_file_stays_in_its_directory(stack: Stacks, name: str) -> None:
    it = stack(services(sleeping()))
    with FakeRegistry() as registry:
        it("publish", f"{registry.host}/shop")
        kind, data = registry.manifests["shop"]["latest"]
        document = json.loads(data)
        layer = document["layers"][0]
        document["layers"].append({**layer, "mediaType": "application/vnd.docker.compose.envfile", "annotations": {"com.docker.compose.envfile": name}})
        registry.manifests["shop"]["latest"] = (kind, json.dumps(document).encode())
        assert "it has a file called" in it.fails("--allow", "remote", "-f", f"oci://{registry.host}/shop", "config").err
