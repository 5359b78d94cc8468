"""`pyup graph`: what depends on what, drawn."""

import sys

from pybuild.option import VALUE, Operand, Option, Usage
from pybuild.scanner import Options
from pybuild.stack.project import load

USAGE = Usage("Draw a project: services, what they depend on, ports, networks and volumes.", "pyup graph\npyup graph --format svg -o stack.svg",
              (Operand("services", "*", "only these, and those they depend on"),),
              (Option("--format", VALUE, "text, mermaid or svg", "FORMAT", "text", choices=("text", "mermaid", "svg")),
               Option("-o --output", VALUE, "write to FILE", "FILE")))


def main(options: Options) -> int:
    from runner import graph

    project = load(options, tuple(options.services)).project
    text = {"text": graph.to_text, "mermaid": graph.to_mermaid, "svg": graph.to_svg}[options.format](project)
    if options.output:
        with open(options.output, "w", encoding="utf-8") as file:
            file.write(text)
    else:
        sys.stdout.write(text)
    return 0
