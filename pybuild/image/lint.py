"""`pybuild lint`, and `--check` of a build: what could be better in a Dockerfile, as text or for other programs; `--fix` mends the safe part."""

import json
import os
import sys

from pybuild.option import FLAG, LIST, VALUE, Operand, Option, Usage
from pybuild.scanner import Options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, TypeAlias

    from lang.config import Settings
    from lang.errors import LangError
    from lang.lint.finding import Finding
    from lang.lint.linter import Surroundings
    from lang.platform import Platform
    from lang.refs import Ref
    from lang.source import Source
    from store.oci import ImageConfig

    # a file that was looked at, what was found, and what kept the rest from being looked at
    Checked: TypeAlias = tuple[Source, tuple[Finding, ...], LangError | None]

USAGE = Usage("Say what could be better in Dockerfiles.", "pybuild lint --fix .\npybuild lint --format sarif Dockerfile > lint.sarif",
              (Operand("files", "*", "Dockerfiles, directories that have one, or `-` (default: .)"),),
              (Option("--fix", FLAG, "mend what can be mended safely, in place"),
               Option("--format", VALUE, "how findings are written", "FORMAT", "text", choices=("text", "json", "sarif", "github")),
               Option("--target", VALUE, "look at this stage and those it needs only", "STAGE"),
               Option("--build-arg", LIST, "value of an ARG", "NAME=VALUE"),
               Option("--platform", VALUE, "platform to build for", "OS/ARCH")))
LEVELS = {"error": "error", "warning": "warning", "info": "note", "style": "note"}
SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def main(options: Options) -> int:
    from pybuild.image.dockerfile import load

    sources = [load(word) for word in options.files or ["."]]
    if options.fix:
        sources = [_fix(source, options) for source in sources]
    return show([check(source, surroundings(source, options), more=True) for source in sources], options.format)


def check(source: "Source", at: "Surroundings", more: bool = False) -> "Checked":
    """Look at a Dockerfile: the findings, and the error that ended it early. more: by hadolint's rules and ours too.

    The source that comes back has the texts of included files too.
    """
    from lang.errors import LangError
    from lang.lint.linter import lint
    from lang.parser import parse
    from pybuild.image.dockerfile import include

    try:
        tree = parse(source, include(source), at.build_args.get("BUILDKIT_SYNTAX"))
        report = lint(tree, at, more)
    except LangError as error:
        return source, (), error
    return tree.source, report.findings, report.error


def show(checked: "Sequence[Checked]", format: str = "text") -> int:
    """Print findings to stdout and errors to stderr. Returns 1 if there is an error or anything graver than a hint, else 0."""
    WRITERS[format](checked)
    failed = False
    for _, findings, error in checked:
        failed = failed or error is not None or any(finding.level in ("error", "warning") for finding in findings)
        if error is not None:
            from pybuild.output.errors import report

            report(error)
    return int(failed)


def surroundings(source: "Source", options: Options, context: "str | None" = None,
                 named: "Callable[[str], bool]" = lambda name: False) -> "Surroundings":
    """What the options and the place of a Dockerfile say about a build of it. context: the directory to build from (None: the Dockerfile's)."""
    from builder.build import host_platform
    from builder.errors import BuildError
    from lang.lint.linter import Surroundings
    from lang.platform import parse_platform
    from pybuild.image.request import build_args_of

    host = host_platform()
    wanted = options.platform or os.environ.get("DOCKER_DEFAULT_PLATFORM", "")
    try:
        platform = parse_platform(wanted, host) if wanted else host
    except ValueError as error:
        raise BuildError(f"--platform: {error}") from None
    images = _Images(options)
    return Surroundings(platform, host, dict(build_args_of(options)), options.target, named,
                        base=images.settings, image_platform=images.platform, ignored=_ignored(source, context))


def _fix(source: "Source", options: Options) -> "Source":
    from lang.lint.fix import fix
    from pybuild.image.dockerfile import include
    from pybuild.image.fmt import write

    text = fix(source, surroundings(source, options), include(source))
    if text != source.text:
        write(source, text)
    return source._replace(text=text)


class _Images:
    """What is known of images: those that are in the store already. A store that is not there is not made."""

    def __init__(self, options: Options) -> None:
        from pybuild.place import directories

        self._options = options
        self._known: dict[str, ImageConfig | None] = {}
        self._store = os.path.isdir(directories(options.root)[0])

    def settings(self, ref: "Ref", platform: "Platform") -> "Settings | None":
        from builder.images import settings_of
        from lang.refs import ImageRef

        config = self._config(ref.name) if isinstance(ref, ImageRef) else None
        return settings_of(config.config) if config is not None else None

    def platform(self, name: str, platform: "Platform") -> "Platform | None":
        from lang.platform import Platform

        config = self._config(name)
        return Platform(config.os, config.architecture, config.variant) if config is not None else None

    def _config(self, name: str) -> "ImageConfig | None":
        if self._store and name not in self._known:
            from pybuild.place import open_store

            with open_store(self._options) as store:
                record = store.images.resolve(name)
                self._known[name] = store.images.config(record.id) if record is not None else None
        return self._known.get(name)


def _ignored(source: "Source", context: "str | None") -> "Callable[[str], bool] | None":
    """Whether the ignore file of a context leaves a path out; None without one, or if it takes something back in."""
    from builder.errors import BuildError
    from builder.ignore import BadPattern, left_out, parse
    from builder.request import read_ignore
    from pybuild.image.dockerfile import STDIN

    if source.name == STDIN if context is None else not context:
        return None
    name, data = read_ignore(os.path.dirname(source.name) or "." if context is None else context, source.name)
    try:
        return left_out(parse(data.decode("utf-8", "surrogateescape")))
    except BadPattern as error:
        raise BuildError(f"{name}: {error}") from error


# ---------------------------------------------------------------- formats
def _text(checked: "Sequence[Checked]") -> None:
    from lang.diagnostic import render

    color = not os.environ.get("NO_COLOR") and (bool(os.environ.get("FORCE_COLOR")) or sys.stdout.isatty())
    for source, findings, _ in checked:
        for finding in findings:
            print(render(finding.diagnostic(source), color=color), end="\n\n")


def _json(checked: "Sequence[Checked]") -> None:
    several = len(checked) > 1
    found = [{"rule": finding.rule, "line": finding.line, "message": finding.message, "url": finding.url}
             | ({"file": file} if several or file != source.name else {})      # an included file is another one
             for source, findings, _ in checked for finding in findings for file in (source.file(finding.span.start)[0],)]
    print("[" + ",\n ".join(json.dumps(item, ensure_ascii=False) for item in found) + "]")


def _github(checked: "Sequence[Checked]") -> None:
    """Annotations of a GitHub workflow."""
    for source, findings, _ in checked:
        for finding in findings:
            kind = {"error": "error", "warning": "warning"}.get(finding.level, "notice")
            line, column = source.position(finding.span.start)
            place = f"file={_property(source.file(finding.span.start)[0])},line={line},col={column},title={_property(finding.rule)}"
            print(f"::{kind} {place}::{_escaped(finding.message)}")


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _escaped(text).replace(":", "%3A").replace(",", "%2C")


def _sarif(checked: "Sequence[Checked]") -> None:
    """SARIF 2.1.0, one run."""
    from pybuild.version import VERSION

    everything = [(source, finding) for source, findings, _ in checked for finding in findings]
    rules = {finding.rule: finding for _, finding in everything}
    driver = {"name": "pybuild", "version": VERSION, "rules": [
        {"id": rule, **({"helpUri": finding.url} if finding.url else {}), "defaultConfiguration": {"level": LEVELS[finding.level]}}
        for rule, finding in sorted(rules.items())]}
    results = [{"ruleId": finding.rule, "level": LEVELS[finding.level], "message": {"text": finding.message},
                "locations": [{"physicalLocation": _place(source, finding)}]} for source, finding in everything]
    runs = [{"tool": {"driver": driver}, "results": results}]
    print(json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": runs}, indent=2, ensure_ascii=False))


def _place(source: "Source", finding: "Finding") -> "dict[str, Any]":
    start, end = source.position(finding.span.start), source.position(max(finding.span.end, finding.span.start))
    return {"artifactLocation": {"uri": source.file(finding.span.start)[0]},
            "region": {"startLine": start[0], "startColumn": start[1], "endLine": end[0], "endColumn": end[1]}}


WRITERS = {"text": _text, "json": _json, "sarif": _sarif, "github": _github}
