"""`pyup events`: what happens to a project's containers, as it happens."""

import select
import sys
import time

from pybuild.option import FLAG, VALUE, Operand, Option, Usage
from pybuild.scanner import Options
from pybuild.stack.project import stack
from runner import labels

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

USAGE = Usage("Show what happens to containers.", "pyup events --json web", (Operand("services", "*", "only these"),),
              (Option("--json", FLAG, "one JSON object a line"),
               Option("--since", VALUE, "begin with what came since: a time, or an age such as 10m", "TIME"),
               Option("--until", VALUE, "end at that time", "TIME")))


def main(options: Options) -> int:
    from runner.moment import parse_moment
    from store.events import Follower

    since = parse_moment(options.since) if options.since else 0
    until = parse_moment(options.until) if options.until else 0
    with stack(options, options.services, owner=False) as it, Follower(it.engine.store.events) as follower:
        names = set(it.services)
        for line in it.engine.store.events.lines() if since else ():
            _show(line, it.name, names, since, until, as_json=options.json)
        while not until or time.time_ns() < until:
            patience = None if not until else max(0.0, (until - time.time_ns()) / 1e9)
            select.select((follower,), (), (), patience)
            for line in follower.read():
                _show(line, it.name, names, since, until, as_json=options.json)
    return 0


def _show(line: bytes, project: str, services: "set[str]", since: int, until: int, *, as_json: bool) -> None:
    import json

    event: dict[str, Any] = json.loads(line)
    own = event["attributes"]
    if event["type"] != "container" or own.get(labels.PROJECT) != project or labels.is_one_off(own):
        return
    if (services and own.get(labels.SERVICE) not in services) or event["time"] < since or (until and event["time"] > until):
        return
    shown = {key: value for key, value in own.items() if not key.startswith("com.docker.compose.")}
    if as_json:
        from runner.moment import time_text

        print(json.dumps({"action": event["action"], "attributes": shown, "id": event["id"], "service": own.get(labels.SERVICE, ""),
                          "time": time_text(event["time"], fixed=True), "type": "container"}))
    else:
        moment = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(event["time"] / 1e9)) + f".{event['time'] // 1000 % 1_000_000:06d}"
        words = ", ".join(f"{key}={value}" for key, value in sorted(shown.items()))
        print(f"{moment} container {event['action']} {event['id']} ({words})")
    sys.stdout.flush()
