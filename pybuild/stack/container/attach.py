"""`pyup container attach`: the output of a running container here, our input and signals to it."""

from pybuild.option import FLAG, VALUE, Operand, Option, Usage
from pybuild.scanner import Options
from pybuild.stack.container.staying import stay
from pybuild.stack.opening import opened

USAGE = Usage(
    "Attach to a running container.", "pyup container attach --no-stdin web",
    (Operand("container", "1", "name or ID"),),
    (Option("--no-stdin", FLAG, "pass no input on"),
     Option("--sig-proxy", FLAG, "pass signals on to it", default="true"),
     Option("--detach-keys", VALUE, "keys that let go of it", "KEYS", "ctrl-p,ctrl-q")))


def main(options: Options) -> int:
    with opened(options) as engine:
        container = engine.find(options.container)
        contact = engine.running(container)
        state = engine.state(container)
        if state.status == "paused":
            from runner.errors import Conflict

            raise Conflict("container", container.name, "is paused", "unpause it first")
        streams = ("stdout", "stderr", *(() if options.no_stdin else ("stdin",)))
        return stay(engine, container, contact, ask=True, streams=streams, detach_keys=options.detach_keys, proxy=options.sig_proxy)
