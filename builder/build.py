"""The whole arrow of a build: Request -> stages -> graph -> plan -> layers -> image. Called by faces and by the runner for `build:`."""

import os
from marshal import dumps, loads

from builder.cache.travel import Finished, Travel
from builder.cachekey import canonical, image_result, parts
from builder.cachemount import CacheDirectories
from builder.checking import warnings_of
from builder.context import Context
from builder.errors import BuildError, ContextMissing, LayersLost, StepFailed
from builder.executor import SandboxExecutor
from builder.explain import Cause, Inputs, explain, similarity
from builder.export import export
from builder.failure import Failed, rescue
from builder.graph import SourceImage, SourceLocal, SourceTree
from builder.images import BaseImages
from builder.layerfiles import LayerFiles
from builder.lower import Known, Lowered, lower
from builder.network import check as check_network
from builder.outputs import check_outputs, write_outputs
from builder.plan import DONE, READY, WAITING, begin
from builder.progress import CheckWarnings, Note, StepExplained, StepQueued
from builder.record import BuildRecord, keep
from builder.remote.fetch import is_pinned, is_remote, pinned, title
from builder.request import Request, Result, read_ignore
from builder.running import Surroundings, kept, ulimits
from builder.selection import Manifest, manifest, take
from builder.solver import layer_of, solve
from builder.verify import keep_request
from builder.worker import Forked
from kernel.value import Value, plain
from lang.include import files_beside
from lang.parser import parse
from lang.platform import Platform, parse_platform
from lang.source import Source, decode
from lang.stages import resolve, unused_arguments
from store.digest import Digest, digest_of
from store.snapshots import SnapshotId

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from builder.cache.depot import Sessions
    from builder.failure import Attend
    from builder.graph import Edge, Graph, Op
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
        self._contexts: dict[str, Context] = {}
        self._chains: dict[int, Chain] = {}
        self._content: dict[Edge, Digest] = {}
        self._manifests: dict[Digest, Manifest] = {}
        self._named = dict(request.named_contexts)
        self._lowered: Lowered | None = None
        self._included: dict[str, str] = {}
        self._warnings: tuple[CheckWarning, ...] = ()
        self._images = BaseImages(store, on_event, tools.pull, request.pull)
        self._travel = Travel(request, store, tools.sessions, on_event)

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
        lowered = self._lowered = lower(resolution, Known(self._images, self._named), request)
        self._warnings = warnings_of(resolution, request, lowered.bases, self._included, self._images.known, self._named, store.cache)
        self._announce(lowered)
        try:
            return self._made(lowered)
        finally:
            if self._warnings:
                self._on_event(CheckWarnings(request.dockerfile, self._warnings))

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
        finished, image = Finished(solved.plan, solved.chains, self.content, self._memo, self._load), ""
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
            self._content = {edge: digest for edge, digest in self._content.items() if isinstance(self._source_of(edge), SourceLocal)}
            self._chains.clear()
            self._chains.update(lowered.chains)
            try:
                plan = begin(lowered.graph, lowered.results, self._lookup, self.content)
                gone = self._travel.unreadable(plan, self._chains, not self._cache_only())
                if gone:                                 # records without files, as mode=min has them of what is not in the image
                    self._travel.distrust(gone)
                    continue
                if not self._cache_only():
                    self._travel.prefetch(plan, self._chains)
                workers = Forked(executor.prepare, executor.leave)
                solved = solve(plan, self._chains, executor, workers, self._lookup, self.content, self._on_event, self._jobs(), self._on_layer)
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
        return SandboxExecutor(self._store, around, self.context, self.content, self._source_of, self._slot, self._manifests.get, self._missed,
                               request.fresh, request.rescue.wants_files, self._travel.imported)

    def _missed(self, step: "Step", inputs: "tuple[Chain, ...]") -> None:
        """A step has to run: say why, if somebody wants to know."""
        if self._request.explain and step.vertex.number:
            self._on_event(StepExplained(step.vertex.number, step.vertex.label, "miss", tuple(str(cause) for cause in self.causes(step, inputs))))

    def causes(self, step: "Step", inputs: "tuple[Chain, ...]") -> "tuple[Cause, ...]":
        """Why there is no record of this step: compared with the most similar one of this stage."""
        vertex = step.vertex
        if is_remote(vertex.op):
            return (Cause("source", "it is asked for at every build"),)
        if vertex.no_cache:
            return (Cause("setting", "--no-cache" if self._request.no_cache else "--no-cache-filter"),)
        results = tuple(chain[-1].result if chain else None for chain in inputs)
        now = parts(vertex.op, vertex.inputs, results, self.content)
        # an earlier step that is there still, elsewhere in the stage, is not what this one was
        others = {canonical(other.op) for other in self.graph.vertices if other.stage == vertex.stage and other is not vertex} - {now[1]}
        best, score, known = None, (-1, 0), False
        for stage, position, key, data in self._before():
            if data and stage == vertex.stage and key != step.key:
                known, before = True, loads(data)
                if before[1] in others:
                    continue
                near = (similarity(before, now), -abs(position - vertex.position))
                best, score = (before, near) if near > score and near[0] >= 0 else (best, score)
        if best is None and known:
            return (Cause("first", "the build before had no such step"),)
        return explain(best, now, self._known_inputs(step), self._load)

    def _before(self) -> "Iterator[tuple[int, int, str, bytes]]":
        """(stage, position, key, parts) of the steps of an earlier build of this Dockerfile: the last one here, else those of imported caches."""
        last = self._last()
        if last or self._travel.imported is None:
            yield from ((stage, position, key, self._store.cache.parts(Digest(key))) for (stage, position), key in last.items())
            return
        history = self._travel.imported.history()
        for record in self._travel.imported.records():
            yield record.stage, record.position, record.key, history.parts.get(record.key, b"")

    def _known_inputs(self, step: "Step") -> Inputs:
        assert self._lowered is not None
        vertices = [self._lowered.graph.vertices[edge.vertex] for edge in step.vertex.inputs]
        images = {i: v.op.name for i, v in enumerate(vertices) if isinstance(v.op, SourceImage)}
        parents = {i: v.label.partition("] ")[2] for i, v in enumerate(vertices)}
        sources = {i: tuple(p.path for p in e.selector.picks) for i, e in enumerate(step.vertex.inputs) if e.selector and not e.selector.parents}
        return Inputs(images, parents, sources, step.vertex.arguments, self._excluded_by,
                      lambda result: self._store.cache.has_result(Digest(result)))

    def _excluded_by(self, path: str) -> str:
        """The ignore pattern because of which a path that is there is not in the context; "" if that is not why it is gone."""
        context = self._contexts.get("context")
        if context is None or not self._request.ignore.strip() or not os.path.lexists(f"{context.root}/{path}"):
            return ""
        from builder.ignore import deciding, parse

        decided = deciding(parse(self._request.ignore.decode("utf-8-sig", errors="surrogateescape")), path)
        return f"`{decided.text}` of {os.path.basename(self._request.ignore_name)}" if decided is not None else ""

    def _load(self, digest: str) -> bytes | None:
        found = self._manifests.get(Digest(digest))
        if found is not None:
            return found.top
        for seen in self._manifests.values():
            data = seen.rows.get(bytes.fromhex(digest.removeprefix("sha256:")))
            if data is not None:
                return data
        here = self._store.cache.kept(Digest(digest))
        if here is None and self._travel.imported is not None:
            return self._travel.imported.history().kept.get(Digest(digest))
        return here

    def planned(self) -> "Plan":
        """What a build would do now, as far as that is known before anything runs."""
        self._hold_tree()
        resolution = resolve_request(self._request, self._named.__contains__)
        lowered = self._lowered = lower(resolution, Known(self._images, self._named), self._request)
        self._chains.update(lowered.chains)
        return begin(lowered.graph, lowered.results, self._lookup, self.content)

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
                causes = self.causes(step, inputs) if verdict == "miss" else ()
                found.append(Explained(step.vertex.number, step.vertex.label, verdict, causes))
        return found

    def _remember(self, image: Digest, lowered: Lowered, plan: "Plan") -> None:
        layouts = [name for name, _ in lowered.bases if name.startswith("oci-layout://")]
        contexts = (*((context.root, context.signatures) for context in self._contexts.values()), *(_signed(name) for name in layouts))
        bases = tuple((image if name in layouts else name, image) for name, image in lowered.bases)
        labels = tuple((v.number, v.label) for v in lowered.graph.vertices if v.number)
        files = tuple((path, digest_of(text.encode(errors="surrogateescape"))) for path, text in self._included.items())
        if all(is_pinned(v.op) for v in lowered.graph.vertices if is_remote(v.op)):
            keep(self._store, self._request, BuildRecord(image, bases, contexts, labels, files, tuple((*one,) for one in self._warnings)))
        keys = {(step.vertex.stage, step.vertex.position): str(step.key) for step in plan.steps if step.key is not None}
        self._store.cache.put_build(self._last_key(), dumps(keys, 2))
        if not self._request.fresh:
            keep_request(self._store, image, self._request)

    def _last_key(self) -> Digest:
        return digest_of(dumps(("last", self._place()), 2))

    def _place(self) -> str:
        """Which Dockerfile this is, whatever it says."""
        tree = self._request.tree
        return f"{tree.name if tree is not None else self._request.context}|{self._request.dockerfile}"

    def _last(self) -> "dict[tuple[int, int], str]":
        """Keys of the steps of the last build of this Dockerfile, by stage and position: what a miss is explained against."""
        data = self._store.cache.get_build(self._last_key())
        return loads(data) if data is not None else {}

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

    def content(self, edge: "Edge") -> Digest:
        """Digest of the files that an edge selects."""
        found = self._content.get(edge)
        if found is None:
            found = self._content[edge] = self._digest(edge)
        return found

    def _digest(self, edge: "Edge") -> Digest:
        assert edge.selector is not None
        source = self._source_of(edge)
        if isinstance(source, SourceLocal):
            files = self.context(source.name)
            return self._note_manifest(manifest(files, take(files, edge.selector), edge.selector))
        chain = self._chains[edge.vertex]
        memo = self._memo(edge)
        known = self._store.cache.get_build(memo)
        if known is not None:
            return Digest(known.decode())
        elsewhere = self._travel.imported.memo(memo) if self._travel.imported is not None else None
        if elsewhere is not None:
            return elsewhere
        from builder.cache.bring import bring
        from builder.executor import as_layers

        chain = bring(self._store, chain, self._travel.imported, lambda text: self._on_event(Note("info", text)))
        layers = LayerFiles(self._store.view(as_layers(chain)), self._where(edge))
        try:
            digest = self._note_manifest(manifest(layers, take(layers, edge.selector), edge.selector))
        finally:
            layers.close()
        self._store.cache.put_build(memo, digest.encode())
        return digest

    def _memo(self, edge: "Edge") -> Digest:
        """Name of what is remembered of a selection of files in a result."""
        chain = self._chains[edge.vertex]
        result = chain[-1].result if chain else image_result(())
        return digest_of(b"content " + result.encode() + repr(plain(edge.selector)).encode())

    def _note_manifest(self, found: Manifest) -> Digest:
        self._manifests[found.digest] = found
        return found.digest

    def _source_of(self, edge: "Edge") -> "Op":
        assert self._lowered is not None
        return self._lowered.graph.vertices[edge.vertex].op

    def _where(self, edge: "Edge") -> str:
        """What an edge takes from, for messages."""
        assert self._lowered is not None
        vertex = self._lowered.graph.vertices[edge.vertex]
        if is_remote(vertex.op):
            return f"`{title(vertex.op)}`"
        if isinstance(vertex.op, SourceTree):
            return vertex.op.name
        name = getattr(vertex.op, "name", "")
        return f"image `{name}`" if name else f"the stage that ends with `{vertex.label}`" if vertex.label else "the stage"

    def _slot(self, step: "Step") -> str:
        """Which place in which Dockerfile a step is: a COPY looks there for what it made the last time."""
        return f"{self._place()}|{step.vertex.stage}|{step.vertex.position}"

    # ------------------------------------------------------------ contexts
    def context(self, name: str) -> Context:
        """The Files of the build context or of a named directory, opened at first use."""
        context = self._contexts.get(name)
        if context is None:
            context = self._contexts[name] = self._open(name)
        return context

    def _open(self, name: str) -> Context:
        index = f"{self._store.root.path}/contexts"
        request = self._request
        if name == "context":
            return Context(request.context, index, _keeper(request.ignore, request.ignore_name), "the build context", request.ignore)
        directory = self._named[name]
        if not os.path.isdir(directory):
            raise ContextMissing(directory, f"it was given as `--build-context {name}={directory}`")
        ignore_name, ignore = read_ignore(directory)
        return Context(directory, index, _keeper(ignore, ignore_name), f"the named context `{name}`", ignore)

    def close(self) -> None:
        for context in self._contexts.values():
            context.close()
        self._travel.close()


def _signed(layout: str) -> "tuple[str, Signatures]":
    from builder.remote.layout import signed

    return signed(layout)


def _keeper(ignore: bytes, name: str) -> "Callable[[str, bool], bool] | None":
    """What an ignore file leaves of a context, as Context takes it."""
    if not ignore.strip():
        return None
    from builder.ignore import BadPattern, matches, may_contain, parse

    try:
        patterns = parse(ignore.decode("utf-8-sig", errors="surrogateescape"))
    except BadPattern as error:
        raise BuildError(f"{name}: {error}") from error
    return lambda path, is_directory: not matches(patterns, path) or (is_directory and may_contain(patterns, path))
