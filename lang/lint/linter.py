"""Lints a Dockerfile: its tree and what is known of its surroundings go in, findings come out, in the order of their places."""

from kernel.value import Value
from lang.errors import LangError
from lang.lint import checks
from lang.lint.finding import Finding
from lang.lint.options import Options, options_of, skipped
from lang.lint.trace import Trace, trace
from lang.nodes import Dockerfile
from lang.platform import Platform
from lang.source import Span

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from lang.config import Settings
    from lang.refs import Ref

class Surroundings(Value):
    """What a build would be given. base: the config of an image where it is known; image_platform: its platform, likewise.

    ignored: whether the ignore file leaves a path of the context out; None: there is none, or it takes something back in.
    whole: without a target all stages are looked at, not only those that the last one needs.
    """

    target_platform: Platform
    build_platform: Platform
    build_args: "Mapping[str, str]" = {}
    target: "str | None" = None
    named: "Callable[[str], bool]" = lambda name: False
    base: "Callable[[Ref, Platform], Settings | None]" = lambda ref, platform: None
    image_platform: "Callable[[str, Platform], Platform | None]" = lambda name, platform: None
    ignored: "Callable[[str], bool] | None" = None
    whole: bool = True


class Report(Value):
    """options: what the file says about its checking. error: why the walk through the stages ended early; findings stop there."""

    findings: "tuple[Finding, ...]"
    options: Options
    error: "LangError | None"


def lint(dockerfile: Dockerfile, surroundings: Surroundings, more: bool = False) -> Report:
    """Check a Dockerfile by the reference's rules; with `more`, by those of hadolint and ours too.

    Raises LangError for a `# check=` that does not read.
    """
    options = options_of(dockerfile, surroundings.build_args.get("BUILDKIT_DOCKERFILE_CHECK"))
    seen = trace(dockerfile, build_args=surroundings.build_args, target=surroundings.target, target_platform=surroundings.target_platform,
                 build_platform=surroundings.build_platform, named=surroundings.named, base=surroundings.base,
                 every=surroundings.whole and not surroundings.target)
    local = [(one.raw.span, skip) for one in dockerfile.instructions if (skip := skipped(one.raw))]
    found = [finding for finding in _all(seen, surroundings, more) if options.applies(finding.rule) and not _skipped(finding, local)]
    return Report(tuple(sorted(found, key=lambda finding: (finding.span.start, finding.rule))), options, seen.error)


def _all(seen: Trace, at: Surroundings, more: bool) -> "Iterator[Finding]":
    for rule in (checks.stage_names, checks.from_as_casing, checks.instruction_casing, checks.empty_continuation, checks.maintainer,
                 checks.legacy_pairs, checks.definition_description, checks.undefined_variables, checks.relative_workdir, checks.repeated,
                 checks.json_arguments, checks.secrets, checks.ports):
        yield from rule(seen)
    yield from checks.from_arguments(seen, at.target_platform, at.build_platform, at.target or "", at.build_args)
    yield from checks.base_platform(seen, at.target_platform, at.image_platform)
    if at.ignored is not None:
        yield from checks.ignored_sources(seen, at.ignored)
    if more:
        from lang.lint import hadolint, packages
        for extra in (*hadolint.RULES, *packages.RULES, syntax):
            yield from extra(seen)
        yield from unused_arguments(seen)


def syntax(seen: Trace) -> "Iterator[Finding]":
    """UnknownSyntax: of a frontend that would have to be run, which we do not."""
    name = seen.dockerfile.strange_syntax()
    if name:
        span = next((d.span for d in seen.dockerfile.directives if d.name == "syntax"), Span(0, 0))
        yield Finding("UnknownSyntax", f"the frontend `{name}` is not run: the file is read as a Dockerfile", span,
                      seen.dockerfile.source.position(span.start)[0])


def unused_arguments(seen: Trace) -> "Iterator[Finding]":
    """UnusedBuildArg: given by the user, declared nowhere."""
    from lang.stages import unused_arguments as unused
    for name in unused(seen.resolution) if seen.resolution else ():
        yield Finding("UnusedBuildArg", f"no ARG declares the build argument `{name}`", Span(0, 0), 1)


def _skipped(finding: Finding, local: "list[tuple[Span, frozenset[str]]]") -> bool:
    return any(span.start <= finding.span.start <= span.end and (finding.rule in names or "all" in names) for span, names in local)
