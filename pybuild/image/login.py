"""`pybuild login`: tell a registry who you are, and keep it where docker does."""

import os
import sys

from pybuild.option import FLAG, VALUE, Operand, Option, Usage
from pybuild.scanner import Misuse, Options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from store.registry.credential import Credential

USAGE = Usage("Log in to a registry. The credential is kept in ~/.docker/config.json, or by the helper that is named there.",
              "echo \"$TOKEN\" | pybuild login -u robot --password-stdin registry.example.com",
              (Operand("server", "?", "the registry (default: docker.io)"),),
              (Option("-u --username", VALUE, "your name there", "NAME"),
               Option("-p --password", VALUE, "your password; other users may see it in the list of processes", "PASSWORD"),
               Option("--password-stdin", FLAG, "read the password from stdin"),
               Option("--authfile", VALUE, "keep the credential in FILE", "FILE")))


def main(options: Options) -> int:
    from store.registry.credential import Credentials
    from store.registry.login import domain_of_server

    environment = surroundings(options.authfile)
    domain = domain_of_server(options.server or "")
    if options.password and options.password_stdin:
        raise Misuse("--password and --password-stdin are one too many")
    known = None
    if not (options.username or options.password or options.password_stdin):
        known = Credentials(environment).find(domain)
    if known is not None and _is_taken(domain, known, options, environment):
        print("Login Succeeded (with the credential that was kept already)")
        return 0
    _log_in(domain, _asked(options, domain, known), options, environment)
    print("Login Succeeded")
    return 0


def surroundings(authfile: "str | None") -> "dict[str, str]":
    """The environment, with --authfile in it."""
    return {**os.environ, "REGISTRY_AUTH_FILE": os.path.abspath(authfile)} if authfile else dict(os.environ)


def _is_taken(domain: str, credential: "Credential", options: Options, environment: "dict[str, str]") -> bool:
    from pybuild.session import open_session
    from store.registry.errors import AccessDenied
    from store.registry.login import check

    try:
        with open_session(options.config, credential) as session:
            check(session, domain)
    except AccessDenied:
        return False
    return True


def _log_in(domain: str, credential: "Credential", options: Options, environment: "dict[str, str]") -> None:
    from pybuild.session import open_session
    from store.registry.login import check, keep

    with open_session(options.config, credential) as session:
        identity = check(session, domain)
    kept = keep(domain, credential._replace(identity=identity), environment)
    if kept.plain:
        print(f"warning: the password is in `{kept.place}`, not encrypted; a credential helper keeps it better", file=sys.stderr)


def _asked(options: Options, domain: str, known: "Credential | None") -> "Credential":
    """Name and password: from the options, stdin, or the user."""
    from pybuild.asking import ask, ask_secretly
    from store.registry.credential import Credential

    name, password = options.username or "", options.password or ""
    if options.password:
        print("warning: --password can be seen by other users of this machine; --password-stdin cannot", file=sys.stderr)
    if options.password_stdin:
        if not name:
            raise Misuse("--password-stdin needs --username")
        password = sys.stdin.read().rstrip("\r\n")
    if (not name or not password) and not sys.stdin.isatty():
        raise Misuse("a name and a password are needed, and there is no terminal to ask for them", "`-u NAME --password-stdin`")
    if not name:
        shown = f" ({known.username})" if known and known.username else ""
        name = ask(f"Username for {domain}{shown}: ") or (known.username if known else "")
    if not password:
        password = ask_secretly("Password: ")
    if not name or not password:
        raise Misuse("name and password cannot be empty")
    if ":" in name:
        raise Misuse("a name cannot have a `:`, which is where its password would begin")
    try:
        (name + password).encode()
    except UnicodeEncodeError:
        raise Misuse("name and password have to be UTF-8") from None
    return Credential(name, password)
