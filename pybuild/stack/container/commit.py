"""`pyup container commit`: make an image of what a container has become."""

from pybuild.option import FLAG, LIST, VALUE, Operand, Option, Usage
from pybuild.scanner import Options
from pybuild.stack.opening import opened

USAGE = Usage(
    "Make an image of what a container has become.", "pyup container commit -c 'CMD [\"serve\"]' web web:patched",
    (Operand("container", "1", "name or ID"), Operand("name", "?", "name of the image")),
    (Option("-a --author", VALUE, "who has made it", "NAME", ""),
     Option("-m --message", VALUE, "a line for its history", "TEXT", ""),
     Option("-c --change", LIST, "an instruction that changes its settings, as in a Dockerfile", "INSTRUCTION"),
     Option("-p --pause", FLAG, "let the container stand still meanwhile", default="true")))


def main(options: Options) -> int:
    from builder.changes import apply
    from runner.commit import commit

    with opened(options, owner=True) as engine:
        image = commit(engine, engine.find(options.container), options.name or "", author=options.author, message=options.message,
                       pause=options.pause, change=lambda config: apply(config, options.change))
    print(image)
    return 0
