"""Stages -> graph. What enters: a Resolution and functions that know images and contexts; what leaves: a Lowered: the graph, what is known of
its sources, and of the target stage the config and history that its image will have.

Nothing is run and nothing but image configs is read: a stage can only be walked when the config of its base is known.
"""

from builder.cachekey import chain_result
from builder.epoch import epoch_of
from builder.errors import BuildError, ImageMissing
from builder.graph import (
    CopyOp,
    Edge,
    Graph,
    InlineSource,
    MergeOp,
    MkdirOp,
    MountInput,
    Pick,
    RunHow,
    RunOp,
    Selector,
    SourceHttp,
    SourceImage,
    SourceLocal,
    SourceScratch,
    SourceTree,
    Vertex,
)
from builder.solver import BuiltLayer
from kernel.value import Value
from lang.config import SCRATCH, Settings
from lang.errors import LangError, together
from lang.evaluate import Evaluated, evaluate
from lang.mount import BindMount, CacheMount
from lang.refs import ImageRef, NamedRef, Scratch, StageRef
from lang.stages import meant, with_triggers
from lang.steps import ConfigStep, CopyStep, GitSource, PathSource, RunStep, UrlSource, WorkdirStep
from lang.steps import InlineSource as InlineText
from store.digest import Digest, digest_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from builder.graph import Op, SourceGit
    from builder.remote.named import NamedStage
    from builder.request import Request
    from builder.solver import Chain
    from lang.platform import Platform
    from lang.refs import Ref
    from lang.source import Span
    from lang.stages import Resolution, Stage
    from lang.steps import Step
    from store.oci import HistoryEntry


class Base(Value):
    """An image that the graph begins from, as far as it is known without its files."""

    name: str                    # by which it was resolved
    image_id: Digest
    settings: Settings
    chain: "Chain"
    result: Digest
    history: "tuple[HistoryEntry, ...]" = ()
    platform: "Platform | None" = None


class HistoryLine(Value):
    """An entry of the image's history that this build makes. vertex: the one whose layer it is, -1 for none."""

    created_by: str
    vertex: int = -1


class Lowered(Value):
    """results, chains: of the source vertices, by index. history: HistoryEntry of base images, HistoryLine of this build."""

    graph: Graph
    results: "dict[int, Digest]"
    chains: "dict[int, Chain]"
    settings: Settings
    history: "tuple[HistoryEntry | HistoryLine, ...]"
    platform: "Platform"
    bases: "tuple[tuple[str, Digest], ...]"              # (name, image ID) of every image that was resolved
    epoch: int | None = None                             # SOURCE_DATE_EPOCH


class Known(Value):
    """What lowering asks of the world. image(name, platform) raises BuildError for what is not there; the name may be an oci-layout://.."""

    image: "Callable[[str, Platform | None], Base]"
    named: "Mapping[str, str]"                           # the values of named contexts


class _Done(Value):
    """A stage that is in the graph: its last vertex, what it evaluated to, its history."""

    vertex: int
    evaluated: Evaluated
    history: "tuple[Any, ...]"
    platform: "Platform"


def lower(resolution: "Resolution", known: Known, request: "Request") -> Lowered:
    """Raises LangError, BuildError (with their place)."""
    resolution, bases = _with_bases(resolution, known, resolution.target_platform if request.platform else None)
    epoch = epoch_of(request, resolution)
    made = _Lowering(resolution, known, request, bases, epoch)
    for stage in resolution.stages:
        if stage.reachable:
            made.try_stage(stage.number)
    if made.failed:
        raise together(list(made.failed.values()))
    done = made.stage(resolution.target)
    graph = Graph(tuple(made.vertices), done.vertex)
    return Lowered(graph, made.results, made.chains, done.evaluated.settings, done.history, done.platform, tuple(made.images), epoch)


def _with_bases(resolution: "Resolution", known: Known, wanted: "Platform | None") -> "tuple[Resolution, dict[int, Base | None]]":
    """The base images of all reachable stages, None for a base that is no image; their ONBUILD triggers may make more stages reachable, so
    until there are no more. wanted: what images are for that say nothing else; None takes what is here."""
    bases: dict[int, Base | None] = {}
    while True:
        if known.named:
            from builder.remote.named import with_stages

            resolution = with_stages(resolution, known.named)
        missing = [s for s in resolution.stages if s.reachable and s.number not in bases and isinstance(s.base, ImageRef | NamedRef)]
        if not missing:
            return resolution, bases
        for stage in missing:
            bases[stage.number] = _base(resolution, stage, known, wanted)
        triggers = {number: base.settings.on_build for number, base in bases.items() if base and base.settings.on_build}
        if triggers:
            resolution = with_triggers(resolution, triggers)


def _base(resolution: "Resolution", stage: "Stage", known: Known, wanted: "Platform | None") -> Base | None:
    try:
        if isinstance(stage.base, NamedRef):
            from builder.remote.named import NamedImage, meaning

            it = meaning(stage.base.name, known.named[stage.base.name])
            return known.image(it.name, stage.platform or wanted) if isinstance(it, NamedImage) else None
        assert isinstance(stage.base, ImageRef)
        return known.image(stage.base.name, stage.platform or wanted)
    except BuildError as error:
        raise _explained(error, resolution).at(stage.start.image.span, resolution.dockerfile.source) from None


def _explained(error: BuildError, resolution: "Resolution") -> BuildError:
    """A name that is no image may be that of a stage, with a slip in it."""
    if isinstance(error, ImageMissing):
        error.help = meant(error.name, resolution.stages, resolution.dockerfile.source) or error.help
    return error


class _Lowering:
    def __init__(self, resolution: "Resolution", known: Known, request: "Request", bases: "dict[int, Base | None]",
                 epoch: int | None) -> None:
        self.vertices: list[Vertex] = []
        self.results: dict[int, Digest] = {}
        self.chains: dict[int, Chain] = {}
        self._done: dict[int, _Done] = {}
        self.failed: dict[int, LangError] = {}           # stages whose text says something impossible
        self._begun: list[int] = []                      # stages that are being lowered: each is needed by the one before it
        self.images: list[tuple[str, Digest]] = []
        self._resolution, self._known, self._request, self._bases = resolution, known, request, bases
        self._source = resolution.dockerfile.source
        self._by_op: dict[tuple[Op, tuple[Edge, ...], bool], int] = {}
        self._epoch = epoch
        self._wanted = resolution.target_platform if request.platform else None      # what images are for that COPY --from and mounts name
        self._shown = 0
        self._no_cache = False
        self._span: Span | None = None                   # what is being lowered
        self._arguments: frozenset[str] = frozenset()
        self._where: tuple[int, str, int, int] = (-1, "", 0, 0)      # stage number, its name, the step's number in it, how many there are

    # ------------------------------------------------------------ stages
    def stage(self, number: int) -> _Done:
        """The stage in the graph, with all that it needs. (A named context may mean a stage that comes later in the file.)"""
        done = self._done.get(number)
        if done is None:
            if number in self.failed:
                raise self.failed[number]
            before = self._arguments, self._no_cache, self._where
            self._begun.append(number)
            try:
                done = self._done[number] = self._stage(self._resolution.stages[number])
            except LangError as error:
                self.failed[number] = error
                raise
            finally:
                self._begun.pop()
                self._arguments, self._no_cache, self._where = before
        return done

    def try_stage(self, number: int) -> None:
        """As `stage`; what is wrong with the text of the stage is kept in `failed`."""
        try:
            self.stage(number)
        except LangError as error:
            assert self.failed[number] is error

    def _stage(self, stage: "Stage") -> _Done:
        below = self._below(stage)
        platform = stage.platform or (below.platform if below else self._resolution.target_platform)
        base = self._bases.get(stage.number)
        settings, scope, vertex = SCRATCH, None, -1
        history: tuple[Any, ...] = ()
        if below is not None:
            vertex, settings, scope, history = below.vertex, below.evaluated.settings, below.evaluated.scope, below.history
        elif isinstance(stage.base, Scratch):
            vertex = self._scratch(platform)
        elif base is not None:
            vertex = self._image(base, platform)
            settings, history, platform = base.settings, base.history, base.platform or platform
        evaluated = evaluate(stage, settings, self._resolution, scope)
        self._arguments = frozenset(name for name, _ in evaluated.scope.arguments)
        self._no_cache = self._request.no_cache or any(
            name.lower() in (stage.name, str(stage.number)) for name in self._request.no_cache_stages)
        total = 1 + sum(1 for step in evaluated.steps if step.layer)
        name = stage.name or (f"stage-{stage.number}" if len(self._resolution.stages) > 1 else "")
        count = 1
        if vertex < 0:
            assert isinstance(stage.base, NamedRef)
            self._where = (stage.number, name, count, total)
            vertex = self._root_of(stage.base, stage, platform)
            history = (HistoryLine(f"FROM {stage.base.name}", vertex),)
        for step in evaluated.steps:
            if not isinstance(step, ConfigStep):
                count += 1
                self._where = (stage.number, name, count, total)
                if step.layer:
                    vertex = self._step(step, vertex, platform)
            history += (HistoryLine(step.created_by, vertex if step.layer else -1),)
        return _Done(vertex, evaluated, history, platform)

    def _below(self, stage: "Stage") -> _Done | None:
        """The stage that a stage is based on, by its name or by way of a named context."""
        if isinstance(stage.base, StageRef):
            return self.stage(stage.base.number)
        if isinstance(stage.base, NamedRef) and self._bases[stage.number] is None:
            from builder.remote.named import NamedStage, meaning

            it = meaning(stage.base.name, self._known.named[stage.base.name])
            return self._named_stage(stage.base.name, it) if isinstance(it, NamedStage) else None
        return None

    def _named_stage(self, context: str, it: "NamedStage") -> _Done:
        from builder.remote.named import stage_number

        number = stage_number(self._resolution.stages, it.name, context)
        if number in self._begun:
            raise BuildError(f"the named context `{context}` is the stage `{it.name}`, which needs it itself")
        return self.stage(number)

    def _root_of(self, ref: NamedRef, stage: "Stage", platform: "Platform") -> int:
        """A base that is no image: the files of a named context on an empty file system."""
        span = self._span = stage.start.image.span
        try:
            origin = self._origin(ref)
            if isinstance(self.vertices[origin].op, SourceLocal):
                files = Edge(origin, Selector((Pick(""),), wildcards=False))
                return self._add(CopyOp("/", epoch=self._epoch), (Edge(self._scratch(platform)), files), f"FROM {ref.name}", span)
            return self._add(MergeOp(), (Edge(self._scratch(platform)), Edge(origin)), "", span)
        except BuildError as error:
            raise _explained(error, self._resolution).at(span, self._source) from None

    def _image(self, base: Base, platform: "Platform") -> int:
        if (base.name, base.image_id) not in self.images:
            self.images.append((base.name, base.image_id))
        return self._add_source(SourceImage(base.name, base.image_id, str(platform)), base.chain, base.result)

    def _scratch(self, platform: "Platform") -> int:
        return self._add_source(SourceScratch(str(platform)), (), digest_of(b"scratch"))

    # ------------------------------------------------------------ vertices
    def _add_source(self, op: "Op", chain: "Chain", result: Digest) -> int:
        same = op._replace(name="") if isinstance(op, SourceImage) else op      # one image under two names is one source
        index = self._by_op.get((same, (), False))
        if index is None:
            index = self._by_op[same, (), False] = len(self.vertices)
            self.vertices.append(Vertex(op, ()))
            self.results[index], self.chains[index] = result, chain
        return index

    def _add_remote(self, op: "SourceHttp | SourceGit", span: "Span | None") -> int:
        """A source that is fetched when the build runs: until then nobody knows its result."""
        index = self._by_op.get((op, (), False))
        if index is None:
            from builder.remote.fetch import title

            index = self._by_op[op, (), False] = len(self.vertices)
            self._shown += 1
            self.vertices.append(Vertex(op, (), f"[internal] fetch {title(op)}", self._shown, self._where[0], 0, frozenset(), span, self._source))
        return index

    def _add(self, op: "Op", inputs: tuple[Edge, ...], label: str, span: "Span | None") -> int:
        """A vertex; one that is there already with the same op and inputs is it."""
        index = self._by_op.get((op, inputs, self._no_cache))
        if index is None:
            stage, name, number, total = self._where
            index = self._by_op[op, inputs, self._no_cache] = len(self.vertices)
            if label:
                self._shown += 1
                label = f"[{name}{' ' if name else ''}{number}/{total}] {label}"
            self.vertices.append(Vertex(op, inputs, label, self._shown if label else 0, stage, number, self._arguments, span, self._source,
                                        self._no_cache))
        return index

    def _step(self, step: "Step", parent: int, platform: "Platform") -> int:
        self._span = step.span
        try:
            if isinstance(step, RunStep):
                return self._run(step, parent, platform)
            if isinstance(step, CopyStep):
                return self._copy(step, parent, platform)
            assert isinstance(step, WorkdirStep)
            return self._add(MkdirOp(step.path, step.user, self._epoch), (Edge(parent),), step.label, step.span)
        except BuildError as error:
            raise _explained(error, self._resolution).at(step.span, self._source) from None

    def _origin(self, ref: "Ref | None") -> int:
        """The vertex that --from or a mount's from names; None is the build context."""
        if ref is None:
            return self._context()
        if isinstance(ref, StageRef):
            return self.stage(ref.number).vertex
        if isinstance(ref, Scratch):
            return self._scratch(self._resolution.target_platform)
        if isinstance(ref, ImageRef):
            return self._image(self._known.image(ref.name, self._wanted), self._resolution.target_platform)
        from builder.remote.named import NamedImage, NamedStage, meaning

        it = meaning(ref.name, self._known.named[ref.name])
        if isinstance(it, NamedImage):
            return self._image(self._known.image(it.name, self._wanted), self._resolution.target_platform)
        if isinstance(it, NamedStage):
            return self._named_stage(ref.name, it).vertex
        if isinstance(it, SourceLocal):
            return self._add_source(it, (), digest_of(b"local " + ref.name.encode()))
        return self._add_remote(it, self._span)

    def _context(self) -> int:
        """The build context: a directory, a tree that was fetched, or nothing at all."""
        tree = self._request.tree
        if tree is not None:
            layer = BuiltLayer(chain_result(None, Digest(tree.digest)), tree.digest, tree.snapshot)
            return self._add_source(SourceTree(f"the build context `{tree.name}`", tree.digest), (layer,), layer.result)
        if self._request.context:
            return self._add_source(SourceLocal("context"), (), digest_of(b"local context"))
        return self._add_source(SourceTree("the build context, which is empty: there is only a Dockerfile"), (), digest_of(b"empty context"))

    # ------------------------------------------------------------ steps
    def _run(self, step: RunStep, parent: int, platform: "Platform") -> int:
        self._check_entitlements(step)
        inputs, mounts = [Edge(parent)], []
        for mount in step.mounts:
            takes = isinstance(mount, BindMount) or (isinstance(mount, CacheMount) and mount.origin is not None)
            at = -1
            if takes and isinstance(mount, BindMount | CacheMount):
                at = len(inputs)
                selector = Selector((Pick(mount.source.lstrip("/")),), wildcards=False, whole=True)
                inputs.append(Edge(self._origin(mount.origin), selector))
                mount = mount._replace(origin=None)
            mounts.append(MountInput(mount, at))
        request = self._request
        how = RunHow(step.proxies or request.proxies, step.timeout, step.retries, step.retry_delay, request.memory, request.cpus,
                     step.shell)
        network = request.network if step.network == "default" else step.network
        op = RunOp(step.argv, step.env, step.cwd, step.user, tuple(mounts), step.files, network, step.security, step.devices,
                   request.add_hosts, request.shm_size, request.ulimits, "", str(platform), self._epoch, how)
        return self._add(op, tuple(inputs), step.label, step.span)

    def _check_entitlements(self, step: RunStep) -> None:
        allowed = {*self._request.allow, *(("network.host",) if self._request.network == "host" else ())}
        asked = {"network.host": step.network == "host", "security.insecure": step.security == "insecure", "device": bool(step.devices)}
        for name, wanted in asked.items():
            if wanted and name not in allowed:
                raise BuildError(f"this RUN needs the entitlement `{name}`", help=f"build with `--allow {name}` if you trust this Dockerfile")
        if step.devices:
            raise BuildError("devices of CDI are not there yet", help="RUN --security=insecure has the devices of this machine")

    def _copy(self, step: CopyStep, parent: int, platform: "Platform") -> int:
        inline = tuple(InlineSource(source.name, source.content) for source in step.sources if isinstance(source, InlineText))
        edges, unpack = self._sources(step)
        op = CopyOp(step.destination, step.owner, step.chmod, step.parents, unpack, inline, self._epoch)
        if step.link and step.chmod is None:
            copied = self._add(op, (Edge(self._scratch(platform)), *edges), step.label, step.span)
            return self._add(MergeOp(), (Edge(parent), Edge(copied)), "", step.span)
        return self._add(op, (Edge(parent), *edges), step.label, step.span)

    def _sources(self, step: CopyStep) -> tuple[tuple[Edge, ...], tuple[int, ...]]:
        """What a COPY or ADD takes, in its order (paths that follow each other are one edge), and which inputs' archives it unpacks."""
        edges: list[Edge] = []
        unpack: list[int] = []
        paths: tuple[Pick, ...] = ()
        for source in (*step.sources, None):
            if isinstance(source, PathSource):
                paths += (Pick(source.path.lstrip("/"), source.keep),)
                continue
            if paths:
                edges.append(Edge(self._origin(step.origin), Selector(paths, parents=step.parents, excludes=step.excludes)))
                unpack += [len(edges)] if step.add and step.unpack is not False else []
                paths = ()
            if isinstance(source, UrlSource):
                origin = self._add_remote(SourceHttp(source.url, source.name, step.checksum), step.span)
                edges.append(Edge(origin, Selector((Pick(source.name),), wildcards=False, excludes=step.excludes)))
                unpack += [len(edges)] if step.unpack else []
            elif isinstance(source, GitSource):
                from builder.remote.named import git_source

                origin = self._add_remote(git_source(source.ref, checksum=step.checksum, keep_git_dir=step.keep_git_dir), step.span)
                edges.append(Edge(origin, Selector((Pick(""),), wildcards=False, excludes=step.excludes)))
        return tuple(edges), tuple(unpack)
