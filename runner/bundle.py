"""A container as an OCI runtime bundle: its files, copied, and a config.json that makes of them what a start here would."""

import json
import os

from runner.errors import InvalidOption
from runner.launch import hosts, sources_of
from runner.lower import Found, lower
from runner.nodes import expanded
from sandbox import account, bundle
from sandbox.plaincopy import apply
from sandbox.spec import Bind, Overlay, SandboxSpec, WriteFile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runner.container import Container
    from runner.engine import Engine

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def export(engine: "Engine", container: "Container", directory: str) -> None:
    """Write the bundle into `directory`, which is made, or empty. Whatever networks the container is on, the bundle has one of its own with nothing
    in it, unless it is the host's.

    Raises InvalidOption, SandboxError, OSError; the directory is then partly written.
    """
    directory = os.path.abspath(directory)
    os.makedirs(directory, 0o700, exist_ok=True)
    if os.listdir(directory):
        raise InvalidOption("directory", directory, "is not empty")
    engine.require_layer(container)
    place, spec = engine.place(container.id), container.spec
    layers = engine.store.images.runtime(container.image_id).lowerdirs
    hostname = spec.hostname or container.short_id
    for mode in (spec.pid_mode, spec.ipc_mode, spec.network_mode):
        if mode.startswith("container:"):
            raise InvalidOption("namespace", mode, "is another container's, and cannot be put into a bundle")
    if container.ids:
        raise InvalidOption("user namespace", spec.userns_mode, "cannot be put into a bundle")
    volumes, images, contents = sources_of(engine, container, layers)
    files = f"{directory}/files"
    os.mkdir(files, 0o755)
    for name, text in (("hosts", hosts(hostname, (), spec.extra_hosts)), ("resolv.conf", ""), ("hostname", f"{hostname}\n")):
        _write(f"{files}/{name}", text.encode(), 0o644, 0, 0)
    found = Found(layers, place.fs, place.work, files, hostname, "host" if spec.network_mode == "host" else "none",
                  pid=spec.pid_mode or "private", uts=spec.uts_mode or "private", sources=volumes, images=images, contents=contents,
                  devices=expanded(spec.devices))
    sandbox = lower(container, found).check()
    os.mkdir(f"{directory}/rootfs", 0o755)
    root_fd = os.open(f"{directory}/rootfs", _DIRECTORY)
    try:
        for layer in (*reversed(layers), place.fs):
            apply(layer, root_fd)
        who = account.find(root_fd, sandbox.user, sandbox.groups)
    finally:
        os.close(root_fd)
    document = bundle.config(sandbox, who, _put_aside(sandbox, files), os.uname().machine)
    _write(f"{directory}/config.json", json.dumps(document, indent=2).encode() + b"\n", 0o600, 0, 0)


def _put_aside(sandbox: SandboxSpec, files: str) -> dict[str, str]:
    """(target -> path) of what no runtime can mount by itself, written down below `files`."""
    found = {}
    for number, operation in enumerate(sandbox.mounts):
        path = f"{files}/{number}"
        if isinstance(operation, WriteFile):
            _write(path, operation.content, operation.mode, operation.uid, operation.gid)
        elif isinstance(operation, Overlay):
            os.mkdir(path, 0o755)
            fd = os.open(path, _DIRECTORY)
            try:
                for layer in reversed(operation.lower):
                    apply(layer, fd)
            finally:
                os.close(fd)
            path += operation.source.rstrip("/")
        else:
            assert not isinstance(operation, Bind) or isinstance(operation.source, str)
            continue
        found[operation.target] = path
    return found


def _write(path: str, content: bytes, mode: int, uid: int, gid: int) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
        file.write(content)
        os.fchown(file.fileno(), uid, gid)
        os.fchmod(file.fileno(), mode)
