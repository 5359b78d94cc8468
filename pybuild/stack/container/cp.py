"""`pyup container cp`: copy files from a container, or into it; `-` is a tar archive on stdin or stdout."""

from pybuild.option import FLAG, Operand, Option, Usage
from pybuild.scanner import Misuse, Options
from pybuild.stack.opening import opened

USAGE = Usage(
    "Copy files between a container and this machine.", "pyup container cp web:/etc/nginx ./nginx\npyup container cp ./site web:/srv",
    (Operand("source", "1", "PATH, CONTAINER:PATH, or `-`: a tar archive"), Operand("target", "1", "PATH, CONTAINER:PATH, or `-`")),
    (Option("-a --archive", FLAG, "keep owners"),
     Option("-L --follow-link", FLAG, "copy what a symlink leads to"),
     Option("-q --quiet", FLAG, "print nothing")))


def main(options: Options) -> int:
    from runner.copying import copy_in, copy_out

    source, target = _split(options.source), _split(options.target)
    if bool(source[0]) == bool(target[0]):
        raise Misuse("copying is from a container to this machine, or the other way", "one of the two has to be CONTAINER:PATH")
    with opened(options, owner=True) as engine:
        if source[0]:
            copy_out(engine, engine.find(source[0]), source[1], target[1], archive=options.archive, follow=options.follow_link)
        else:
            copy_in(engine, engine.find(target[0]), source[1], target[1], archive=options.archive, follow=options.follow_link)
    return 0


def _split(word: str) -> tuple[str, str]:
    """(container or "", path). What begins like a path is one, also with a colon in it."""
    if word == "-" or word.startswith(("/", "./", "../")) or word in (".", ".."):
        return "", word
    container, colon, path = word.partition(":")
    if not colon:
        return "", word
    if not path:
        raise Misuse(f"`{word}` has no path")
    return container, path
