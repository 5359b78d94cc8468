"""A RUN that failed, and what the user wants of it (`--on-error`, `--output-on-failure`): an image to look into, a shell in its very sandbox, files.

What enters: the StepFailed with the files that the step left. What leaves: an image named NAME, and files below a directory.
"""

import os

from builder.copying import Dressing, copy
from builder.errors import BuildError, StepFailed
from builder.files import DIRECTORY
from builder.graph import Pick, RunOp, Selector
from builder.layerfiles import LayerFiles
from builder.progress import Note
from builder.running import Session, specify
from builder.selection import take
from builder.target import Target
from kernel.value import Value
from store.digest import Digest
from store.oci import ContainerConfig, HistoryEntry, ImageConfig, RootFS, to_json
from store.snapshots import Draft
from store.view import View

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from builder.executor import SandboxExecutor
    from builder.graph import Vertex
    from builder.progress import OnEvent
    from builder.request import Rescue
    from builder.solver import Chain
    from lang.platform import Platform
    from sandbox.client import Running
    from store.store import Store

    Attend = Callable[[Running], None]                   # stay with a process that has a terminal until it ends

NAME = "failed-step:latest"
STEP, STATUS, MESSAGE = "pybuild.failed.step", "pybuild.failed.status", "pybuild.failed.message"
_SHELLS = ("/bin/bash", "/bin/sh", "/usr/bin/bash", "/usr/bin/sh", "/busybox/sh")


class Failed(Value):
    """A failed step, what it ran on, and what is known of why."""

    vertex: "Vertex"
    inputs: "tuple[Chain, ...]"
    error: StepFailed

    @property
    def op(self) -> RunOp:
        op = self.vertex.op
        assert isinstance(op, RunOp), "only a RUN leaves files"
        return op

    @property
    def draft(self) -> Draft:
        return Draft(*self.error.kept["draft"])


def rescue(failed: Failed, rescue: "Rescue", executor: "SandboxExecutor", store: "Store", platform: "Platform",
           attend: "Attend | None", on_event: "OnEvent") -> None:
    """Everything that was asked for, of the files of a step that failed; they are then gone, or an image. Raises nothing of its own: what goes
    wrong here is noted, so that the step's own failure stays what the build fails with."""
    draft = failed.draft
    try:
        for source, destination in rescue.outputs:
            _copy_out(failed, executor, source, destination, on_event)
        if rescue.on_error == "shell" and attend is not None:
            on_event(Note("info", f"{failed.error}; here is a shell in its sandbox, `exit` leaves it"))
            _shell(failed, executor, attend)
    except (BuildError, OSError) as error:
        on_event(Note("warning", str(error)))
    if rescue.on_error == "keep" or (rescue.on_error == "shell" and attend is None):
        _keep(failed, executor, store, platform)
        command = f"pybuild debug{'' if not rescue.layout else ' ' + rescue.layout}"
        on_event(Note("info", f"the failed step is kept as the image `{NAME}`: `{command}` opens a shell in it"))
        if rescue.layout:
            _write_layout(store, rescue.layout)
    else:
        store.snapshots.discard(draft)


# ---------------------------------------------------------------- files out of it
def _copy_out(failed: Failed, executor: "SandboxExecutor", source: str, destination: str, on_event: "OnEvent") -> None:
    """As COPY does it, and owned by the caller; what is not there is noted: not every failure comes after it was written."""
    directories = (failed.draft.directory, *executor.directories(failed.inputs[0]))
    files = LayerFiles(View(directories), "the failed step")
    try:
        taken = take(files, Selector((Pick(source.strip("/")),)))
    except BuildError as error:
        files.close()
        on_event(Note("warning", f"--output-on-failure: {error}"))
        return
    several = len(taken) > 1 or destination.endswith("/") or os.path.isdir(destination) or taken[0].node.kind == DIRECTORY
    root, name = (destination, "/") if several else (os.path.dirname(destination) or ".", f"/{os.path.basename(destination)}")
    os.makedirs(root, exist_ok=True)
    target = Target(View(()), os.path.abspath(root))
    try:
        target.look_again()
        copy(files, taken, target, name, Dressing((os.geteuid(), os.getegid())))
    finally:
        target.close()
        files.close()


# ---------------------------------------------------------------- a shell in it
def _shell(failed: Failed, executor: "SandboxExecutor", attend: "Attend") -> None:
    op, draft = failed.op, failed.draft
    os.makedirs(draft.work, 0o700, exist_ok=True)
    with View((draft.directory, *executor.directories(failed.inputs[0]))) as view:
        shell = next((path for path in _SHELLS if view.lookup(path) is not None), "")
    if not shell:
        raise BuildError("there is no shell in the failed step", help="--on-error=keep keeps its files")
    session = Session()
    try:
        spec = specify(op, executor.grounds.place(failed.vertex, failed.inputs, draft), executor.around, session, False)
        rows, columns = _window()
        env = spec.env if any(name == "TERM" for name, _ in spec.env) else (*spec.env, ("TERM", os.environ.get("TERM", "xterm")))
        null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        try:
            running = executor.around.connect().spawn(spec._replace(argv=(shell,), env=env, terminal=(rows, columns)), null, null, null)
        finally:
            os.close(null)
        with running:
            attend(running)
            running.kill()
            running.wait()
    finally:
        session.close()
        executor.grounds.remove_scratch(draft)


def _window() -> tuple[int, int]:
    try:
        size = os.get_terminal_size(1)
    except OSError:
        return 24, 80
    return size.lines, size.columns


# ---------------------------------------------------------------- an image of it
def _keep(failed: Failed, executor: "SandboxExecutor", store: "Store", platform: "Platform") -> Digest:
    from builder.filesteps import as_layers

    chain = (*executor.complete(failed.inputs[0]), executor.adopt(failed.error.kept))
    op, error = failed.op, failed.error
    config = ContainerConfig(
        user=op.user, env=tuple(f"{name}={value}" for name, value in op.env), cmd=op.argv, working_dir=op.cwd,
        labels={STEP: error.label, STATUS: "" if error.exit_status is None else str(error.exit_status), MESSAGE: str(error)})
    lines = ("below the failed step",) * len(failed.inputs[0]) + (error.label,)
    image = ImageConfig(
        architecture=platform.architecture, variant=platform.variant, os=platform.os, created=chain[-1].created, config=config,
        rootfs=RootFS(tuple(Digest(layer.diff_id) for layer in chain)),
        history=tuple(HistoryEntry(created=layer.created, created_by=line) for layer, line in zip(chain, lines)))
    if store.images.resolve(NAME) is not None:           # the one before, unless somebody uses it
        store.images.remove(NAME, force=True)
    return store.images.add(to_json(image), as_layers(chain), (NAME,))


def _write_layout(store: "Store", path: str) -> None:
    from store.archivewriter import choose_images
    from store.layout import write_layout

    write_layout(store, choose_images(store, (NAME,)), os.path.abspath(path))
