"""Services that a program of this machine provides: it is asked to bring them up or down, and may give variables to those who depend on them.

The program is `TYPE`, or `docker-TYPE`, from PATH; what it writes is one JSON object a line, {"type": .., "message": ..}.
"""

import os

from runner.errors import RunError
from runner.progress import Output, Progress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from runner.model.project import Project
    from runner.model.service import Service
    from runner.progress import OnNews

_LINE_MAX = 1 << 20


class ProviderFailed(RunError):
    """The program of a service is missing, or said that it could not do it."""

    def __init__(self, service: str, program: str, reason: str) -> None:
        super().__init__(service, program, reason)
        self.service, self.program, self.reason = service, program, reason

    def __str__(self) -> str:
        return f"service `{self.service}`: its provider `{self.program}` {self.reason}"


def provided(project: "Project", on_news: "OnNews") -> "Project":
    """The project without its provided services, which are up now; those that depend on them have their variables. Raises ProviderFailed."""
    from runner.load.config import in_dependency_order

    given: dict[str, dict[str, str]] = {}
    for service in in_dependency_order(project):
        if service.provider is not None:
            given[service.name] = run(service, project, "up", on_news)
    return without(project, given)


def without(project: "Project", given: "dict[str, dict[str, str]] | None" = None) -> "Project":
    """The project without provided services. given: service -> variables for those that depend on it."""
    services = []
    for one in project.services:
        if one.provider is None:
            more = {key: value for name, _ in one.depends_on for key, value in (given or {}).get(name, {}).items()}
            environment: dict[str, str | None] = {**more, **dict(one.environment)}
            services.append(one._replace(environment=tuple(sorted(environment.items()))) if more else one)
    return project._replace(services=tuple(services), disabled=(*project.disabled, *(one for one in project.services if one.provider is not None)))


def run(service: "Service", project: "Project", command: str, on_news: "OnNews") -> "dict[str, str]":
    """Bring it "up" or "down"; the variables that the program gives. Raises ProviderFailed."""
    provider = service.provider
    assert provider
    program = _find(provider.type)
    if not program:
        raise ProviderFailed(service.name, provider.type, "is not installed")
    words = [f"--{key}={value}" for key, values in provider.options for value in values]
    on_news(Progress("Service", service.name, "Creating" if command == "up" else "Removing"))
    found: dict[str, str] = {}
    for message in _messages([program, "compose", f"--project-name={project.name}", command, *words, service.name], service.name, provider.type):
        kind, text = str(message.get("type", "")), str(message.get("message", ""))
        name, equals, value = text.partition("=")
        if kind == "error":
            raise ProviderFailed(service.name, provider.type, f"failed: {text}")
        if kind in ("setenv", "rawsetenv") and equals:
            found[name if kind == "rawsetenv" else f"{service.name.upper().replace('-', '_').replace('.', '_')}_{name}"] = value
        elif kind == "info":
            on_news(Output(service.name, "provider", text.encode(errors="replace")))
    on_news(Progress("Service", service.name, "Created" if command == "up" else "Removed"))
    return found


def _find(name: str) -> str:
    import shutil

    if "/" in name:
        return name if os.access(name, os.X_OK) else ""
    return shutil.which(name) or shutil.which(f"docker-{name}") or ""


def _messages(argv: "list[str]", service: str, program: str) -> "list[dict[str, Any]]":
    """What it says, once it has ended well."""
    import json
    import subprocess

    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    found = []
    for line in done.stdout.splitlines():
        try:
            message = json.loads(line[:_LINE_MAX]) if line.strip() else {}
        except ValueError:
            raise ProviderFailed(service, program, f"wrote what is no JSON: {line[:80].decode(errors='replace')}") from None
        if isinstance(message, dict) and message:
            found.append(message)
    if done.returncode and not any(message.get("type") == "error" for message in found):
        raise ProviderFailed(service, program, f"ended with status {done.returncode}")
    return found
