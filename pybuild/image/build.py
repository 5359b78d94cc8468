"""`pybuild [build]`: options -> a Request; a build that was done before is found without importing the builder."""

import os

from pybuild.option import COUNT, FLAG, LIST, MAYBE, VALUE, Operand, Option, Usage
from pybuild.scanner import Options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from builder.progress import OnEvent
    from builder.request import Request, Result
    from store.registry.push import Pushed
    from store.store import Store

PROGRESS = ("auto", "tty", "plain", "json", "rawjson", "quiet", "none")
USAGE = Usage(
    "Build an image from a Dockerfile.",
    "pybuild -t guestbook examples/guestbook\npybuild --build-arg VERSION=2 --target test -o type=local,dest=out .",
    (Operand("context", "1", "directory with what COPY takes; `-`: tar or Dockerfile on stdin; an address of a git repository, tar or Dockerfile"),),
    (Option("-f --file", VALUE, "the Dockerfile (default: CONTEXT/Dockerfile); `-` is stdin", "FILE"),
     Option("-t --tag", LIST, "name of the image", "NAME[:TAG]"),
     Option("--target", VALUE, "build this stage instead of the last one", "STAGE"),
     Option("--build-arg", LIST, "value of an ARG; without `=` it is taken from the environment", "NAME[=VALUE]"),
     Option("--build-context", LIST, "a further context that FROM, COPY --from and mounts can name", "NAME=VALUE"),
     Option("--platform", VALUE, "platform of the image", "OS/ARCH"),
     Option("--label", LIST, "label of the image", "NAME=VALUE"),
     Option("--annotation", LIST, "annotation of the image's manifest (or manifest-descriptor), where it is pushed or written as an archive",
            "[LEVEL:]NAME=VALUE"),
     Option("--add-host", LIST, "a line in /etc/hosts of every RUN", "HOST:IP"),
     Option("--network", VALUE, "network of every RUN", "MODE", "default", choices=("default", "none", "host")),
     Option("--secret", LIST, "a secret for RUN --mount=type=secret", "id=ID[,src=FILE|,env=NAME]"),
     Option("--ssh", LIST, "an ssh agent, or private keys, for RUN --mount=type=ssh", "default|ID[=SOCKET|KEY[,KEY..]]"),
     Option("--allow", LIST, "allow what the Dockerfile asks for: network.host, security.insecure, device", "ENTITLEMENT"),
     Option("--shm-size", VALUE, "size of /dev/shm in a RUN", "SIZE"),
     Option("--ulimit", LIST, "limit of a RUN", "NAME=SOFT[:HARD]"),
     Option("-m --memory", VALUE, "memory that a RUN may use", "SIZE"),
     Option("--cpus", VALUE, "processors that a RUN may use", "NUMBER"),
     Option("--cgroup-parent", VALUE, "not there: a RUN's cgroup lies below the tool's own", "PATH", hidden=True),
     Option("-o --output", LIST, "what to make: type=image|docker|oci|tar|local|registry|cacheonly[,dest=PATH][,name=NAME][,push=true]"
            "[,push-by-digest=true][,squash=true][,tar=false][,mode=delete][,compression=gzip|zstd|uncompressed][,compression-level=N]"
            "[,force-compression=true][,oci-mediatypes=false][,annotation.KEY=VALUE]; a bare path is type=local, `-` a tar on stdout", "OUTPUT"),
     Option("--push", FLAG, "push the image to its registry"),
     Option("--load", FLAG, "put the image into the store (the default)"),
     Option("--iidfile", VALUE, "write the image's ID to FILE", "FILE"),
     Option("--metadata-file", VALUE, "write digests and names of the image to FILE, as JSON", "FILE"),
     Option("-q --quiet", FLAG, "print nothing but the image's ID"),
     Option("--no-cache", FLAG, "run every step"),
     Option("--no-cache-filter", LIST, "run every step of these stages", "STAGE,.."),
     Option("--pull", MAYBE, "look for a newer base image", "BOOL", implied="true"),
     Option("--progress", VALUE, "how progress is shown", "KIND", choices=PROGRESS),
     Option("--reproducible", FLAG, "the same inputs give the same image anywhere: no file of a new layer is younger than the context's last commit"),
     Option("--cache-from", LIST, "take results of builds from there: an image, or type=registry,ref=..|local,src=..|s3,bucket=..|gha", "CACHE"),
     Option("--cache-to", LIST, "put the results of this build there: type=registry,ref=..|local,dest=..|inline|s3,bucket=..|gha[,mode=max]"
            "[,mounts=ID;..]", "CACHE"),
     Option("--explain", FLAG, "say of each step whether it is cached, and if not, because of which file or field"),
     Option("--call", VALUE, "build nothing: check the Dockerfile, or tell its arguments and stages", "WHAT",
            choices=("build", "check", "outline", "targets")),
     Option("--check", FLAG, "the same as --call=check"),
     Option("--format", VALUE, "how --call prints", "FORMAT", "text", choices=("text", "json", "sarif", "github")),
     Option("--on-error", VALUE, "of a RUN that fails, open a shell in its sandbox, or keep its files as an image (and an OCI layout at PATH) for "
            "`pybuild debug`", "fail|shell|keep[=PATH]", "fail"),
     Option("--output-on-failure", LIST, "files to copy out of a RUN that fails", "src=PATH,dest=PATH"),
     Option("--isolation", VALUE, "how a RUN is kept apart: in namespaces, or by chroot where there are none", "KIND", "auto",
            choices=("auto", "namespace", "chroot")),
     Option("--runtime", VALUE, "OCI runtime that starts a RUN: crun or runc (default: sandboxes of our own)", "NAME"),
     Option("--userns", VALUE, "user namespace of a RUN: host, auto (ids of its own), remap, or remap:USER (those of USER)", "MODE"),
     Option("--jobs", COUNT, "how many steps run at once (default: twice the number of processors, and at least 8)", "N"),
     *(Option(f"--{name}", MAYBE, "not there yet; false is taken", "WHAT", implied="true", hidden=True) for name in ("sbom", "provenance")),
     *(Option(f"--{name}", LIST, "not there yet", "WHAT", hidden=True) for name in ("attest", "report", "junit"))))


def main(options: Options) -> int:
    kind = "check" if options.check else options.call or "build"
    if kind != "build":
        return _call(kind, options)
    from builder import record
    from pybuild.image.request import make_request
    from pybuild.interrupting import let_signals_interrupt
    from pybuild.place import open_store

    let_signals_interrupt()
    on_event = printer_of(options)
    _forget(options)
    request = make_request(options)
    if request.outputs:
        from builder.outputs import check_outputs

        check_outputs(request)
    with open_store(options) as store:
        result = found = record.find(store, request, on_event)
        if result is None:
            from pybuild.image.building import run

            result = run(request, store, on_event, options.config)
        else:
            store.temporary.sweep(partials=False)        # what a killed build has left: builder.build does so too
            if not request.leaves_layers:
                _complete(store, result.image)
            if request.outputs:
                _write_outputs(store, request, result)
        if result.image:
            from builder.annotated import remember
            from store.digest import Digest

            remember(store, request.annotations, Digest(result.image))
        pushed = _push(store, request, result, options, on_event)
        if options.metadata_file:
            from pybuild.image.metadata import metadata_of

            _write(options.metadata_file, metadata_of(store, request, result, pushed))
        if found is None:
            from pybuild.image.building import tidy

            tidy(store, options.config)
    return _finish(options, result, on_event)


def _forget(options: Options) -> None:
    """Files about an earlier build must not outlive the failure of this one."""
    for path in (options.iidfile, options.metadata_file):
        if path and os.path.isfile(path):
            os.unlink(path)


def _call(kind: str, options: Options) -> int:
    from lang.source import Source, decode
    from pybuild.image.call import call
    from pybuild.image.lint import surroundings
    from pybuild.image.request import find_dockerfile, shown

    context, dockerfile, text, _ = find_dockerfile(options)
    source = Source(shown(dockerfile), decode(text))
    named = {word.partition("=")[0] for word in options.build_context}
    return call(kind, source, surroundings(source, options, context, named.__contains__), options.format)


def printer_of(options: Options) -> "OnEvent":
    from pybuild.output.progress import printer

    named = os.environ.get("BUILDKIT_PROGRESS", "")
    return printer("quiet" if options.quiet else options.progress or (named if named in PROGRESS else "plain"))


def _push(store: "Store", request: "Request", result: "Result", options: Options, on_event: "OnEvent") -> "tuple[Pushed, ...]":
    if not (request.outputs and result.image):
        return ()
    from pybuild.image.pushing import push_outputs
    from store.digest import Digest

    return push_outputs(store, request, Digest(result.image), options.config, on_event)


def _finish(options: Options, result: "Result", on_event: "OnEvent") -> int:
    if options.iidfile:
        _write(options.iidfile, result.image.encode())
    if options.quiet or options.progress == "quiet":
        print(result.image)
    elif result.image:
        from builder.progress import Note

        named = f" {', '.join(result.names)}" if result.names else ""
        on_event(Note("info", f"{result.image[:19]}{named} ({result.cached} of {result.steps} steps cached)"))
    return 0


def _write(path: str, data: bytes) -> None:
    with open(path, "wb") as file:
        file.write(data)


def _complete(store: "Store", image: str) -> None:
    """Fetch what an earlier build has left in a registry, because it only pushed the image."""
    from store.digest import Digest

    if not store.images.is_complete(Digest(image)):
        from pybuild.user import enter

        enter(store)
        store.images.complete(Digest(image))


def _write_outputs(store: "Store", request: "Request", result: "Result") -> None:
    from builder.outputs import write_outputs
    from pybuild.user import enter
    from store.digest import Digest

    enter(store)                                         # files of several owners are about to be read
    write_outputs(store, request, Digest(result.image))
