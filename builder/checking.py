"""The build checks as part of a build that says `# check=error=true`: a resolution and what was found of its images go in, errors come out."""

from lang.errors import LangError, SyntaxFault
from lang.lint.linter import Surroundings, lint
from lang.refs import ImageRef

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from builder.lower import Base
    from builder.request import Request
    from lang.config import Settings
    from lang.platform import Platform
    from lang.refs import Ref
    from lang.stages import Resolution


def findings_as_errors(resolution: "Resolution", request: "Request", known: "Callable[[str], Base | None]",
                       named: "Callable[[str], bool]") -> list[LangError]:
    """One error for each finding in a stage that the target needs. known: a base image that was found."""
    def base(ref: "Ref", platform: "Platform") -> "Settings | None":
        image = known(ref.name) if isinstance(ref, ImageRef) else None
        return image.settings if image is not None else None

    def image_platform(name: str, platform: "Platform") -> "Platform | None":
        image = known(name)
        return image.platform if image is not None else None

    at = Surroundings(resolution.target_platform, resolution.build_platform, dict(resolution.build_args), request.target, named, base, image_platform,
                      _left_out(request), whole=False)
    source, help = resolution.dockerfile.source, "the file says `# check=error=true`"
    return [SyntaxFault(source, found.span, f"{found.message} ({found.rule})", "" if number else help)
            for number, found in enumerate(lint(resolution.dockerfile, at).findings)]


def _left_out(request: "Request") -> "Callable[[str], bool] | None":
    if not request.ignore.strip():
        return None
    from builder.ignore import left_out, parse

    return left_out(parse(request.ignore.decode("utf-8-sig", "surrogateescape")))
