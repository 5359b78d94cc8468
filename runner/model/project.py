"""A whole project: read Project first, then Service in service.py; part.py, build.py and deploy.py are what that is made of.

Fields are called what compose calls them. What is a mapping in compose is a tuple of (key, value), sorted by key. `extensions` has
the `x-` keys of a level, as plain data. What was not said is "", 0, False, () or None; None where saying nothing differs from that.
"""

from kernel.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeAlias

    from runner.model.service import Service

    Texts: TypeAlias = tuple[str, ...]
    Labels: TypeAlias = tuple[tuple[str, str], ...]
    Extensions: TypeAlias = tuple[tuple[str, Any], ...]


class Pool(Value):
    subnet: str = ""
    gateway: str = ""
    ip_range: str = ""
    aux_addresses: "Labels" = ()
    extensions: "Extensions" = ()


class Ipam(Value):
    driver: str = ""
    config: "tuple[Pool, ...]" = ()
    options: "Labels" = ()
    extensions: "Extensions" = ()


class Network(Value):
    key: str
    name: str = ""
    driver: str = ""
    driver_opts: "Labels" = ()
    ipam: Ipam = Ipam()
    external: bool = False
    internal: bool = False
    attachable: bool = False
    labels: "Labels" = ()
    enable_ipv4: "bool | None" = None
    enable_ipv6: "bool | None" = None
    extensions: "Extensions" = ()


class Volume(Value):
    key: str
    name: str = ""
    driver: str = ""
    driver_opts: "Labels" = ()
    external: bool = False
    labels: "Labels" = ()
    extensions: "Extensions" = ()


class File(Value):
    """A secret or a config. `content`: what it says itself; `value`: what the environment says (None: that has no such variable)."""

    key: str
    name: str = ""
    file: str = ""
    environment: str = ""
    content: str = ""
    external: bool = False
    labels: "Labels" = ()
    driver: str = ""
    driver_opts: "Labels" = ()
    template_driver: str = ""
    extensions: "Extensions" = ()
    value: "str | None" = None


class AIModel(Value):
    key: str
    name: str = ""
    model: str = ""
    context_size: int = 0
    runtime_flags: "Texts" = ()
    extensions: "Extensions" = ()


class Project(Value):
    """Everything that the compose files say. Tuples are sorted by name or key.

    disabled: services that no active profile has, or that the command did not ask for.
    """

    name: str
    services: "tuple[Service, ...]" = ()
    networks: "tuple[Network, ...]" = ()
    volumes: "tuple[Volume, ...]" = ()
    secrets: "tuple[File, ...]" = ()
    configs: "tuple[File, ...]" = ()
    models: "tuple[AIModel, ...]" = ()
    extensions: "Extensions" = ()
    disabled: "tuple[Service, ...]" = ()
    profiles: "Texts" = ()                                # the active ones
    working_dir: str = ""
    files: "Texts" = ()                                   # compose files, absolute
    env_files: "Texts" = ()

    def service(self, name: str) -> "Service | None":
        """The enabled service of that name."""
        return next((one for one in self.services if one.name == name), None)
