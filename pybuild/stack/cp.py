"""`pyup cp`: copy files from a service's container, or into all of them."""

from pybuild.option import COUNT, FLAG, Operand, Option, Usage
from pybuild.scanner import Misuse, Options
from pybuild.stack.project import stack

USAGE = Usage(
    "Copy files between containers of a service and this machine.", "pyup cp web:/etc/nginx ./nginx\npyup cp ./site web:/srv",
    (Operand("source", "1", "PATH, SERVICE:PATH, or `-`: a tar archive"), Operand("target", "1", "PATH, SERVICE:PATH, or `-`")),
    (Option("--all", FLAG, "one-off containers too"),
     Option("-a --archive", FLAG, "keep owners"),
     Option("-L --follow-link", FLAG, "copy what a symlink leads to"),
     Option("--index", COUNT, "the container with this number only", "N", "0")))


def main(options: Options) -> int:
    from runner.copying import copy_in, copy_out
    from runner.errors import NoContainer

    source, target = split(options.source), split(options.target)
    if bool(source[0]) == bool(target[0]):
        raise Misuse("copying is from a service to this machine, or the other way", "one of the two has to be SERVICE:PATH")
    service = source[0] or target[0]
    with stack(options, [service]) as it:
        found = [one for one in it.chosen(one_off=options.all) if not options.index or one.number == options.index]
        if not found:
            raise NoContainer(service, options.index)
        if it.said.dry_run:
            names = ", ".join(one.name for one in (found[:1] if source[0] else found))
            print(f"would copy {options.source} to {options.target}: container {names}")
            return 0
        how = {"archive": options.archive, "follow": options.follow_link}
        if source[0]:
            copy_out(it.engine, it.engine.find(found[0].id), source[1], options.target, **how)
        else:
            for one in found:
                copy_in(it.engine, it.engine.find(one.id), options.source, target[1], **how)
    return 0


def split(word: str) -> tuple[str, str]:
    """(service or "", path). What begins like a path is one, also with a colon in it."""
    if word == "-" or word.startswith(("/", "./", "../")) or word in (".", ".."):
        return "", word
    service, colon, path = word.partition(":")
    if not colon:
        return "", word
    if not path:
        raise Misuse(f"`{word}` has no path")
    return service, path
