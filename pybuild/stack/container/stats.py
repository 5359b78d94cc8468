"""`pyup container stats`: what containers use of the machine, once or all the time."""

import sys
import time

from pybuild.option import FLAG, VALUE, Operand, Option, Usage
from pybuild.scanner import Options
from pybuild.stack.opening import opened

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pybuild.output.listing import Row
    from runner.container import Container
    from runner.engine import Engine
    from runner.usage import Sample

USAGE = Usage(
    "Show what containers use of the machine.", "pyup container stats --no-stream --format '{{.Name}} {{.MemUsage}}'",
    (Operand("containers", "*", "names or IDs (default: all that run)"),),
    (Option("-a --all", FLAG, "show those too that do not run"),
     Option("--no-stream", FLAG, "show one reading and end"),
     Option("--no-trunc", FLAG, "print IDs in full"),
     Option("--format", VALUE, "table, json, or a Go template", "FORMAT")))
_COLUMNS = (("CONTAINER ID", "ID"), ("NAME", "Name"), ("CPU %", "CPUPerc"), ("MEM USAGE / LIMIT", "MemUsage"), ("MEM %", "MemPerc"),
            ("NET I/O", "NetIO"), ("BLOCK I/O", "BlockIO"), ("PIDS", "PIDs"))
_PERIOD_S = 1.0


def main(options: Options) -> int:
    from pybuild.output.listing import show
    from runner.listing import list_containers

    with opened(options) as engine:
        named = [engine.find(name) for name in options.containers]
        before: dict[str, Sample] = {}
        while True:
            containers = named or [one.container for one in list_containers(engine, everything=options.all)]
            now = {container.id: sample for container in containers if (sample := _sample(engine, container))}
            if before or not now:
                if not options.no_stream and sys.stdout.isatty():
                    sys.stdout.write("\x1b[H\x1b[J")
                show([_row(container, now.get(container.id), before.get(container.id), options.no_trunc) for container in containers],
                     _COLUMNS, format=options.format)
                sys.stdout.flush()
                if options.no_stream:
                    return 0
            before = now
            time.sleep(_PERIOD_S)


def _sample(engine: "Engine", container: "Container") -> "Sample | None":
    from runner.errors import RunError
    from runner.usage import sample

    try:
        return sample(engine, container)
    except RunError:
        return None                                       # it does not run


def _row(container: "Container", now: "Sample | None", before: "Sample | None", no_trunc: bool) -> "Row":
    from pybuild.output.units import size

    row: Row = {"ID": container.id if no_trunc else container.short_id, "Container": container.short_id, "Name": container.name, "CPUPerc": "--",
                "MemUsage": "-- / --", "MemPerc": "--", "NetIO": "--", "BlockIO": "--", "PIDs": "--"}
    if now is None:
        return row
    row |= {
        "MemUsage": f"{_binary(now.memory)} / {_binary(now.memory_limit)}", "MemPerc": f"{100 * now.memory / now.memory_limit:.2f}%",
        "NetIO": f"{size(sum(one.rx_bytes for one in now.traffic))} / {size(sum(one.tx_bytes for one in now.traffic))}",
        "BlockIO": f"{size(now.read_bytes)} / {size(now.written_bytes)}", "PIDs": str(now.pids)}
    if before and now.system_cpu > before.system_cpu:
        row["CPUPerc"] = f"{100 * now.online_cpus * (now.cpu - before.cpu) / (now.system_cpu - before.system_cpu):.2f}%"
    return row


def _binary(count: float) -> str:
    """In units of 1024, as docker shows memory."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.4g}{unit}"
        count /= 1024
    return f"{count:.4g}TiB"
