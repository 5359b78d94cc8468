"""The labels by which the parts of a project are known: compose's own, so that other tools see the same stack. Pure."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from runner.model.part import Dependency
    from runner.model.project import Project
    from runner.model.service import Service

    Pairs = tuple[tuple[str, str], ...]

_PREFIX = "com.docker.compose."
PROJECT = _PREFIX + "project"
SERVICE = _PREFIX + "service"
NUMBER = _PREFIX + "container-number"
ONE_OFF = _PREFIX + "oneoff"
HASH = _PREFIX + "config-hash"
IMAGE = _PREFIX + "image"
IMAGE_VOLUMES = _PREFIX + "image-volume-digest"           # IDs of images that are mounted, in the order of the mounts
DEPENDS_ON = _PREFIX + "depends_on"
WORKING_DIR = _PREFIX + "project.working_dir"
FILES = _PREFIX + "project.config_files"
ENV_FILES = _PREFIX + "project.environment_file"
REPLACE = _PREFIX + "replace"
SLUG = _PREFIX + "slug"
HOOK = _PREFIX + "hook"
NETWORK = _PREFIX + "network"
VOLUME = _PREFIX + "volume"
VERSION = _PREFIX + "version"
RELEASE = "0.1.0"                                         # of this program, as pybuild.version has it


def of_project(project: "Project") -> "dict[str, str]":
    """What every part of it has."""
    found = {PROJECT: project.name}
    if project.working_dir:
        found[WORKING_DIR] = project.working_dir
    if project.files:
        found[FILES] = ",".join(project.files)
    if project.env_files:
        found[ENV_FILES] = ",".join(project.env_files)
    return found


def of_container(project: "Project", service: "Service", number: int, config_hash: str, *, one_off: bool = False) -> "dict[str, str]":
    """What a container of `service` has beside the service's own labels."""
    return {
        **of_project(project), SERVICE: service.name, NUMBER: str(number), ONE_OFF: "True" if one_off else "False", HASH: config_hash,
        VERSION: RELEASE, DEPENDS_ON: dependencies_text(service.depends_on)}


def merged(own: "Pairs", more: "Mapping[str, str]") -> "Pairs":
    """`own` with `more`, which counts where both say something."""
    return tuple(sorted({**dict(own), **more}.items()))


def dependencies_text(dependencies: "Iterable[tuple[str, Dependency]]") -> str:
    """`db:service_healthy:false,cache:service_started:true`: name, condition, whether it restarts with it."""
    return ",".join(f"{name}:{one.condition}:{'true' if one.restart else 'false'}" for name, one in dependencies)


def parse_dependencies(text: str) -> "tuple[tuple[str, str, bool], ...]":
    """(service, condition, restart) of what dependencies_text wrote, or an earlier compose: that had names only."""
    found = []
    for word in text.split(",") if text else ():
        name, _, rest = word.partition(":")
        condition, _, restart = rest.partition(":")
        found.append((name, condition or "service_started", restart == "true"))
    return tuple(found)


def number_of(labels: "Mapping[str, str]") -> int:
    """The replica's number, 0 if it has none."""
    word = labels.get(NUMBER, "")
    return int(word) if word.isascii() and word.isdigit() and len(word) < 10 else 0


def is_one_off(labels: "Mapping[str, str]") -> bool:
    return labels.get(ONE_OFF, "").lower() == "true"
