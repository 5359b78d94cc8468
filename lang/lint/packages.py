"""Rules about package managers, under hadolint's numbers: versions pinned, questions answered, caches left behind."""

from kernel.value import Value
from lang.lint.checks import found
from lang.lint.finding import Edit, Finding
from lang.lint.shell import Invocation, Piece, invocations, script
from lang.lint.trace import Trace
from lang.nodes import Run
from lang.source import Span

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lang.nodes import Instruction


class Manager(Value):
    """A program that installs packages, and its rules ("" for none)."""

    programs: "tuple[str, ...]"
    verbs: "tuple[str, ...]"
    pinned: str = ""                                      # rule: a package has a version
    pin: str = ""                                         # what comes before the version
    answered: str = ""                                    # rule: it asks nothing
    answers: "tuple[str, ...]" = ()
    answer: str = ""                                      # how to make it so, and after which word
    valued: "tuple[str, ...]" = ()                        # flags whose value is the next word


_APT_VALUES = ("-t", "--target-release", "--default-release", "-o", "--option", "-c", "--config-file", "-a", "--host-architecture")
_APK_VALUES = ("-t", "--virtual", "-X", "--repository", "-p", "--root", "--keys-dir", "--wait", "--arch")
_PIP_VALUES = ("-r", "--requirement", "-c", "--constraint", "-i", "--index-url", "--extra-index-url", "-f", "--find-links", "-t", "--target",
               "--prefix", "--root", "--src", "--platform", "--python-version", "--implementation", "--abi", "--trusted-host", "--proxy",
               "--timeout", "--retries", "--progress-bar")
_GEM_VALUES = ("-v", "--version", "-i", "--install-dir", "-n", "--bindir", "-s", "--source")
_YES = ("-y", "--assumeyes")

MANAGERS = (
    Manager(("apt-get",), ("install",), "DL3008", "=", "DL3014", ("-y", "--yes", "--assume-yes", "-qq"), "-y", _APT_VALUES),
    Manager(("apk",), ("add",), "DL3018", "=", valued=_APK_VALUES),
    Manager(("yum",), ("install", "localinstall", "groupinstall"), "DL3033", "-", "DL3030", _YES, "-y", ("-c", "-x")),
    Manager(("dnf", "microdnf"), ("install",), "DL3041", "-", "DL3038", _YES, "-y", ("-c", "-x")),
    Manager(("zypper",), ("install", "in"), "DL3037", "=", "DL3034", ("-n", "--non-interactive", "-y", "--no-confirm"), "-n",
            ("-r", "--repo", "-t", "--type")),
    Manager(("pip", "pip2", "pip3"), ("install",), "DL3013", "=", valued=_PIP_VALUES),
    Manager(("npm",), ("install", "i", "add"), "DL3016", "@", valued=("--prefix", "--registry", "--cache", "--loglevel")),
    Manager(("gem",), ("install", "i"), "DL3028", ":", valued=_GEM_VALUES),
    Manager(("go",), ("install",), "DL3062", "@", valued=("-tags", "-ldflags", "-o", "-p", "-mod")),
)


class Call(Value):
    """One call of a package manager that installs: the packages that it is given."""

    manager: Manager
    invocation: Invocation
    verb: Piece
    packages: "tuple[Piece, ...]"


def packages(trace: Trace) -> "Iterator[Finding]":
    """Versions, and questions that nobody is there to answer."""
    for one in _runs(trace):
        for call in _calls(one):
            manager, invocation = call.manager, call.invocation
            place = _span(invocation.words[0], call.verb)
            if manager.pinned and _unpinned(call):
                names = ", ".join(f"`{piece.text}`" for piece in _unpinned(call)[:3])
                yield found(trace, manager.pinned, one.raw, _span(*_unpinned(call)), f"no version of {names}: the next build may install another")
            if manager.answered and not invocation.flag(*manager.answers) and "-q=2" not in invocation.arguments:
                after = invocation.words[0] if manager.programs == ("zypper",) else call.verb
                edits = [Edit(Span(after.end, after.end), f" {manager.answer}")] if after.end - after.start == len(after.text) else []
                yield found(trace, manager.answered, one.raw, place,
                            f"`{invocation.program} {call.verb.text}` without `{manager.answer}` asks", *edits)
            if manager.programs == ("apt-get",) and not any("install-recommends" in text.lower() for text in invocation.arguments):
                yield found(trace, "DL3015", one.raw, place, "`apt-get install` without `--no-install-recommends` installs more than is asked for")


def caches(trace: Trace) -> "Iterator[Finding]":
    """What an installation leaves in the layer."""
    for one in _runs(trace):
        calls = _calls(one)
        text = script(one)
        by = {call.manager.programs[0]: call for call in reversed(calls)}
        for program, rule, cleaned, kept in CACHES:
            call = by.get(program)
            if call is not None and not any(mark in text for mark in cleaned) and not _mounted(one, kept):
                yield found(trace, rule, one.raw, _place(call), f"`{program}` leaves {LEFT[rule]}")
        pip, apk = by.get("pip"), by.get("apk")
        if pip and not pip.invocation.flag("--no-cache-dir") and not _mounted(one, (".cache", "pip")) and not _without_pip_cache(trace, one):
            yield found(trace, "DL3042", one.raw, _place(pip), "`pip install` without `--no-cache-dir` leaves its downloads in the layer")
        if apk and not apk.invocation.flag("--no-cache") and not _mounted(one, ("apk",)) and "/var/cache/apk" not in text:
            yield found(trace, "DL3019", one.raw, _place(apk), "`apk add` without `--no-cache` leaves its index in the layer")
        for invocation in invocations(one):
            install = invocation.program == "yarn" and invocation.arguments[:1] in ((), ("install",))
            if install and "yarn cache clean" not in text and not _mounted(one, ("yarn", ".cache")):
                yield found(trace, "DL3060", one.raw, _span(invocation.words[0]), "`yarn install` leaves its downloads: `yarn cache clean`")


# program, rule, what in the script tidies up, what a mount on the cache is called
CACHES = (
    ("apt-get", "DL3009", ("/var/lib/apt/lists", "/var/lib/apt/*"), ("/var/lib/apt",)),
    ("yum", "DL3032", ("yum clean all", "/var/cache/yum"), ("/var/cache/yum",)),
    ("dnf", "DL3040", ("dnf clean all", "/var/cache/dnf", "/var/cache/libdnf5", "/var/cache/yum"), ("/var/cache/dnf", "/var/cache/libdnf5")),
    ("zypper", "DL3036", ("zypper clean", "zypper cc", "zypper -n clean", "zypper --non-interactive clean", "/var/cache/zypp"), ("/var/cache/zypp",)),
)
LEFT = {"DL3009": "the package lists: rm -rf /var/lib/apt/lists/*", "DL3032": "its cache: yum clean all", "DL3040": "its cache: dnf clean all",
        "DL3036": "its cache: zypper clean"}


def _runs(trace: Trace) -> "Iterator[Run]":
    for _, group in trace.groups[1:]:
        yield from (one for one in group if isinstance(one, Run))


def _calls(run: Run) -> "list[Call]":
    found: list[Call] = []
    for invocation in invocations(run):
        words = invocation.words
        if invocation.program.startswith("python") and [word.text for word in words[1:3]] == ["-m", "pip"]:
            invocation = invocation._replace(words=words[2:])
        for manager in MANAGERS:
            if invocation.program in manager.programs:
                operands = _operands(invocation, manager)
                if operands and operands[0].text in manager.verbs:
                    found.append(Call(manager, invocation, operands[0], operands[1:]))
    return found


def _operands(invocation: Invocation, manager: Manager) -> "tuple[Piece, ...]":
    found: list[Piece] = []
    words = iter(invocation.words[1:])
    for word in words:
        if word.text in manager.valued:
            next(words, None)
        elif not word.text.startswith("-") and not word.text.startswith((">", "<", "2>")):
            found.append(word)
    return tuple(found)


def _unpinned(call: Call) -> "tuple[Piece, ...]":
    """The packages without a version; files, addresses and what a variable says are not looked into."""
    program, invocation = call.manager.programs[0], call.invocation
    if program == "gem" and invocation.flag("-v", "--version"):
        return ()
    if program == "pip" and invocation.flag("-r", "--requirement", "-c", "--constraint", "-e"):
        return ()
    found: list[Piece] = []
    for piece in call.packages:
        text = piece.text[1:] if program == "npm" and piece.text.startswith("@") else piece.text
        local = text.startswith((".", "/", "$", "git+", "http:", "https:", "file:")) or "*" in text or "${" in text or "$" in text
        file = text.endswith((".deb", ".apk", ".rpm", ".whl", ".tgz", ".tar.gz", ".gem", ".zip"))
        pinned = call.manager.pin in text or (program == "pip" and any(mark in text for mark in ("<", ">", "~", "@")))
        pinned = pinned and not (program == "go" and text.endswith("@latest"))
        if not (local or file or pinned or (program == "npm" and "/" in text and not piece.text.startswith("@"))):
            found.append(piece)
    return tuple(found)


def _mounted(run: Run, names: "tuple[str, ...]") -> bool:
    """Whether a cache or tmpfs mount is where the cache would be."""
    return any(any(name in mount.text for name in names) and ("type=cache" in mount.text or "type=tmpfs" in mount.text) for mount in run.mounts)


def _without_pip_cache(trace: Trace, one: "Instruction") -> bool:
    seen = next((seen for seen in trace.seen if seen.instruction is one), None)
    return seen is not None and seen.variables.get("PIP_NO_CACHE_DIR", "").lower() in ("1", "true", "on", "yes", "off", "false", "0")


def _place(call: Call) -> Span:
    return _span(call.invocation.words[0], call.verb)


def _span(*pieces: Piece) -> Span:
    return Span(pieces[0].start, max(piece.end for piece in pieces))


RULES: "tuple[Callable[[Trace], Iterator[Finding]], ...]" = (packages, caches)
