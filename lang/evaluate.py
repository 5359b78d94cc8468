"""Walks a stage: its instructions and the config of its base go in, steps and the new config come out.

Every word is expanded here, with the variables as they are where it stands: ENV and ARG of the stage, and of the stages below it.
"""

from posixpath import normpath

from kernel.value import Value
from lang.confidential import concealed, is_secret
from lang.config import DEFAULT_SHELL, PATH, Health, Settings, merged, quoted_health, quoted_list, with_pair
from lang.errors import LangError, SyntaxFault, at_fault, together
from lang.nodes import (
    Add,
    Arg,
    Cmd,
    Copy,
    Entrypoint,
    Env,
    Exec,
    Expose,
    From,
    Healthcheck,
    Label,
    Maintainer,
    Onbuild,
    Pair,
    Run,
    Shell,
    Shell_,
    Stopsignal,
    User,
    Volume,
    Word,
    Workdir,
)
from lang.scope import SILENT, Expander, proxies
from lang.source import Source, Span
from lang.steps import DEVICES, ConfigStep, InlineFile, RunStep, WorkdirStep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any, NoReturn

    from lang.nodes import Command, Instruction, Raw
    from lang.refs import Ref
    from lang.stages import Resolution, Stage
    from lang.steps import Step

    # what a caller that lints is told of each instruction: the names it looked up in vain, each with its word; variables and config before it
    Observe = Callable[[Instruction, list[tuple[str, Word]], Mapping[str, str], Settings], None]


class Scope(Value):
    """What a stage hands on to a `FROM stage` besides its config: its variables, those of ARG among them, in order of setting."""

    variables: "tuple[tuple[str, str], ...]" = ()
    arguments: "tuple[tuple[str, str], ...]" = ()         # of ARG, "" where it has no value: what history tells


class Evaluated(Value):
    """A stage walked: its steps in order, the config that results, and what a stage based on it inherits."""

    steps: "tuple[Step, ...]"
    settings: Settings
    scope: Scope


def evaluate(stage: "Stage", base: Settings, resolution: "Resolution", scope: "Scope | None" = None,
             observe: "Observe | None" = None, faults: "list[LangError] | None" = None) -> Evaluated:
    """Walk a stage.

    base:  the config of what it is based on: of the image, of the stage below as evaluated, or config.SCRATCH.
    scope: of the stage below; nothing for any other base.
    observe: is told of each instruction, also of one that fails: for lint.
    faults: takes what is wrong, and the walk goes on with the rest.
    Raises LangError: for several errors LangErrors. After an ARG or ENV that cannot be nothing more is said, for what follows may use it.
    Positions are in the Dockerfile or in the text of a trigger.
    """
    walk = Walk(stage, base, resolution, scope or Scope(), observe)
    errors: list[LangError] = []
    try:
        walk.triggers(base.on_build)
    except LangError as error:
        if faults is None:
            raise
        errors.append(error)
    broken = False                                        # an ARG or ENV is missing: what is wrong from here on may be wrong because of it
    for instruction in stage.instructions:
        try:
            walk.take(instruction)
        except LangError as error:
            errors += [] if broken else [error]
            broken = broken or isinstance(instruction, Arg | Env)
            if broken and faults is None:
                break
    if errors and faults is None:
        raise together(errors)
    if faults is not None:
        faults += errors
    return walk.result()


def apply_changes(settings: Settings, lines: "Sequence[str]", name: str = "--change") -> Settings:
    """The config after instructions that only change it (`commit --change`, `import --change`).

    Raises LangError; of an instruction that does more too.
    """
    from lang.parser import parse_instruction
    for line in lines:
        instruction, source = parse_instruction(line, name)
        if isinstance(instruction, Run | Copy | Add | From | Arg | Shell_ | Maintainer):
            raise SyntaxFault(source, instruction.raw.keyword.span, f"{instruction.raw.name} does more than change the config",
                              "CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME and WORKDIR do not")
        walk = Walk(None, settings, None, Scope(), None, source)
        walk.take(instruction)
        settings = walk.settings
    return settings


class Walk:
    """The state of a walk: the config and variables so far, and the steps that led there."""

    __slots__ = ("_command_set", "_observe", "_span", "arguments", "expander", "proxies", "resolution", "settings", "stage", "steps", "variables")

    def __init__(self, stage: "Stage | None", base: Settings, resolution: "Resolution | None", scope: Scope, observe: "Observe | None",
                 source: "Source | None" = None) -> None:
        self.stage = stage
        self.settings = base
        self.variables: dict[str, str] = dict(scope.variables)
        self.arguments: dict[str, str] = dict(scope.arguments)
        self.proxies = proxies(dict(resolution.build_args)) if resolution else ()
        self.steps: list[Step] = []
        self.resolution = resolution
        self._observe = observe
        self._command_set = False
        self._span: Span | None = None                    # of the FROM whose triggers are taken
        place = source or (resolution.dockerfile.source if resolution else Source("", ""))
        self.expander = Expander(place, resolution.dockerfile.escape if resolution else "\\")
        if resolution and base.getenv("PATH") is None:
            self.settings = base._replace(env=with_pair(base.env, "PATH", PATH))
        for name, value in self.settings.env:
            self.set(name, value)

    def result(self) -> Evaluated:
        return Evaluated(tuple(self.steps), self.settings, Scope(tuple(self.variables.items()), tuple(self.arguments.items())))

    def set(self, name: str, value: str) -> None:
        """Set a variable; the latest is the last."""
        self.variables.pop(name, None)
        self.variables[name] = value

    def triggers(self, texts: "Sequence[str]") -> None:
        """Take the instructions that the base left for whoever is based on it."""
        self.settings = self.settings._replace(on_build=())
        if not texts or self.stage is None or self.resolution is None:
            return
        from lang.parser import parse_instruction
        expander, self._span = self.expander, self.stage.start.raw.span
        image = self.stage.start.image
        line = expander.source.position(image.start)[0]
        for text in texts:
            try:
                instruction, source = parse_instruction(text, f"ONBUILD of {image.text}", self.resolution.dockerfile.dialect)
                self.expander = Expander(source, expander.escape)
                if isinstance(instruction, From):
                    self.fail(instruction.raw.keyword, "FROM as the trigger of ONBUILD")
                self.take(instruction)
            except LangError as error:
                fired = f"{expander.source.file(image.start)[0]}:{line}"
                error.help = f"{error.help} (fired by {fired})" if error.help else f"fired by {fired}"
                raise
        self.expander, self._span = expander, None

    def take(self, instruction: "Instruction") -> None:
        """One instruction: a step, and what it changes."""
        if self._observe is None:
            _TAKE[type(instruction)](self, instruction)
            return
        unset = self.expander.unset = []
        variables, settings = dict(self.variables), self.settings
        try:
            _TAKE[type(instruction)](self, instruction)
        finally:
            self._observe(instruction, unset, variables, settings)

    def fail(self, word: Word, message: str, help: str = "") -> "NoReturn":
        raise SyntaxFault(self.expander.source, word.span, message, help)

    def misread(self, error: ValueError, word: Word, text: str, help: str = "") -> "NoReturn":
        """The value of a word, `text`, does not read: an error that points at the part of it."""
        raise SyntaxFault(self.expander.source, at_fault(error, word, text), str(error), help) from None

    def expand(self, word: Word) -> str:
        return self.expander.word(word, self.variables)

    def optional(self, word: "Word | None") -> str:
        return self.expander.word(word, self.variables) if word is not None else ""

    def span(self, raw: "Raw") -> Span:
        return self._span or raw.span

    def label(self, raw: "Raw", more: str = "") -> str:
        """The line to show for an instruction: its text, with the values of the variables that are set."""
        text = raw.text.text.strip()
        text = raw.name + text[len(raw.keyword.text):] + more
        if "$" in text:
            from lang.words import show
            text = show(text, {name: value for name, value in self.variables.items() if not is_secret(name)}, self.expander.escape)
        return concealed(text)

    def note(self, raw: "Raw", created_by: str) -> None:
        text = raw.text.text.strip()
        self.steps.append(ConfigStep(created_by, concealed(raw.name + text[len(raw.keyword.text):]), self.span(raw)))

    def refer(self, text: str, word: Word) -> "Ref":
        """What `--from=text`, or a mount's `from`, takes files from."""
        assert self.resolution is not None
        from lang.stages import constant
        return self.resolution.refer(constant(text, word, self.expander.source, self.resolution), self.expander.source, word.span)

    def argv(self, command: "Command", text: "str | None" = None) -> "tuple[str, ...]":
        if isinstance(command, Exec):
            return tuple(word.text for word in command.argv)
        return (*(self.settings.shell or DEFAULT_SHELL), command.text.text if text is None else text)

    # instructions

    def arg(self, it: Arg) -> None:
        assert self.resolution is not None
        given, inherited = dict(self.resolution.build_args), dict(self.resolution.arguments)
        history: list[str] = []
        for pair in it.pairs:
            name = self.expand(pair.name)
            value = given.get(name)
            if value is None:
                value = self.expand(pair.value) if pair.value is not None else inherited.get(name)
            if value is not None and name not in SILENT:
                self.set(name, value)
            self.arguments[name] = value or ""
            history.append(name if value is None else f"{name}={concealed(value)}")
        self.note(it.raw, f"ARG {' '.join(history)}")

    def env(self, it: Env) -> None:
        pairs = [self._pair(it.raw, pair) for pair in it.pairs]
        for name, value in pairs:
            self.set(name, value)
            self.settings = self.settings._replace(env=with_pair(self.settings.env, name, value))
        self.note(it.raw, f"ENV {' '.join(f'{name}={value}' for name, value in pairs)}")

    def labels(self, it: Label) -> None:
        pairs = [self._pair(it.raw, pair) for pair in it.pairs]
        for name, value in pairs:
            self.settings = self.settings._replace(labels=with_pair(self.settings.labels, name, value))
        self.note(it.raw, f"LABEL {' '.join(f'{name}={value}' for name, value in pairs)}")

    def _pair(self, raw: "Raw", pair: Pair) -> "tuple[str, str]":
        name, value = self.expand(pair.name), self.optional(pair.value)
        if not name:
            self.fail(pair.name, f"{raw.name} with a blank name")
        return name, value

    def run(self, it: Run) -> None:
        text, more, files = self._heredocs(it)
        argv = self.argv(it.command, text)
        cwd = self.settings.working_dir or "/"
        mounts = []
        for mount in it.mounts:
            from lang.mount import parse_mount
            mounts.append(parse_mount(mount, self.expander.source, self._mount_value, self.refer, cwd))
        given = [f"{name}={concealed(self.variables.get(name, value))}" for name, value in self.arguments.items()]
        created_by = " ".join(["RUN", *([f"|{len(given)}", *given] if given else []), *argv, "# buildkit"])
        self.steps.append(RunStep(
            argv, isinstance(it.command, Shell), tuple(self.variables.items()), self.proxies, cwd, self.settings.user, tuple(mounts), files,
            it.network, it.security, tuple(word.text for word in it.devices), it.timeout, it.retries, it.retry_delay,
            created_by, self.label(it.raw, more), self.span(it.raw)))

    def _mount_value(self, text: str, word: Word) -> str:
        return self.expander.text(text, word, self.variables)

    def _heredocs(self, it: Run) -> "tuple[str | None, str, tuple[InlineFile, ...]]":
        """The command text of a RUN with heredocs (None for one without), what its label adds, the files to provide."""
        heredocs = it.raw.heredocs
        if not heredocs or not isinstance(it.command, Shell):
            return None, "", ()
        from lang.heredoc import is_alone
        line = it.command.text.text
        if not is_alone(line):
            return line + "".join(f"\n{heredoc.content}{heredoc.name}" for heredoc in heredocs), "", ()
        script = heredocs[0].text
        first, _, rest = script.strip().partition("\n")
        more = f" ({first.rstrip()}{'...' if rest else ''})"
        if script.startswith("#!"):
            return f"{DEVICES}/{heredocs[0].name}", more, (InlineFile(heredocs[0].name, script, 0o755),)
        return script, more, ()

    def workdir(self, it: Workdir) -> None:
        given = self.expand(it.path)
        path = joined(self.settings.working_dir or "/", given if given.startswith("/") else given.rstrip("/"))
        self.settings = self.settings._replace(working_dir=path)
        layer = path != "/"
        self.steps.append(WorkdirStep(path, self.settings.user, f"WORKDIR {path}", self.label(it.raw), self.span(it.raw), layer))

    def copy(self, it: "Copy | Add") -> None:
        from lang.transfer import transfer
        self.steps.append(transfer(it, self))

    def maintainer(self, it: Maintainer) -> None:
        self.settings = self.settings._replace(author=it.author.text)
        self.note(it.raw, f"MAINTAINER {it.author.text}")

    def onbuild(self, it: Onbuild) -> None:
        self.settings = self.settings._replace(on_build=(*self.settings.on_build, it.trigger))

    def cmd(self, it: Cmd) -> None:
        argv = self.argv(it.command)
        self._command_set = True
        self.settings = self.settings._replace(cmd=argv)
        self.note(it.raw, f"CMD {quoted_list(argv)}")

    def entrypoint(self, it: Entrypoint) -> None:
        argv = self.argv(it.command)
        self.settings = self.settings._replace(entrypoint=argv or None, cmd=self.settings.cmd if self._command_set else None)
        self.note(it.raw, f"ENTRYPOINT {quoted_list(argv)}")

    def healthcheck(self, it: Healthcheck) -> None:
        if it.command is None:
            test: tuple[str, ...] = ("NONE",)
        elif isinstance(it.command, Exec):
            test = ("CMD", *(word.text for word in it.command.argv))
        else:
            test = ("CMD-SHELL", it.command.text.text)
        health = Health(test, it.interval, it.timeout, it.start_period, it.start_interval, it.retries)
        self.settings = self.settings._replace(healthcheck=health)
        self.note(it.raw, f"HEALTHCHECK {quoted_health(health)}")

    def expose(self, it: Expose) -> None:
        ports: dict[str, None] = {}
        for word in sorted(it.ports, key=lambda word: word.text):
            for text in self.expander.words(word, self.variables):
                from lang.ports import parse_ports
                try:
                    ports.update(dict.fromkeys(parse_ports(text)))
                except ValueError as error:
                    self.misread(error, word, text)
        self.settings = self.settings._replace(exposed_ports=merged(self.settings.exposed_ports, ports))
        self.note(it.raw, f"EXPOSE [{' '.join(ports)}]")

    def user(self, it: User) -> None:
        user = self.expand(it.user)
        self.settings = self.settings._replace(user=user)
        self.note(it.raw, f"USER {user}")

    def volume(self, it: Volume) -> None:
        paths = [self.expand(path) for path in it.paths]
        for path, word in zip(paths, it.paths):
            if not path:
                self.fail(word, "VOLUME with a blank path")
        self.settings = self.settings._replace(volumes=merged(self.settings.volumes, paths))
        self.note(it.raw, f"VOLUME [{' '.join(paths)}]")

    def stopsignal(self, it: Stopsignal) -> None:
        from lang.signals import is_signal, meant
        signal = self.expand(it.signal)
        if not is_signal(signal):
            self.fail(it.signal, f"`{signal}` is no signal", meant(signal) or "a number, or a name like SIGTERM")
        self.settings = self.settings._replace(stop_signal=signal)
        self.note(it.raw, f"STOPSIGNAL {signal}")

    def shell(self, it: Shell_) -> None:
        argv = tuple(word.text for word in it.argv)
        self.settings = self.settings._replace(shell=argv)
        self.note(it.raw, f"SHELL [{' '.join(argv)}]")


def joined(directory: str, path: str) -> str:
    """`path` as seen from a directory, without `.`, `..` and doubled slashes; a slash at its end stays."""
    whole = normpath(path if path.startswith("/") else f"{directory}/{path}")
    whole = "/" + whole.lstrip("/")
    return whole + "/" if path.endswith("/") and whole != "/" else whole


_TAKE: "dict[type, Callable[[Walk, Any], None]]" = {
    Add: Walk.copy, Arg: Walk.arg, Cmd: Walk.cmd, Copy: Walk.copy, Entrypoint: Walk.entrypoint, Env: Walk.env, Expose: Walk.expose,
    Healthcheck: Walk.healthcheck, Label: Walk.labels, Maintainer: Walk.maintainer, Onbuild: Walk.onbuild, Run: Walk.run,
    Shell_: Walk.shell, Stopsignal: Walk.stopsignal, User: Walk.user, Volume: Walk.volume, Workdir: Walk.workdir,
}
