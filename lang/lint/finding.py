"""A finding, and the table of rules: what each is called, how grave it is, and where it is explained."""

from kernel.value import Value
from lang.diagnostic import Diagnostic
from lang.source import Source, Span

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

    Level = Literal["error", "warning", "info", "style"]

BUILD_CHECKS = "https://docs.docker.com/go/dockerfile/rule/"
HADOLINT = "https://github.com/hadolint/hadolint/wiki/"

# the build checks of the reference: on whenever a Dockerfile is checked
CHECKS = ("StageNameCasing", "FromAsCasing", "NoEmptyContinuation", "ConsistentInstructionCasing", "DuplicateStageName", "ReservedStageName",
          "JSONArgsRecommended", "MaintainerDeprecated", "UndefinedArgInFrom", "WorkdirRelativePath", "UndefinedVar",
          "MultipleInstructionsDisallowed", "LegacyKeyValueFormat", "InvalidBaseImagePlatform", "RedundantTargetPlatform",
          "SecretsUsedInArgOrEnv", "InvalidDefaultArgInFrom", "FromPlatformFlagConstDisallowed", "CopyIgnoredFile",
          "InvalidDefinitionDescription", "ExposeProtoCasing", "ExposeInvalidFormat")
EXPERIMENTAL = ("InvalidDefinitionDescription",)
# hadolint's rules, and ours: on for `lint` only
LEVELS: "dict[str, Level]" = {
    "DL3002": "warning", "DL3003": "warning", "DL3004": "error", "DL3006": "warning", "DL3007": "warning", "DL3008": "warning", "DL3009": "info",
    "DL3013": "warning", "DL3014": "warning", "DL3015": "info", "DL3016": "warning", "DL3018": "warning", "DL3019": "info", "DL3020": "error",
    "DL3021": "error", "DL3022": "warning", "DL3023": "error", "DL3028": "warning", "DL3030": "warning", "DL3032": "warning", "DL3033": "warning",
    "DL3034": "warning", "DL3036": "warning", "DL3037": "warning", "DL3038": "warning", "DL3040": "warning", "DL3041": "warning", "DL3042": "warning",
    "DL3044": "error", "DL3045": "warning", "DL3057": "info", "DL3059": "info", "DL3060": "info", "DL3062": "warning", "DL3067": "warning",
    "DL4001": "warning", "DL4006": "warning", "UnknownSyntax": "warning", "UnusedBuildArg": "warning",
}


class Edit(Value):
    """Text to put in the place of a span."""

    span: Span
    text: str


class Finding(Value):
    """Something to say about an instruction. line: what is reported; span: what is pointed at; edits: what would mend it, if that is safe."""

    rule: str
    message: str
    span: Span
    line: int
    edits: "tuple[Edit, ...]" = ()

    @property
    def level(self) -> "Level":
        return LEVELS.get(self.rule, "warning")

    @property
    def url(self) -> str:
        """Where the rule is explained; "" for rules of our own."""
        if self.rule.startswith("DL"):
            return HADOLINT + self.rule
        if self.rule not in CHECKS:
            return ""
        return f"{BUILD_CHECKS}{_kebab(self.rule)}/"

    def diagnostic(self, source: Source) -> Diagnostic:
        return Diagnostic("error" if self.level == "error" else "warning", f"{self.message} ({self.rule})", source, self.span, "")


def _kebab(name: str) -> str:
    """JSONArgsRecommended -> json-args-recommended."""
    starts = [at for at, c in enumerate(name) if c.isupper() and (not name[at - 1:at].isupper() or name[at + 1:at + 2].islower())]
    return "-".join(name[start:end].lower() for start, end in zip(starts, [*starts[1:], len(name)]))
