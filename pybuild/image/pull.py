"""`pybuild pull`: images from registries."""

import os

from pybuild.option import FLAG, VALUE, Operand, Option, Usage
from pybuild.place import open_store
from pybuild.scanner import Misuse, Options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from store.oci import Platform
    from store.registry.session import Session
    from store.store import Store

USAGE = Usage("Pull images from registries. What is here already is not fetched again.",
              "pybuild pull debian:bookworm registry.example.com/team/app@sha256:..\npybuild pull --platform linux/arm64 alpine",
              (Operand("images", "+", "names, with a tag (default: latest) or a digest"),),
              (Option("-a --all-tags", FLAG, "pull every tag of the repositories"),
               Option("--platform", VALUE, "which image of an index (default: this machine's)", "OS/ARCH"),
               Option("--all-platforms", FLAG, "keep everything that an index lists, to push or save it whole"),
               Option("--lazy", FLAG, "fetch the layers only when something must read them"),
               Option("-q --quiet", FLAG, "print nothing but the names"),
               Option("--disable-content-trust", FLAG, "for habits: what must be signed is said in the configuration", hidden=True)))


def main(options: Options) -> int:
    from pybuild.session import open_session
    from pybuild.user import enter
    from store.reference import parse_reference

    if options.all_tags and any(parse_reference(name, default_tag="").tag for name in options.images):
        raise Misuse("--all-tags takes names without a tag")
    with open_session(options.config) as session, open_store(options) as store:
        enter(store)
        for name in options.images:
            for each in _names(session, name) if options.all_tags else (name,):
                _pull(store, session, each, options)
    return 0


def _names(session: "Session", name: str) -> "list[str]":
    from store.reference import parse_reference

    reference = parse_reference(name)
    return [f"{reference.name}:{tag}" for tag in session.repository(reference).tags()]


def _pull(store: "Store", session: "Session", name: str, options: Options) -> None:
    from pybuild.output.transfer import TransferLines
    from store.reference import parse_reference
    from store.registry import pull

    reference = parse_reference(name)
    platform = wanted_platform(options.platform or os.environ.get("DOCKER_DEFAULT_PLATFORM") or session.config.platform)
    if not options.quiet:
        where = reference.path if reference.domain == "docker.io" else reference.name
        print(f"{reference.tag or reference.digest}: Pulling from {where}", flush=True)
    with TransferLines(quiet=options.quiet) as lines:
        pulled = pull.pull(store, session, name, pull.Options(platform, options.lazy, options.all_platforms), lines)
    if not options.quiet:
        print(f"Digest: {pulled.digest}")
        what = "Downloaded newer image for" if pulled.new else "Image is up to date for"
        print(f"Status: {what} {reference.familiar()}")
    print(reference)


def wanted_platform(text: "str | None") -> "Platform | None":
    """What `--platform` says; None for this machine's. Raises InvalidPlatform."""
    if not text:
        return None
    from store.platform import parse_platform

    return parse_platform(text)
