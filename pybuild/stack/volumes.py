"""`pyup volumes`: the volumes of a project."""

from pybuild.option import FLAG, VALUE, Operand, Option, Usage
from pybuild.scanner import Options
from pybuild.stack.project import stack
from runner import labels

USAGE = Usage("List volumes.", "pyup volumes db", (Operand("services", "*", "only those of these"),),
              (Option("--format", VALUE, "table, json, or a Go template", "FORMAT"),
               Option("-q --quiet", FLAG, "print names only")))


def main(options: Options) -> int:
    from pybuild.output.listing import labelled, show

    with stack(options, options.services, owner=False) as it:
        used = {mount.source for one in it.chosen(one_off=True) for mount in one.mounts if mount.kind == "volume"}
        declared = {one.name for one in it.project.volumes}
        rows = []
        for volume in it.engine.records.volumes():
            own = dict(volume.labels)
            if volume.name in used or (not it.services and (own.get(labels.PROJECT) == it.name or volume.name in declared)):
                rows.append({"Driver": volume.driver, "Name": volume.name, "Mountpoint": it.engine.volumes.path(volume.name), "Scope": "local",
                             **labelled(own), "Availability": "N/A", "Group": "N/A",
                             "Links": "N/A", "Size": "N/A", "Status": "N/A"})
    show(rows, (("DRIVER", "Driver"), ("VOLUME NAME", "Name")), format=options.format, quiet="Name" if options.quiet else "")
    return 0
