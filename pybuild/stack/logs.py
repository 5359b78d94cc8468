"""`pyup logs`: what the containers of a project have written, in the order in which it came, and what they write."""

from heapq import merge

from pybuild.option import COUNT, FLAG, VALUE, Operand, Option, Usage
from pybuild.scanner import Misuse, Options
from pybuild.stack.lines import LineWriter
from pybuild.stack.lull import is_over
from pybuild.stack.project import stack
from pybuild.stack.showing import ansi_of
from runner import labels

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.container import Container
    from runner.logreader import Line
    from runner.logs import Wanted
    from runner.stream import Exit

USAGE = Usage(
    "Show what containers have written.", "pyup logs -f --tail 20 web\npyup logs --since 10m -t",
    (Operand("services", "*", "only these"),),
    (Option("-f --follow", FLAG, "go on as long as one of them runs"),
     Option("--index", COUNT, "only the container with this number", "N", "0"),
     Option("--no-color", FLAG, "no colours"),
     Option("--no-log-prefix", FLAG, "do not say whose output a line is"),
     Option("-n --tail", VALUE, "only so many lines from the end of each; `all`", "N", "all"),
     Option("--since", VALUE, "only what came since: a time, or an age such as 10m", "TIME"),
     Option("--until", VALUE, "only what came before", "TIME"),
     Option("-t --timestamps", FLAG, "show when each line came")))


def main(options: Options) -> int:
    from runner.logs import Wanted
    from runner.moment import parse_moment

    tail = -1 if options.tail == "all" else int(options.tail) if options.tail.lstrip("-").isdigit() else None
    if tail is None:
        raise Misuse(f"`--tail {options.tail}` is neither a number nor `all`")
    wanted = Wanted(max(tail, -1), parse_moment(options.since) if options.since else 0, parse_moment(options.until) if options.until else 0)
    with stack(options, options.services, owner=False) as it:
        chosen = [it.engine.find(one.id) for one in it.chosen() if not options.index or one.number == options.index]
        ansi = "never" if options.no_color else ansi_of(it.said, it.environment)
        write = LineWriter(it.name, ansi=ansi, prefix=not options.no_log_prefix, stamps=options.timestamps)
        write.announce(sorted(one.name for one in chosen))
        kept = [one for one in chosen if one.spec.log.driver != "none"]
        if options.follow:
            return _follow(it, kept, wanted, write)
        sources = [_lines(it, one, wanted) for one in kept]
        for _, _, container, line in merge(*sources, key=lambda item: item[:2]):
            write(container, line)
    return 0


def _lines(it: stack, container: "Container", wanted: "Wanted") -> "Iterator[tuple[int, str, Container, Line]]":
    from runner.logs import logs

    for line in logs(it.engine, container, wanted, whole_lines=True):
        yield line.time, container.name, container, line


def _follow(it: stack, chosen: "list[Container]", wanted: "Wanted", write: LineWriter) -> int:
    """First what there is, by time; then what comes, of these containers and of those that come in their place or beside them."""
    from runner.chorus import Chorus
    from runner.logreader import Lines, LogReader, tail
    from runner.reactor import Reactor

    def on_line(container: "Container", line: "Line") -> None:
        if line.time >= wanted.since:
            write(container, line)

    def on_exit(container: "Container", ended: "Exit") -> None:
        write.exited(container, ended.code, restarting=ended.restarting)

    over: list[bool] = []
    with Reactor(it.engine.store.events) as reactor:
        chorus = Chorus(it.engine, reactor, on_line, on_exit)
        reactor.follow()
        old: "list[tuple[int, str, Container, Line]]" = []
        for container in chosen:
            directory, cutter = it.engine.place(container.id).log, Lines()
            if wanted.tail >= 0:
                lines, reader, cutter = tail(directory, wanted.tail)
            else:
                reader = LogReader(directory)
                lines = [line for record in reader.read() for line in cutter.cut(record)]
            spot = (reader.generation, reader.offset)
            reader.close()
            if not it.engine.state(container).is_running:
                lines += list(cutter.rest())
            old += [(line.time, container.name, container, line) for line in lines]
            chorus.note(container, spot, cutter)
        for _, _, container, line in sorted(old, key=lambda item: item[:2]):
            on_line(container, line)
        for container in chosen:
            chorus.join(container)
        services = set(it.services)

        def wants(container: "Container") -> "bool | None":
            own = dict(container.spec.labels)
            if own.get(labels.PROJECT) != it.name or labels.is_one_off(own) or (services and own.get(labels.SERVICE) not in services):
                return None
            return True

        chorus.follow(wants)
        if wanted.until:
            import time

            reactor.after(max(0.0, wanted.until / 1e9 - time.time()), lambda: over.append(True))
        while not over and not is_over(it, chorus, reactor):
            reactor.turn()
    return 0
