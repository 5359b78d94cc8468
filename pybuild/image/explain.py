"""`pybuild explain`: which steps of a build are cached, and why the others are not, without running any."""

from pybuild.image import build
from pybuild.option import VALUE, Option, Usage
from pybuild.place import open_store
from pybuild.scanner import Options

_FORMAT = Option("--format", VALUE, "text or json", "FORMAT", "text", choices=("text", "json"))
USAGE = Usage("Say which steps of a build are cached, and of the others which file or field made them miss; nothing is run.",
              "pybuild explain -f Dockerfile .", build.USAGE.operands, (*(o for o in build.USAGE.options if o.attribute() != "format"), _FORMAT))


def main(options: Options) -> int:
    from builder.build import Tools, explain_build
    from pybuild.image.request import make_request
    from pybuild.output.progress import printer
    from pybuild.session import open_session, puller
    from pybuild.user import enter
    from sandbox.client import connect

    options.explain = False
    request = make_request(options)
    with open_store(options) as store:
        enter(store)
        on_event = printer("quiet")
        tools = Tools(lambda: connect(store.root.run), pull=puller(store, options.config, on_event), sessions=lambda: open_session(options.config))
        steps = explain_build(request, store, tools, on_event)
    if options.format == "json":
        import json

        print(json.dumps([{"step": s.label, "verdict": s.verdict, "causes": [str(cause) for cause in s.causes],
                           "details": [cause._asdict() for cause in s.causes]} for s in steps], indent=2))
        return 0
    for step in steps:
        word = {"hit": "CACHED", "miss": "MISS", "later": "depends on steps that run"}[step.verdict]
        print(f"{step.label}: {word}" + "".join(f"\n    {cause}" for cause in step.causes))
    return 0
