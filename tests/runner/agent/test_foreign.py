"""Firewalls of others that drop what is forwarded: each lets our bridges through while there are any, and is as before afterwards."""

import shutil
import subprocess

import pytest

from runner.agent.foreign import Chain, Foreign, doors, parse_chains
from tests.runner.agent.ground import MACHINE, SERVER, WORLD, Ground, ask, eventually, kill, member, published, ruleset, tell_peer

DOCKERS = """table ip filter {
 chain DOCKER-USER {
 }
 chain FORWARD {
  type filter hook forward priority filter; policy drop;
  jump DOCKER-USER
 }
}
"""
ADMINS = """table inet firewall {
 chain gate {
  type filter hook forward priority filter; policy drop;
 }
}
"""


class Rules:
    """nftables that knows only what it prints."""

    def __init__(self, answers: dict[str, str]) -> None:
        self.answers = answers
        self.done: list[str] = []

    def run(self, commands: str) -> str:
        if commands.startswith("list"):
            return self.answers.get(commands, "")
        self.done += commands.splitlines()
        return ""

    def close(self) -> None:
        pass


LISTED = """table ip filter {
\tchain FORWARD { # handle 3
\t\ttype filter hook forward priority filter; policy drop;
\t}
\tchain DOCKER-USER { # handle 4
\t}
}
table inet pyup_abcdef {
\tchain forward {
\t\ttype filter hook forward priority filter; policy drop;
\t}
}
table ip6 filter {
\tchain FORWARD {
\t\ttype filter hook forward priority filter; policy accept;
\t}
}
"""


def test_chains_are_read_from_what_nft_prints() -> None:
    assert parse_chains(LISTED) == (
        Chain("ip", "filter", "FORWARD", True, True), Chain("ip", "filter", "DOCKER-USER"),
        Chain("inet", "pyup_abcdef", "forward", True, True), Chain("ip6", "filter", "FORWARD", True, False))


def test_dockers_chain_for_users_is_the_door_and_our_own_table_none() -> None:
    assert doors(parse_chains(LISTED), "pyup_abcdef") == [Chain("ip", "filter", "DOCKER-USER")]


def test_firewalld_and_the_old_iptables_are_told_by_their_programs() -> None:
    ran: list[tuple[str, ...]] = []

    def run(argv: tuple[str, ...]) -> tuple[int, str]:
        ran.append(argv)
        return 0, ""

    rules = Rules({"list chains\n": "table inet firewalld {\n chain filter_FORWARD {\n  type filter hook forward priority filter + 10; policy accept;\n }\n}\n"})
    foreign = Foreign("pyup_abcdef", lambda: rules, run)
    foreign.admit("pu-1")
    foreign.admit("pu-1")
    foreign.close()
    assert ran == [("firewall-cmd", "-q", "--zone=trusted", "--add-interface=pu-1"), ("firewall-cmd", "-q", "--zone=trusted", "--remove-interface=pu-1")]
    assert rules.done == []


@pytest.mark.userns
@pytest.mark.parametrize("table", [DOCKERS, ADMINS])
def test_a_chain_that_drops_lets_us_through_and_is_as_before(ground: Ground, table: str) -> None:
    subprocess.run(["nft", "-f", "-"], input=table, text=True, check=True)
    before = ruleset()
    ground.serve(ground.world, tell_peer, 80)
    agent = ground.agent(idle_s=0.1)
    attached = ground.attach(agent, member(1, "bridge", ports=(published(80, 8080),)))
    ground.serve(attached.namespace, tell_peer, 80)
    assert ground.call(attached.namespace, ask, SERVER, 80) == MACHINE
    assert ground.call(ground.world, ask, MACHINE, 8080) == WORLD
    assert 'comment "pyup_' in ruleset()
    agent.detach(member(1).container)
    ground.let_go(attached)
    agent.close()
    assert eventually(ruleset, lambda now: now == before) == before


@pytest.mark.userns
def test_rules_of_an_agent_that_was_killed_are_not_doubled_and_go(ground: Ground) -> None:
    subprocess.run(["nft", "-f", "-"], input=ADMINS, text=True, check=True)
    before = ruleset()
    agent = ground.agent(idle_s=0.1)
    attached = ground.attach(agent, member(1, "bridge"))
    kill(agent)
    agent.restore()
    assert ruleset().count('accept comment "pyup_') == 2
    agent.detach(member(1).container)
    ground.let_go(attached)
    agent.close()
    assert eventually(ruleset, lambda now: now == before) == before


@pytest.mark.userns
@pytest.mark.parametrize("program", ["iptables-nft", "iptables-legacy"])
@pytest.mark.parametrize("docker", [True, False])
def test_iptables_of_either_kind(ground: Ground, program: str, docker: bool) -> None:
    if not shutil.which(program):
        pytest.skip(f"{program} is not installed")

    def saved() -> list[str]:
        lines = subprocess.run([program, "-S"], capture_output=True, text=True, check=True).stdout.splitlines()
        return sorted(lines)

    subprocess.run([program, "-P", "FORWARD", "DROP"], check=True)
    if docker:
        subprocess.run([program, "-N", "DOCKER-USER"], check=True)
        subprocess.run([program, "-I", "FORWARD", "-j", "DOCKER-USER"], check=True)
    before = saved()
    ground.serve(ground.world, tell_peer, 80)
    agent = ground.agent(idle_s=0.1)
    attached = ground.attach(agent, member(1, "bridge"))
    assert ground.call(attached.namespace, ask, SERVER, 80) == MACHINE
    chain = "DOCKER-USER" if docker else "FORWARD"
    assert len([line for line in saved() if line.startswith(f"-A {chain} ") and "pyup_" in line]) == 2
    agent.detach(member(1).container)
    ground.let_go(attached)
    agent.close()
    assert eventually(saved, lambda now: now == before) == before
