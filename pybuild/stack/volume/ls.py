"""`pyup volume ls`: which volumes there are."""

from pybuild.option import FLAG, LIST, VALUE, Option, Usage
from pybuild.scanner import Options
from pybuild.stack.opening import opened

USAGE = Usage(
    "List volumes.", "pyup volume ls --filter dangling=true", (),
    (Option("-q --quiet", FLAG, "print names only"),
     Option("-f --filter", LIST, "show only what matches: dangling=true|false, name=.., label=K[=V], driver=..", "KEY=VALUE"),
     Option("--format", VALUE, "table, json, or a Go template", "FORMAT")))
_FILTERS = ("dangling", "driver", "label", "name")


def main(options: Options) -> int:
    from pybuild.output.filters import is_true, keep, label_matches, parse
    from pybuild.output.listing import labelled, show
    from runner.listing import name_matches

    wanted = parse(options.filter, _FILTERS)
    with opened(options) as engine:
        volumes = keep(engine.records.volumes(), wanted, {
            "dangling": lambda one, value: (not engine.records.users(one.name)) == is_true(value),
            "driver": lambda one, value: one.driver == value,
            "label": lambda one, value: label_matches(dict(one.labels), value),
            "name": lambda one, value: name_matches(one.name, value)})
        rows = [{"Driver": one.driver, "Name": one.name, **labelled(dict(one.labels)), "Mountpoint": engine.volumes.path(one.name), "Scope": "local",
                 "Availability": "N/A", "Group": "N/A", "Links": "N/A", "Size": "N/A", "Status": "N/A"} for one in volumes]
    show(rows, (("DRIVER", "Driver"), ("VOLUME NAME", "Name")), format=options.format, quiet="Name" if options.quiet else "")
    return 0
