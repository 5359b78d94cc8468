"""`pybuild registry serve`: the private registry, until a signal ends it. Access log on stdout, everything else on stderr."""

import sys

from pybuild.option import COUNT, FLAG, LIST, VALUE, Option, Usage
from pybuild.place import open_store
from pybuild.scanner import Misuse, Options

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from engine.http.message import Done
    from engine.http.server import Server
    from engine.registry.access import Access
    from engine.registry.collection import Keeping
    from engine.registry.registry import Registry
    from engine.registry.upstream import Upstream

USAGE = Usage(
    "Serve a private registry (OCI distribution spec 1.1) from this store, until it is told to stop.",
    "pybuild registry serve --listen :5000 --htpasswd users --tls-cert registry.crt --tls-key registry.key",
    (),
    (Option("--listen", LIST, "address to listen on (default: 127.0.0.1:5000)", "HOST:PORT|unix://PATH"),
     Option("--tls-cert", VALUE, "certificate chain in PEM; the listeners on TCP then speak TLS", "FILE"),
     Option("--tls-key", VALUE, "its key, where the certificate's file does not hold it", "FILE"),
     Option("--tls-client-ca", VALUE, "accept only clients with a certificate that these authorities have signed", "FILE"),
     Option("--htpasswd", VALUE, "users who may push and pull, as `htpasswd -B` writes them; read again when it changes", "FILE"),
     Option("--anonymous-read", FLAG, "let everybody pull; pushing needs a user of --htpasswd"),
     Option("--read-only", FLAG, "refuse pushes and deletes"),
     Option("--mirror", VALUE, "have what this registry has: fetch it when it is asked for, and keep it; nobody can push then", "REGISTRY"),
     Option("--keep-mirrored", VALUE, "how long a mirror keeps what nobody asks for", "DURATION", "168h"),
     Option("--url", VALUE, "what clients call this registry, where a proxy stands before it", "URL"),
     Option("--realm", VALUE, "what password prompts name", "TEXT", "pybuild registry"),
     Option("--gc-interval", VALUE, "time between collections while serving; 0 for none", "DURATION", "1h"),
     Option("--keep-unused", VALUE, "how long a blob is kept that no manifest names", "DURATION", "24h"),
     Option("--keep-untagged", VALUE, "how long a manifest is kept that nothing leads to; without it for ever", "DURATION"),
     Option("--access-log", VALUE, "how requests are logged: as --log-format says, or not", "FORMAT", "", choices=("text", "json", "none")),
     Option("--max-connections", COUNT, "connections at once", "NUMBER", "1000"),
     Option("--grace", VALUE, "how long requests may still take after a signal to end", "DURATION", "10s")))


def main(options: Options) -> int:
    from engine.errors import EngineError
    from pybuild.output.errors import text

    try:
        return _serve(options)
    except EngineError as error:
        print(text(error), file=sys.stderr)
        return 1


def _serve(options: Options) -> int:
    from engine.http.limits import Limits
    from engine.http.server import Server
    from engine.registry.registry import Registry

    _allow_many_files()
    access, keeping, tls = _access(options), _keeping(options), _tls(options)
    grace, interval = _seconds("--grace", options.grace), _seconds("--gc-interval", options.gc_interval)
    with open_store(options) as store:
        registry = Registry(store, access, keeping, _upstream(options))
        log = _logger(options)

        def done(done: "Done") -> None:
            registry.note(done)
            if log:
                _write(log(done))

        server = Server(registry.handle, limits=Limits(connections=options.max_connections), on_done=done, on_error=registry.on_error,
                        product=_product())
        try:
            _listen(server, options, tls)
            _run(server, registry, grace, interval, lambda: _renew(options, tls))
        finally:
            server.close()
            registry.close()
    return 0


# ---------------------------------------------------------------- what was asked for
def _access(options: Options) -> "Access":
    from engine.registry.access import Access
    from engine.registry.htpasswd import Users

    if options.anonymous_read and not options.htpasswd:
        raise Misuse("`--anonymous-read` is of use with `--htpasswd` only", "without users everybody may read and write")
    users = Users(options.htpasswd) if options.htpasswd else None
    read_only = options.read_only or bool(options.mirror)
    return Access(users, anonymous_read=options.anonymous_read, read_only=read_only, realm=options.realm, url=options.url or "")


def _keeping(options: Options) -> "Keeping":
    from engine.registry.collection import Keeping

    untagged = _seconds("--keep-untagged", options.keep_untagged) if options.keep_untagged else None
    idle = _seconds("--keep-mirrored", options.keep_mirrored) if options.mirror else None
    return Keeping(_seconds("--keep-unused", options.keep_unused), untagged, idle)


def _upstream(options: Options) -> "Upstream | None":
    """The registry to mirror, asked with little patience: whoever pulls waits for it."""
    if not options.mirror:
        return None
    from engine.registry.upstream import Client
    from store.config import load_config
    from store.errors import InvalidReference
    from store.reference import parse_reference
    from store.registry.patience import Patience
    from store.registry.session import Session

    domain = options.mirror.removeprefix("https://").rstrip("/")
    try:
        known = parse_reference(f"{domain}/name").domain
    except InvalidReference:
        known = ""
    if known != domain:
        raise Misuse(f"`{domain}` is no registry", "such as `docker.io` or `registry.example.com:5000`; config.toml says how to reach it")
    return Client(Session(load_config(options.config), patience=Patience(attempts=2, pause=0.2, longest=2.0, connect=5.0, idle=30.0)), domain)


def _seconds(name: str, value: str) -> float:
    from pybuild.output.units import parse_duration

    try:
        return parse_duration(value) if value != "0" else 0.0
    except ValueError as error:
        raise Misuse(f"`{name}`: {error}", "such as 90s, 15m, 24h") from None


def _tls(options: Options) -> "ssl.SSLContext | None":
    if not options.tls_cert:
        if options.tls_key or options.tls_client_ca:
            raise Misuse("TLS needs a certificate", "`--tls-cert FILE`")
        return None
    from engine.http.tls import server_context

    return server_context(options.tls_cert, options.tls_key or "", options.tls_client_ca or "")


def _logger(options: Options) -> "Callable[[Done], str] | None":
    from engine.registry.accesslog import as_json, as_text

    return {"text": as_text, "json": as_json, "none": None}[options.access_log or options.log_format or "text"]


def _listen(server: "Server", options: Options, tls: "ssl.SSLContext | None") -> None:
    from engine.http.address import parse_address

    for text in options.listen or ("127.0.0.1:5000",):
        asked = parse_address(text)
        address = server.listen(asked, None if asked.path else tls)
        print(f"serving on {address}{' with TLS' if tls and not asked.path else ''}", file=sys.stderr, flush=True)
        if not (address.is_local or options.htpasswd or options.tls_client_ca or options.read_only or options.mirror):
            print(f"warning: whoever can reach {address} can push and delete\n  = help: name users with --htpasswd", file=sys.stderr, flush=True)


# ---------------------------------------------------------------- while it runs
def _run(server: "Server", registry: "Registry", grace: float, interval: float, renew: "Callable[[], None]") -> None:
    """Serve until SIGTERM or SIGINT; a second one, or the end of the grace, ends what is still going on. SIGHUP renews the certificate."""
    import signal
    from threading import Timer

    from engine.registry.collection import Collector

    stopping: "list[Timer]" = []

    def stop(number: int, frame: object) -> None:
        server.stop()
        if stopping:
            server.abort()
            return
        stopping.append(Timer(grace, server.abort))
        stopping[0].daemon = True
        stopping[0].start()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    signal.signal(signal.SIGHUP, lambda number, frame: renew())
    collector = Collector(registry.collect, interval, _complain) if interval else None
    try:
        server.serve()
    finally:
        if collector:
            collector.close()


def _renew(options: Options, tls: "ssl.SSLContext | None") -> None:
    """Read the certificate again; if it is no good, the one before stays."""
    from engine.errors import EngineError
    from engine.http.tls import load_certificate

    if tls is not None:
        try:
            load_certificate(tls, options.tls_cert, options.tls_key or "")
        except EngineError as error:
            _complain(error)


def _write(line: str) -> None:
    """One line of the access log; at once, so that lines of several threads do not mix. Whoever read it may have gone."""
    try:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
    except OSError:
        pass


def _complain(error: Exception) -> None:
    from pybuild.output.errors import text

    print(text(error), file=sys.stderr, flush=True)


def _allow_many_files() -> None:
    """A connection and an upload take two descriptors each."""
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 1 << 16) if hard != resource.RLIM_INFINITY else 1 << 16, hard))


def _product() -> str:
    from pybuild.version import VERSION

    return f"pybuild/{VERSION}"
