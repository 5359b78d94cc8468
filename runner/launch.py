"""A start: what a container needs is found and made ready, a shim is asked for, and given its order.

The order of things: mounts, network, files of the network, spec, shim. What was taken from the network is given back if the rest fails.
"""

import os

from kernel.value import Value
from runner import cleanup
from runner.contact import Contact, taken_over
from runner.container import Container, process_of
from runner.endpoint import Attachment, Endpoint, Membership, PortMapping
from runner.errors import Conflict, InvalidOption
from runner.lower import Found, lower, probe_spec
from runner.nodes import expanded, inner, openable
from runner.order import Order, pack
from runner.signals import parse_signal
from runner.state import State, boot_id
from runner.upkeep import CREATED
from sandbox import runtimes
from sandbox.isolation import CHROOT, of_containers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runner.container import ContainerSpec
    from runner.engine import Engine
    from runner.state import Place
    from sandbox.spec import SandboxSpec
    from store.view import View

_FILE_MAX = 1 << 20
_BRIDGE = "bridge"
_GATEWAY = "host-gateway"                                 # as an address: this machine


class Net(Value):
    """How a container stands in the network. mode: for SandboxSpec; fd: to be closed once the shim has it, else -1."""

    mode: "str | int"
    fd: int
    hostname: str
    hosts: str
    resolv_conf: str
    attachment: "Attachment | None" = None


def begin(engine: "Engine", container: Container, lock: int, *, attached: bool, reaper: bool, console_size: "tuple[int, int]") -> Contact:
    """Ask for its shim, which answers later: see `finish`. `lock`: held, stays the caller's to close; the shim has it too then."""
    place, spec = engine.place(container.id), container.spec
    isolation = of_containers(spec.isolation)
    if isolation.kind == CHROOT:
        return _begin_confined(engine, container, lock, isolation.reason, attached, reaper, console_size)
    fds: list[int] = []
    before = place.read()
    try:
        runtime = engine.store.images.runtime(container.image_id)
        sources, images, contents = sources_of(engine, container, runtime.lowerdirs)
        pid, ipc, uts = (_namespace(engine, getattr(spec, f"{kind}_mode"), kind, fds) for kind in ("pid", "ipc", "uts"))
        shm = _namespace(engine, spec.ipc_mode, "mnt", fds)
        users, own_network = _user_namespace(container, fds)
        net = _join(engine, container, own_network)
        if net.fd >= 0:
            fds.append(net.fd)
        try:
            _write_files(place, net)
            if spec.auto_remove:
                _fresh_work(place)
            found = Found(runtime.lowerdirs or (_empty(place),), place.fs, place.work, place.path, net.hostname, net.mode, spec.auto_remove,
                          pid, ipc, uts, shm if isinstance(shm, int) else -1, sources, images, contents,
                          runtimes.find(spec.runtime, os.environ.get("PATH", os.defpath)), users,
                          openable(spec.mounts, spec.device_cgroup_rules), inner(spec.mounts, spec.device_cgroup_rules), expanded(spec.devices),
                          _tuned(spec, net.attachment))
            order = _order(engine, container, lock, lower(container, found), before, net, attached, reaper, console_size)
            fds.append(order.home)
            return _ask(engine, container, order)
        except BaseException:
            if net.attachment and engine.network:
                engine.network.detach(container.id)
            raise
    finally:
        for fd in fds:
            os.close(fd)


def _begin_confined(engine: "Engine", container: Container, lock: int, why: str, attached: bool, reaper: bool,
                    console_size: "tuple[int, int]") -> Contact:
    """As `begin`, without namespaces."""
    from runner import confining

    confining.check(container)
    confining.free_volumes(engine, container)
    place, spec = engine.place(container.id), container.spec
    before = place.read()
    runtime = engine.store.images.runtime(container.image_id)
    sources, images, contents = sources_of(engine, container, runtime.lowerdirs)
    hostname = spec.hostname or container.short_id
    net = Net("host", -1, hostname, confining.hosts(engine, container, hostname, _text("/etc/hosts")), _resolv_conf(spec, _text("/etc/resolv.conf")))
    _write_files(place, net)
    found = Found(runtime.lowerdirs, place.fs, place.work, place.path, hostname, "host", sources=sources, images=images, contents=contents)
    order = _order(engine, container, lock, confining.confined(engine, container, lower(container, found)), before, net, attached, reaper,
                   console_size)
    state = order.state._replace(warnings=confining.warnings(spec, why), ports=confining.ports((*spec.ports, *_published(container))))
    try:
        return _ask(engine, container, order._replace(state=state))
    finally:
        os.close(order.home)


def _tuned(spec: "ContainerSpec", attachment: "Attachment | None") -> "tuple[tuple[str, str], ...]":
    if attachment is None or not any(one.driver_opts for one in spec.endpoints):
        return ()
    from runner.tuning import interface_sysctls

    return interface_sysctls(spec.endpoints, attachment.connections)


def _order(engine: "Engine", container: Container, lock: int, sandbox: "SandboxSpec", before: State, net: Net, attached: bool, reaper: bool,
           console_size: "tuple[int, int]") -> Order:
    from runner.engine import event_attributes

    spec, process = container.spec, process_of(container.spec, container.runtime)
    if spec.tty and console_size != (0, 0):
        sandbox = sandbox._replace(terminal=console_size)
    state = State(CREATED, finished_at=before.finished_at, exit_code=before.exit_code, boot=boot_id(),
                  connections=net.attachment.connections if net.attachment else (), ports=net.attachment.ports if net.attachment else ())
    return Order(
        container.id, engine.store.root.path, engine.store.root.run, lock, os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC),
        sandbox.check(), state, spec.open_stdin, spec.stdin_once, spec.log, spec.restart, process.healthcheck,
        probe_spec(container, process.healthcheck) if process.healthcheck else None, parse_signal(process.stop_signal), process.stop_timeout,
        attached, reaper, cleanup.argv(engine.store.root.path, engine.store.root.run, container.id) if spec.auto_remove else (),
        tuple(event_attributes(container).items()), net.attachment is not None)


def _ask(engine: "Engine", container: Container, order: Order) -> Contact:
    os.makedirs(f"{order.run}/c", 0o700, exist_ok=True)
    plain, fds = pack(order)
    with engine.connect() as client:
        return Contact(client.ask_shim((plain,), fds), container.name)


def finish(engine: "Engine", container: Container, contact: Contact) -> Contact:
    """Itself, once the container runs. Raises what its shim says if that cannot start it, and gives back what the network had given."""
    try:
        taken_over(contact)
    except BaseException:
        engine.leave_networks(container)
        raise
    return contact


# ---------------------------------------------------------------- mounts
def sources_of(engine: "Engine", container: Container,
             lowerdirs: "tuple[str, ...]") -> "tuple[dict[str, str], dict[str, tuple[str, ...]], dict[str, bytes]]":
    """(target of a volume -> directory, target of an image -> lower directories, target of a file -> its bytes)."""
    store = engine.store
    sources: dict[str, str] = {}
    images: dict[str, tuple[str, ...]] = {}

    def view() -> "View":
        from store.view import View

        return View(lowerdirs, owners=store.root.owners)

    for mount in container.spec.mounts:
        if mount.kind == "volume":
            sources[mount.target] = engine.volumes.prepare(mount.source, view=None if mount.nocopy else view, target=mount.target,
                                                           subpath=mount.subpath)
        elif mount.kind == "image":
            images[mount.target] = store.images.runtime(store.images.require(mount.source).id).lowerdirs
        elif mount.kind == "bind" and not os.path.lexists(mount.source):
            if not mount.create:
                raise InvalidOption("bind source", mount.source, "does not exist")
            os.makedirs(mount.source, 0o755, exist_ok=True)
    return sources, images, {file.target: _content(file.source) for file in container.spec.files if file.source}


def _content(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            data = file.read(_FILE_MAX + 1)
    except OSError as error:
        raise InvalidOption("secret or config file", path, f"cannot be read: {(error.strerror or '').lower()}") from error
    if len(data) > _FILE_MAX:
        raise InvalidOption("secret or config file", path, "is larger than 1 MiB")
    return data


def _empty(place: "Place") -> str:
    """What the root of an image without layers is stacked on."""
    path = f"{place.path}/empty"
    os.makedirs(path, 0o755, exist_ok=True)
    return path


def _fresh_work(place: "Place") -> None:
    """A volatile overlay leaves a mark in its work directory that forbids to mount it again; whoever asks for it here knows what that means."""
    if os.listdir(place.work):
        from kernel.paths import DIRECTORY, remove_tree

        fd = os.open(place.path, DIRECTORY)
        try:
            remove_tree(fd, "work")
        finally:
            os.close(fd)
        os.mkdir(place.work, 0o700)


# ---------------------------------------------------------------- namespaces and networks
def _namespace(engine: "Engine", mode: str, kind: str, fds: "list[int]") -> "str | int":
    if mode.startswith("container:"):
        fd = _of_container(engine, mode[10:], kind)
        fds.append(fd)
        return fd
    return "host" if mode == "host" else "private"


def _of_container(engine: "Engine", id: str, kind: str) -> int:
    """fd of a namespace of another container, which has to run."""
    other = engine.find(id)
    state = engine.state(other)
    if not state.pid:
        raise Conflict("container", other.name, f"is not running, and its {kind} namespace is to be joined")
    fd = os.open(f"/proc/{state.pid}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC)
    if engine.state(other).pid != state.pid:              # it has ended meanwhile, and the number may be that of a process of the machine
        os.close(fd)
        raise Conflict("container", other.name, f"has just ended, and its {kind} namespace is to be joined")
    return fd


def _user_namespace(container: Container, fds: "list[int]") -> "tuple[str | int, int]":
    """(a new one for each start, with the ids that the container keeps; the network namespace that goes with it, or -1)."""
    if not container.ids:
        return "host", -1
    from sandbox.idmap import make_namespaces

    fds += make_namespaces(*container.ids.maps())
    return fds[-2], fds[-1]


def _join(engine: "Engine", container: Container, namespace: int = -1) -> Net:
    """namespace: fd of the network namespace to be used, if it is one of its own."""
    spec = container.spec
    hostname = spec.hostname or (os.uname().nodename if spec.uts_mode == "host" or spec.network_mode == "host" else container.short_id)
    if spec.network_mode == "host":
        more = "".join(f"{'127.0.0.1' if address == _GATEWAY else address}\t{name}\n" for name, address in spec.extra_hosts)
        return Net("host", -1, hostname, _text("/etc/hosts") + more, _resolv_conf(spec, _text("/etc/resolv.conf")))
    if spec.network_mode.startswith("container:"):
        other = engine.find(spec.network_mode[10:])
        fd = _of_container(engine, other.id, "net")
        there = engine.place(other.id).path
        return Net(fd, fd, _text(f"{there}/hostname").strip() or hostname, _text(f"{there}/hosts"), _text(f"{there}/resolv.conf"))
    if spec.network_mode == "none" or engine.network is None:
        return Net("none", -1, hostname, hosts(hostname, (), tuple(pair for pair in spec.extra_hosts if pair[1] != _GATEWAY)), "")
    wanted = Membership(
        container.id, container.name, hostname, spec.endpoints or (Endpoint(_BRIDGE),), (*spec.ports, *_published(container)), spec.domainname,
        spec.extra_hosts, spec.dns, spec.dns_search, spec.dns_options)
    attachment = engine.network.attach(wanted, namespace)
    return Net(attachment.namespace, attachment.namespace, hostname, attachment.hosts, attachment.resolv_conf, attachment)


def _resolv_conf(spec: "ContainerSpec", usual: str) -> str:
    """The host's, but for what the container says itself."""
    if not (spec.dns or spec.dns_search or spec.dns_options):
        return usual
    kept = {key: [line for line in usual.splitlines() if line.split()[:1] == [key]] for key in ("nameserver", "search", "options")}
    if spec.dns:
        kept["nameserver"] = [f"nameserver {address}" for address in spec.dns]
    if spec.dns_search:
        kept["search"] = [] if "." in spec.dns_search else [f"search {' '.join(spec.dns_search)}"]
    if spec.dns_options:
        kept["options"] = [f"options {' '.join(spec.dns_options)}"]
    return "".join(f"{line}\n" for lines in kept.values() for line in lines)


def _published(container: Container) -> "tuple[PortMapping, ...]":
    """With `--publish-all`: any free port for each that the image exposes and nobody has published."""
    if not container.spec.publish_all:
        return ()
    own = {(port.container_port, port.protocol) for port in container.spec.ports}
    exposed = (word.partition("/") for word in process_of(container.spec, container.runtime).exposed)
    wanted = ((int(port), protocol or "tcp") for port, _, protocol in exposed if port.isdigit())
    return tuple(PortMapping(port, protocol) for port, protocol in wanted if (port, protocol) not in own)


def hosts(hostname: str, addresses: "tuple[str, ...]", extra: "tuple[tuple[str, str], ...]") -> str:
    """Text of /etc/hosts for a container without a network."""
    lines = ["127.0.0.1\tlocalhost", "::1\tlocalhost ip6-localhost ip6-loopback", *(f"{address}\t{name}" for name, address in extra),
             *(f"{address}\t{hostname}" for address in addresses)]
    return "\n".join(lines) + "\n"


def _text(path: str) -> str:
    """The text of a file of the host, "" if there is none."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read(_FILE_MAX)
    except FileNotFoundError:
        return ""


def _write_files(place: "Place", net: Net) -> None:
    """The files of the network: bound into the container, which may write to them."""
    for name, text in (("hosts", net.hosts), ("resolv.conf", net.resolv_conf), ("hostname", f"{net.hostname}\n")):
        fd = os.open(f"{place.path}/{name}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        try:
            os.fchmod(fd, 0o644)
            os.write(fd, text.encode("utf-8", "surrogateescape"))
        finally:
            os.close(fd)


