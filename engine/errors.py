"""What can be wrong with a server, or with what a client asked of it: facts as attributes, prose in `__str__`."""


class EngineError(Exception):
    """The root of this room's errors. `help` is one line with the way out, or ""."""

    help = ""


class InvalidAddress(EngineError):
    def __init__(self, text: str, reason: str) -> None:
        super().__init__(text, reason)
        self.text, self.reason = text, reason
        self.help = "such as `127.0.0.1:5000`, `[::1]:5000`, `:5000` or `unix:///run/registry.sock`"

    def __str__(self) -> str:
        return f"`{self.text[:200]}` is no address to listen on: {self.reason}"


class CannotListen(EngineError):
    def __init__(self, address: str, reason: str, help: str = "") -> None:
        super().__init__(address, reason)
        self.address, self.reason, self.help = address, reason, help

    def __str__(self) -> str:
        return f"cannot listen on `{self.address}`: {self.reason}"


class InvalidCertificate(EngineError):
    """A certificate, key or list of authorities that cannot be used; `path` is the file."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path, self.reason = path, reason

    def __str__(self) -> str:
        return f"the certificate file `{self.path}` cannot be used: {self.reason}"


class ClientGone(ConnectionError):
    """The client went away in the middle; nobody is left to answer."""

    def __str__(self) -> str:
        return "the client closed the connection"


class RequestFault(EngineError):
    """A request that HTTP itself does not allow, or that is larger or slower than the server's limits. `status`: the answer to it."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(status, reason)
        self.status, self.reason = status, reason

    def __str__(self) -> str:
        return self.reason
