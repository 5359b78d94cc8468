"""What the attributes of a service are made of."""

from kernel.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeAlias

    Texts: TypeAlias = tuple[str, ...]
    Labels: TypeAlias = tuple[tuple[str, str], ...]
    Extensions: TypeAlias = tuple[tuple[str, Any], ...]


class DeviceWeight(Value):
    path: str = ""
    weight: int = 0


class DeviceRate(Value):
    """`rate`: bytes or operations a second."""

    path: str = ""
    rate: int = 0


class BlockIO(Value):
    weight: int = 0
    weight_device: "tuple[DeviceWeight, ...]" = ()
    device_read_bps: "tuple[DeviceRate, ...]" = ()
    device_read_iops: "tuple[DeviceRate, ...]" = ()
    device_write_bps: "tuple[DeviceRate, ...]" = ()
    device_write_iops: "tuple[DeviceRate, ...]" = ()
    extensions: "Extensions" = ()


class CredentialSpec(Value):
    config: str = ""
    file: str = ""
    registry: str = ""
    extensions: "Extensions" = ()


class Dependency(Value):
    condition: str = "service_started"                    # service_started, service_healthy, service_completed_successfully
    restart: bool = False
    required: bool = True
    extensions: "Extensions" = ()


class Device(Value):
    """A device of this machine, or a CDI name, in a container."""

    source: str = ""
    target: str = ""
    permissions: str = ""
    extensions: "Extensions" = ()


class EnvFile(Value):
    path: str = ""
    required: bool = True
    format: str = ""


class Extends(Value):
    """Left only where the service that is extended has nothing to take over."""

    service: str = ""
    file: str = ""


class Healthcheck(Value):
    """Times are nanoseconds. `test` begins with CMD, CMD-SHELL or NONE."""

    test: "Texts" = ()
    timeout: "int | None" = None
    interval: "int | None" = None
    retries: "int | None" = None
    start_period: "int | None" = None
    start_interval: "int | None" = None
    disable: bool = False
    extensions: "Extensions" = ()


class Logging(Value):
    driver: str = ""
    options: "Labels" = ()
    extensions: "Extensions" = ()


class ModelUse(Value):
    endpoint_var: str = ""
    model_var: str = ""
    extensions: "Extensions" = ()


class Endpoint(Value):
    """A service on a network. `gw_priority`: the highest one has the default route."""

    aliases: "Texts" = ()
    driver_opts: "Labels" = ()
    gw_priority: int = 0
    interface_name: str = ""
    ipv4_address: str = ""
    ipv6_address: str = ""
    link_local_ips: "Texts" = ()
    mac_address: str = ""
    priority: int = 0
    extensions: "Extensions" = ()


class Port(Value):
    """`published`: a port, a range to choose from, or "" for any free one."""

    name: str = ""
    mode: str = ""
    host_ip: str = ""
    target: int = 0
    published: str = ""
    protocol: str = ""
    app_protocol: str = ""
    extensions: "Extensions" = ()


class Provider(Value):
    type: str = ""
    options: "tuple[tuple[str, Texts], ...]" = ()
    extensions: "Extensions" = ()


class BindOptions(Value):
    selinux: str = ""
    propagation: str = ""
    create_host_path: bool = True
    recursive: str = ""
    extensions: "Extensions" = ()


class VolumeOptions(Value):
    labels: "Labels" = ()
    nocopy: bool = False
    subpath: str = ""
    extensions: "Extensions" = ()


class TmpfsOptions(Value):
    size: int = 0                                         # bytes
    mode: int = 0
    extensions: "Extensions" = ()


class ImageOptions(Value):
    subpath: str = ""
    extensions: "Extensions" = ()


class Mount(Value):
    type: str = ""                                        # bind, volume, tmpfs, image, npipe, cluster
    source: str = ""                                      # the key of a volume, not its name
    target: str = ""
    read_only: bool = False
    consistency: str = ""
    bind: "BindOptions | None" = None
    volume: "VolumeOptions | None" = None
    tmpfs: "TmpfsOptions | None" = None
    image: "ImageOptions | None" = None
    extensions: "Extensions" = ()
