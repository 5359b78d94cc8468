"""`pyup config`: the project as its files say it, resolved; or one thing about it."""

import sys

from pybuild.option import FLAG, VALUE, Operand, Option, Usage
from pybuild.scanner import Misuse, Options
from pybuild.stack.project import load_options, warn
from runner.load import config

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from runner.load.project import LoadOptions
    from runner.load.template import Variable

USAGE = Usage(
    "Print the project as its files say it, resolved.", "pyup config --format json\npyup config --services",
    (Operand("names", "*", "services: only these, and those they depend on"),),
    (Option("--format", VALUE, "yaml or json", "FORMAT", "", choices=("yaml", "json")),
     Option("-q --quiet", FLAG, "print nothing: only say what is wrong"),
     Option("-o --output", VALUE, "write to FILE", "FILE"),
     Option("--services", FLAG, "print the names of services"),
     Option("--images", FLAG, "print the names of images"),
     Option("--volumes", FLAG, "print the names of volumes"),
     Option("--networks", FLAG, "print the names of networks"),
     Option("--models", FLAG, "print the names of models"),
     Option("--profiles", FLAG, "print the names of profiles"),
     Option("--environment", FLAG, "print the variables that files may use"),
     Option("--variables", FLAG, "print the variables that files use, and their defaults"),
     Option("--hash", VALUE, "print what identifies the configuration of services: names with commas, or `*`", "SERVICES"),
     Option("--resolve-image-digests", FLAG, "pin the tags of images to digests"),
     Option("--lock-image-digests", FLAG, "print an override file that pins them"),
     Option("--no-consistency", FLAG, "do not check whether parts contradict each other"),
     Option("--no-env-resolution", FLAG, "do not read env files of services"),
     Option("--no-interpolate", FLAG, "do not replace variables"),
     Option("--no-normalize", FLAG, "do not say what is implied"),
     Option("--no-path-resolution", FLAG, "leave relative paths as they are")))


def main(options: Options) -> int:
    wanted = load_options(
        options, tuple(options.names), interpolate=not options.no_interpolate, normalize=not options.no_normalize,
        resolve_paths=not options.no_path_resolution, consistency=not options.no_consistency, resolve_environment=not options.no_env_resolution,
        keep_env_files=options.no_env_resolution)
    if options.lock_image_digests and options.no_interpolate:
        raise Misuse("`--lock-image-digests` and `--no-interpolate` contradict each other")
    text = _text(options, wanted)
    if options.quiet:
        return 0
    if options.output:
        with open(options.output, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(text)
    else:
        sys.stdout.flush()
        sys.stdout.buffer.write(text.encode("utf-8", "surrogateescape"))
        sys.stdout.buffer.flush()
    return 0


def _text(options: Options, wanted: "LoadOptions") -> str:
    if options.variables:
        return _variables(config.asked(wanted), options.format)
    for what in config.LISTS:
        if getattr(options, what):
            lines, warnings = config.listed(wanted, what)
            warn(warnings)
            return _lines(lines)
    if options.hash:
        names = () if options.hash == "*" else tuple(name for name in options.hash.split(",") if name)
        lines, warnings = config.hashes(wanted, names)
        warn(warnings)
        return _lines(lines)
    mapping, warnings = config.resolved(wanted, options.format == "json")
    warn(warnings)
    if options.resolve_image_digests or options.lock_image_digests:
        with Pins(options) as pin:
            mapping = config.pinned(mapping, pin, only=options.lock_image_digests)
    if wanted.interpolate:
        mapping = _doubled(mapping)
    if options.format == "json":
        import json

        return json.dumps(mapping, indent=2, ensure_ascii=False) + "\n"
    from pybuild.output.yaml import dump

    return dump(mapping)


def _variables(found: "tuple[Variable, ...]", format: str) -> str:
    """As a table, unless it is asked for otherwise; names of fields as compose has them."""
    if not format:
        return _lines(config.variable_lines(found))
    named = {one.name: {"Name": one.name, "DefaultValue": one.default, "PresenceValue": one.presence, "Required": one.required} for one in found}
    if format == "json":
        import json

        return json.dumps(named, ensure_ascii=False) + "\n"
    from pybuild.output.yaml import dump

    return dump({name: {key.lower(): value for key, value in fields.items()} for name, fields in named.items()})


def _lines(lines: "list[str]") -> str:
    return "".join(f"{line}\n" for line in lines)


def _doubled(node: "Any") -> "Any":
    """`node` with every `$` in a value doubled: read again, it is one."""
    if isinstance(node, dict):
        return {key: _doubled(item) for key, item in node.items()}
    if isinstance(node, list):
        return [_doubled(item) for item in node]
    return node.replace("$", "$$") if isinstance(node, str) else node


class Pins:
    """`with Pins(options) as pin`: pin(name) is the name with the digest of what it leads to, as the store or its registry knows it."""

    def __init__(self, options: Options) -> None:
        self._options = options

    def __enter__(self) -> "Callable[[str], str]":
        from pybuild.place import open_store
        from pybuild.session import open_session

        self._store = open_store(self._options).__enter__()
        self._session = open_session(self._options.config).__enter__()
        return self._pin

    def _pin(self, name: str) -> str:
        from store.reference import parse_reference

        reference = parse_reference(name)
        if reference.digest:
            return name
        image = self._store.images.resolve(name)
        digest = (self._store.images.target(name) if image else None) or self._session.repository(reference).manifest(reference.tag).digest
        return f"{reference}@{digest}"

    def __exit__(self, *what: object) -> None:
        self._session.__exit__(None, None, None)
        self._store.__exit__(None, None, None)
