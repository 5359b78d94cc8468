"""What can go wrong between a SandboxSpec and its process: one root, the facts as attributes, the prose in `__str__`."""

import os


class SandboxError(Exception):
    """A sandbox could not be made. `step` says what was being done, `number` is the errno or 0, `path` what it was about."""

    def __init__(self, step: str, number: int = 0, path: str = "", reason: str = "", help: str = "") -> None:
        super().__init__(step, number, path, reason, help)
        self.step = step
        self.number = number
        self.path = path
        self.reason = reason
        self.help = help

    def __str__(self) -> str:
        about = f" `{self.path}`" if self.path else ""
        reason = self.reason or (os.strerror(self.number).lower() if self.number else "")
        return f"cannot {self.step}{about}" + (f": {reason}" if reason else "")


class CommandFailed(SandboxError):
    """The sandbox stands, but its command cannot be executed; `exit_status` is what a shell would give: 127 or 126."""

    exit_status = 126


class CommandMissing(CommandFailed):
    """No such command in the root, or in its PATH."""

    exit_status = 127

    def __str__(self) -> str:
        return super().__str__() if "/" in self.path or self.reason else f"command `{self.path}` is not in the PATH of the image"


class UserMissing(SandboxError):
    """The user or group asked for is neither a number nor in the root's /etc/passwd or /etc/group; `path` is its name."""

    def __str__(self) -> str:
        return f"no {self.step} `{self.path}` in the image"


class InvalidSpec(SandboxError):
    """The spec itself makes no sense; nothing was started."""

    def __str__(self) -> str:
        return f"{self.step} `{self.path}` {self.reason}" if self.path else f"{self.step} {self.reason}"


class ZygoteLost(SandboxError):
    """The fork server went away, or could not be started; what it ran as build steps is dead."""


class NetworkUnavailable(SandboxError):
    """A step of a build cannot be given a network; `reason` says why."""


KINDS: "dict[str, type[SandboxError]]" = {
    kind.__name__: kind for kind in (SandboxError, CommandFailed, CommandMissing, UserMissing, InvalidSpec, ZygoteLost)}
