"""What a command takes, as plain data: options and operands. The scanner reads argv by it; help, usage errors and completion are made of it."""

from kernel.value import Value

# How an option takes its value.
FLAG = "flag"                    # --x, --x=true, --x=false
VALUE = "value"                  # --x V, --x=V, -xV; the last one counts
LIST = "list"                    # VALUE, repeatable: a list
MAYBE = "maybe"                  # --x or --x=V; a bare one means `implied`
COUNT = "count"                  # a whole number


class Option(Value):
    """names: "-t --tag"; the last long one names the attribute (`options.tag`). metavar: what the value is called in help."""

    names: str
    kind: str
    help: str
    metavar: str = ""
    default: "str | None" = None
    implied: str = ""
    choices: tuple[str, ...] = ()
    hidden: bool = False

    def attribute(self) -> str:
        return self.names.split()[-1].lstrip("-").replace("-", "_")


class Operand(Value):
    """arity: "1", "?" (one or none), "*", "+", "..." (all that is left, options of others included)."""

    name: str
    arity: str
    help: str


class Usage(Value):
    """The whole of a command's argv. summary: one line; example: shown by --help."""

    summary: str
    example: str
    operands: tuple[Operand, ...] = ()
    options: tuple[Option, ...] = ()
    stop_early: bool = False     # options end at the first operand (`run IMAGE CMD --flag-of-cmd`)


GLOBAL = (
    Option("--root", VALUE, "keep images, containers and state below DIR instead of the default place", "DIR"),
    Option("--config", VALUE, "read this configuration file only", "FILE"),
    Option("-D --debug", FLAG, "show a traceback when the tool itself fails"),
    Option("--log-format", VALUE, "how messages are written", "FORMAT", "text", choices=("text", "json")),
)

DRY_RUN = Option("--dry-run", FLAG, "say what would be done, and do nothing")

# of pyup, before the command; DRY_RUN may stand after it too
PROJECT = (
    Option("-f --file", LIST, "compose file, `-` for standard input", "FILE"),
    Option("-p --project-name", VALUE, "name of the project", "NAME"),
    Option("--project-directory", VALUE, "directory that paths in the files start from", "DIR"),
    Option("--profile", LIST, "activate a profile; `*` for all", "NAME"),
    Option("--env-file", LIST, "file of variables, instead of `.env`", "FILE"),
    Option("--all-resources", FLAG, "keep networks, volumes, secrets and configs that no service uses"),
    Option("--parallel", COUNT, "how much is done at once; -1: everything", "N"),
    Option("--ansi", VALUE, "when colours are used", "WHEN", choices=("never", "always", "auto")),
    Option("--progress", VALUE, "how progress is shown", "KIND", choices=("auto", "tty", "plain", "json", "quiet")),
    Option("--compatibility", FLAG, "name containers with `_` between the parts"),
    DRY_RUN,
    Option("--allow", LIST, "allow what the files ask for: remote, provider", "WHAT"),
    Option("--verbose", FLAG, "accepted; has no effect", hidden=True),
    Option("--no-ansi", FLAG, "the same as `--ansi never`", hidden=True),
    Option("--workdir", VALUE, "the same as `--project-directory`", "DIR", hidden=True))
