"""`pyup network prune`: remove networks that no container is on."""

from pybuild.option import FLAG, LIST, Option, Usage
from pybuild.scanner import Options
from pybuild.stack.container.prune import confirmed
from pybuild.stack.network.opening import networks

USAGE = Usage("Remove every network that no container is on.", "pyup network prune -f --filter until=24h", (),
              (Option("-f --force", FLAG, "do not ask"),
               Option("--filter", LIST, "remove only what matches: until=TIME, label=K[=V], label!=K[=V]", "KEY=VALUE")))


def main(options: Options) -> int:
    from runner.agent.errors import NetworkInUse, NetworkMissing
    from runner.agent.records import PREDEFINED
    from runner.pruning import parse_filters

    wanted = parse_filters(options.filter)
    if not options.force and not confirmed("every network that no container is on is removed"):
        return 0
    removed = []
    with networks(options) as found:
        for record in found.records.list():
            if record.name not in PREDEFINED and wanted.match(record.created, dict(record.spec.labels)):
                try:
                    found.agent.remove(record.id)
                except (NetworkInUse, NetworkMissing):
                    continue                              # in use, or removed by somebody else just now
                removed.append(record.name)
    if removed:
        print("Deleted Networks:\n" + "\n".join(removed) + "\n")
    return 0
