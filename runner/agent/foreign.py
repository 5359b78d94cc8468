"""Firewalls of others on this machine that drop what is forwarded unless they are told: a base chain with `policy drop` (docker's, ufw's, an
administrator's own), the old iptables, firewalld. Each bridge of ours is let through, and every rule of ours is taken back.

Accepting in our own table is not enough: a packet has to pass every table.
"""

import os

from kernel.value import Value
from runner.agent.nft import RulesFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from runner.agent.nft import Rules

    Run = Callable[[tuple[str, ...]], tuple[int, str]]

_DOCKER = "DOCKER-USER"                                   # docker keeps its hands off what is in there
_LEGACY = (("/proc/self/net/ip_tables_names", "iptables-legacy"), ("/proc/self/net/ip6_tables_names", "ip6tables-legacy"))
_FIREWALLD = "firewalld"
_DIRECTORIES = ("/usr/sbin", "/sbin", "/usr/bin", "/bin", "/usr/local/sbin")


class Chain(Value):
    """A chain of nftables. base: it hangs in `forward` itself; drops: its policy."""

    family: str
    table: str
    name: str
    base: bool = False
    drops: bool = False


class Foreign:
    """mark: comment of our rules; also the name of our own table. rules: a door to nftables. run: carries a program out, (status, stdout)."""

    def __init__(self, mark: str, rules: "Callable[[], Rules]", run: "Run | None" = None) -> None:
        self._mark = mark
        self._open = rules
        self._run = run or _run
        self._rules: "Rules | None" = None
        self._admitted: set[str] = set()

    def admit(self, interface: str) -> None:
        """Let a bridge of ours through. Idempotent."""
        if interface in self._admitted:
            return
        self._admitted.add(interface)
        chains = self._chains()
        for chain in doors(chains, self._mark):
            if f'"{interface}"' not in "".join(self._own_rules(chain)):
                self._do("".join(f'insert rule {chain.family} {chain.table} {chain.name} {way} "{interface}" counter accept comment "{self._mark}"\n'
                                 for way in ("iifname", "oifname")))
        for program, chain_name in self._legacy():
            for way in ("-i", "-o"):
                rule = (way, interface, "-m", "comment", "--comment", self._mark, "-j", "ACCEPT")
                if self._run((program, "-w", "-C", chain_name, *rule))[0]:
                    self._run((program, "-w", "-I", chain_name, *rule))
        self._forget()
        if any(chain.table == _FIREWALLD for chain in chains):
            self._run(("firewall-cmd", "-q", "--zone=trusted", f"--add-interface={interface}"))

    def keep_only(self, interfaces: "Iterable[str]") -> None:
        """Take back every rule that is for none of these."""
        kept = set(interfaces)
        chains = self._chains()
        for chain in chains:
            for line in self._own_rules(chain) if chain.table != self._mark and (chain.base or chain.name == _DOCKER) else ():
                if line.split('"')[1] not in kept:
                    self._do(f"delete rule {chain.family} {chain.table} {chain.name} handle {line.rpartition(' ')[2]}\n")
        for program, chain_name in self._legacy():
            for line in self._run((program, "-w", "-S", chain_name))[1].splitlines():
                words = line.split()
                if self._mark in words and not kept & set(words):
                    self._run((program, "-w", "-D", *words[1:]))
        if any(chain.table == _FIREWALLD for chain in chains):
            for interface in self._admitted - kept:
                self._run(("firewall-cmd", "-q", "--zone=trusted", f"--remove-interface={interface}"))
        self._admitted &= kept

    def close(self) -> None:
        """Take back everything."""
        self.keep_only(())
        self._forget()

    def _forget(self) -> None:
        """The library keeps every rule of the machine that it has once listed, which may be tens of megabytes."""
        if self._rules:
            self._rules.close()
            self._rules = None

    def obstacles(self) -> list[str]:
        """What would drop the packets of a bridge that is not let through, for reports."""
        found = [f"{chain.family} {chain.table} {chain.name}" for chain in doors(self._chains(), self._mark)]
        return found + [f"{program} {chain}" for program, chain in self._legacy()]

    # ---------------------------------------------------------------- nftables
    def _do(self, commands: str) -> str:
        if self._rules is None:
            self._rules = self._open()
        try:
            return self._rules.run(commands)
        except RulesFailed:
            return ""                                     # changed under our hands; what is there is asked anew next time

    def _chains(self) -> tuple[Chain, ...]:
        return parse_chains(self._do("list chains\n"))

    def _own_rules(self, chain: Chain) -> list[str]:
        """Lines, each ending with `# handle N`."""
        text = self._do(f"list chain {chain.family} {chain.table} {chain.name}\n")
        return [line for line in text.splitlines() if f'comment "{self._mark}"' in line and "# handle" in line and line.count('"') >= 2]

    # ---------------------------------------------------------------- the old iptables
    def _legacy(self) -> list[tuple[str, str]]:
        """(program, chain) where forwarding is dropped by it."""
        found = []
        for path, program in _LEGACY:
            if "filter" not in _read(path).split():
                continue
            status, text = self._run((program, "-w", "-S"))
            if not status and f"-N {_DOCKER}" in text.splitlines():
                found.append((program, _DOCKER))
            elif not status and "-P FORWARD DROP" in text.splitlines():
                found.append((program, "FORWARD"))
        return found


def parse_chains(text: str) -> tuple[Chain, ...]:
    """Of the output of `list chains`."""
    found: list[Chain] = []
    family = table = ""
    for line in text.splitlines():
        words = line.split()
        if words[:1] == ["table"]:
            family, table = words[1], words[2]
        elif words[:1] == ["chain"]:
            found.append(Chain(family, table, words[1]))
        elif "hook forward" in line and found:
            found[-1] = found[-1]._replace(base=True, drops="policy drop" in line)
    return tuple(found)


def doors(chains: "tuple[Chain, ...]", own: str) -> "list[Chain]":
    """Where a rule lets us through: docker's chain for users if the table has it, else the base chain that drops."""
    found = []
    for chain in chains:
        if chain.drops and chain.table != own and chain.family in ("ip", "ip6", "inet"):
            users = Chain(chain.family, chain.table, _DOCKER)
            found.append(users if users in chains else chain)
    return found


def _read(path: str) -> str:
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""


def _run(argv: tuple[str, ...]) -> tuple[int, str]:
    """127 where there is no such program."""
    import subprocess

    path = next((one for directory in _DIRECTORIES if os.access(one := f"{directory}/{argv[0]}", os.X_OK)), "")
    if not path:
        return 127, ""
    done = subprocess.run([path, *argv[1:]], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout
