"""`pyup ps`: the containers of a project."""

import time

from pybuild.option import FLAG, LIST, VALUE, Operand, Option, Usage
from pybuild.scanner import Misuse, Options
from pybuild.stack.project import stack
from runner import labels

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pybuild.output.listing import Row
    from runner.container import Container
    from runner.engine import Engine
    from runner.listing import Summary
    from runner.state import State

_STATES = ("paused", "restarting", "removing", "running", "dead", "created", "exited")

USAGE = Usage(
    "List the containers of a project.", "pyup ps -a\npyup ps --format '{{.Name}} {{.State}}' web",
    (Operand("names", "*", "services: only these"),),
    (Option("-a --all", FLAG, "show those too that do not run, and one-off ones"),
     Option("-q --quiet", FLAG, "print IDs only"),
     Option("--services", FLAG, "print the names of services"),
     Option("--status", LIST, "only those in this state", "STATE", choices=_STATES),
     Option("--filter", VALUE, "status=STATE", "KEY=VALUE"),
     Option("--format", VALUE, "table, json, or a Go template", "FORMAT"),
     Option("--no-trunc", FLAG, "print everything in full"),
     Option("--orphans", FLAG, "show containers of services that the files do not have", default="true")))
_COLUMNS = (("NAME", "Name"), ("IMAGE", "Image"), ("COMMAND", "Command"), ("SERVICE", "Service"), ("CREATED", "RunningFor"), ("STATUS", "Status"),
            ("PORTS", "Ports"))


def main(options: Options) -> int:
    from pybuild.output.listing import show

    wanted = _wanted_states(options)
    with stack(options, options.names, owner=False) as it:
        known = {one.name for one in (*it.project.services, *it.project.disabled)} if it.loaded else None
        rows = []
        for one in summaries(it.engine, it.name):
            own = dict(one.container.spec.labels)
            service = own.get(labels.SERVICE, "")
            if it.services and service not in it.services:
                continue
            if not (one.state.status in wanted if wanted else options.all or one.state.is_running):
                continue
            if (labels.is_one_off(own) and not options.all) or (known is not None and service not in known and not options.orphans):
                continue
            rows.append(row_of(it.engine, one.container, one.state, no_trunc=options.no_trunc))
    rows.sort(key=lambda row: str(row["Name"]))
    if options.services:
        print("".join(f"{name}\n" for name in dict.fromkeys(row["Service"] for row in rows)), end="")
        return 0
    show(rows, _COLUMNS, format=options.format, quiet="ID" if options.quiet else "")
    return 0


def _wanted_states(options: Options) -> "set[str]":
    found = set(options.status)
    if options.filter:
        key, equals, value = options.filter.partition("=")
        if key != "status" or not equals:
            raise Misuse(f"there is no filter `{options.filter}`", "the filter is `status=STATE`")
        if value not in _STATES:
            raise Misuse(f"`{value}` is no state", f"states are {', '.join(_STATES)}")
        found.add(value)
    return found


def summaries(engine: "Engine", project: str) -> "list[Summary]":
    """All containers of a project with their state."""
    from runner.listing import Summary
    from runner.present import of_project

    return [Summary(one, engine.state(one)) for one in of_project(engine, project)]


def row_of(engine: "Engine", container: "Container", state: "State", *, no_trunc: bool) -> "Row":
    """compose's fields of a container."""
    from pybuild.output.template import Struct
    from pybuild.stack.container.ls import row_of as row_of_container
    from runner.listing import Summary

    row = row_of_container(engine, Summary(container, state), time.time_ns(), no_trunc=True, size=False)
    own = dict(container.spec.labels)
    command = str(row["Command"])
    if not no_trunc and len(command) > 22:
        command = f"{command[:20]}…\""
    publishers = [Struct(URL=port.host_ip or "0.0.0.0", TargetPort=port.container_port, PublishedPort=port.host_port, Protocol=port.protocol)
                  for port in (state.ports if state.is_running else ())]
    health = state.health.status if state.health and state.is_running else ""
    return {**row, "Command": command, "ExitCode": state.exit_code, "Health": health, "Name": container.name, "Names": container.name,
            "Project": own.get(labels.PROJECT, ""), "Service": own.get(labels.SERVICE, ""), "Publishers": publishers, "Size": "0B"}
