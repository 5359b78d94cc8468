"""`pyup ls`: the projects there are."""

from pybuild.option import FLAG, LIST, VALUE, Option, Usage
from pybuild.scanner import Options
from pybuild.stack.opening import opened
from runner import labels

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pybuild.output.listing import Row

USAGE = Usage("List projects.", "pyup ls -a --format json", (),
              (Option("-a --all", FLAG, "show those too of which nothing runs"),
               Option("--filter", LIST, "name=PATTERN", "KEY=VALUE"),
               Option("--format", VALUE, "table or json", "FORMAT", "table", choices=("table", "json")),
               Option("-q --quiet", FLAG, "print names only")))


def main(options: Options) -> int:
    from pybuild.output.filters import parse
    from pybuild.output.listing import show
    from runner.listing import name_matches

    names = parse(options.filter, ("name",)).get("name", [])
    with opened(options) as engine:
        projects: dict[str, list[tuple[str, str]]] = {}
        for container in engine.records.containers():
            own = dict(container.spec.labels)
            if labels.PROJECT in own and not labels.is_one_off(own):
                projects.setdefault(own[labels.PROJECT], []).append((engine.state(container).status, own.get(labels.FILES, "")))
    rows: "list[Row]" = []
    for name, found in sorted(projects.items()):
        states = sorted({state for state, _ in found}, key=lambda state: (state != "running", state))
        if (options.all or "running" in states) and (not names or any(name_matches(name, pattern) for pattern in names)):
            counts = ", ".join(f"{state}({sum(one == state for one, _ in found)})" for state in states)
            files = ",".join(dict.fromkeys(file for _, words in found for file in words.split(",") if file))
            rows.append({"Name": name, "Status": counts, "ConfigFiles": files})
    if options.quiet:
        print("".join(f"{row['Name']}\n" for row in rows), end="")
    elif options.format == "json":
        import json

        print(json.dumps(rows))
    else:
        show(rows, (("NAME", "Name"), ("STATUS", "Status"), ("CONFIG FILES", "ConfigFiles")))
    return 0
