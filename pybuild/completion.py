"""`pybuild completion SHELL`, `pyup completion SHELL`: a script for the shell. What it offers is asked for at each TAB, of the same command:
`completion words WORD... CURRENT` prints what may stand in CURRENT's place, a line each: the word, a tab, what it is."""

from pybuild.command import DEFAULTS, TABLES, Command, find
from pybuild.option import FLAG, GLOBAL, LIST, MAYBE, PROJECT, Operand, Option, Usage
from pybuild.scanner import Options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Offer = tuple[str, str]                              # a word, and what it is
    Names = Callable[[str], list[str]]                   # what there is of a kind: images, containers, volumes, networks, services

USAGE = Usage(
    "Print a script that completes commands, options and names in a shell.", "source <(pyup completion bash)",
    (Operand("shell", "1", "bash, zsh or fish"), Operand("words", "...", "with `words` as the shell: what has been typed, for the script's own use")),
    stop_early=True)

_BASH = r"""_PROGRAM() {
    local typed=${COMP_LINE:0:COMP_POINT} line current cut
    local -a words
    read -ra words <<< "$typed"
    [[ $typed == *[[:space:]] ]] && words+=("")
    current=${words[-1]}
    cut=${current%"${current##*[:=]}"}
    COMPREPLY=()
    while IFS= read -r line; do
        COMPREPLY+=("${line#"$cut"}")
    done < <(PROGRAM completion words "${words[@]:1}" 2>/dev/null | cut -f 1)
}
complete -o default -F _PROGRAM PROGRAM
"""
_ZSH = r"""#compdef PROGRAM
_PROGRAM() {
    local -a found
    found=("${(@f)$(PROGRAM completion words "${(@)words[2,CURRENT]}" 2>/dev/null | cut -f 1)}")
    if [[ -n ${found[1]} ]]; then compadd -- "${found[@]}"; else _files; fi
}
compdef _PROGRAM PROGRAM
"""
_FISH = r"""complete -c PROGRAM -a '(PROGRAM completion words (commandline -opc)[2..] (commandline -ct) 2>/dev/null)'
"""
_SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}

# operands by their names, and options by what their values are called
_KINDS = {"image": "images", "images": "images", "container": "containers", "containers": "containers", "volumes": "volumes",
          "network": "networks", "networks": "networks", "service": "services", "services": "services"}


def main(options: Options) -> int:
    from pybuild.scanner import Misuse

    if options.shell == "words":
        for word, text in offers(options.program, options.words or [""], lambda kind: _names(options, kind)):
            print(f"{word}\t{text}")
        return 0
    if options.shell not in _SCRIPTS:
        raise Misuse(f"there is no completion for `{options.shell}`", "there is one for bash, zsh and fish")
    print(_SCRIPTS[options.shell].replace("PROGRAM", options.program), end="")
    return 0


def offers(program: str, words: list[str], names: "Names") -> "list[Offer]":
    """words: what stands after the program's name, the last one being completed ("" if nothing of it is there yet)."""
    *before, current = words
    table, ahead = TABLES[program], (*GLOBAL, *(PROJECT if program == "pyup" else ()))
    at, pending = _skip(before, ahead, known=True)
    if pending is not None:
        return _chosen(_values(pending, names), current)
    rest = before[at:]
    command, count = find(table, rest)
    if command is None and rest and any(one.words.startswith(f"{rest[0]} ") for one in table):
        return _chosen(_words(table, rest), current) if len(rest) == 1 else []
    if command is None and program == "pyup" and rest:
        return []
    usage = _usage(command or find(table, [DEFAULTS[program]])[0])
    options = (*ahead, *usage.options)                   # of two with one name the command's own counts
    if command is None and not rest and not current.startswith("-"):
        found = _words(table, [])
        return _chosen(found if program == "pyup" else [*found, *_values_of(usage, 0, names)], current)
    return _after(usage, options, rest[count:], current, names)


def _after(usage: Usage, options: tuple[Option, ...], words: list[str], current: str, names: "Names") -> "list[Offer]":
    """What may stand at `current`, `words` of the command's own being before it."""
    operands, pending, ended = 0, None, False
    while words:
        at, pending = _skip(words, options)
        if pending is not None or at == len(words):
            break
        ended = ended or words[at] == "--" or usage.stop_early
        if words[at] != "--":
            operands += 1
        if ended:
            operands += len(words) - at - 1
            break
        words = words[at + 1:]
    if pending is not None and not ended:
        return _chosen(_values(pending, names), current)
    name, equals, value = current.partition("=")
    if not ended and current.startswith("-"):
        if equals:
            found = next((o for o in options if name in o.names.split()), None)
            return [(f"{name}={word}", text) for word, text in _chosen(_values(found, names) if found else [], value)]
        return _chosen([(one, o.help) for o in options if not o.hidden for one in o.names.split() if one.startswith("--")], current)
    return _chosen(_values_of(usage, operands, names), current)


def _skip(words: list[str], options: tuple[Option, ...], *, known: bool = False) -> "tuple[int, Option | None]":
    """How many of the first words are options with their values; the option whose value is the word after all of them. known: only these."""
    by_name = {name: o for o in options for name in o.names.split()}
    at = 0
    while at < len(words) and len(words[at]) > 1 and words[at][0] == "-" and words[at] != "--":
        name, equals, _ = words[at].partition("=")
        option = by_name.get(name)
        if known and option is None:
            break
        at += 1
        if option is not None and not equals and option.kind not in (FLAG, MAYBE):
            if at == len(words):
                return at, option
            at += 1
    return at, None


def _words(table: tuple[Command, ...], before: list[str]) -> "list[Offer]":
    """Commands; of those with two words the first, or the second after it."""
    found: dict[str, str] = {}
    for command in table:
        words = command.words.split()
        if words[:len(before)] == before and len(words) > len(before):
            single = len(words) == len(before) + 1
            found.setdefault(words[len(before)], command.summary if single else "commands about it")
    return list(found.items())


def _values(option: Option, names: "Names") -> "list[Offer]":
    kind = _KINDS.get(option.metavar.lower(), "") if option.kind != LIST or option.metavar in ("SERVICE", "NETWORK") else ""
    return [(choice, option.help) for choice in option.choices] or [(name, kind[:-1]) for name in (names(kind) if kind else [])]


def _values_of(usage: Usage, index: int, names: "Names") -> "list[Offer]":
    """Of the operand that stands at `index`."""
    for at, operand in enumerate(usage.operands):
        if at == index or operand.arity in ("*", "+", "..."):
            kind = _KINDS.get(operand.name, "")
            return [(name, kind[:-1]) for name in (names(kind) if kind else [])]
    return []


def _chosen(found: "list[Offer]", current: str) -> "list[Offer]":
    return [(word, text.partition("\n")[0]) for word, text in found if word.startswith(current)]


def _usage(command: "Command | None") -> Usage:
    assert command is not None
    usage: Usage = __import__(command.module, fromlist=["USAGE"]).USAGE
    return usage


def _names(options: Options, kind: str) -> list[str]:
    """Names of what there is. Whatever goes wrong: none; a shell that completes has no place for an error, and the command itself will say it."""
    try:
        return sorted(_LISTS[kind](options))
    except Exception:
        return []


def _images(options: Options) -> list[str]:
    from pybuild.place import open_store
    from store.reference import parse_reference

    with open_store(options) as store:
        return [parse_reference(name).familiar() for record in store.images.list() for name in record.names]


def _containers(options: Options) -> list[str]:
    from pybuild.stack.opening import opened

    with opened(options) as engine:
        return [one.name for one in engine.records.containers()]


def _volumes(options: Options) -> list[str]:
    from pybuild.stack.opening import opened

    with opened(options) as engine:
        return [one.name for one in engine.records.volumes()]


def _networks(options: Options) -> list[str]:
    from pybuild.stack.network.opening import networks

    with networks(options) as found:
        return [one.name for one in found.records.list()]


def _services(options: Options) -> list[str]:
    from pybuild.stack.project import load_options
    from runner.load.project import load

    options.project = _project(options.words)
    return [one.name for one in load(load_options(options, drives=False)).project.services]


def _project(words: list[str]) -> Options:
    """What stands before the command of the line that is completed."""
    from pybuild.scanner import scan

    at, _ = _skip(words[:-1], (*GLOBAL, *PROJECT))
    return scan(Usage("", "", options=PROJECT), words[:at])


_LISTS: "dict[str, Callable[[Options], list[str]]]" = {
    "images": _images, "containers": _containers, "volumes": _volumes, "networks": _networks, "services": _services}
