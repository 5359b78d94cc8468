"""`pyup publish`: put a project into a registry, from where `-f oci://REPOSITORY` takes it."""

import os
import sys
import time

from pybuild.option import FLAG, VALUE, Operand, Option, Usage
from pybuild.scanner import Misuse, Options
from runner.errors import RunError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from runner.model.service import Service
    from store.oci import Descriptor
    from store.reference import Reference
    from store.registry.session import Session

_TAG_MOST = 128                                           # characters

USAGE = Usage(
    "Publish a project in a registry.",
    "pyup publish registry.example.com/shop:1.0\npyup --allow remote -f oci://registry.example.com/shop:1.0 up",
    (Operand("repository", "1", "REPOSITORY[:TAG]"),),
    (Option("--app", FLAG, "with its images, as tags of the same repository: TAG-SERVICE"),
     Option("--oci-version", VALUE, "version of the OCI image specification", "VERSION", "1.1", choices=("1.0", "1.1")),
     Option("--resolve-image-digests", FLAG, "pin tags to digests"),
     Option("--with-env", FLAG, "with variables of services, and their env files"),
     Option("-y --yes", FLAG, "answer every question with yes")))


class Unpublishable(RunError):
    """A project says something that others cannot have, or should not see."""

    def __init__(self, reason: str, help: str) -> None:
        super().__init__(reason)
        self.reason, self.help = reason, help

    def __str__(self) -> str:
        return f"the project cannot be published: {self.reason}"


def main(options: Options) -> int:
    from pybuild.output.yaml import dump
    from pybuild.session import open_session
    from pybuild.stack.project import load_options, warn
    from runner import artifact
    from runner.load import config
    from runner.load.project import load
    from runner.moment import time_text
    from store.reference import parse_reference

    reference = parse_reference(options.repository)
    if reference.digest:
        raise Misuse(f"`{options.repository}` has a digest: what is published gets one", "name a tag, or none")
    loaded = load(load_options(options))                  # with its variables, so that what is wrong is said here
    mapping, warnings = config.resolved(load_options(options, interpolate=False, normalize=False, resolve_paths=False))
    warn(warnings)
    env_files = _check(mapping, loaded.tree.directory, options)
    services = [one for one in (*loaded.project.services, *loaded.project.disabled) if one.image and one.name in mapping["services"]]
    services = services if options.app else []
    if options.resolve_image_digests and not options.app:
        from pybuild.stack.config import Pins

        with Pins(options) as pin:
            mapping = config.pinned(mapping, lambda name: name if "$" in name else pin(name))
    if options.project.dry_run:
        print(f"would publish {reference}\n" + "".join(f"would push {_tag(reference, one)}\n" for one in services), end="")
        return 0
    with open_session(options.config) as session:
        repository = session.repository(reference)
        images = _push(services, reference, mapping, session, options)
        text = dump(mapping).encode("utf-8", "surrogateescape")
        project = artifact.put(repository, reference.tag, text, env_files, time_text(time.time_ns()), options.oci_version)
        if images and options.oci_version != "1.0":       # which knows no references from one manifest to another
            artifact.put_images(repository, project, images)
    print(f"{reference} published: {project.digest}", file=sys.stderr)
    return 0


def _tag(reference: "Reference", service: "Service") -> str:
    """The name under which the image of a service goes along."""
    return f"{reference.name}:{f'{reference.tag}-{service.name}'[:_TAG_MOST]}"


def _push(services: "list[Service]", reference: "Reference", mapping: "dict[str, Any]", session: "Session",
          options: Options) -> "tuple[Descriptor, ...]":
    """Their images put into the repository, and named so in `mapping`, with their digests; nobody has to build them any more.

    One that is not here is pulled first."""
    from pybuild.output.transfer import TransferLines
    from pybuild.place import open_store
    from store.oci import Descriptor
    from store.registry.pull import pull
    from store.registry.push import push

    found = []
    for service in services:
        with open_store(options) as store, TransferLines(sys.stderr) as lines:
            if store.images.resolve(service.image) is None:
                if service.build is not None:
                    raise Unpublishable(f"the image of service `{service.name}` is not built", f"`pyup build {service.name}` does that")
                pull(store, session, service.image, on_progress=lines)
            pushed = push(store, session, _tag(reference, service), None, lines, image=store.images.require(service.image).id)
        published = mapping["services"][service.name]
        published["image"] = f"{_tag(reference, service)}@{pushed.digest}"
        published.pop("build", None)
        if published.get("pull_policy") == "build":
            del published["pull_policy"]
        found.append(Descriptor(pushed.media_type, pushed.digest, pushed.size))
        print(f" Image {service.image} Pushed {pushed.digest}", file=sys.stderr)
    return tuple(found)


def _check(mapping: "dict[str, Any]", directory: str, options: Options) -> "dict[str, bytes]":
    """What of the machine goes along: the env files of services, which have their new names in `mapping` then. Raises Unpublishable."""
    env_files: dict[str, bytes] = {}
    local: list[str] = []
    for name, service in (mapping.get("services") or {}).items():
        if "build" in service and not service.get("image"):
            raise Unpublishable(f"service `{name}` is built, and its image has no name", "give it `image:`, and push it")
        if (service.get("environment") or service.get("env_file")) and not options.with_env:
            raise Unpublishable(f"service `{name}` has variables, which others would see", "`--with-env` says that they may")
        for one in service.get("env_file") or ():
            _take(one, directory, env_files)
        local += [str(one.get("source")) for one in service.get("volumes") or () if isinstance(one, dict) and one.get("type") == "bind"]
    for kind in ("configs", "secrets"):
        local += [str(one["file"]) for one in (mapping.get(kind) or {}).values() if isinstance(one, dict) and one.get("file")]
    if local and not options.yes and not _agrees(local):
        raise Unpublishable(f"it names files of this machine, which do not go along: {', '.join(f'`{one}`' for one in local)}",
                            "`--yes` publishes it all the same")
    return env_files


def _take(one: "dict[str, Any]", directory: str, env_files: "dict[str, bytes]") -> None:
    from store.digest import digest_of

    path = os.path.join(directory, os.path.expanduser(str(one.get("path"))))
    if not os.path.exists(path) and str(one.get("required", "true")).lower() == "false":
        return
    with open(path, "rb") as file:
        data = file.read()
    one["path"] = f"{digest_of(data).removeprefix('sha256:')}.env"
    env_files[one["path"]] = data


def _agrees(paths: "list[str]") -> bool:
    if not (os.isatty(0) and os.isatty(2)):
        return False
    print(f"The project names files of this machine, which do not go along: {', '.join(paths)}\nPublish it? [yN] ", end="", file=sys.stderr,
          flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")
