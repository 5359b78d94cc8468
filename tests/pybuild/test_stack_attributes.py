"""What attributes of services do in their containers."""

import glob
import os
import shutil
from pathlib import Path

import pytest

from tests.pybuild.stacking import Stacks, services, sleeping
from tests.users import needs_root

pytestmark = pytest.mark.userns

# attributes, a shell line in the container, what it prints
INSIDE = [
    ("environment: {A: x, B: '', C: }", "echo $A-$B-${C-unset}", "x--unset\n"),
    ("environment: ['A=x y', 'B=$$1']", "echo \"$A|$B\"", "x y|$1\n"),
    ("hostname: h1\ndomainname: d.example", "hostname; cat /proc/sys/kernel/domainname", "h1\nd.example\n"),
    ("working_dir: /tmp/w", "pwd", "/tmp/w\n"),
    ("user: '1000:1001'", "id -u; id -g", "1000\n1001\n"),
    ("user: '1000'\ngroup_add: ['77', '78']", "id -G", "0 77 78\n"),
    ("read_only: true", "touch /x 2>/dev/null || echo refused", "refused\n"),
    ("read_only: true\ntmpfs: /scratch", "touch /scratch/x && echo made", "made\n"),
    ("tmpfs: ['/t:size=1m,mode=700']", "df -k /t | tail -1 | awk '{print $2}'; stat -c %a /t", "1024\n700\n"),
    ("volumes: [{type: tmpfs, target: /t, tmpfs: {size: 2m, mode: 0o750}}]", "df -k /t | tail -1 | awk '{print $2}'; stat -c %a /t", "2048\n750\n"),
    ("shm_size: 32m", "df -k /dev/shm | tail -1 | awk '{print $2}'", "32768\n"),
    ("cap_drop: [ALL]", "grep CapEff /proc/self/status | cut -f 2", "0000000000000000\n"),
    ("cap_drop: [ALL]\ncap_add: [NET_ADMIN]", "grep CapEff /proc/self/status | cut -f 2", "0000000000001000\n"),
    ("ulimits: {nofile: {soft: 100, hard: 200}, nproc: 300}", "ulimit -n; ulimit -H -n", "100\n200\n"),
    ("sysctls: {net.core.somaxconn: 99}", "cat /proc/sys/net/core/somaxconn", "99\n"),
    ("extra_hosts: ['one:10.1.2.3', 'one=10.1.2.4', 'two:::1']", "grep -E 'one|two' /etc/hosts | tr -s ' \\t' ' '",
     "10.1.2.3 one\n10.1.2.4 one\n::1 two\n"),
    ("dns: 10.9.9.9\ndns_search: [a.example, b.example]\ndns_opt: ['ndots:2']", "grep -E 'search|ndots' /etc/resolv.conf | tr -s ' '",
     "search a.example b.example\noptions ndots:2\n"),
    ("init: true", "ps -o pid,args | grep -c '^ *2 sleep'", "1\n"),
    ("oom_score_adj: 300", "cat /proc/1/oom_score_adj", "300\n"),
    ("security_opt: ['no-new-privileges:true']", "grep NoNewPrivs /proc/1/status | cut -f 2", "1\n"),
    ("security_opt: ['seccomp=unconfined']", "grep ^Seccomp: /proc/1/status | cut -f 2", "0\n"),
    ("privileged: true", "grep CapEff /proc/self/status | cut -f 2 | grep -c ffff", "1\n"),
    ("devices: ['/dev/null:/dev/mine']", "echo x > /dev/mine && ls -l /dev/mine | cut -c 1", "c\n"),
    ("devices: ['/dev/zero:/srv/deep/mine']", "head -c 3 /srv/deep/mine | wc -c; chmod 600 /srv/deep/mine 2>/dev/null || echo kept", "3\nkept\n"),
    ("ipc: private\npid: host", "test -e /proc/2 && echo host", "host\n"),
    ("network_mode: none", "ip -o link | grep -c .", "1\n"),
    ("network_mode: none\nextra_hosts: ['x=9.9.9.9', 'y=host-gateway']", "grep -c '[xy]$' /etc/hosts", "1\n"),
    ("network_mode: host\nextra_hosts: ['x1=9.9.9.9', 'y1=host-gateway']", "grep '[xy]1$' /etc/hosts", "9.9.9.9\tx1\n127.0.0.1\ty1\n"),
    ("network_mode: host\ndns: [10.9.9.9]\ndns_search: [a.example]\ndns_opt: ['ndots:3']", "cat /etc/resolv.conf",
     "nameserver 10.9.9.9\nsearch a.example\noptions ndots:3\n"),
    ("tmpfs: '/t:nr_inodes=64,size=10%'", "df -i /t | tail -1 | awk '{print $2}'", "64\n"),
    ("network_mode: host", "test -e /proc/sys/net && hostname > /dev/null && echo ok", "ok\n"),
    ("stdin_open: true\ntty: true", "test -c /proc/1/fd/0 && echo terminal", "terminal\n"),
    ("mac_address: 02:00:00:00:12:34", "cat /sys/class/net/eth0/address", "02:00:00:00:12:34\n"),
]


@pytest.mark.parametrize(("attributes", "line", "printed"), INSIDE, ids=[one[0][:40] for one in INSIDE])
def test_attribute_inside(stack: Stacks, attributes: str, line: str, printed: str) -> None:
    it = stack(services(sleeping(attributes)))
    it("up", "-d")
    assert it.sh("a", line) == printed


@needs_root                                               # a user has control groups from systemd only: tests/sandbox/test_guest.py
@pytest.mark.parametrize(("attributes", "line", "printed"), [
    ("pids_limit: 50", "cat /sys/fs/cgroup/pids.max /sys/fs/cgroup/pids/pids.max 2>/dev/null; true", "50\n"),
    ("mem_limit: 64m", "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null; true", "67108864\n"),
    ("deploy: {resources: {limits: {memory: 48m, pids: 40}}}",
     "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null; true", "50331648\n")], ids=["pids", "memory", "deploy"])
def test_limit_inside(stack: Stacks, attributes: str, line: str, printed: str) -> None:
    test_attribute_inside(stack, attributes, line, printed)


def test_command_and_entrypoint(stack: Stacks) -> None:
    it = stack(services(
        "  a: {image: busybox, command: echo 'a b' c}\n", "  b: {image: busybox, command: [echo, 'a b', c]}\n",
        "  c: {image: busybox, entrypoint: [echo, e], command: x}\n", "  d: {image: busybox, entrypoint: echo only}\n"))
    it("up", "-d")
    it.until(lambda: all(state == "exited" for name in "abcd" for state in it.states(name)))
    assert [it.logs("--no-log-prefix", name) for name in "abcd"] == ["a b c\n", "a b c\n", "e x\n", "only\n"]


def test_an_entrypoint_that_is_taken_away_leaves_the_command(stack: Stacks) -> None:
    it = stack(services("  a:\n    build: {dockerfile_inline: \"FROM busybox\\nENTRYPOINT [\\\"echo\\\", \\\"entry\\\"]\\nCMD [\\\"echo\\\", \\\"cmd\\\"]\"}\n"
                        "    entrypoint: []\n"))
    it("up", "-d")
    it.until(lambda: it.logs("--no-log-prefix", "a") == "cmd\n")


def test_env_files_and_what_wins(stack: Stacks) -> None:
    it = stack(services(sleeping("env_file: [one.env, {path: two.env}, {path: none.env, required: false}]\nenvironment: {C: own}")))
    it.write("one.env", "A=1\nB=1\nC=1\n")
    it.write("two.env", "B=2\n")
    it("up", "-d")
    assert it.sh("a", "echo $A$B$C") == "12own\n"


def test_volumes_of_every_kind(stack: Stacks) -> None:
    it = stack(services(sleeping(
        "volumes:\n  - ./made:/bind\n  - ./file:/one:ro\n  - data:/data\n  - /anonymous\n"
        "  - {type: volume, source: data, target: /sub, volume: {subpath: below}}\n  - {type: image, source: busybox, target: /image}"), )
        + "volumes: {data: }\n")
    it.write("file", "text")
    it("create")
    data = it.tool.root / "volumes" / f"{it.name}_data" / "_data" / "below"
    data.mkdir(parents=True)
    (data / "deep").write_text("deep")
    it("start")
    assert it.sh("a", "touch /bind/x; cat /one /sub/deep; ls /image/bin/busybox; touch /one 2>/dev/null || echo ro") == "textdeep/image/bin/busybox\nro\n"
    assert (it.directory / "made" / "x").exists()


def test_a_bind_whose_source_is_not_to_be_made(stack: Stacks) -> None:
    it = stack(services(sleeping("volumes: [{type: bind, source: ./none, target: /x, bind: {create_host_path: false}}]")))
    assert "none" in it.fails("up", "-d").err
    assert not (it.directory / "none").exists()


def test_a_new_volume_gets_what_the_image_has(stack: Stacks) -> None:
    it = stack(services("  a:\n    build: {dockerfile_inline: \"FROM busybox\\nRUN mkdir /data && echo image > /data/f\"}\n    command: sleep 1000\n"
                        "    stop_grace_period: 0s\n    volumes: ['v:/data', {type: volume, source: w, target: /other, volume: {nocopy: true}}]\n")
               + "volumes: {v: , w: }\n")
    it("up", "-d")
    assert it.sh("a", "cat /data/f; ls /other") == "image\n"


def test_volumes_from(stack: Stacks) -> None:
    it = stack(services(sleeping("volumes: [v:/data]"), sleeping("volumes_from: ['a:ro']", "b")) + "volumes: {v: }\n")
    it("up", "-d")
    it.sh("a", "echo x > /data/f")
    assert it.sh("b", "cat /data/f; touch /data/g 2>/dev/null || echo ro") == "x\nro\n"


def test_configs_and_secrets_of_every_source(stack: Stacks) -> None:
    it = stack(services(sleeping(
        "configs: [f, {source: c, target: /etc/c.conf, uid: '7', gid: '8', mode: 0o440}, e]\n"
        "secrets: [s, {source: t, target: renamed, mode: 0o400, uid: '9'}]"))
        + "configs: {f: {file: ./f.txt}, c: {content: 'inline ${X}'}, e: {environment: X}}\n"
          "secrets: {s: {file: ./s.txt}, t: {environment: X}}\n", env={"X": "variable"})
    it.write("f.txt", "from a file")
    it.write("s.txt", "secret")
    it("up", "-d")
    assert it.sh("a", "cat /f /etc/c.conf /e /run/secrets/s /run/secrets/renamed") == "from a fileinline variablevariablesecretvariable"
    assert it.sh("a", "stat -c '%u %g %a' /f /etc/c.conf /run/secrets/renamed") == "0 0 444\n7 8 440\n9 0 400\n"
    assert "variable" not in it.sh("a", "env")


@pytest.mark.parametrize("changed", ["f.txt", "s.txt"])
def test_changed_content_recreates(stack: Stacks, changed: str) -> None:
    it = stack(services(sleeping("configs: [f]\nsecrets: [s]")) + "configs: {f: {file: ./f.txt}}\nsecrets: {s: {file: ./s.txt}}\n")
    it.write("f.txt", "1")
    it.write("s.txt", "1")
    it("up", "-d")
    before = it.ids("a")
    it.write(changed, "2")
    plan = it.run("plan")
    assert plan.status == 2
    assert "content of" in plan.out and "changed" in plan.out
    it("up", "-d")
    assert it.ids("a") != before
    assert it.sh("a", "cat /f /run/secrets/s") == ("21" if changed == "f.txt" else "12")


def test_a_secret_that_no_variable_has(stack: Stacks) -> None:
    it = stack(services(sleeping("secrets: [s]")) + "secrets: {s: {environment: NOT_THERE}}\n")
    assert "NOT_THERE" in it.fails("up", "-d").err


def test_an_external_secret_is_refused(stack: Stacks) -> None:
    it = stack(services(sleeping("secrets: [s]")) + "secrets: {s: {external: true}}\n")
    assert "cluster" in it.fails("up", "-d").err


# ---------------------------------------------------------------- networks
def test_names_and_aliases_on_networks(stack: Stacks) -> None:
    it = stack(services(
        sleeping("networks: {one: {aliases: [other-name]}, two: }"), sleeping("networks: [one]", "b"), sleeping("networks: [two]", "c"))
        + "networks: {one: , two: }\n")
    it("up", "-d")

    def reaches(service: str, name: str) -> bool:
        return it.run("exec", "-T", service, "ping", "-c", "1", "-W", "1", name).status == 0

    assert reaches("b", "a") and reaches("b", "other-name") and reaches("c", "a")
    assert reaches("b", f"{it.name}-a-1")
    assert not reaches("c", "other-name") and not reaches("b", "c")


def test_replicas_answer_to_one_name(stack: Stacks) -> None:
    it = stack(services(sleeping("scale: 2"), sleeping(name="b")))
    it("up", "-d")
    assert it.sh("b", "nslookup a 127.0.0.11 2>/dev/null | grep -A 9 Name | grep -c 'Address'") == "2\n"


def test_links(stack: Stacks) -> None:
    it = stack(services(sleeping("links: ['b:linked']"), sleeping(name="b")))
    it("up", "-d")
    assert it.sh("a", "ping -c 1 -W 2 linked | grep -c '1 packets received'") == "1\n"
    assert it.run("exec", "-T", "b", "ping", "-c", "1", "-W", "1", "linked").status != 0


def test_fixed_addresses_and_ipam(stack: Stacks) -> None:
    it = stack(services(sleeping("networks: {n: {ipv4_address: 10.202.3.77}}"))
               + "networks: {n: {ipam: {config: [{subnet: 10.202.3.0/24, gateway: 10.202.3.9}]}, driver_opts: {com.docker.network.driver.mtu: 1400}}}\n")
    it("up", "-d")
    assert "10.202.3.77" in it.sh("a", "ip addr show eth0")
    assert "10.202.3.9" in it.sh("a", "ip route")
    assert "mtu 1400" in it.sh("a", "ip link show eth0")


def test_another_services_namespaces(stack: Stacks) -> None:
    it = stack(services(sleeping("ipc: shareable"), sleeping("network_mode: service:a\npid: service:a\nipc: service:a", "b")))
    it("up", "-d")
    assert it.sh("a", "readlink /proc/self/ns/net") == it.sh("b", "readlink /proc/self/ns/net")
    it.sh("b", "echo shared > /dev/shm/f")
    assert it.sh("a", "cat /dev/shm/f") == "shared\n"
    before = it.ids("b")
    it("up", "-d", "--force-recreate", "a")
    it("up", "-d")
    assert it.ids("b") != before
    assert it.sh("a", "readlink /proc/self/ns/net") == it.sh("b", "readlink /proc/self/ns/net")


def test_published_ports(stack: Stacks) -> None:
    it = stack(services(
        "  a:\n    image: busybox\n    command: sh -c 'mkdir /w; echo page > /w/index.html; httpd -f -p 80 -h /w'\n    stop_grace_period: 0s\n"
        "    ports: ['127.0.0.1:0:80', '18971:53/udp', '18972-18973:9000-9001']\n    expose: ['77', '80-81/udp']\n"))
    it("up", "-d")
    where = it("port", "a", "80").out.strip()
    assert where.startswith("127.0.0.1:")
    from urllib.request import urlopen

    def answers() -> bool:
        try:
            return bool(urlopen(f"http://{where}/", timeout=2).read() == b"page\n")
        except OSError:
            return False

    it.until(answers)
    assert it("port", "--protocol", "udp", "a", "53").out.strip().endswith(":18971")
    assert it("port", "a", "9001").out.strip().endswith(":18973")
    it.fails("port", "a", "1")


def test_a_port_that_is_taken(stack: Stacks) -> None:
    one = stack(services(sleeping("ports: ['18974:80']")))
    other = stack(services(sleeping("ports: ['18974:80']"), sleeping(name="b")))
    one("up", "-d")
    done = other.fails("up", "-d")
    assert "18974" in done.err
    assert (other.states("a"), other.states("b")) == (["created"], ["running"])
    one("down", "-t", "0")
    other("up", "-d")
    assert other.states("a") == ["running"]


# ---------------------------------------------------------------- what is refused, and how it is said
@pytest.mark.parametrize(("attributes", "word"), [
    ("credential_spec: {file: x}", "Windows"), ("use_api_socket: true", "Engine API"), ("security_opt: ['nonsense:1']", "nonsense"),
    ("logging: {options: {max-size: huge}}", "max-size"), ("configs: [{source: c, uid: root}]", "uid"), ("devices: ['vendor.com/class=x']", "class=x"),
    ("gpus: [{driver: nvidia, count: 9}]", "nvidia"), ("cap_add: [NONSENSE]", "NONSENSE"), ("sysctls: {kernel.hostname: x}", "kernel.hostname"),
    ("network_mode: container:x\nports: ['80']", "ports"), ("network_mode: container:x\nhostname: h", "hostname"),
    ("network_mode: container:x\nextra_hosts: ['a=1.1.1.1']", "extra_hosts"), ("uts: host\nhostname: h", "uts"),
    ("volumes: [{type: npipe, source: x, target: /y}]", "pipe of Windows")])
def test_attributes_that_cannot_be_had(stack: Stacks, attributes: str, word: str) -> None:
    it = stack(services(sleeping(attributes)) + "configs: {c: {content: x}}\n")
    done = it.fails("up", "-d")
    assert word in done.err
    assert done.status == 1


@pytest.mark.parametrize(("attributes", "path"), [
    ("pid: bogus", "pid"), ("ipc: bogus", "ipc"), ("uts: bogus", "uts"), ("userns_mode: bogus", "userns_mode"), ("userns_mode: keep-id", "userns_mode"),
    ("working_dir: relative", "working_dir"), ("stop_signal: SIGBOGUS", "stop_signal"), ("ulimits: {bogus: 1}", "ulimits.bogus"),
    ("ulimits: {nofile: {soft: 9, hard: 8}}", "ulimits.nofile"), ("mem_limit: 1k", "mem_limit"), ("blkio_config: {weight: 5}", "blkio_config.weight"),
    ("devices: ['/dev/null:etc/x']", "devices[0]"), ("cgroup_parent: ../x", "cgroup_parent"),
    ("blkio_config: {weight_device: [{path: /dev/null, weight: 5}]}", "blkio_config.weight_device[0]"), ("devices: ['/dev/null:/dev/x:q']", "devices[0]"), ("tmpfs: ['/x:bogus']", "tmpfs[0]"),
    ("tmpfs: rel", "tmpfs[0]"), ("volumes: ['./x:rel']", "volumes[0]"), ("volumes: ['./x:/']", "volumes[0]"),
    ("volumes: [{type: volume, target: /x, volume: {subpath: ../y}}]", "volumes[0].volume.subpath"), ("environment: ['=x']", "environment"),
    ("healthcheck: {test: 'true', interval: 1us}", "healthcheck.interval"), ("cap_add: [NONSENSE]", "cap_add[0]"),
    ("hostname: a/b", "hostname"), ("networks: {default: {aliases: ['a/b']}}", "networks.default.aliases"), ("dns: none", "dns[0]"),
    ("networks: {default: {ipv4_address: none}}", "networks.default.ipv4_address"), ("mac_address: zz", "mac_address"),
    ("extra_hosts: ['a=none']", "extra_hosts"), ("platform: a/b/c/d", "platform"), ("container_name: xx\nimage: BAD", "image")])
def test_what_cannot_be_had_is_shown_where_it_is_written(stack: Stacks, attributes: str, path: str) -> None:
    text = services(sleeping(attributes)) if "image:" not in attributes else services("  a:\n" + "".join(f"    {x}\n" for x in attributes.splitlines()))
    it = stack(text)
    done = it.fails("up", "-d")
    assert f"`services.a.{path}`" in done.err and " --> compose.yaml:" in done.err
    assert "Creating" not in done.err and it.rows() == []


def test_a_start_that_fails_names_the_service(stack: Stacks) -> None:
    it = stack(services(sleeping("user: nobody-knows")))
    assert " --> compose.yaml:2:3\n" in it.fails("up", "-d").err


def test_an_image_of_another_platform_is_not_taken(stack: Stacks) -> None:
    it = stack(services(sleeping("platform: linux/s390x\npull_policy: never")))
    assert "linux/s390x" in it.fails("up", "-d").err


def test_images_are_looked_for_again_when_their_time_has_come(stack: Stacks) -> None:
    it = stack(services(sleeping("pull_policy: daily"), sleeping("pull_policy: every_0s", "b").replace("image: busybox", "image: 'localhost:1/b'")))
    it.tool.pybuild("tag", "busybox", "localhost:1/b")
    plan = it.run("plan").out
    assert "pull image localhost:1/b" in plan and "pull image busybox" not in plan


def test_models_and_providers_are_one_clear_error(stack: Stacks) -> None:
    it = stack(services(sleeping("models: [m]")) + "models: {m: {model: ai/x}}\n")
    assert "models" in it.fails("up", "-d").err
    it.write("compose.yaml", services("  p: {provider: {type: x}}\n"))
    assert "--allow provider" in it.fails("up", "-d").err


def test_what_runs_out_of_memory_waits_where_it_is_not_to_be_killed(stack: Stacks) -> None:
    it = stack(services(sleeping("oom_kill_disable: true\nmem_limit: 32m")))
    said = it("up", "-d").err
    found = it.sh("a", "cat /sys/fs/cgroup/memory/memory.oom_control 2>/dev/null || true")
    assert ("oom_kill_disable 1" in found) != ("killed all the same" in said or "not enforced" in said)


def test_a_device_node_that_every_container_has_can_be_a_volume(stack: Stacks) -> None:
    it = stack(services(sleeping("volumes: ['/dev/null:/etc/nothing']")))
    it("up", "-d")
    assert it.sh("a", "cat /etc/nothing && echo x >/etc/nothing && echo fine") == "fine\n"


@needs_root
def test_nodes_that_a_rule_permits_can_be_opened_in_a_directory_of_dev(stack: Stacks) -> None:
    it = stack(services(sleeping("volumes: ['/dev:/host']\ndevice_cgroup_rules: ['c 1:9 rwm']")))
    assert "no effect" not in it("up", "-d").err
    assert it.sh("a", "head -c 4 /host/urandom | wc -c; (: </host/kmsg) 2>/dev/null || echo refused") == "4\nrefused\n"


@needs_root
def test_a_device_is_only_read_where_only_that_is_permitted_or_it_is_said(stack: Stacks) -> None:
    device = next((one for one in ("/dev/fuse", "/dev/net/tun") if os.path.exists(one)), None)
    if device is None:
        pytest.skip("this machine has no device that is not in every container and that opening does not change")
    it = stack(services(sleeping(f"devices: ['{device}:/dev/n:r']")))
    said = it("up", "-d").err
    assert it.sh("a", "(: </dev/n) && echo r; (: >/dev/n) 2>/dev/null && echo w; true") == ("r\nw\n" if "whatever is permitted" in said else "r\n")


@needs_root
def test_what_is_executed_later_may_open_no_other_devices_either(stack: Stacks) -> None:
    open_tun = "mkdir -p /x; mount -t tmpfs none /x; mknod /x/%s c 10 %d; (: </x/%s) && echo open || echo refused"
    it = stack(services(sleeping("cap_add: [SYS_ADMIN]\nsecurity_opt: ['seccomp=unconfined', 'apparmor=unconfined']\n"
                                 "device_cgroup_rules: ['c 1:11 r']")))
    done = it.run("up", "-d")
    if "without a device cgroup" in done.err:
        pytest.skip("no control group of this machine holds devices")
    assert it.sh("a", open_tun % ("tun", 200, "tun")) == "refused\n"


@pytest.mark.parametrize("runtime", ["", "runc", "crun"])
def test_a_control_group_is_below_its_parent_or_it_is_said(stack: Stacks, runtime: str) -> None:
    if runtime and not shutil.which(runtime):
        pytest.skip(f"{runtime} is not installed")
    parent = f"pybuild-test-{os.getpid()}"
    it = stack(services(sleeping(f"cgroup_parent: /{parent}/inner\nmem_limit: 64m\nruntime: '{runtime}'")))
    said = it("up", "-d").err
    found = glob.glob(f"/sys/fs/cgroup/**/{parent}/inner/*/cgroup.procs", recursive=True)
    try:
        assert all(Path(one).read_text().split() for one in found) and bool(found) != ("not enforced" in said)
        it("down", "-t", "0")
        assert not glob.glob(f"/sys/fs/cgroup/**/{parent}/inner/*/cgroup.procs", recursive=True)
    finally:
        for name in ("inner", ""):
            for one in glob.glob(f"/sys/fs/cgroup/**/{parent}/{name}", recursive=True):
                os.rmdir(one)


def test_sysctls_of_an_interface_are_set(stack: Stacks) -> None:
    option = "com.docker.network.endpoint.sysctls: net.ipv4.conf.IFNAME.log_martians=1"
    it = stack(services(sleeping(f"networks: {{default: {{driver_opts: {{{option}, odd: '1'}}}}}}")) + "networks: {default: {driver_opts: {strange: '1'}}}\n")
    said = it("up", "-d").err
    assert "driver_opts.odd` has no effect" in said and "driver_opts.strange` has no effect" in said
    assert it.sh("a", "cat /proc/sys/net/ipv4/conf/eth0/log_martians") == "1\n"


@pytest.mark.parametrize("key", ["mem_reservation", "shm_size"])
def test_less_than_no_memory_is_one_error(stack: Stacks, key: str) -> None:
    said = stack(services(sleeping(f"{key}: -1"))).fails("up", "-d").err
    assert said.count("error: ") == 1 and f"services.a.{key}` is -1" in said


@pytest.mark.parametrize("rule", ["c 1", "x 1:3 r", "c 1:3 q", "c 1:a r", "c 1:3"])
def test_a_bad_device_rule_is_one_error(stack: Stacks, rule: str) -> None:
    it = stack(services(sleeping(f"device_cgroup_rules: ['{rule}']")))
    assert "device_cgroup_rules" in it.fails("up", "-d").err


@pytest.mark.parametrize(("attributes", "word"), [
    ("logging: {driver: syslog}", "syslog"), ("device_cgroup_rules: ['c 1:3 r']", "device_cgroup_rules"),
    ("network_mode: none\nports: ['80']", "ports"), ("security_opt: ['apparmor=mine']", "AppArmor"), ("security_opt: ['label:type:x']", "SELinux"),
    ("oom_kill_disable: true", "without a limit"), ("storage_opt: {size: 1G}", "storage_opt")])
def test_attributes_without_effect_are_told(stack: Stacks, attributes: str, word: str) -> None:
    it = stack(services(sleeping(attributes)))
    assert word in it("up", "-d").err


@needs_root
@pytest.mark.parametrize("runtime", ["runc", "crun"])
def test_rules_of_devices_count_with_another_runtime(stack: Stacks, runtime: str) -> None:
    if not shutil.which(runtime):
        pytest.skip(f"{runtime} is not installed")
    it = stack(services(sleeping(f"runtime: {runtime}\ndevices: ['/dev/zero:/srv/z']\nvolumes: ['/dev:/host']\ndevice_cgroup_rules: ['c 1:11 rw']")))
    it("up", "-d")
    assert it.sh("a", "head -c 1 /srv/z | wc -c; (: >/host/kmsg) 2>/dev/null && echo open || echo refused") == "1\nopen\n"
