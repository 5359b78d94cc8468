"""The git program, run so that nothing but what is said here reaches it: no settings of the machine or the user, no hooks, no prompts.

Settings, the address and the secrets go by environment variables, which other users cannot see; the command line has none of them.
A repository is hostile: see `_SETTINGS` and `environment` for what it cannot make git do.
"""

import os
import resource
import select
import subprocess
import time

from builder.remote.address import SCHEMES, parse_address, shown
from builder.remote.errors import BadAddress, GitFailed, GitMissing
from kernel.descent import kill_tree
from kernel.syscalls import PR_SET_PDEATHSIG, prctl
from kernel.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from builder.remote.access import Access

REMOTE = "pybuild"                                       # what the repository is called in commands
_PROTOCOLS = "https:http:ssh:git"                        # no ext::, no file://, also for submodules
_SETTINGS = (
    ("core.hooksPath", "/dev/null"), ("core.fsmonitor", "false"), ("core.symlinks", "true"), ("core.attributesFile", "/dev/null"),
    ("core.excludesFile", "/dev/null"), ("protocol.ext.allow", "never"), ("protocol.file.allow", "never"), ("safe.bareRepository", "explicit"),
    ("credential.helper", ""), ("submodule.recurse", "false"), ("fetch.recurseSubmodules", "false"), ("gc.auto", "0"),
    ("maintenance.auto", "false"), ("advice.detachedHead", "false"), ("init.defaultBranch", "master"), ("http.lowSpeedLimit", "1"),
    ("http.lowSpeedTime", "60"), ("core.logAllRefUpdates", "false"), ("fetch.unpackLimit", "1"))
_PASSED = ("PATH", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO", "GIT_SSL_CAPATH",
           "http_proxy", "https_proxy", "all_proxy", "no_proxy", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
_TRANSIENT = ("could not resolve host", "connection reset", "connection refused", "connection timed out", "operation timed out", "early eof",
              "returned error: 5", "returned error: 429", "unexpected disconnect", "hung up unexpectedly", "unable to connect to",
              "failed to connect to")
_ATTEMPTS, _PAUSE_S = 3, 0.5
_OUT_MAX, _ERR_KEPT = 4 << 20, 32 << 10                  # bytes


class Bounds(Value):
    """What one git process may take, so that a repository that swells (a huge pack, trees in trees) does not take the machine with it. Bytes."""

    file: int = 64 << 30
    memory: int = 4 << 30
    time_s: float = 3600.0


BOUNDS = Bounds()


class Git:
    """git for one remote repository. directory: where it runs if nothing else is said; above the directory around that it looks for nothing."""

    def __init__(self, remote: str, access: "Access", directory: str, say: "Callable[[str], None]" = lambda text: None,
                 bounds: Bounds = BOUNDS) -> None:
        self.shown = shown(remote)
        self._bounds = bounds
        self._remote = remote
        self._directory = directory
        self._say = say
        check_remote(remote)
        self._environment = environment(remote, access, os.path.dirname(directory))
        self._program = _find("git", self._environment.get("PATH", os.defpath))
        if not self._program:
            raise GitMissing(self.shown)

    def run(self, *words: str, cwd: str = "", steady: bool = False) -> str:
        """What the command prints. steady: it talks to the network, and may be run again. Raises GitFailed."""
        pause = _PAUSE_S
        for attempt in range(1, _ATTEMPTS + 1):
            status, out, err = self._run(words, cwd or self._directory)
            if not status:
                return out.decode(errors="surrogateescape")
            said = err.decode(errors="replace")
            if not steady or attempt == _ATTEMPTS or not any(t in said.lower() for t in _TRANSIENT):
                break
            self._say(f"{self._reason(said)}; trying again")
            time.sleep(pause)
            pause *= 2
        raise GitFailed(self.shown, self._reason(said), _help(said))

    def _reason(self, said: str) -> str:
        """The line that tells most, without the address's password and without control characters."""
        said = said.replace(self._remote, self.shown)
        lines = ["".join(c for c in line if c.isprintable()).strip() for line in said.splitlines()]
        lines = [line for line in lines if line and not line.startswith(("remote:", "hint:"))]
        at = next((i for i, line in enumerate(lines) if line.startswith("fatal:")), len(lines) - 1)
        if at < 0:
            return "git fails without a word"
        if at and "could not read from remote" in lines[at].lower():         # ssh has said why before
            at -= 1
        text = lines[at].removeprefix("fatal: ").removeprefix("error: ").rstrip(".")[:300]
        return text[:1].lower() + text[1:]

    def _run(self, words: tuple[str, ...], cwd: str) -> tuple[int, bytes, bytes]:
        process = subprocess.Popen([self._program, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=cwd,
                                   env=self._environment, umask=0o022, preexec_fn=self._in_child)
        try:
            out, err = self._collect(process)
            return process.wait(), out, err
        finally:
            if process.poll() is None:
                kill_tree(process.pid)                   # git's own helpers, which talk to the network, would stay
            process.wait()
            for stream in (process.stdout, process.stderr):
                assert stream is not None
                stream.close()

    def _in_child(self) -> None:
        """Between fork and exec."""
        prctl(PR_SET_PDEATHSIG, 9)
        for kind, limit in ((resource.RLIMIT_FSIZE, self._bounds.file), (resource.RLIMIT_DATA, self._bounds.memory)):
            hard = resource.getrlimit(kind)[1]
            resource.setrlimit(kind, (limit if hard < 0 else min(limit, hard),) * 2)

    def _collect(self, process: "subprocess.Popen[bytes]") -> tuple[bytes, bytes]:
        assert process.stdout is not None and process.stderr is not None
        out, err = process.stdout.fileno(), process.stderr.fileno()
        got = {out: b"", err: b""}
        deadline, poll, left = time.monotonic() + self._bounds.time_s, select.poll(), {out, err}
        for fd in left:
            poll.register(fd, select.POLLIN)
        while left:
            events = poll.poll(max(deadline - time.monotonic(), 0) * 1000)
            if not events:
                raise GitFailed(self.shown, f"git takes longer than {self._bounds.time_s:g} s")
            for fd, _ in events:
                data = os.read(fd, 64 << 10)
                if not data:
                    poll.unregister(fd)
                    left.discard(fd)
                got[fd] += data
            got[err] = got[err][-_ERR_KEPT:]
            if len(got[out]) > _OUT_MAX:
                raise GitFailed(self.shown, f"git prints more than {_OUT_MAX} bytes")
        return got[out], got[err]


def _find(program: str, path: str) -> str:
    return next((full for d in path.split(":") if d and os.access(full := f"{d}/{program}", os.X_OK) and os.path.isfile(full)), "")


def check_remote(remote: str) -> None:
    """Raises BadAddress for a remote that git could take for something else than an address."""
    scheme, separator, rest = remote.partition("://")
    host = rest if separator else remote
    if any(ord(c) < 33 or ord(c) == 127 for c in remote):
        raise BadAddress(shown(remote), "it has control characters or blanks")
    if separator and scheme.lower() not in (*SCHEMES, "ssh", "git"):
        raise BadAddress(shown(remote), f"git repositories come by https, http, ssh and git, not by `{scheme}`")
    if host.startswith("-") or host.rpartition("@")[2].startswith("-") or not host:
        raise BadAddress(shown(remote), "it names no host")


def environment(remote: str, access: "Access", ceiling: str) -> dict[str, str]:
    """The whole environment of git for this remote: what is not in it does not reach git."""
    given = access.environment
    found = {name: given[name] for name in _PASSED if name in given}
    if "SSL_CERT_FILE" in found:                         # what this process's own downloads believe
        found.setdefault("GIT_SSL_CAINFO", found["SSL_CERT_FILE"])
    settings = [*_SETTINGS, (f"remote.{REMOTE}.url", remote), *_authorizations(remote, access)]
    for number, (key, value) in enumerate(settings):
        found[f"GIT_CONFIG_KEY_{number}"], found[f"GIT_CONFIG_VALUE_{number}"] = key, value
    agent = access.agent()
    return {
        **found, **({"SSH_AUTH_SOCK": agent} if agent else {}), "GIT_CONFIG_COUNT": str(len(settings)), "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_ATTR_NOSYSTEM": "1", "GIT_TEMPLATE_DIR": "", "GIT_TERMINAL_PROMPT": "0",
        "GIT_ALLOW_PROTOCOL": _PROTOCOLS, "GIT_NO_REPLACE_OBJECTS": "1", "GIT_OPTIONAL_LOCKS": "0", "GIT_CEILING_DIRECTORIES": ceiling,
        "HOME": "/nonexistent", "LC_ALL": "C", "GIT_SSH_COMMAND": ssh_command(access), "GIT_SSH_VARIANT": "ssh"}


def _authorizations(remote: str, access: "Access") -> list[tuple[str, str]]:
    """Headers for the remote's own origin, and for those hosts that a secret names (a submodule may lie there)."""
    found: dict[str, str] = {}
    for host in access.git_hosts():
        address = parse_address(f"https://{host}/")
        found[f"https://{address.authority}/"] = access.git_authorization(address, named=True)
    if remote.lower().startswith(tuple(f"{scheme}://" for scheme in SCHEMES)):
        address = parse_address(remote)
        found[f"{address.scheme}://{address.authority}/"] = access.git_authorization(address)
    return [(f"http.{origin}.extraHeader", f"Authorization: {value}") for origin, value in found.items() if value]


def ssh_command(access: "Access") -> str:
    """ssh with the given agent's keys only. A host that was never seen is believed once, one whose key has changed is not (`known_hosts`)."""
    from shlex import quote

    home = access.environment.get("HOME", "")
    files = [access.known_hosts, *([f"{home}/.ssh/known_hosts"] if home else [])]
    if any(c in "".join(files) for c in '"\n'):
        files = [access.known_hosts]
    options = ["BatchMode=yes", "ConnectTimeout=30", "ServerAliveInterval=15", "StrictHostKeyChecking=accept-new",
               *([f'IdentityFile="{key}"' for key in access.identities()] or ["IdentityFile=none"]),
               "ControlPath=none", "PermitLocalCommand=no", "ForwardAgent=no", "UserKnownHostsFile=" + " ".join(f'"{file}"' for file in files),
               *([] if access.agent() else ["IdentityAgent=none"])]
    return " ".join(["ssh", "-F", "/dev/null", *(word for option in options for word in ("-o", quote(option)))])


def _help(said: str) -> str:
    said = said.lower()
    if any(t in said for t in ("could not read username", "could not read password", "authentication failed", "returned error: 401",
                               "returned error: 403")):
        return "a token for it can be given: `--secret id=GIT_AUTH_TOKEN,env=..`"
    if "permission denied" in said and "publickey" in said:
        return "an ssh agent that has a key for it can be given: `--ssh default`"
    if "host key verification failed" in said or "identification has changed" in said:
        return "its host key is not the one that is known for it (known_hosts)"
    if f"'{REMOTE}' does not appear to be a git repository" in said:
        return "git 2.31 or a later one is needed: an earlier one does not see what it is told"
    if "cannot run ssh" in said or "ssh: not found" in said or "ssh: command not found" in said:
        return "install the package `openssh-client`"
    return ""
