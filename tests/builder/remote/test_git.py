"""git as it is run: what reaches it, what does not, what it says when it fails."""

import os
import stat
import subprocess
from pathlib import Path

import pytest

from builder.remote.access import Access
from builder.remote.errors import BadAddress, GitFailed, GitMissing
from builder.remote.git import Bounds, Git, check_remote, environment, ssh_command
from builder.request import Secret
from tests.builder.remote.servers import Repository, Web

PATH = {"PATH": os.environ["PATH"]}


def git(remote: str, place: Path, **given: str) -> Git:
    return Git(remote, Access(environment={**PATH, **given}), str(place))


def headers(place: Path, remote: str, *secrets: str) -> dict[str, str]:
    """Which origin is told which header, if these secrets are `t`."""
    (place / "token").write_text("t\n")
    access = Access(tuple(Secret(name, str(place / "token")) for name in secrets), environment=PATH)
    found = environment(remote, access, "/")
    values = {found[f"GIT_CONFIG_KEY_{i}"]: found[f"GIT_CONFIG_VALUE_{i}"] for i in range(int(found["GIT_CONFIG_COUNT"]))}
    return {key.removeprefix("http.").removesuffix(".extraHeader"): value for key, value in values.items() if key.endswith("extraHeader")}


@pytest.mark.parametrize("remote", [
    "ext::sh -c touch% /tmp/x", "file:///etc", "-uhttps://h/x", "ssh://-oProxyCommand=x/y", "-oProxyCommand=x@h:y", "git@-h:x", "https://h/a\nb", "https://h/a b", "fd::3", ""])
def test_remote_that_git_could_take_for_something_else(remote: str, tmp_path: Path) -> None:
    if "::" in remote:                                   # no address at all: git itself would run a helper, were it allowed
        with pytest.raises((BadAddress, GitFailed)):
            git(remote, tmp_path).run("ls-remote", "--", "pybuild")
    else:
        with pytest.raises(BadAddress):
            check_remote(remote)


def test_settings_of_user_and_machine_do_not_reach_git(tmp_path: Path, site: Web, repository: Repository) -> None:
    home, marker = tmp_path / "home", tmp_path / "marker"
    home.mkdir()
    (home / ".gitconfig").write_text(f'[url "http://127.0.0.1:9/"]\n\tinsteadOf = {site.url}/\n[core]\n\tsshCommand = touch {marker}\n')
    (home / ".netrc").write_text("machine 127.0.0.1 login u password p\n")
    out = git(f"{site.url}/git/repo.git", tmp_path, HOME=str(home), GIT_CONFIG_GLOBAL=str(home / ".gitconfig"), GIT_PROXY_COMMAND=f"touch {marker}",
              GIT_EXEC_PATH=str(home), GIT_TRACE=str(marker)).run("ls-remote", "--", "pybuild", "HEAD")
    assert out.endswith("\tHEAD\n") and not marker.exists()
    assert all("Authorization" not in one.headers for one in site.asked)


def test_repository_around_the_working_directory_is_not_looked_at(tmp_path: Path, site: Web, repository: Repository) -> None:
    Repository(tmp_path, "outer")
    (tmp_path / "outer.work/.git/config").write_text('[remote "pybuild"]\n\turl = http://127.0.0.1:9/x\n')
    (tmp_path / "outer.work/sub").mkdir()
    git(f"{site.url}/git/repo.git", tmp_path / "outer.work/sub").run("ls-remote", "--", "pybuild", "HEAD")


def test_missing_git_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(GitMissing) as failed:
        git("https://u:s3cr3t@h/x.git", tmp_path, PATH=str(tmp_path))
    assert str(failed.value) == "the git repository `https://h/x.git` cannot be fetched: git is not installed on this machine" and failed.value.help


def test_refusals_say_what_helps(tmp_path: Path, site: Web, repository: Repository) -> None:
    site.git_auth = "Basic eC1hY2Nlc3MtdG9rZW46dA=="
    with pytest.raises(GitFailed) as failed:
        git(f"{site.url}/git/repo.git", tmp_path).run("ls-remote", "--", "pybuild", steady=True)
    assert "could not read Username" in failed.value.reason and "GIT_AUTH_TOKEN" in failed.value.help


def test_what_a_server_says_is_no_terminal_control(tmp_path: Path) -> None:
    program = tmp_path / "git"
    program.write_text("#!/bin/sh\nprintf 'remote: hi\\nfatal: \\033[2Jbad \\007thing.\\nmore\\n' >&2\nexit 128\n")
    program.chmod(0o755)
    with pytest.raises(GitFailed) as failed:
        git("https://h/x.git", tmp_path, PATH=f"{tmp_path}:{os.environ['PATH']}").run("fetch")
    assert failed.value.reason == "[2Jbad thing"


def test_passing_trouble_is_tried_again(tmp_path: Path) -> None:
    program = tmp_path / "git"
    program.write_text(f"#!/bin/sh\necho >> {tmp_path}/tries\n[ $(wc -l < {tmp_path}/tries) = 2 ] && echo done && exit\necho 'fatal: the remote end hung up unexpectedly' >&2\nexit 128\n")
    program.chmod(0o755)
    notes: list[str] = []
    runner = Git("https://h/x.git", Access(environment={"PATH": f"{tmp_path}:{os.environ['PATH']}"}), str(tmp_path), notes.append)
    assert runner.run("fetch", steady=True) == "done\n" and notes == ["the remote end hung up unexpectedly; trying again"]


def test_git_that_hangs_is_ended(tmp_path: Path) -> None:
    program = tmp_path / "git"
    program.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\nexec sleep 1000\n")
    program.chmod(0o755)
    runner = Git("https://h/x.git", Access(environment={"PATH": f"{tmp_path}:{os.environ['PATH']}"}), str(tmp_path), bounds=Bounds(time_s=0.3))
    with pytest.raises(GitFailed, match=r"git takes longer than 0\.3 s"):
        runner.run("fetch")
    assert not Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}").exists()


def test_trees_in_trees_do_not_fill_the_memory(tmp_path: Path, repository: Repository) -> None:
    """Ten trees that each have the next one a hundred times: more files than there are grains of sand."""
    def make(listing: str) -> str:
        done = subprocess.run(["git", "mktree"], input=listing, capture_output=True, text=True, cwd=repository.work, check=True)
        return done.stdout.strip()

    kind, name = "blob", repository.git("hash-object", "-w", "a")
    for _ in range(10):
        mode = "100644" if kind == "blob" else "040000"
        kind, name = "tree", make("".join(f"{mode} {kind} {name}\t{number}\n" for number in range(100)))
    runner = Git("https://h/x.git", Access(environment=PATH), str(tmp_path), bounds=Bounds(memory=64 << 20))
    with pytest.raises(GitFailed, match="out of memory"):
        runner.run("--git-dir=" + str(repository.work / ".git"), "read-tree", name)


# ---------------------------------------------------------------- secrets
def test_secrets_go_to_their_hosts_only(tmp_path: Path) -> None:
    basic = "Authorization: Basic eC1hY2Nlc3MtdG9rZW46dA=="
    assert headers(tmp_path, "https://h:444/x.git", "GIT_AUTH_TOKEN") == {"https://h:444/": basic}
    assert headers(tmp_path, "https://h/x.git", "GIT_AUTH_HEADER", "GIT_AUTH_TOKEN.h") == {"https://h/": basic}
    assert headers(tmp_path, "https://h/x.git", "GIT_AUTH_HEADER") == {"https://h/": "Authorization: t"}
    assert headers(tmp_path, "git@h:x", "GIT_AUTH_TOKEN") == {}
    assert headers(tmp_path, "https://h/x.git", "GIT_AUTH_TOKEN.other") == {"https://other/": basic}


def test_secrets_are_not_on_the_command_line(tmp_path: Path) -> None:
    program = tmp_path / "git"
    program.write_text("#!/bin/sh\ntr '\\0' '\\n' < /proc/$$/cmdline\n")
    program.chmod(0o755)
    (tmp_path / "token").write_text("s3cr3t")
    access = Access((Secret("GIT_AUTH_TOKEN", str(tmp_path / "token")),), environment={"PATH": f"{tmp_path}:{os.environ['PATH']}"})
    out = Git("https://user:passw0rd@h/x.git", access, str(tmp_path)).run("fetch", "--", "pybuild")
    assert "s3cr3t" not in out and "passw0rd" not in out and "pybuild" in out


# ---------------------------------------------------------------- ssh
class FakeSsh:
    """An `ssh` that notes how it was called and runs the command here, so that a repository on this machine answers."""

    def __init__(self, place: Path) -> None:
        self.said = place / "ssh.said"
        program = place / "ssh"
        program.write_text(f'#!/bin/sh\nenv | grep ^SSH_ > {self.said}\nprintf "%s\\n" "$@" >> {self.said}\nfor last; do :; done\nexec sh -c "$last"\n')
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        self.path = f"{place}:{os.environ['PATH']}"


def test_ssh_has_the_given_agent_and_no_settings(tmp_path: Path, repository: Repository) -> None:
    fake = FakeSsh(tmp_path)
    access = Access(ssh=(("default", "/run/agent"),), known_hosts="/store/known_hosts", environment={"PATH": fake.path, "HOME": "/home/u", "SSH_AUTH_SOCK": "/other"})
    out = Git(f"git@host:{repository.bare}", access, str(tmp_path)).run("ls-remote", "--", "pybuild", "HEAD")
    said = fake.said.read_text().splitlines()
    assert out.endswith("\tHEAD\n") and "SSH_AUTH_SOCK=/run/agent" in said and said[1:3] == ["-F", "/dev/null"]
    assert {"BatchMode=yes", "StrictHostKeyChecking=accept-new", "IdentityFile=none", 'UserKnownHostsFile="/store/known_hosts" "/home/u/.ssh/known_hosts"'} <= set(said)


def test_ssh_without_an_agent_uses_none() -> None:
    assert "IdentityAgent=none" in ssh_command(Access(environment={}))
    assert "SSH_AUTH_SOCK" not in environment("git@h:x", Access(environment={"SSH_AUTH_SOCK": "/a"}), "/")


def test_known_hosts_with_quotes_in_its_path_is_left_out() -> None:
    assert "evil" not in ssh_command(Access(known_hosts="/k", environment={"HOME": '/h" evil "'}))
