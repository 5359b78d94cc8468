"""Firewalls of others on this machine that drop what is forwarded unless they are told: docker's chains, a FORWARD policy of DROP, firewalld."""


class Foreign:
    def admit(self, interface: str) -> None:
        """Let a bridge of ours through."""

    def take_back(self) -> None:
        """Remove every rule of ours."""
