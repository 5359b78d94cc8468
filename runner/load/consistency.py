"""What the parts of a whole project say against each other: references to nothing, contradictions, circles."""

from runner.load.report import closest
from runner.load.tree import Map, mark_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from runner.load.report import Report
    from runner.load.tree import Mark, Path
    from runner.model.build import Build
    from runner.model.project import Project
    from runner.model.service import Service


def check(project: "Project", root: Map, report: "Report") -> None:
    """Note every inconsistency of the enabled services; `root` is the tree that the project was read from."""
    work = _Check(project, root, report)
    for service in project.services:
        work.service(service)
    work.secrets()
    if not report.faults:
        work.circles()


def check_names(project: "Project", root: Map, report: "Report") -> None:
    """Note enabled services with the same container name: those that a command leaves alone may share it."""
    _Check(project, root, report).names()


def agreed(project: "Project") -> "Project":
    """`project` with `deploy.replicas` set where only `scale` says how many, as compose prints it."""
    def one(service: "Service") -> "Service":
        if service.scale is None or service.deploy is None:
            return service
        return service._replace(deploy=service.deploy._replace(replicas=service.scale))
    return project._replace(services=tuple(one(service) for service in project.services))


class _Check:
    __slots__ = ("disabled", "keys", "project", "report", "root", "services")

    def __init__(self, project: "Project", root: Map, report: "Report") -> None:
        self.project, self.root, self.report = project, root, report
        self.services = {service.name: service for service in project.services}
        self.disabled = {service.name: service for service in project.disabled}
        self.keys = {kind: {one.key for one in getattr(project, kind)} for kind in ("networks", "volumes", "secrets", "configs", "models")}

    def fault(self, path: "Path", message: str, help: str = "", key: bool = False) -> None:
        self.report.fault(self.mark(path), message, help, key)

    def mark(self, path: "Path") -> "Mark | None":
        return mark_of(self.root, path)

    def service(self, service: "Service") -> None:
        name = service.name
        at = ("services", name)
        if service.build is None and not service.image and service.provider is None:
            self.fault(at, f"service `{name}` has neither an image nor a build context", "give it `image:` or `build:`", key=True)
        if service.build is not None:
            self.build(service, service.build)
        if service.network_mode and service.networks:
            self.fault((*at, "network_mode"), f"service `{name}` has `network_mode` and `networks`", "they exclude each other", key=True)
        test = service.healthcheck.test if service.healthcheck else ()
        if test and test[0] not in ("CMD", "CMD-SHELL", "NONE"):
            self.fault((*at, "healthcheck", "test"), f"`services.{name}.healthcheck.test` begins with `{test[0]}`",
                       "it begins with CMD, CMD-SHELL or NONE; a string is a command for the shell")
        self.references(service)
        self.limits(service)
        self.words(service)
        if service.replicas() > 1 and service.container_name:
            self.fault((*at, "container_name"), f"service `{name}` has a `container_name` and {service.replicas()} replicas",
                       "a name is for one container")
        for index, rule in enumerate(service.develop.watch if service.develop else ()):
            if rule.action.startswith("sync") and not rule.target:
                self.fault((*at, "develop", "watch", index), f"`services.{name}.develop.watch[{index}]` syncs without a `target`", key=True)
        self.mounts(service)

    def build(self, service: "Service", build: "Build") -> None:
        name, at = service.name, ("services", service.name, "build")
        if build.dockerfile_inline and build.dockerfile:
            self.fault((*at, "dockerfile_inline"), f"`services.{name}.build` has `dockerfile` and `dockerfile_inline`",
                       "leave one of them out", key=True)
        for key, value in build.additional_contexts:
            other = value.removeprefix("service:")
            if other != value:
                known = self.services.get(other) or self.disabled.get(other)
                if known is None or known.build is None:
                    what = "is not there" if known is None else "is not built"
                    self.fault((*at, "additional_contexts", key), f"the additional context `{key}` of service `{name}` is service `{other}`, "
                               f"which {what}")
        if build.platforms and service.platform and service.platform not in build.platforms:
            self.fault((*at, "platforms"), f"`services.{name}.build.platforms` lacks the service's platform `{service.platform}`", key=True)
        for index, secret in enumerate(build.secrets):
            self.known("secrets", "build secret", secret.source, service, (*at, "secrets", index))

    def references(self, service: "Service") -> None:
        name, at = service.name, ("services", service.name)
        for key, _ in service.networks:
            self.known("networks", "network", key, service, (*at, "networks", key))
        for index, mount in enumerate(service.volumes):
            if mount.type == "volume" and mount.source:
                self.known("volumes", "volume", mount.source, service, (*at, "volumes", index))
        for kind, grants in (("configs", service.configs), ("secrets", service.secrets)):
            for index, grant in enumerate(grants):
                self.known(kind, kind[:-1], grant.source, service, (*at, kind, index))
        for key, _ in service.models:
            self.known("models", "model", key, service, (*at, "models", key))
        for other, dependency in service.depends_on:
            if other in self.services or (other in self.disabled and not dependency.required):
                continue
            if other in self.disabled:
                profile = self.disabled[other].profiles[0] if self.disabled[other].profiles else ""
                self.fault((*at, "depends_on", other), f"service `{name}` depends on `{other}`, which no active profile has",
                           f"`--profile {profile}` activates it", key=True)
            else:
                near = closest(other, self.services)
                self.fault((*at, "depends_on", other), f"service `{name}` depends on undefined service `{other}`",
                           f"did you mean `{near}`?" if near else "", key=True)

    def known(self, kind: str, noun: str, key: str, service: "Service", path: "Path") -> None:
        if key not in self.keys[kind]:
            near = closest(key, self.keys[kind])
            help = f"did you mean `{near}`?" if near else f"define it under `{kind}:` at the top level"
            self.fault(path, f"service `{service.name}` refers to undefined {noun} `{key}`", help, key=kind in ("networks", "models"))

    def limits(self, service: "Service") -> None:
        """Two ways to say one thing must say the same."""
        deploy = service.deploy
        if deploy is None:
            return
        limits, reserved = deploy.resources.limits, deploy.resources.reservations
        pairs: list[tuple[str, float | None, str, float | None]] = [("scale", service.scale, "deploy.replicas", deploy.replicas)]
        if limits is not None:
            pairs += [("cpus", service.cpus or None, "deploy.resources.limits.cpus", limits.cpus or None),
                      ("mem_limit", service.mem_limit or None, "deploy.resources.limits.memory", limits.memory or None),
                      ("pids_limit", service.pids_limit or None, "deploy.resources.limits.pids", limits.pids or None)]
        if reserved is not None:
            pairs.append(("mem_reservation", service.mem_reservation or None, "deploy.resources.reservations.memory",
                          reserved.memory or None))
        for key, value, other, same in pairs:
            if value is not None and same is not None and value != same:
                self.fault(("services", service.name, key), f"`services.{service.name}` has distinct values for `{key}` and `{other}`",
                           "leave one of them out")

    def words(self, service: "Service") -> None:
        """What ends up in the files of a container, or decides when it starts again, must be one word of the right kind."""
        at = ("services", service.name)
        lists = (("dns", service.dns), ("dns_search", service.dns_search), ("dns_opt", service.dns_opt), ("hostname", (service.hostname,)),
                 ("domainname", (service.domainname,)), *((f"networks.{key}.aliases", end.aliases if end else ()) for key, end in service.networks))
        for key, words in lists:
            for word in words:
                if any(character.isspace() or not character.isprintable() for character in word):
                    self.fault((*at, *key.split(".")), f"`services.{service.name}.{key}` has `{word}`: no name has white space")
        policy, _, count = service.restart.partition(":")
        if policy not in ("", "no", "always", "unless-stopped", "on-failure") or (":" in service.restart and not (
                policy == "on-failure" and count.isascii() and count.isdigit())):
            self.fault((*at, "restart"), f"`services.{service.name}.restart` is `{service.restart}`",
                       "it is `no`, `always`, `unless-stopped` or `on-failure[:times]`")

    def mounts(self, service: "Service") -> None:
        at = ("services", service.name)
        taken: dict[str, str] = {}
        places: list[tuple[str, Path]] = [(one.partition(":")[0], (*at, "tmpfs", index)) for index, one in enumerate(service.tmpfs)]
        places += [(one.target, (*at, "volumes", index)) for index, one in enumerate(service.volumes)]
        for target, path in places:
            where = f"{path[2]}[{path[3]}]"
            if target in taken:
                self.fault(path, f"`services.{service.name}.{where}` is mounted at `{target}`, where `{taken[target]}` is")
            taken[target] = where

    def names(self) -> None:
        taken: dict[str, str] = {}
        for service in self.project.services:
            name = service.container_name
            if name and name in taken:
                self.fault(("services", service.name, "container_name"),
                           f"`services.{service.name}` has the container name \"{name}\", as has service `{taken[name]}`",
                           "leave it out, or choose another")
            taken.setdefault(name, service.name)

    def secrets(self) -> None:
        for secret in self.project.secrets:
            if not (secret.external or secret.file or secret.environment):
                self.fault(("secrets", secret.key), f"secret `{secret.key}` has neither `file` nor `environment`",
                           "drivers for secrets exist in Swarm only" if secret.driver else "", key=True)

    def circles(self) -> None:
        """Services that wait for each other to start, and images that are built from each other."""
        for key, edges in (("depends_on", _dependencies), ("build", _contexts)):
            done: set[str] = set()
            for service in self.project.services:
                circle = _circle(service.name, self.services, edges, done)
                if circle:
                    path = ("services", circle[0], key, circle[1])
                    self.fault(path, f"dependency cycle detected: {' -> '.join(f'`{name}`' for name in circle)}", key=True)
                    return


def _circle(start: str, services: "dict[str, Service]", edges: "Callable[[Service], list[str]]", done: "set[str]") -> "list[str]":
    """The services of a circle that can be reached from `start`, the first one at the end again; [] if there is none."""
    path: list[str] = []
    ahead = [[start]]
    while ahead:
        if not ahead[-1]:
            ahead.pop()
            if path:
                done.add(path.pop())
            continue
        name = ahead[-1].pop()
        if name in path:
            return [*path[path.index(name):], name]
        if name not in done and name in services:
            path.append(name)
            ahead.append(edges(services[name])[::-1])
    return []


def _dependencies(service: "Service") -> "list[str]":
    return [name for name, _ in service.depends_on]


def _contexts(service: "Service") -> "list[str]":
    """The services whose images the build of this one takes from."""
    contexts = service.build.additional_contexts if service.build else ()
    return [value.removeprefix("service:") for _, value in contexts if value.startswith("service:")]
