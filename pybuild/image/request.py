"""A build's options -> a Request: every word is checked before anything is done. On the path of a cached build: what is rare is imported late."""

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from builder.request import CacheAddress, Output, Request, Rescue, Secret, Tree
    from pybuild.scanner import Options


def make_request(options: "Options") -> "Request":
    """Raises BuildError, Misuse, OSError."""
    from builder.request import Request, read_ignore

    context, dockerfile, text, tree = find_dockerfile(options)
    ignore_name, ignore = read_ignore(context, dockerfile) if context else ("", b"")
    return Request(
        context=context, dockerfile=shown(dockerfile), text=text, ignore=ignore, ignore_name=shown(ignore_name), target=options.target,
        build_args=build_args_of(options), named_contexts=tuple(_named_context(w) for w in options.build_context),
        platform=options.platform or os.environ.get("DOCKER_DEFAULT_PLATFORM", ""), labels=_pairs(options.label, "--label"),
        annotations=tuple(options.annotation), names=tuple(options.tag), network=options.network, add_hosts=tuple(options.add_host),
        secrets=secrets_of(options), ssh=ssh_of(options),
        allow=tuple(x for w in options.allow for x in w.split(",")), no_cache=options.no_cache,
        no_cache_stages=tuple(x for w in options.no_cache_filter for x in w.split(",")), pull=options.pull not in (None, "false"),
        outputs=_outputs(options), jobs=options.jobs or 0, shm_size=_size(options.shm_size, "--shm-size"),
        ulimits=tuple(options.ulimit), memory=_size(options.memory, "--memory"), cpus=_number(options.cpus),
        cgroup_parent=options.cgroup_parent or "", rescue=_rescue(options), proxies=_proxies(), tree=tree, explain=options.explain,
        reproducible=options.reproducible, cache_from=_caches(options.cache_from, to=False), cache_to=_caches(options.cache_to, to=True))


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
    from builder.remote.named import absolute

    return name, absolute(value, os.getcwd())


def _fields(word: str, option: str) -> dict[str, str]:
    """`a=1,b=2`, with csv quotes around a field that has a comma."""
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
        fields[name.strip()] = value
    return fields


def _secret(word: str) -> "Secret":
    from builder.request import Secret

    fields = _fields(word, "--secret")
    path = fields.get("src") or fields.get("source", "")
    variable = fields.get("env", "")
    name = fields.get("id") or os.path.basename(path) or variable
    if not name:
        raise _misuse(f"--secret: `{word}` has no id")
    if not path and not variable:
        if name in os.environ:
            variable = name
        else:
            path = name
    if path and not os.path.exists(path):
        from builder.errors import BuildError

        raise BuildError(f"the file `{path}` of the secret `{name}` does not exist")
    return Secret(name, os.path.abspath(path) if path else "", variable)


def _ssh(word: str) -> tuple[str, str]:
    name, _, socket = word.partition("=")
    socket = socket or os.environ.get("SSH_AUTH_SOCK", "")
    if not socket:
        raise _misuse(f"--ssh: there is no agent for `{name}`: SSH_AUTH_SOCK is not set")
    return name or "default", socket


def _outputs(options: "Options") -> "tuple[Output, ...]":
    outputs = tuple(_output(w) for w in options.output)
    if not options.push:
        return outputs
    from builder.request import Output

    return (*outputs, Output("registry"))


def _output(word: str) -> "Output":
    from builder.request import Output

    if "=" not in word:
        return Output("tar" if word == "-" else "local", word if word == "-" else os.path.abspath(word))
    fields = _fields(word, "--output")
    kind = fields.pop("type", "")
    dest = fields.pop("dest", fields.pop("destination", ""))
    if not kind:
        raise _misuse(f"--output: `{word}` has no type")
    if kind in ("docker", "oci", "tar") and not dest and (kind != "docker" or not sys.stdout.isatty()):
        dest = "-" if kind != "docker" else ""
    return Output(kind, dest if dest in ("", "-") else os.path.abspath(dest), tuple(fields.items()))


def _rescue(options: "Options") -> "Rescue":
    from builder.request import Rescue

    what, _, layout = options.on_error.partition("=")
    if what not in ("fail", "shell", "keep") or (layout and what != "keep"):
        raise _misuse(f"--on-error: `{options.on_error}` is none of fail, shell, keep, keep=PATH")
    outputs = []
    for word in options.output_on_failure:
        fields = _fields(word, "--output-on-failure")
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


def _number(text: str | None) -> float:
    try:
        return float(text or 0)
    except ValueError:
        raise _misuse(f"--cpus: `{text}` is no number") from None


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
