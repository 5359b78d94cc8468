"""`pyup network ls`: which networks there are."""

from pybuild.option import FLAG, LIST, VALUE, Option, Usage
from pybuild.scanner import Options
from pybuild.stack.network.opening import networks

USAGE = Usage(
    "List networks.", "pyup network ls --filter driver=bridge", (),
    (Option("-q --quiet", FLAG, "print IDs only"),
     Option("--no-trunc", FLAG, "print IDs in full"),
     Option("-f --filter", LIST,
            "show only what matches: driver=.., id=.., label=K[=V], name=.., scope=local, type=custom|builtin, dangling=true|false", "KEY=VALUE"),
     Option("--format", VALUE, "table, json, or a Go template", "FORMAT")))
_FILTERS = ("dangling", "driver", "id", "label", "name", "scope", "type")


def main(options: Options) -> int:
    from pybuild.output.filters import is_true, keep, label_matches, parse
    from pybuild.output.listing import labelled, show
    from runner.agent.records import PREDEFINED
    from runner.listing import name_matches
    from runner.moment import time_text

    wanted = parse(options.filter, _FILTERS)
    with networks(options) as found:
        used = {one.network_id for member in found.members() for one in member.connections} if "dangling" in wanted else set()
        records = keep(found.records.list(), wanted, {
            "dangling": lambda one, value: (one.id not in used and one.name not in PREDEFINED) == is_true(value),
            "driver": lambda one, value: one.spec.driver == value,
            "id": lambda one, value: one.id.startswith(value),
            "label": lambda one, value: label_matches(dict(one.spec.labels), value),
            "name": lambda one, value: name_matches(one.name, value),
            "scope": lambda one, value: value == "local",
            "type": lambda one, value: (one.name in PREDEFINED) == (value == "builtin")})
    rows = [{"ID": one.id if options.no_trunc else one.id[:12], "Name": one.name, "Driver": one.spec.driver, "Scope": "local",
             "IPv4": str(one.spec.ipv4).lower(), "IPv6": str(one.spec.ipv6).lower(), "Internal": str(one.spec.internal).lower(),
             **labelled(dict(one.spec.labels)), "CreatedAt": time_text(one.created)} for one in records]
    show(rows, (("NETWORK ID", "ID"), ("NAME", "Name"), ("DRIVER", "Driver"), ("SCOPE", "Scope")), format=options.format,
         quiet="ID" if options.quiet else "")
    return 0
