"""`pybuild graph`: the graph that a Dockerfile comes down to, drawn; nothing is run."""

import sys

from pybuild.image import build
from pybuild.option import VALUE, Option, Usage
from pybuild.place import open_store
from pybuild.scanner import Options

_OWN = (Option("--format", VALUE, "text, mermaid or svg", "FORMAT", "text", choices=("text", "mermaid", "svg")),
        Option("--into", VALUE, "write to FILE", "FILE"))
USAGE = Usage("Draw the steps of a build: what each takes from which other, and which are cached; nothing is run.",
              "pybuild graph .\npybuild graph --format svg --into build.svg .", build.USAGE.operands,
              (*(o for o in build.USAGE.options if o.attribute() != "format"), *_OWN))


def main(options: Options) -> int:
    from builder import drawing
    from builder.build import Tools, plan_build
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
        plan = plan_build(request, store, tools, on_event)
    draw = {"text": drawing.to_text, "mermaid": drawing.to_mermaid, "svg": drawing.to_svg}[options.format]
    text = draw(plan.graph, plan.verdicts)
    if options.into:
        with open(options.into, "w", encoding="utf-8", errors="replace") as file:
            file.write(text)
    else:
        sys.stdout.write(text)
    return 0
