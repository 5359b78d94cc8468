"""`pyup container logs`: what a container has written, and writes."""

import os

from pybuild.option import FLAG, VALUE, Operand, Option, Usage
from pybuild.scanner import Misuse, Options
from pybuild.stack.opening import opened

USAGE = Usage(
    "Show what a container has written.", "pyup container logs -f --tail 20 -t web",
    (Operand("container", "1", "name or ID"),),
    (Option("-f --follow", FLAG, "go on until the container ends"),
     Option("-n --tail", VALUE, "only so many lines from the end; `all`", "N", "all"),
     Option("--since", VALUE, "only what came since: a time, or an age such as 10m", "TIME"),
     Option("--until", VALUE, "only what came before", "TIME"),
     Option("-t --timestamps", FLAG, "show when each line came"),
     Option("--details", FLAG, "accepted; there are none")))


def main(options: Options) -> int:
    from runner.logs import Wanted, logs
    from runner.moment import parse_moment

    tail = -1 if options.tail == "all" else int(options.tail) if options.tail.lstrip("-").isdigit() else None
    if tail is None:
        raise Misuse(f"`--tail {options.tail}` is neither a number nor `all`")
    wanted = Wanted(tail, parse_moment(options.since) if options.since else 0, parse_moment(options.until) if options.until else 0, options.follow)
    with opened(options) as engine:
        container = engine.find(options.container)
        if container.spec.log.driver == "none":
            from runner.errors import Conflict

            raise Conflict("container", container.name, "keeps no log (log driver `none`)")
        for line in logs(engine, container, wanted, whole_lines=options.timestamps):
            stamp = _stamp(line.time) if options.timestamps else b""
            fd = 1 if line.stream == 1 else 2
            data = memoryview(stamp + line.text)
            while data:
                data = data[os.write(fd, data):]
    return 0


def _stamp(time: int) -> bytes:
    from runner.moment import time_text

    return time_text(time, fixed=True).encode() + b" "
