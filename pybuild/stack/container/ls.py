"""`pyup container ls`: which containers there are."""

import time

from pybuild.option import COUNT, FLAG, LIST, VALUE, Option, Usage
from pybuild.scanner import Options
from pybuild.stack.opening import opened

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pybuild.output.listing import Row
    from runner.engine import Engine
    from runner.listing import Summary

USAGE = Usage(
    "List containers.", "pyup container ls -a --filter status=exited --format '{{.Names}} {{.Status}}'", (),
    (Option("-a --all", FLAG, "show those too that do not run"),
     Option("-n --last", COUNT, "show the newest N, in whatever state", "N"),
     Option("-l --latest", FLAG, "show the newest one, in whatever state"),
     Option("-q --quiet", FLAG, "print IDs only"),
     Option("-s --size", FLAG, "show what their files take"),
     Option("--no-trunc", FLAG, "print everything in full"),
     Option("-f --filter", LIST, "show only what matches: status=.., name=.., label=K[=V], ancestor=IMAGE, health=.., network=.., volume=.., "
            "exited=N, id=.., before=.., since=.., publish=PORT, expose=PORT", "KEY=VALUE"),
     Option("--format", VALUE, "table, json, or a Go template", "FORMAT")))


def main(options: Options) -> int:
    from pybuild.output.filters import parse
    from pybuild.output.listing import show
    from runner.listing import FILTERS, list_containers

    last = 1 if options.latest else options.last or 0
    with opened(options) as engine:
        found = list_containers(engine, everything=options.all, last=max(0, last), filters=parse(options.filter, FILTERS))
        engine.sweep()
        now = time.time_ns()
        rows = [row_of(engine, one, now, no_trunc=options.no_trunc, size=options.size or ".Size" in (options.format or "")) for one in found]
    columns = [("CONTAINER ID", "ID"), ("IMAGE", "Image"), ("COMMAND", "Command"), ("CREATED", "RunningFor"), ("STATUS", "Status"),
               ("PORTS", "Ports"), ("NAMES", "Names")]
    if options.size:
        columns.append(("SIZE", "Size"))
    show(rows, tuple(columns), format=options.format, quiet="ID" if options.quiet else "")
    return 0


def row_of(engine: "Engine", one: "Summary", now: int, *, no_trunc: bool, size: bool) -> "Row":
    """docker's fields of a line of `ps`."""
    from pybuild.output.listing import labelled
    from runner.container import process_of
    from runner.status import duration_text, ports_text, status_text

    container, state = one.container, one.state
    process = process_of(container.spec, container.runtime)
    command = " ".join(process.argv)
    if not no_trunc and len(command) > 20:
        command = command[:19] + "\u2026"
    networks = [connection.network for connection in state.connections] or [endpoint.network for endpoint in container.spec.endpoints]
    mounts = [mount.source if mount.kind != "tmpfs" else "" for mount in container.spec.mounts]
    row: Row = {
        "ID": container.id if no_trunc else container.short_id, "Image": container.spec.image, "Command": f'"{command}"',
        "CreatedAt": time.strftime("%Y-%m-%d %H:%M:%S +0000 UTC", time.gmtime(container.created // 1_000_000_000)),
        "RunningFor": f"{duration_text((now - container.created) / 1e9)} ago", "Ports": ports_text(state.ports if state.is_running else (),
                                                                                                 process.exposed if state.is_running else ()),
        "State": state.status, "Status": status_text(state, now), "Names": container.name, **labelled(dict(process.labels)),
        "Mounts": ",".join(word if no_trunc or len(word) <= 15 else word[:14] + "\u2026" for word in mounts if word),
        "Networks": ",".join(networks or [container.spec.network_mode.replace("default", "bridge")]),
        "LocalVolumes": str(sum(mount.kind == "volume" for mount in container.spec.mounts)), "Size": "N/A"}
    if size:
        from pybuild.output.units import size as shown
        from runner.usage import sizes

        own, whole = sizes(engine, container)
        row["Size"] = f"{shown(own)} (virtual {shown(whole)})"
    return row
