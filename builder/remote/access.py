"""What opens a door elsewhere: secrets and agents that the user gave to this build. They go into requests, and nowhere else.

HTTP_AUTH_TOKEN_host, HTTP_AUTH_HEADER_host: for downloads. GIT_AUTH_TOKEN, GIT_AUTH_HEADER, both also with `.host`: for git over http.
"""

import os
from base64 import b64encode

from builder.errors import BuildError
from kernel.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from builder.remote.address import Address
    from builder.request import Secret


class Access(Value):
    """known_hosts: file that keeps the ssh keys of hosts; environment: where the settings of proxies and certificates are."""

    secrets: "tuple[Secret, ...]" = ()
    ssh: tuple[tuple[str, str], ...] = ()                # (id, source as in builder.agents)
    known_hosts: str = "/dev/null"
    environment: "Mapping[str, str]" = os.environ

    def secret(self, *names: str) -> str:
        """The value of the first of these secrets that was given, "" if none was. Raises BuildError for one that is no header's value."""
        for name in names:
            secret = next((s for s in self.secrets if s.id == name), None)
            if secret is not None:
                from builder.running import read_secret

                value = read_secret(secret).decode("latin-1").strip()
                if not value.isprintable():
                    raise BuildError(f"the secret `{name}` has control characters in it, so it cannot be sent")
                return value
        return ""

    def authorization(self, address: "Address") -> str:
        """Value of the Authorization header for a download, "" for none."""
        hosts = dict.fromkeys((address.authority, f"{address.host}:{address.port}", address.host))
        header = self.secret(*(f"HTTP_AUTH_HEADER_{host}" for host in hosts))
        if header:
            return header
        token = self.secret(*(f"HTTP_AUTH_TOKEN_{host}" for host in hosts))
        if token:
            return f"Bearer {token}"
        return _basic(address.user, address.password) if address.user or address.password else ""

    def git_authorization(self, address: "Address", *, named: bool = False) -> str:
        """The same for git. named: only secrets that name the host."""
        hosts = dict.fromkeys((address.authority, address.host))
        ends = [*(f".{host}" for host in hosts), *([] if named else [""])]
        for end in ends:
            header = self.secret(f"GIT_AUTH_HEADER{end}")
            if header:
                return header
            token = self.secret(f"GIT_AUTH_TOKEN{end}")
            if token:
                return _basic("x-access-token", token)
        return ""

    def git_hosts(self) -> list[str]:
        """Hosts that a secret for git names."""
        names = [s.id.partition(".")[2] for s in self.secrets if s.id.startswith(("GIT_AUTH_TOKEN.", "GIT_AUTH_HEADER."))]
        return list(dict.fromkeys(names))

    def agent(self) -> str:
        """Socket of the ssh agent called `default`, "" if none was given."""
        source = dict(self.ssh).get("default", "")
        return source if source.startswith("/") else ""

    def identities(self) -> list[str]:
        """Paths of private keys that were given instead of that agent."""
        from builder.agents import keys_of

        return keys_of(dict(self.ssh).get("default", ""))


def _basic(user: str, password: str) -> str:
    return "Basic " + b64encode(f"{user}:{password}".encode()).decode()
