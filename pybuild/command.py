"""The command table: which words lead to which module. A module is imported only when its command is run (or its help is asked for).

Every command module has `USAGE` (option.Usage) and `main(options: Options) -> int`.
"""

from kernel.value import Value


class Command(Value):
    """words: "container run"; summary: the line in the list of commands; aliases: other words for the same."""

    words: str
    module: str
    summary: str
    aliases: tuple[str, ...] = ()


PYBUILD = (
    Command("build", "pybuild.image.build", "Build an image from a Dockerfile (the default command)"),
    Command("explain", "pybuild.image.explain", "Say why steps of a build are not cached"),
    Command("lint", "pybuild.image.lint", "Say what could be better in Dockerfiles"),
    Command("fmt", "pybuild.image.fmt", "Lay Dockerfiles out"),
    Command("parse", "pybuild.image.parse", "Print a Dockerfile's tree as JSON"),
    Command("context ls", "pybuild.image.context", "List what of a build context would be sent"),
    Command("verify", "pybuild.image.verify", "Build an image again and say what differs"),
    Command("images", "pybuild.image.images", "List images", ("image ls", "image list")),
    Command("inspect", "pybuild.image.inspect", "Show all there is to know of an image", ("image inspect",)),
    Command("history", "pybuild.image.history", "Show how an image was made, layer by layer", ("image history",)),
    Command("tag", "pybuild.image.tag", "Give an image another name", ("image tag",)),
    Command("rmi", "pybuild.image.rmi", "Remove images", ("image rm", "image remove")),
    Command("save", "pybuild.image.save", "Write images to an archive", ("image save",)),
    Command("load", "pybuild.image.load", "Read images from an archive", ("image load",)),
    Command("base", "pybuild.image.base", "Make a base image from this machine"),
    Command("version", "pybuild.version", "Show the version"),
)

PYUP = (
    Command("container run", "pybuild.stack.container.run", "Run a command in a new container"),
    Command("version", "pybuild.version", "Show the version"),
)

TABLES = {"pybuild": PYBUILD, "pyup": PYUP}
DEFAULTS = {"pybuild": "build", "pyup": "up"}


def find(table: tuple[Command, ...], argv: list[str]) -> tuple[Command | None, int]:
    """The command that the first words of `argv` name, and how many words those are; (None, 0) if they name none."""
    for count in (2, 1):
        words = " ".join(argv[:count])
        if len(argv) >= count:
            for command in table:
                if words == command.words or words in command.aliases:
                    return command, count
    return None, 0
