"""The whole arrow of a build: Request -> stages -> graph -> plan -> layers -> image. Called by faces and by the runner for `build:`."""

import os

from builder.cache.travel import Finished, Travel
from builder.cachemount import CacheDirectories
from builder.checking import warnings_of
from builder.contents import Contents
from builder.contexts import Contexts
from builder.errors import BuildError, LayersLost, StepFailed
from builder.executor import SandboxExecutor
from builder.explain import Cause
from builder.export import export
from builder.failure import Failed, rescue
from builder.images import BaseImages
from builder.lower import Known, Lowered, lower
from builder.network import check as check_network
from builder.outputs import check_outputs, write_outputs
from builder.plan import DONE, READY, WAITING, begin
from builder.progress import CheckWarnings, Note, StepExplained, StepQueued
from builder.reasons import Reasons
from builder.record import BuildRecord, keep
from builder.remote.fetch import is_pinned, is_remote, pinned
from builder.request import Request, Result
from builder.running import Surroundings, kept, ulimits
from builder.solver import layer_of, solve
from builder.verify import keep_request
from builder.worker import Forked
from kernel.value import Value
from lang.include import files_beside
from lang.parser import parse
from lang.platform import Platform, parse_platform
from lang.source import Source, decode
from lang.stages import resolve, unused_arguments
from store.digest import Digest, digest_of
from store.snapshots import SnapshotId

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from builder.cache.depot import Sessions
    from builder.failure import Attend
    from builder.graph import Graph
    from builder.images import Pull
    from builder.plan import Plan, Step
    from builder.progress import CheckWarning, OnEvent
    from builder.signature import Signatures
    from builder.solver import BuiltLayer, Chain, Solved
    from lang.stages import Resolution
    from sandbox.client import Spawner
    from sandbox.network import NetworkProvider
    from store.cache import CacheRecord
    from store.store import Store

LAYERS_MAX = 127                                         # of an image, elsewhere
_VERDICTS = {DONE: "hit", READY: "miss", WAITING: "later"}
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


class Tools:
    """What a build is done with. connect: to the zygote; network: for RUN (None: it has none); pull: of images that are not here; attend:
    stays with a shell in a step that failed (None: there is no terminal); sessions: makes registry sessions, for caches; grown: told of each layer's
    bytes; ahead: called before a RUN is run."""

    __slots__ = ("ahead", "attend", "connect", "grown", "network", "pull", "sessions")

    def __init__(self, connect: "Callable[[], Spawner]", network: "NetworkProvider | None" = None, pull: "Pull | None" = None,
                 attend: "Attend | None" = None, sessions: "Sessions | None" = None, grown: "Callable[[int], None]" = lambda size: None,
                 ahead: "Callable[[], None]" = lambda: None) -> None:
        self.ahead = ahead
        self.connect, self.network, self.pull, self.attend, self.sessions, self.grown = connect, network, pull, attend, sessions, grown


def build(request: Request, store: "Store", tools: Tools, on_event: "OnEvent") -> Result:
    """Build the image. Raises LangError, BuildError, StoreError, SandboxError; the store then holds what was finished, and no image."""
    check_outputs(request)
    check_network(request.network, request.add_hosts)
    ulimits(request.ulimits)
    store.temporary.sweep(partials=False)                # what a killed build has left
    run = _Build(request, store, tools, on_event)
    try:
        return run.build()
    except BaseException:
        store.temporary.sweep(own=True, partials=False)  # what workers had begun
        raise
    finally:
        run.close()


class Explained(Value):
    """A step: "hit", "miss", or "later" if that depends on steps that run; and the causes of a miss, the most telling first."""

    number: int
    label: str
    verdict: str
    causes: tuple[Cause, ...] = ()


def explain_build(request: Request, store: "Store", tools: Tools, on_event: "OnEvent") -> "list[Explained]":
    """Hit or miss of each step, with the causes, without running any. Raises as `build`."""
    run = _Build(request, store, tools, on_event)
    try:
        return run.explained()
    finally:
        run.close()


class Planned(Value):
    """A graph, and of each vertex whether a record has its result: "hit", "miss", "later" if that depends on steps that run, "" for a source."""

    graph: "Graph"
    verdicts: tuple[str, ...]


def plan_build(request: Request, store: "Store", tools: Tools, on_event: "OnEvent") -> Planned:
    """What a build would do, without running anything. Raises as `build`."""
    run = _Build(request, store, tools, on_event)
    try:
        plan = run.planned()
        return Planned(run.graph, tuple(_VERDICTS[step.state] if step.vertex.number or step.vertex.inputs else "" for step in plan.steps))
    finally:
        run.close()


def host_platform() -> Platform:
    return Platform("linux", _MACHINES[os.uname().machine])


def resolve_request(request: Request, named: "Callable[[str], bool]", included: "dict[str, str] | None" = None) -> "Resolution":
    """The stages of the request's Dockerfile, for its target. included: gets the texts of INCLUDEd files. Raises LangError, BuildError."""
    beside = files_beside(request.dockerfile)
    local = bool(request.context)                        # a Dockerfile from elsewhere gets no file of this machine to see

    def include(path: str, including: str) -> tuple[str, str]:
        name, text = beside(path, including)
        if included is not None:
            included[os.path.abspath(name)] = text
        return name, text

    args = dict(request.build_args)
    dockerfile = parse(Source(request.dockerfile, decode(request.text)), include if local else None, args.get("BUILDKIT_SYNTAX"))
    host = host_platform()
    try:
        platform = parse_platform(request.platform, host) if request.platform else host
    except ValueError as error:
        raise BuildError(f"--platform: {error}") from None
    return resolve(dockerfile, build_args=args, target=request.target, target_platform=platform, build_platform=host, named=named)


def strange_stages(request: Request, resolution: "Resolution") -> tuple[str, ...]:
    """What --no-cache-filter names, and is no stage."""
    known = {name for stage in resolution.stages for name in (stage.name, str(stage.number))}
    return tuple(name for name in request.no_cache_stages if name.lower() not in known)


class _Build:
    def __init__(self, request: Request, store: "Store", tools: Tools, on_event: "OnEvent") -> None:
        self._request, self._store, self._tools, self._on_event = request, store, tools, on_event
        self._chains: dict[int, Chain] = {}
        self._named = dict(request.named_contexts)
        self._lowered: Lowered | None = None
        self._included: dict[str, str] = {}
        self._warnings: tuple[CheckWarning, ...] = ()
        self._images = BaseImages(store, on_event, tools.pull, request.pull)
        self._travel = Travel(request, store, tools.sessions, on_event)
        self._contexts = Contexts(request, f"{store.root.path}/contexts")
        self._contents = Contents(store, self._contexts, self._chains, self._travel, on_event)
        self._causes = Reasons(request, store, self._contexts, self._contents, self._travel)

    def build(self) -> Result:
        request, store = self._request, self._store
        self._hold_tree()
        resolution = resolve_request(request, self._named.__contains__, self._included)
        for name in unused_arguments(resolution):
            self._on_event(Note("warning", f"--build-arg {name}: no ARG of the Dockerfile takes it"))
        strange = resolution.dockerfile.strange_syntax()
        if strange:
            self._on_event(Note("warning", f"the frontend `{strange}` is not run: the file is read as a Dockerfile"))
        for name in strange_stages(request, resolution):
            self._on_event(Note("warning", f"--no-cache-filter {name}: no stage is called so"))
        lowered = self._lower(resolution)
        self._warnings = warnings_of(resolution, request, lowered.bases, self._included, self._images.known, self._named, store.cache)
        self._announce(lowered)
        try:
            return self._made(lowered)
        finally:
            if self._warnings:
                self._on_event(CheckWarnings(request.dockerfile, self._warnings))

    def _lower(self, resolution: "Resolution") -> Lowered:
        lowered = self._lowered = lower(resolution, Known(self._images, self._named), self._request)
        self._contents.graph = lowered.graph
        return lowered

    def _made(self, lowered: Lowered) -> Result:
        """The steps solved, the image made of them and handed out."""
        request, store = self._request, self._store
        self._travel.begin(lowered.graph)
        executor = self._executor()
        try:
            solved = self._solved(lowered, executor)
        except StepFailed as error:
            if error.kept:
                vertex = lowered.graph.vertices[error.vertex]
                inputs = tuple(executor.present(self._chains.get(edge.vertex, ())) for edge in vertex.inputs)
                rescue(Failed(vertex, inputs, error), request.rescue, executor, store, lowered.platform, self._tools.attend, self._on_event)
            raise
        finally:
            executor.close()
        steps = [step for step in solved.plan.steps if step.vertex.number and not is_remote(step.vertex.op)]
        if len(solved.chains[lowered.graph.target]) > LAYERS_MAX:
            self._on_event(Note("warning", f"the image has {len(solved.chains[lowered.graph.target])} layers; docker takes at most {LAYERS_MAX}"))
        finished, image = Finished(solved.plan, solved.chains, self._contents, self._contents.memo, self._contents.load), ""
        if not self._cache_only():
            image = export(store, request, lowered, self._squashed(solved), self._travel.inline(finished))
            self._remember(Digest(image), lowered, solved.plan)
            write_outputs(store, request, Digest(image))
        self._travel.finish(finished)
        return Result(image, request.names if image else (), len(steps), solved.cached)

    def _squashed(self, solved: "Solved") -> "Mapping[int, Chain]":
        """The chains as the image is to have them."""
        if not self._request.squashes:
            return solved.chains
        from builder.squash import squash

        return {**solved.chains, solved.plan.target: squash(self._store, solved.chains[solved.plan.target])}

    def _cache_only(self) -> bool:
        """Whether nobody wants an image: then layers of other machines' caches stay there."""
        outputs = self._request.outputs
        return bool(outputs) and all(output.type == "cacheonly" for output in outputs)

    def _solved(self, lowered: Lowered, executor: SandboxExecutor) -> "Solved":
        """The plan at its end. What other machines' caches promised, and do not have, is planned anew without it."""
        while True:
            self._contents.forget_results()
            self._chains.clear()
            self._chains.update(lowered.chains)
            try:
                plan = begin(lowered.graph, lowered.results, self._lookup, self._contents)
                gone = self._travel.unreadable(plan, self._chains, not self._cache_only())
                if gone:                                 # records without files, as mode=min has them of what is not in the image
                    self._travel.distrust(gone)
                    continue
                if not self._cache_only():
                    self._travel.prefetch(plan, self._chains)
                workers = Forked(executor.prepare, executor.leave)
                solved = solve(plan, self._chains, executor, workers, self._lookup, self._contents, self._on_event, self._jobs(), self._on_layer)
                workers.close()
                if not self._cache_only():
                    self._chains[plan.target] = executor.present(self._chains[plan.target], lambda text: self._on_event(Note("info", text)),
                                                                 base=not self._request.leaves_layers)
                return solved
            except LayersLost as error:
                executor.close()
                self._on_event(Note("warning", str(error)))
                self._travel.distrust(error.keys)

    def _on_layer(self, index: int, layer: "BuiltLayer") -> None:
        self._tools.grown(layer.size)
        self._travel.on_layer(index, layer)

    def _hold_tree(self) -> None:
        """Keep a fetched context as long as the build lasts."""
        tree = self._request.tree
        if tree is not None and not self._store.snapshots.hold(SnapshotId(tree.snapshot)):
            raise BuildError(f"the build context `{tree.name}` is not in the store any more")

    def _jobs(self) -> int:
        """Many steps wait for a network or a disk: more at once than there are processors."""
        return self._request.jobs or max(2 * (os.cpu_count() or 1), 8)

    def _announce(self, lowered: Lowered) -> None:
        for vertex in lowered.graph.vertices:
            if vertex.number:
                self._on_event(StepQueued(vertex.number, vertex.label))

    def _executor(self) -> SandboxExecutor:
        request = self._request
        namespace = dict(request.build_args).get("BUILDKIT_CACHE_MOUNT_NS", "")
        around = Surroundings(kept(self._tools.connect), self._tools.network, request.secrets, request.ssh,
                              CacheDirectories(f"{self._store.root.path}/cachemounts", namespace, os.urandom(8).hex(), self._travel.restore_mount,
                                               self._store.root.owners == "xattr"),
                              self._store.root.userxattr, self._tools.ahead)
        return SandboxExecutor(self._store, around, self._contexts, self._contents, self._contents.source_of, self._slot, self._contents.manifest,
                               self._missed, request.fresh, request.rescue.wants_files, self._travel.imported)

    def _missed(self, step: "Step", inputs: "tuple[Chain, ...]") -> None:
        """A step has to run: say why, if somebody wants to know."""
        if self._request.explain and step.vertex.number:
            self._on_event(StepExplained(step.vertex.number, step.vertex.label, "miss", tuple(str(cause) for cause in self._causes(step, inputs))))

    def planned(self) -> "Plan":
        """What a build would do now, as far as that is known before anything runs."""
        self._hold_tree()
        resolution = resolve_request(self._request, self._named.__contains__)
        lowered = self._lower(resolution)
        self._chains.update(lowered.chains)
        return begin(lowered.graph, lowered.results, self._lookup, self._contents)

    @property
    def graph(self) -> "Graph":
        assert self._lowered is not None
        return self._lowered.graph

    def explained(self) -> "list[Explained]":
        found = []
        for step in self.planned().steps:
            if step.vertex.number:
                verdict = _VERDICTS[step.state]
                inputs = tuple(self._chains.get(edge.vertex, ()) for edge in step.vertex.inputs)
                causes = self._causes(step, inputs) if verdict == "miss" else ()
                found.append(Explained(step.vertex.number, step.vertex.label, verdict, causes))
        return found

    def _remember(self, image: Digest, lowered: Lowered, plan: "Plan") -> None:
        layouts = [name for name, _ in lowered.bases if name.startswith("oci-layout://")]
        contexts = (*self._contexts.looked_at(), *(_signed(name) for name in layouts))
        bases = tuple((image if name in layouts else name, image) for name, image in lowered.bases)
        labels = tuple((v.number, v.label) for v in lowered.graph.vertices if v.number)
        files = tuple((path, digest_of(text.encode(errors="surrogateescape"))) for path, text in self._included.items())
        if all(is_pinned(v.op) for v in lowered.graph.vertices if is_remote(v.op)):
            keep(self._store, self._request, BuildRecord(image, bases, contexts, labels, files, tuple((*one,) for one in self._warnings)))
        self._causes.remember(plan)
        if not self._request.fresh:
            keep_request(self._store, image, self._request)

    # ------------------------------------------------------------ what planning asks
    def _lookup(self, vertex: int, key: Digest) -> "CacheRecord | None":
        """The record of a step whose layer is here. Its chain is noted: later steps may ask for files in it before the plan is complete."""
        assert self._lowered is not None
        shown = self._lowered.graph.vertices[vertex]
        record = pinned(self._store, shown.op) if is_remote(shown.op) else self._store.cache.get(key)
        parent = self._chains[shown.inputs[0].vertex] if shown.inputs else ()
        if record is None or not self._store.snapshots.hold(record.snapshot):      # type: ignore[arg-type]  # as stored
            imported = self._travel.imported
            record = imported.get(key, parent[-1].result if parent else None) if imported and not is_remote(shown.op) else None
        if record is None:
            return None
        self._chains[vertex] = (*parent, layer_of(record))
        if self._request.explain and shown.number:
            self._on_event(StepExplained(shown.number, shown.label, "hit"))
        return record

    def _slot(self, step: "Step") -> str:
        """Which place in which Dockerfile a step is: a COPY looks there for what it made the last time."""
        return f"{self._causes.place}|{step.vertex.stage}|{step.vertex.position}"

    def close(self) -> None:
        self._contexts.close()
        self._travel.close()


def _signed(layout: str) -> "tuple[str, Signatures]":
    from builder.remote.layout import signed

    return signed(layout)
