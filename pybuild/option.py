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
