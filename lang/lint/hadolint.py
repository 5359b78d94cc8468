"""Rules that people know from hadolint, under its numbers: those about instructions. Those about commands: packages.py."""

from itertools import pairwise

from lang.imagename import familiar
from lang.lint.checks import found
from lang.lint.finding import Finding
from lang.lint.shell import invocations, script
from lang.lint.trace import Trace
from lang.nodes import Add, Copy, Env, Healthcheck, Run, Shell, Shell_, User, Workdir
from lang.words import variables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ARCHIVES = (".tar", ".gz", ".tgz", ".bz2", ".tbz2", ".tbz", ".xz", ".txz", ".zst", ".tzst", ".lzma", ".tlz", ".Z", ".tZ", ".zip")


def base_images(trace: Trace) -> "Iterator[Finding]":
    """DL3006, DL3007: the tag of FROM."""
    names: set[str] = set()
    for begin, _ in trace.groups[1:]:
        assert begin is not None
        image = begin.image.text
        if image not in names and image != "scratch" and "$" not in image and "@" not in image:
            _, colon, tag = image.rpartition("/")[2].partition(":")
            if not colon:
                yield found(trace, "DL3006", begin.raw, begin.image.span, f"`{image}` without a tag: whatever is the latest is taken")
            elif tag == "latest":
                yield found(trace, "DL3007", begin.raw, begin.image.span, f"`{familiar(image)}:latest` is another image tomorrow")
        if begin.name:
            names.add(begin.name.text.lower())


def last_user(trace: Trace) -> "Iterator[Finding]":
    """DL3002."""
    for _, group in trace.groups[1:]:
        users = [one for one in group if isinstance(one, User)]
        if users and users[-1].user.text.partition(":")[0] in ("root", "0"):
            yield found(trace, "DL3002", users[-1].raw, users[-1].user.span, "the last USER of the stage is root")


def copies(trace: Trace) -> "Iterator[Finding]":
    """DL3020, DL3021, DL3022, DL3023, DL3067."""
    names: set[str] = set()
    for number, (begin, group) in enumerate(trace.groups[1:]):
        assert begin is not None
        own = begin.name.text.lower() if begin.name else ""
        for one in group:
            if isinstance(one, Add):
                yield from _add(trace, one)
            if isinstance(one, Copy | Add) and len(one.sources) > 1:
                text = one.destination.text
                if not text.endswith("/") and text not in (".", "") and "$" not in text:
                    yield found(trace, "DL3021", one.raw, one.destination.span, f"several sources, and `{text}` does not end in `/`")
            if isinstance(one, Copy) and one.origin is not None:
                yield from _copy_from(trace, one, one.origin.text, own, names, number)
        names |= {own} - {""}


def _add(trace: Trace, one: Add) -> "Iterator[Finding]":
    local = [word for word in one.sources if "://" not in word.text and not word.text.startswith(("git@", "<<")) and "$" not in word.text]
    if len(local) == len(one.sources) and not any(word.text.endswith(ARCHIVES) for word in local) and not one.unpack:
        yield found(trace, "DL3020", one.raw, one.raw.keyword.span, "ADD of files that are no archives: COPY does no more than copy")


def _copy_from(trace: Trace, one: Copy, origin: str, own: str, names: "set[str]", number: int) -> "Iterator[Finding]":
    assert one.origin is not None
    known = origin.lower() in names or (origin.isdecimal() and int(origin) < number)
    if own and origin.lower() == own:
        yield found(trace, "DL3023", one.raw, one.origin.span, f"the stage `{own}` copies from itself")
    elif not known and ":" not in origin and "@" not in origin and "$" not in origin:
        yield found(trace, "DL3022", one.raw, one.origin.span, f"`{origin}` is no stage before this one, but an image")
    if [word.text for word in one.sources] == ["/"]:
        yield found(trace, "DL3067", one.raw, one.sources[0].span, "a whole file system is copied")


def environment(trace: Trace) -> "Iterator[Finding]":
    """DL3044: a variable used by the ENV that sets it sees the value from before."""
    for seen in trace.seen:
        one = seen.instruction
        if not isinstance(one, Env):
            continue
        names = [pair.name.text for pair in one.pairs]
        for pair in one.pairs:
            used = variables(pair.value.text, trace.dockerfile.escape) if pair.value else []
            for name in used:
                if name in names and name not in seen.variables and pair.value:
                    yield found(trace, "DL3044", one.raw, pair.value.span, f"`${name}` is what it was before this ENV, which is nothing")


def relative_destinations(trace: Trace) -> "Iterator[Finding]":
    """DL3045."""
    placed: set[str] = set()
    for begin, group in trace.groups[1:]:
        assert begin is not None
        known = begin.image.text in placed
        for one in group:
            if isinstance(one, Workdir):
                known = True
            elif isinstance(one, Copy) and not known and not _absolute(one.destination.text):
                yield found(trace, "DL3045", one.raw, one.destination.span, f"`{one.destination.text}` is relative, and no WORKDIR says to what")
        if known and begin.name:
            placed.add(begin.name.text.lower())


def _absolute(path: str) -> bool:
    """Whether a raw path is absolute, on Windows too, or may be."""
    return path.startswith(("/", "$", '"/', "'/")) or path[1:3] == ":\\"


def healthcheck(trace: Trace) -> "Iterator[Finding]":
    """DL3057: of the last stage."""
    begin, group = trace.groups[-1]
    if begin is not None and not any(isinstance(one, Healthcheck) for one in group):
        yield found(trace, "DL3057", begin.raw, begin.raw.keyword.span, "no HEALTHCHECK in the last stage")


def consecutive_runs(trace: Trace) -> "Iterator[Finding]":
    """DL3059: two RUNs, alike in their flags, one after the other."""
    for _, group in trace.groups[1:]:
        for before, one in pairwise(group):
            if isinstance(before, Run) and isinstance(one, Run) and [f.text for f in before.raw.flags] == [f.text for f in one.raw.flags]:
                yield found(trace, "DL3059", one.raw, one.raw.keyword.span, "a RUN right after another: one with `&&` makes one layer")


def commands(trace: Trace) -> "Iterator[Finding]":
    """DL3003, DL3004, DL4001: programs that a RUN had better not start."""
    for _, group in trace.groups[1:]:
        fetchers: set[str] = set()
        for one in group:
            for call in invocations(one) if isinstance(one, Run) else ():
                span = call.words[0]
                place = one.raw.span._replace(start=span.start, end=span.end)
                if call.program == "cd":
                    yield found(trace, "DL3003", one.raw, place, "`cd` holds for this RUN only: WORKDIR holds for the rest")
                if call.program == "sudo":
                    yield found(trace, "DL3004", one.raw, place, "`sudo` in a build, which has USER")
                if call.program in ("wget", "curl"):
                    fetchers.add(call.program)
                    if len(fetchers) == 2:
                        yield found(trace, "DL4001", one.raw, place, "both `wget` and `curl` in one stage: one will do")
                        fetchers = {call.program}
                        break


def pipes(trace: Trace) -> "Iterator[Finding]":
    """DL4006: the exit status of a pipe is that of its last command, unless the shell is told otherwise."""
    safe: dict[str, bool] = {}
    for begin, group in trace.groups[1:]:
        assert begin is not None
        known = safe.get(begin.image.text, False)
        for one in group:
            if isinstance(one, Shell_):
                words = [word.text for word in one.argv]
                known = "pipefail" in words or words[0].rpartition("/")[2].removesuffix(".exe").lower() in ("pwsh", "powershell", "cmd")
            elif isinstance(one, Run) and isinstance(one.command, Shell) and not known and "pipefail" not in script(one):
                call = next((call for call in invocations(one) if call.piped), None)
                if call is not None:
                    place = one.raw.span._replace(start=call.words[0].start, end=call.words[-1].end)
                    yield found(trace, "DL4006", one.raw, place,
                                'a pipe in a shell without pipefail: SHELL ["/bin/bash", "-o", "pipefail", "-c"] before it')
        if begin.name:
            safe[begin.name.text.lower()] = known


RULES: "tuple[Callable[[Trace], Iterator[Finding]], ...]" = (
    base_images, last_user, copies, environment, relative_destinations, healthcheck, consecutive_runs, commands, pipes)
