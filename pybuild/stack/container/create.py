"""`pyup container create`: make a container, to be started later."""

from pybuild.option import LIST, Option, Usage
from pybuild.scanner import Options
from pybuild.stack.container.fetching import image_for
from pybuild.stack.container.wish import OPERANDS, OPTIONS, spec_of, write_cidfile
from pybuild.stack.opening import opened

USAGE = Usage(
    "Make a container without starting it.", "pyup container create --name web -p 8080:80 web", OPERANDS,
    (Option("-a --attach", LIST, "attach these when it is started: stdin, stdout, stderr", "STREAM"), *OPTIONS), stop_early=True)


def main(options: Options) -> int:
    streams = [word.lower() for word in options.attach] or ["stdout", "stderr", *(["stdin"] if options.interactive else [])]
    spec = spec_of(options)._replace(
        stdin_once=options.interactive, attach_stdin="stdin" in streams, attach_stdout="stdout" in streams, attach_stderr="stderr" in streams)
    with opened(options, owner=True) as engine:
        container = engine.create(spec, image_for(engine, spec.image, options))
        write_cidfile(options.cidfile, container.id)
    print(container.id)
    return 0
