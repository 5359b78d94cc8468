"""One service: every attribute that compose has, in the order in which compose prints them."""

from kernel.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeAlias

    from runner.model.build import Build, Develop, Grant, Hook, Ulimit
    from runner.model.deploy import Deploy, DeviceRequest
    from runner.model.part import (
        BlockIO,
        CredentialSpec,
        Dependency,
        Device,
        Endpoint,
        EnvFile,
        Extends,
        Healthcheck,
        Logging,
        ModelUse,
        Mount,
        Port,
        Provider,
    )

    Texts: TypeAlias = tuple[str, ...]
    Labels: TypeAlias = tuple[tuple[str, str], ...]
    Variables: TypeAlias = tuple[tuple[str, str | None], ...]     # None: a variable that had no value to take over
    Extensions: TypeAlias = tuple[tuple[str, Any], ...]


class Service(Value):
    """One service. `networks` and `models` have None where nothing but the name was said. Times are nanoseconds, sizes bytes."""

    name: str
    profiles: "Texts" = ()
    annotations: "Labels" = ()
    attach: "bool | None" = None
    build: "Build | None" = None
    develop: "Develop | None" = None
    blkio_config: "BlockIO | None" = None
    cap_add: "Texts" = ()
    cap_drop: "Texts" = ()
    cgroup_parent: str = ""
    cgroup: str = ""
    cpu_count: int = 0
    cpu_percent: float = 0
    cpu_period: int = 0
    cpu_quota: int = 0
    cpu_rt_period: int = 0                                # microseconds
    cpu_rt_runtime: int = 0                               # microseconds
    cpus: float = 0
    cpuset: str = ""
    cpu_shares: int = 0
    command: "Texts | None" = None                        # (): the image's command is not used
    configs: "tuple[Grant, ...]" = ()
    container_name: str = ""
    credential_spec: "CredentialSpec | None" = None
    depends_on: "tuple[tuple[str, Dependency], ...]" = ()
    deploy: "Deploy | None" = None
    device_cgroup_rules: "Texts" = ()
    devices: "tuple[Device, ...]" = ()
    dns: "Texts" = ()
    dns_opt: "Texts" = ()
    dns_search: "Texts" = ()
    domainname: str = ""
    entrypoint: "Texts | None" = None                     # (): the image's entrypoint is not used
    provider: "Provider | None" = None
    environment: "Variables" = ()                         # env_file and environment together
    env_file: "tuple[EnvFile, ...]" = ()
    expose: "Texts" = ()
    extends: "Extends | None" = None
    external_links: "Texts" = ()
    extra_hosts: "tuple[tuple[str, Texts], ...]" = ()
    group_add: "Texts" = ()
    gpus: "tuple[DeviceRequest, ...]" = ()
    hostname: str = ""
    healthcheck: "Healthcheck | None" = None
    image: str = ""
    init: "bool | None" = None
    ipc: str = ""
    isolation: str = ""
    labels: "Labels" = ()                                 # label_file and labels together
    label_file: "Texts" = ()
    links: "Texts" = ()
    logging: "Logging | None" = None
    mem_limit: int = 0
    mem_reservation: int = 0
    memswap_limit: int = 0
    mem_swappiness: int = 0
    mac_address: str = ""
    models: "tuple[tuple[str, ModelUse | None], ...]" = ()
    network_mode: str = ""
    networks: "tuple[tuple[str, Endpoint | None], ...]" = ()
    oom_kill_disable: bool = False
    oom_score_adj: int = 0
    pid: str = ""
    pids_limit: int = 0
    platform: str = ""
    ports: "tuple[Port, ...]" = ()
    privileged: bool = False
    pull_policy: str = ""
    pull_refresh_after: str = ""
    read_only: bool = False
    restart: str = ""
    runtime: str = ""
    scale: "int | None" = None
    secrets: "tuple[Grant, ...]" = ()
    security_opt: "Texts" = ()
    shm_size: int = 0
    stdin_open: bool = False
    stop_grace_period: "int | None" = None
    stop_signal: str = ""
    storage_opt: "Labels" = ()
    sysctls: "Labels" = ()
    tmpfs: "Texts" = ()
    tty: bool = False
    ulimits: "tuple[tuple[str, Ulimit], ...]" = ()
    use_api_socket: bool = False
    user: str = ""
    userns_mode: str = ""
    uts: str = ""
    volumes: "tuple[Mount, ...]" = ()
    volumes_from: "Texts" = ()
    working_dir: str = ""
    pre_start: "tuple[Hook, ...]" = ()
    post_start: "tuple[Hook, ...]" = ()
    pre_stop: "tuple[Hook, ...]" = ()
    extensions: "Extensions" = ()

    def replicas(self) -> int:
        """How many containers the files ask for."""
        if self.scale is not None:
            return self.scale
        return self.deploy.replicas if self.deploy and self.deploy.replicas is not None else 1
