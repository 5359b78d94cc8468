"""The network of a RUN: the namespace that it is in, and its /etc/hosts and /etc/resolv.conf, which are never part of the layer."""

from builder.errors import BuildError
from kernel.value import Value
from sandbox.errors import NetworkUnavailable
from sandbox.spec import WriteFile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from sandbox.network import NetworkProvider

    class Holder(Protocol):
        """What a step holds: `later` is called when it is gone, `say` tells a word among what it prints."""

        say: "Callable[[str], None]"

        def later(self, undo: "Callable[[], object]") -> None: ...

HOST_GATEWAY = "host-gateway"
_LOCAL = (b"127.", b"::1")                               # name servers that only this machine reaches
_RESOLV_CONF_MAX = 1 << 16
_NAME = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")


class StepNet(Value):
    """namespace: as SandboxSpec.network."""

    namespace: str | int
    files: tuple[WriteFile, ...]


def give(mode: str, provider: "NetworkProvider | None", add_hosts: tuple[str, ...], hostname: str, holder: "Holder") -> StepNet:
    """The network of a step whose RunOp says `mode`: default, none, host, or the name of a network that containers are on.

    The default one that cannot be had is said, and the step goes on without. Raises NetworkUnavailable for another."""
    namespace: str | int = mode if mode == "host" else "none"
    gateway = "127.0.0.1" if mode == "host" else ""
    resolv_conf = _machines(local=mode == "host")
    if mode not in ("host", "none") and provider is not None:
        step = provider.acquire("" if mode == "default" else mode)
        try:
            namespace = step.__enter__()
        except NetworkUnavailable as error:
            if mode != "default":
                raise
            holder.say(f"warning: {error}; it runs without" + (f" ({error.help})" if error.help else ""))
        else:
            holder.later(lambda: step.__exit__(None, None, None))
            for text in step.notices:
                holder.say(f"note: {text}")
            resolv_conf, gateway = step.resolv_conf.encode(), step.gateway
    hosts = hosts_text(add_hosts, hostname, gateway).encode()
    return StepNet(namespace, (WriteFile("/etc/hosts", hosts, readonly=True), WriteFile("/etc/resolv.conf", resolv_conf, readonly=True)))


def check(mode: str, add_hosts: tuple[str, ...]) -> None:
    """What is asked of all steps' networks. Raises BuildError."""
    if mode.startswith(("container:", "service:")) or not set(mode) <= _NAME:
        raise BuildError(f"steps cannot be on the network `{mode}`", help="it is `default`, `none`, `host`, or the name of a network")
    for word in add_hosts:
        parse_host(word)


def parse_host(word: str) -> tuple[str, str]:
    """(name, address) of `name:address` or `name=address`, as docker takes it. Raises BuildError."""
    name, _, address = word.partition("=") if "=" in word else word.partition(":")
    address = address.removeprefix("[").removesuffix("]")
    if not name or set(name) & set(" \t\r\n\0#") or (address != HOST_GATEWAY and not _is_address(address)):
        raise BuildError(f"`{word}` adds no host", help="say `name:address`, for example `db:10.0.0.7` or `machine:host-gateway`")
    return name, address


def _is_address(word: str) -> bool:
    from _socket import AF_INET, AF_INET6, inet_pton

    try:
        inet_pton(AF_INET6 if ":" in word else AF_INET, word)
        return True
    except (OSError, ValueError):
        return False


def hosts_text(add_hosts: tuple[str, ...], hostname: str, gateway: str) -> str:
    """gateway: what `host-gateway` stands for; "" leaves such hosts out."""
    added = ((name, gateway if address == HOST_GATEWAY else address) for name, address in map(parse_host, add_hosts))
    return (f"127.0.0.1\tlocalhost {hostname}\n::1\tlocalhost ip6-localhost ip6-loopback\n"
            + "".join(f"{address}\t{name}\n" for name, address in added if address))


def _machines(*, local: bool) -> bytes:
    """This machine's resolv.conf; local: with name servers that only itself can reach."""
    try:
        with open("/etc/resolv.conf", "rb") as file:
            lines = file.read(_RESOLV_CONF_MAX).splitlines()
    except OSError:
        return b""
    return b"".join(line + b"\n" for line in lines if local or not _is_local(line.split()))


def _is_local(words: list[bytes]) -> bool:
    return words[:1] == [b"nameserver"] and words[1:2] != [] and words[1].startswith(_LOCAL)
