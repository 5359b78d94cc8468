"""A build's options -> a Request: every word is checked before anything is done. On the path of a cached build: what is rare is imported late."""

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from builder.request import CacheAddress, Output, Request, Rescue, Secret, Tree
    from pybuild.scanner import Options


def make_request(options: "Options") -> "Request":
    """Raises BuildError, Misuse, OSError, SandboxError (InvalidSpec)."""
    from builder.request import Request, read_ignore

    _refuse(options)
    outputs = _outputs(options)
    context, dockerfile, text, tree = find_dockerfile(options)
    ignore_name, ignore = read_ignore(context, dockerfile) if context else ("", b"")
    return Request(
        context=context, dockerfile=shown(dockerfile), text=text, ignore=ignore, ignore_name=shown(ignore_name), target=options.target,
        build_args=build_args_of(options), named_contexts=tuple(_named_context(w) for w in options.build_context),
        platform=options.platform or os.environ.get("DOCKER_DEFAULT_PLATFORM", ""), labels=_pairs(options.label, "--label"),
        annotations=tuple(options.annotation), names=_names(options.tag, outputs), network=options.network, add_hosts=tuple(options.add_host),
        secrets=secrets_of(options), ssh=ssh_of(options),
        allow=_allowed(options.allow), no_cache=options.no_cache,
        no_cache_stages=tuple(x for w in options.no_cache_filter for x in w.split(",")), pull=_pull(options.pull),
        outputs=outputs, jobs=options.jobs or 0, shm_size=_size(options.shm_size, "--shm-size"),
        ulimits=tuple(options.ulimit), memory=_size(options.memory, "--memory"), cpus=_cpus(options.cpus),
        isolation=options.isolation, runtime=_runtime(options), userns=_userns(options), rescue=_rescue(options), proxies=_proxies(), tree=tree,
        explain=options.explain, reproducible=options.reproducible, cache_from=_caches(options.cache_from, to=False),
        cache_to=_caches(options.cache_to, to=True))


def _refuse(options: "Options") -> None:
    """What is on the command line and cannot be had: said, never passed over."""
    for name in ("sbom", "provenance"):
        if (getattr(options, name) or "false").lower() not in ("false", "0", "f"):
            raise _misuse(f"--{name} is not there yet", f"`--{name}=false` is taken")
    for name in ("attest", "report", "junit"):
        if any(not word.endswith("disabled=true") for word in getattr(options, name)):
            raise _misuse(f"--{name} is not there yet")
    if options.cgroup_parent:
        raise _misuse("--cgroup-parent is not there: the cgroup of a RUN lies below the tool's own", "--memory and --cpus limit a RUN")
    if options.progress == "tty":
        raise _misuse("--progress=tty is not there yet", "--progress=plain")
    if "," in (options.platform or ""):
        raise _misuse("--platform: an image is built for one platform at a time here", "build each, and join them with `pybuild manifest create`")
    if options.jobs is not None and options.jobs < 1:
        raise _misuse(f"--jobs: `{options.jobs}` is no number of steps")


def _runtime(options: "Options") -> str:
    if not options.runtime:
        return ""
    from sandbox import runtimes

    if options.isolation == "chroot":
        raise _misuse("--runtime makes namespaces, and --isolation=chroot is for where there are none")
    return runtimes.find(options.runtime, os.environ.get("PATH", os.defpath))


def _userns(options: "Options") -> str:
    if not options.userns:
        return ""
    from runner.idrange import HOST, check_mode

    mode: str = options.userns
    if mode in HOST:
        return ""
    if options.isolation == "chroot":
        raise _misuse("--userns makes namespaces, and --isolation=chroot is for where there are none")
    check_mode(mode, options.runtime or "", rootless=bool(os.geteuid()))
    return mode


def _names(tags: list[str], outputs: "tuple[Output, ...]") -> tuple[str, ...]:
    """What the image is called in the store."""
    return tuple(dict.fromkeys((*tags, *(name for output in outputs if output.type == "image" for name in output.names))))


def _pull(word: str | None) -> bool:
    if word is not None and word.lower() not in (*_TRUE, *_FALSE):
        raise _misuse(f"--pull is true or false, not `{word}`")
    return word is not None and word.lower() not in _FALSE


def _allowed(words: list[str]) -> tuple[str, ...]:
    found = tuple(x for w in words for x in w.split(","))
    for name in found:
        if name not in ("network.host", "security.insecure", "device"):
            raise _misuse(f"--allow: there is no entitlement `{name}`", "there are network.host, security.insecure and device")
    return found


def _caches(words: list[str], *, to: bool) -> "tuple[CacheAddress, ...]":
    if not words:
        return ()
    from builder.cache.address import parse_address

    return tuple(parse_address(word, to=to) for word in words)


def find_dockerfile(options: "Options") -> "tuple[str, str, bytes, Tree | None]":
    """(context directory or "", path of the Dockerfile, its bytes, the context if it is no directory)."""
    context, file = options.context, options.file
    if context == "-" or "://" in context or "@" in context or context.startswith("github.com/"):
        from pybuild.image.remote import read_context

        found = read_context(options)
        if found is not None:
            return "", *found
    directory = os.path.abspath(context)
    if not os.path.isdir(directory):
        from builder.errors import ContextMissing

        raise ContextMissing(context, _meant_command(context))
    if file == "-":
        return directory, "Dockerfile", sys.stdin.buffer.read(), None
    if file and file.startswith(("http://", "https://")):
        from pybuild.image.remote import read_dockerfile

        return directory, "Dockerfile", read_dockerfile(options), None
    path = file or f"{directory}/Dockerfile"
    if not file and not os.path.exists(path):
        path = next((f"{directory}/{n}" for n in ("dockerfile", "Containerfile") if os.path.exists(f"{directory}/{n}")), path)
    try:
        with open(path, "rb") as stream:
            return directory, os.path.abspath(path), stream.read(), None
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        from builder.errors import DockerfileMissing

        raise DockerfileMissing(shown(path), "name it with `-f FILE`") from error


def _meant_command(word: str) -> str:
    """Help for a context that is not there: perhaps it was to be a command."""
    from difflib import get_close_matches

    from pybuild.command import PYBUILD

    close = get_close_matches(word, [c.words for c in PYBUILD], 1)
    return f"did you mean the command `pybuild {close[0]}`?" if close and "/" not in word else ""


def shown(path: str) -> str:
    """A path as messages show it: relative if it lies below the working directory."""
    here = os.getcwd() + "/"
    return path[len(here):] if path.startswith(here) else path


def _misuse(message: str, help: str = "") -> Exception:
    from pybuild.scanner import Misuse

    return Misuse(message, help)


def _pairs(words: list[str], option: str) -> tuple[tuple[str, str], ...]:
    found = []
    for word in words:
        name, _, value = word.partition("=")
        if not name:
            raise _misuse(f"{option}: `{word}` has no name")
        found.append((name, value))
    return tuple(found)


def _build_args(words: list[str]) -> tuple[tuple[str, str], ...]:
    found: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not name:
            raise _misuse(f"--build-arg: `{word}` has no name")
        if equals:
            found[name] = value
        elif name in os.environ:
            found[name] = os.environ[name]
    if "SOURCE_DATE_EPOCH" in os.environ:
        found.setdefault("SOURCE_DATE_EPOCH", os.environ["SOURCE_DATE_EPOCH"])
    return tuple(sorted(found.items()))


def _named_context(word: str) -> tuple[str, str]:
    name, equals, value = word.partition("=")
    if not equals or not name:
        raise _misuse(f"--build-context: `{word}` is no NAME=VALUE")
    if name != name.lower():
        raise _misuse(f"--build-context: `{name}` names nothing: stages and images are in lower case")
    from builder.remote.named import absolute

    return name, absolute(value, os.getcwd())


def _fields(word: str, option: str, known: tuple[str, ...] = ()) -> dict[str, str]:
    """`a=1,b=2`, with csv quotes around a field that has a comma. known: what there is, () for whatever somebody else checks."""
    if '"' in word:
        import csv

        parts = next(csv.reader([word]))
    else:
        parts = word.split(",")
    fields = {}
    for part in parts:
        name, equals, value = part.partition("=")
        if not equals:
            raise _misuse(f"{option}: `{part}` in `{word}` is no NAME=VALUE")
        name = name.strip().lower() if known else name.strip()
        if known and name not in known:
            raise _misuse(f"{option}: `{word}` has an unknown `{name}`", f"there are {', '.join(known)}")
        fields[name] = value
    return fields


def _secret(word: str) -> "Secret":
    from builder.request import Secret

    fields = _fields(word, "--secret", ("id", "src", "source", "env", "type"))
    kind, path, variable = fields.get("type", ""), fields.get("src") or fields.get("source", ""), fields.get("env", "")
    if kind not in ("", "file", "env"):
        raise _misuse(f"--secret: there is no type `{kind}`", "the types are file and env")
    if kind == "env" and not variable:
        path, variable = "", path                        # `type=env,src=NAME`, as docker has it
    name = fields.get("id") or os.path.basename(path) or variable
    if not name:
        raise _misuse(f"--secret: `{word}` has no id")
    if path and variable:
        raise _misuse(f"--secret: `{word}` has both a file and a variable")
    if not path and not variable:
        if name in os.environ and kind != "file":
            variable = name
        else:
            path = name
    if path and not os.path.isfile(path) and not _is_stream(path):
        from builder.errors import BuildError

        what = "is a directory" if os.path.isdir(path) else "does not exist"
        raise BuildError(f"the file `{path}` of the secret `{name}` {what}")
    return Secret(name, os.path.abspath(path) if path else "", variable)


def _is_stream(path: str) -> bool:
    """Whether it can be read as a file is, though it is none: `<(command)` of a shell."""
    return os.path.exists(path) and not os.path.isdir(path)


def _ssh(word: str) -> tuple[str, str]:
    name, _, socket = word.partition("=")
    socket = socket or os.environ.get("SSH_AUTH_SOCK", "")
    if not socket:
        raise _misuse(f"--ssh: there is no agent for `{name}`: SSH_AUTH_SOCK is not set")
    from builder.agents import source_of
    from builder.errors import BuildError

    try:
        return name or "default", source_of(socket)
    except BuildError as error:
        raise _misuse(f"--ssh: {error}", "give the socket of an agent, or files of private keys without a passphrase") from None


def _outputs(options: "Options") -> "tuple[Output, ...]":
    outputs = tuple(_output(w) for w in options.output)
    if (options.quiet or options.progress == "quiet") and any(output.dest == "-" for output in outputs):
        raise _misuse("--quiet prints the image's ID to stdout, where an output goes as well")
    if not options.push or any(output.type == "registry" for output in outputs):
        return outputs
    from builder.request import Output

    if not any(output.type == "image" for output in outputs):
        return (*outputs, Output("registry"))
    return tuple(_pushed(output) if output.type == "image" else output for output in outputs)


def _pushed(output: "Output") -> "Output":
    return output._replace(options=(*(pair for pair in output.options if pair[0] != "push"), ("push", "true")))


_TRUE, _FALSE = ("true", "1", "t", ""), ("false", "0", "f")


def _output(word: str) -> "Output":
    from builder.request import Output

    if "=" not in word:
        return Output("tar" if word == "-" else "local", word if word == "-" else os.path.abspath(word))
    fields = _fields(word, "--output")
    kind = fields.pop("type", "")
    dest = fields.pop("dest", fields.pop("destination", ""))
    if not kind:
        raise _misuse(f"--output: `{word}` has no type")
    if not dest and kind in ("oci", "tar"):
        dest = "-"
    if dest == "-" and sys.stdout.isatty():
        raise _misuse(f"an output of type `{kind}` is not written to a terminal", f"--output type={kind},dest=FILE, or redirect it")
    options = tuple((name, _canonical(name, value)) for name, value in fields.items())
    return Output(kind, dest if dest in ("", "-") else os.path.abspath(dest), options)


def _canonical(name: str, value: str) -> str:
    """`1` and `T` as true, as Go reads them; numbers and words as they are."""
    if name in ("name", "compression-level") or name.startswith("annotation"):
        return value
    return "true" if value in ("1", "t", "T", "TRUE", "True") else "false" if value in ("0", "f", "F", "FALSE", "False") else value


def _rescue(options: "Options") -> "Rescue":
    from builder.request import Rescue

    what, _, layout = options.on_error.partition("=")
    if what not in ("fail", "shell", "keep") or (layout and what != "keep"):
        raise _misuse(f"--on-error: `{options.on_error}` is none of fail, shell, keep, keep=PATH")
    outputs = []
    for word in options.output_on_failure:
        fields = _fields(word, "--output-on-failure", ("src", "source", "dest", "destination"))
        source, destination = fields.get("src") or fields.get("source", ""), fields.get("dest") or fields.get("destination", "") or "."
        if not source:
            raise _misuse(f"--output-on-failure: `{word}` has no src")
        outputs.append((source, os.path.abspath(destination) + ("/" if destination.endswith("/") else "")))
    return Rescue(what, layout, tuple(outputs))


def _size(text: str | None, option: str) -> int:
    if not text:
        return 0
    from pybuild.output.units import parse_size

    try:
        return parse_size(text)
    except ValueError as error:
        raise _misuse(f"{option}: {error}") from None


def _cpus(text: str | None) -> float:
    try:
        count = float(text or 0)
    except ValueError:
        raise _misuse(f"--cpus: `{text}` is no number") from None
    if text and not 0.01 <= count <= 1 << 16:
        raise _misuse(f"--cpus: `{text}` is no number of processors", "0.5 is half of one; the least is 0.01")
    return count


def _proxies() -> tuple[tuple[str, str], ...]:
    """The proxy settings of this process: RUN sees them, and they are neither in its key nor in the image."""
    names = ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY")
    return tuple((n, os.environ[n]) for name in names for n in (name, name.lower()) if os.environ.get(n))


def secrets_of(options: "Options") -> "tuple[Secret, ...]":
    return tuple(_secret(w) for w in options.secret)


def build_args_of(options: "Options") -> tuple[tuple[str, str], ...]:
    return _build_args(options.build_arg)


def ssh_of(options: "Options") -> tuple[tuple[str, str], ...]:
    return tuple(_ssh(w) for w in options.ssh)
