"""The build checks as part of a build: a resolution and what was found of its images go in, warnings come out; or errors, for a file that says
`# check=error=true`. Looked at once: what was found is kept for as long as file, arguments and images are the same.
"""

from marshal import dumps, loads

from builder.progress import CheckWarning
from kernel.value import plain
from lang.errors import SyntaxFault, together
from lang.refs import ImageRef
from store.digest import digest_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from builder.lower import Base
    from builder.request import Request
    from lang.config import Settings
    from lang.lint.linter import Report
    from lang.platform import Platform
    from lang.refs import Ref
    from lang.stages import Resolution
    from store.cache import Cache
    from store.digest import Digest

FORMAT = 1                                               # of what is kept, and of the rules: another number when one of them finds something else


def warnings_of(resolution: "Resolution", request: "Request", bases: "tuple[tuple[str, Digest], ...]", included: "Mapping[str, str]",
                known: "Callable[[str], Base | None]", named: "Mapping[str, str]", cache: "Cache") -> tuple[CheckWarning, ...]:
    """The findings in the stages that the target needs; a finding in the Dockerfile itself names no file.

    known: a base image that was found. Raises LangError: where findings are errors, and for a `# check=` that does not read.
    """
    place = digest_of(dumps(("checks", FORMAT, plain(request.identity()), plain(bases), sorted(included.items())), 2))
    kept = cache.get_build(place)
    if kept is not None:
        return tuple(CheckWarning(*fields) for fields in loads(kept))
    report = _report(resolution, request, known, named)
    source = resolution.dockerfile.source
    if report.options.error and report.findings:
        override = "BUILDKIT_DOCKERFILE_CHECK" in dict(resolution.build_args)
        help = "the build argument BUILDKIT_DOCKERFILE_CHECK says `error=true`" if override else "the file says `# check=error=true`"
        raise together([SyntaxFault(source, found.span, f"{found.message} ({found.rule})", "" if number else help)
                        for number, found in enumerate(report.findings)])
    warnings = []
    for found in report.findings:
        file, end = source.file(found.span.start)[0], source.position(max(found.span.end - 1, found.span.start))[0]
        warnings.append(CheckWarning(found.rule, found.message, "" if file == source.name else file, found.line, max(found.line, end), found.url))
    cache.put_build(place, dumps(tuple((*one,) for one in warnings), 2))
    return tuple(warnings)


def _report(resolution: "Resolution", request: "Request", known: "Callable[[str], Base | None]", named: "Mapping[str, str]") -> "Report":
    from lang.lint.linter import Surroundings, lint

    def base(ref: "Ref", platform: "Platform") -> "Settings | None":
        image = known(ref.name) if isinstance(ref, ImageRef) else None
        return image.settings if image is not None else None

    def image_platform(name: str, platform: "Platform") -> "Platform | None":
        image = known(name)
        return image.platform if image is not None else None

    return lint(resolution.dockerfile, Surroundings(
        resolution.target_platform, resolution.build_platform, dict(resolution.build_args), request.target, named.__contains__, base, image_platform,
        _left_out(request), whole=False))


def _left_out(request: "Request") -> "Callable[[str], bool] | None":
    if not request.ignore.strip():
        return None
    from builder.ignore import left_out, parse

    return left_out(parse(request.ignore.decode("utf-8-sig", "surrogateescape")))
