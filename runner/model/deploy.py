"""`deploy`: how many, with how much of the machine, and how they change."""

from kernel.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeAlias

    Texts: TypeAlias = tuple[str, ...]
    Labels: TypeAlias = tuple[tuple[str, str], ...]
    Extensions: TypeAlias = tuple[tuple[str, Any], ...]


class UpdateConfig(Value):
    """Times are nanoseconds."""

    parallelism: "int | None" = None
    delay: int = 0
    failure_action: str = ""
    monitor: int = 0
    max_failure_ratio: float = 0
    order: str = ""
    extensions: "Extensions" = ()


class DeviceRequest(Value):
    """`amount`: compose's `count`, -1 for all."""

    capabilities: "Texts" = ()
    driver: str = ""
    amount: int = 0
    device_ids: "Texts" = ()
    options: "Labels" = ()


class GenericResource(Value):
    kind: str = ""
    value: int = 0


class Resource(Value):
    cpus: float = 0
    memory: int = 0                                       # bytes
    pids: int = 0
    devices: "tuple[DeviceRequest, ...]" = ()
    generic_resources: "tuple[GenericResource, ...]" = ()
    extensions: "Extensions" = ()


class Resources(Value):
    limits: "Resource | None" = None
    reservations: "Resource | None" = None
    extensions: "Extensions" = ()


class RestartPolicy(Value):
    """Times are nanoseconds."""

    condition: str = ""
    delay: "int | None" = None
    max_attempts: "int | None" = None
    window: "int | None" = None
    extensions: "Extensions" = ()


class Placement(Value):
    constraints: "Texts" = ()
    preferences: "Texts" = ()                             # what to spread over
    max_replicas_per_node: int = 0
    extensions: "Extensions" = ()


class Deploy(Value):
    mode: str = ""
    replicas: "int | None" = None
    labels: "Labels" = ()
    update_config: "UpdateConfig | None" = None
    rollback_config: "UpdateConfig | None" = None
    resources: Resources = Resources()
    restart_policy: "RestartPolicy | None" = None
    placement: Placement = Placement()
    endpoint_mode: str = ""
    extensions: "Extensions" = ()
