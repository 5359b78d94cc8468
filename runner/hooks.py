"""Hooks of a service: commands in its containers after they have started and before they are stopped, and in containers of their own before that."""

from runner import labels
from runner.errors import RunError
from runner.executing import open_stream
from runner.lower import exec_spec
from runner.progress import Output
from runner.tasks import Readable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator

    from runner.container import Container, ContainerSpec
    from runner.engine import Engine
    from runner.model.build import Hook
    from runner.progress import OnNews
    from runner.tasks import Task


class HookFailed(RunError):
    """A hook ended with something else than 0. hook: as "services.web.post_start[0]"."""

    def __init__(self, hook: str, container: str, status: int, reason: str = "") -> None:
        super().__init__(hook, container, status)
        self.hook, self.container, self.status, self.reason = hook, container, status, reason

    def __str__(self) -> str:
        return f"hook `{self.hook}` of container {self.container} " + (self.reason or f"exited with status {self.status}")


def run_inside(engine: "Engine", container: "Container", hook: "Hook", name: str, on_news: "OnNews") -> "Task":
    """A post_start or pre_stop hook: done when the command has ended. Raises HookFailed, and what makes it impossible to run it."""
    spec = exec_spec(container, hook.command or (), env=_environment(hook), working_dir=hook.working_dir, user=hook.user or None,
                     privileged=hook.privileged)
    with engine.running(container) as contact:
        stream = open_stream(contact, spec, wants_input=False)
        try:
            ended = None
            while ended is None:
                yield Readable(stream.fileno())
                ended = stream.hear()
                for record in stream.records():
                    on_news(Output(container.name, name, record.data))
        finally:
            stream.close()
    if ended.code:
        raise HookFailed(name, container.name, ended.code, ended.error)


def _environment(hook: "Hook") -> "tuple[str, ...]":
    return tuple(f"{name}={value}" for name, value in hook.environment if value is not None)


def before_spec(spec: "ContainerSpec", hook: "Hook", name: str) -> "ContainerSpec":
    """The container of a pre_start hook: as the service's, but for what it runs; nothing of it is published, probed or started again."""
    kept = labels.merged(spec.labels, {labels.ONE_OFF: "True", labels.HOOK: "pre_start"})
    own = {word.partition("=")[0] for word in _environment(hook)}
    env = (*(word for word in spec.env if word.partition("=")[0] not in own), *_environment(hook))
    endpoints = tuple(one._replace(aliases=(), ipv4_address="", ipv6_address="", mac_address="") for one in spec.endpoints)
    plain = type(spec)(spec.image)
    return spec._replace(
        name=name, image=hook.image or spec.image, entrypoint=None if hook.image else spec.entrypoint, cmd=hook.command, env=env,
        user=hook.user or spec.user, working_dir=hook.working_dir or spec.working_dir, privileged=hook.privileged or spec.privileged,
        labels=kept, endpoints=endpoints, ports=(), exposed=(), restart=plain.restart, healthcheck=None, hostname="", config="")


def run_before(engine: "Engine", spec: "ContainerSpec", image_id: str, hook: str, on_news: "OnNews") -> "Generator[Readable, bool, None]":
    """A pre_start hook, `spec` its container, which is removed afterwards. Raises HookFailed."""
    from runner.errors import Missing
    from runner.stream import stream

    try:
        engine.remove(engine.find(spec.name), force=True, volumes=True)
    except Missing:
        pass
    container = engine.create(spec, image_id)
    try:
        contact = engine.begin_start(container, attached=True)
        assert contact, "nobody else knows it yet"
        yield Readable(contact.fileno())
        engine.finish_start(container, contact)
        with stream(contact, engine.place(container.id).log, ask=False, stdin=False) as output:
            ended = None
            while ended is None:
                yield Readable(output.fileno())
                ended = output.hear()
                for record in output.records():
                    on_news(Output(container.name, hook, record.data))
    finally:
        engine.remove(container, force=True, volumes=True)
    if ended.code:
        raise HookFailed(hook, container.name, ended.code, ended.error)
