"""Whole builds, as a user makes them: real sandboxes, real layers, as root and as an ordinary user."""

import json
import os
import random
import shutil
import signal
import subprocess
import tarfile
import time
from pathlib import Path

import pytest

from tests.builder.conftest import Builds, _cached

pytestmark = pytest.mark.userns

CHAIN = """FROM busybox
ARG WORD=one
WORKDIR /app
COPY a.txt b.txt ./
RUN cat a.txt > out && echo $WORD >> out
RUN wc -c < out > size
"""


def test_build_result_is_what_the_steps_say(builds: Builds) -> None:
    builds.write(a_dot_txt="hello\n", b_dot_txt="")
    builds.ok(CHAIN, "--build-arg", "WORD=two")
    assert builds.says("cat /app/out /app/size; stat -c %U:%G:%a /app /app/a.txt") == "hello\ntwo\n10\nroot:root:755\nroot:root:644"


def test_second_build_is_all_hits_and_the_same_image(builds: Builds) -> None:
    builds.write(a_dot_txt="1", b_dot_txt="2")
    first = builds.ok(CHAIN)
    second = builds.ok(CHAIN)
    assert _cached(second) == ["WORKDIR /app", "COPY a.txt b.txt ./", "RUN cat a.txt > out && echo $WORD >> out".replace("$WORD", "one"), "RUN wc -c < out > size"]
    assert first.err.splitlines()[-1].split()[0] == second.err.splitlines()[-1].split()[0]


def test_one_edited_file_reruns_only_what_depends_on_it(builds: Builds) -> None:
    builds.write(a_dot_txt="1", b_dot_txt="2", c_dot_txt="3")
    dockerfile = "FROM busybox AS one\nCOPY a.txt /\nRUN echo one\nFROM busybox AS two\nCOPY c.txt /\nRUN echo two\nFROM busybox\nCOPY --from=one /a.txt /\nCOPY --from=two /c.txt /\n"
    builds.ok(dockerfile)
    builds.write(c_dot_txt="changed")
    assert _cached(builds.ok(dockerfile)) == ["COPY a.txt /", "RUN echo one", "COPY --from=one /a.txt /"]


def test_early_cutoff_along_run_chains(builds: Builds) -> None:
    """A step that is run again and yields what it had before leaves every later step cached."""
    builds.write(a_dot_txt="some words here\n")
    dockerfile = "FROM busybox\nCOPY a.txt /tmp/\nRUN wc -w < /tmp/a.txt > /count && rm /tmp/a.txt\nRUN echo later\nRUN echo last\n"
    builds.ok(dockerfile)
    edited = dockerfile.replace("RUN wc -w", "RUN : a comment; wc -w")
    assert _cached(builds.ok(edited)) == ["COPY a.txt /tmp/", "RUN echo later", "RUN echo last"]


def test_no_cache_runs_everything_and_keeps_the_image_id(builds: Builds) -> None:
    builds.write(a_dot_txt="1", b_dot_txt="2")
    first = builds.ok(CHAIN)
    again = builds.ok(CHAIN, "--no-cache")
    assert _cached(again) == []
    assert first.err.splitlines()[-1].split()[0] == again.err.splitlines()[-1].split()[0]


def test_run_forms_shell_exec_heredoc_shebang(builds: Builds) -> None:
    dockerfile = """FROM busybox
RUN echo shell > /1
RUN ["/bin/sh", "-c", "echo exec > /2"]
RUN <<EOF
echo here > /3
echo $0 >> /3
EOF
RUN <<EOF
#!/bin/sh -e
echo shebang > /4
EOF
RUN cat <<A <<B > /5
x
A
y
B
SHELL ["/bin/sh", "-ec"]
RUN false; echo not reached
"""
    done = builds.build(dockerfile)
    assert done.status == 1 and "exited with status 1" in done.err
    builds.ok(dockerfile.partition("SHELL")[0])
    assert builds.says("cat /1 /2 /3 /4 /5; ls /dev/pipes 2>&1 || true") == "shell\nexec\nhere\n/bin/sh\nshebang\ny\nls: /dev/pipes: No such file or directory"


def test_mount_on_etc_hides_what_is_mounted_there(builds: Builds) -> None:
    builds.write(a__only="x")
    builds.ok("FROM busybox\nRUN --network=none --mount=source=a,target=/etc ls /etc > /found\n")
    assert builds.says("cat /found") == "only"


def test_destination_that_ends_in_a_dot_is_a_directory(builds: Builds) -> None:
    builds.write(f="x")
    builds.ok("FROM busybox\nCOPY f /t/.\nCOPY <<here /u/.\nx\nhere\n")
    assert builds.says("ls /t /u | tr '\\n' ' '") == "/t: f  /u: here "


def test_run_mounts_cache_bind_tmpfs_secret(builds: Builds) -> None:
    builds.write(a_dot_txt="from context\n", secret="s3cret")
    dockerfile = """FROM busybox AS other
RUN mkdir /d && echo from stage > /d/f
FROM busybox
RUN --mount=type=cache,target=/c echo one >> /c/log
RUN --mount=type=cache,target=/c echo two >> /c/log; cp /c/log /log
RUN --mount=target=/ctx cat /ctx/a.txt > /ctx1 && ! touch /ctx/x 2>/dev/null
RUN --mount=type=bind,from=other,source=/d,target=/m,rw cat /m/f > /stage1; touch /m/new
RUN --mount=type=bind,from=other,source=/d,target=/m ls /m > /stage2
RUN --mount=type=tmpfs,target=/t,size=1m df /t | tail -1 | cut -d' ' -f1 > /tmpfs
RUN --mount=type=secret,id=s cat /run/secrets/s > /length; wc -c < /length > /secret; rm /length
RUN --mount=type=secret,id=s,env=S,target=/x [ "$S" = s3cret ] && stat -c %a /x > /mode
RUN ls / > /listing
"""
    builds.ok(dockerfile, "--no-cache", "--secret", f"id=s,src={builds.context}/secret")
    said = builds.says("cat /log /ctx1 /stage1 /stage2 /tmpfs /secret /mode; grep -c -E '^(c|m|t|x|ctx)$' /listing || true")
    assert said == "one\ntwo\nfrom context\nfrom stage\nf\ntmpfs\n6\n400\n0"


def test_required_secret_missing_fails_before_running(builds: Builds) -> None:
    done = builds.build("FROM busybox\nRUN --mount=type=secret,id=k,required echo ran\n")
    assert done.status == 1 and "the secret `k` is required" in done.err and "#1 0" not in done.err


def test_user_and_workdir_owner(builds: Builds) -> None:
    builds.ok("FROM busybox\nRUN echo 'app:x:1000:1000::/home/app:/bin/sh' >> /etc/passwd\nUSER app\nWORKDIR /w/x\nRUN id -u; echo $HOME > f\n")
    assert builds.says("stat -c %u:%a /w /w/x /w/x/f; cat /w/x/f") == "1000:755\n1000:755\n1000:644\n/home/app"


def test_copy_chown_names_are_the_targets(builds: Builds) -> None:
    builds.write(a_dot_txt="")
    builds.ok("FROM busybox\nRUN echo 'app:x:1234:55::/:' >> /etc/passwd\nCOPY --chown=app --chmod=640 a.txt /f\n")
    assert builds.says("stat -c %u:%g:%a /f") == "1234:55:640"
    done = builds.build("FROM busybox\nCOPY --chown=nope a.txt /f\n")
    assert done.status == 1 and "no user `nope` in the image" in done.err and "Dockerfile:2:1" in done.err


def test_copy_link_is_independent_of_its_parent(builds: Builds) -> None:
    builds.write(a_dot_txt="x")
    builds.ok("FROM busybox\nRUN echo 1 > /v\nCOPY --link a.txt /d/f\n")
    done = builds.ok("FROM busybox\nRUN echo 2 > /v\nCOPY --link a.txt /d/f\n")
    assert _cached(done) == ["COPY --link a.txt /d/f"]
    assert builds.says("cat /v /d/f") == "2\nx"


def test_add_unpacks_by_content(builds: Builds) -> None:
    source = builds.context.parent / "tree"
    (source / "in").mkdir(parents=True)
    (source / "in/f").write_text("tarred")
    subprocess.run(["tar", "-C", str(source), "-czf", str(builds.context / "it.bin"), "in"], check=True)
    builds.write(plain_dot_tgz="no archive")
    builds.ok("FROM busybox\nADD it.bin plain.tgz /to/\n")
    assert builds.says("cat /to/in/f /to/plain.tgz; ls /to") == "tarredno archive\nin\nplain.tgz" or builds.says("ls /to") == "in\nplain.tgz"


def test_add_with_mode_leaves_what_it_unpacks_as_it_was(builds: Builds) -> None:
    with tarfile.open(builds.context / "it.tar", "w") as archive:
        member = tarfile.TarInfo("in")
        member.mode = 0o641
        archive.addfile(member)
    builds.write(plain="no archive")
    builds.ok("FROM busybox\nADD --chmod=0700 it.tar plain /to/\n")
    assert builds.says("stat -c %a /to/in /to/plain") == "641\n700"


def test_copy_of_a_dangling_link_that_a_wildcard_matches(builds: Builds) -> None:
    builds.write(data="x")
    (builds.context / "dead").symlink_to("nowhere")
    done = builds.build("FROM busybox\nCOPY d* /to/\n")
    assert done.status == 1 and "`dead` is a link, and what it names is not there" in done.err
    builds.ok("FROM busybox\nCOPY dat* /to/\n")
    assert builds.says("ls /to") == "data"


def test_workdir_keeps_a_last_slash_of_an_absolute_path_only(builds: Builds) -> None:
    for given, shown in (("/a/", "/a/"), ("a/", "/a"), ("./", "/"), ("/a\nWORKDIR ./b/./\nWORKDIR .", "/a/b")):
        builds.ok(f"FROM busybox\nWORKDIR {given}\n")
        assert builds.tool.pybuild("inspect", "--format", "{{.Config.WorkingDir}}", "it").out.strip() == shown


@pytest.mark.parametrize("seed", range(4))
def test_copy_of_little_changed_sources_is_the_tree_of_a_full_copy(builds: Builds, seed: int) -> None:
    """Law: stacking what changed on the earlier snapshot gives what copying everything gives; files come, go, change, and change their kind."""
    rnd = random.Random(seed)
    top = builds.context / "src"
    top.mkdir()
    dockerfile = "FROM busybox\nRUN mkdir -p /t/old && echo below > /t/old/f && echo x > /t/gone1\nCOPY src /t/\n"
    for _ in range(5):
        for _ in range(6):
            path = top / rnd.choice(["a", "b", "old", "deep/er"]) / f"f{rnd.randrange(4)}"
            match rnd.choice(["write", "write", "chmod", "link", "remove", "tree"]):
                case "write":
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.unlink(missing_ok=True)
                    path.write_text(str(rnd.random()))
                case "chmod" if path.exists():
                    path.chmod(rnd.choice([0o600, 0o644, 0o755]))
                case "link":
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.unlink(missing_ok=True)
                    path.symlink_to(rnd.choice(["f1", "/t/old"]))
                case "remove":
                    path.unlink(missing_ok=True)
                case "tree":
                    shutil.rmtree(path.parent, ignore_errors=True)
        changed, whole = builds.ok(dockerfile), builds.ok(dockerfile, "--no-cache")
        assert changed.err.splitlines()[-1].split()[0] == whole.err.splitlines()[-1].split()[0]


def test_failing_run_prints_output_caret_and_status(builds: Builds) -> None:
    done = builds.build("FROM busybox\nRUN echo before; echo oops >&2; exit 7\n")
    assert done.status == 1
    assert "before" in done.err and "oops" in done.err
    assert done.err.endswith("""error: the command exited with status 7
 --> Dockerfile:2:1
  |
1 | FROM busybox
2 | RUN echo before; echo oops >&2; exit 7
  | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
""".replace("Dockerfile", str(builds.context / "Dockerfile"))) or "Dockerfile:2:1" in done.err


@pytest.mark.parametrize(("dockerfile", "words"), [
    ("FROM busybox\nRUNN x\n", "unknown instruction `RUNN`"), ("FROM busybox\nCOPY gone /\n", "`gone` does not exist in the build context"),
    ("FROM busybox\nCOPY --from=nope x /\n", "nope"), ("FROM no/such-image:1\n", "there is no image `no/such-image:1`"), ("", "no instruction")])
def test_bad_dockerfile_is_one_clear_error(as_root: Builds, dockerfile: str, words: str) -> None:
    done = as_root.build(dockerfile)
    assert done.status == 1 and words in done.err and "Traceback" not in done.err, done


def test_missing_context_and_unknown_option(as_root: Builds) -> None:
    done = as_root.tool.run("pybuild", "/no/such/directory")
    assert done.status == 1 and "the build context `/no/such/directory` does not exist" in done.err
    done = as_root.tool.run("pybuild", "build", "--targt", "x", ".")
    assert (done.status, done.err) == (2, "error: unknown option `--targt`\n  = help: did you mean `--target`?\n")


def test_two_builds_at_once_share_steps(as_root: Builds) -> None:
    token = os.urandom(4).hex()
    (as_root.context / "Dockerfile").write_text(f"FROM busybox\nRUN echo {token}; sleep 1; head -c 8 /dev/urandom | base64 > /r\n")
    argv = as_root.tool.argv("pybuild", "build", "--progress", "plain", str(as_root.context))
    both = [subprocess.Popen(argv, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=as_root.tool.env) for _ in (1, 2)]
    ends = [p.communicate()[1] for p in both]
    assert [p.returncode for p in both] == [0, 0], ends
    assert sum(f" {token}" in line for end in ends for line in end.splitlines() if line.split(" ")[1][:1].isdigit()) == 1
    assert len({end.splitlines()[-1].split()[0] for end in ends}) == 1
    assert sorted(end.splitlines()[-1].split("(")[1] for end in ends) == ["0 of 1 steps cached)", "1 of 1 steps cached)"]


def test_independent_stages_run_at_once(as_root: Builds) -> None:
    token = os.urandom(4).hex()
    stages = "".join(f"FROM busybox AS s{n}\nRUN echo {token}{n}; sleep 1; touch /f{n}\n" for n in range(4))
    dockerfile = stages + "FROM busybox\n" + "".join(f"COPY --from=s{n} /f{n} /\n" for n in range(4))
    done = as_root.ok(dockerfile)                        # however few processors there are
    started = [line for line in done.err.splitlines() if "] RUN echo" in line or (line.endswith("s") and " DONE " in line)]
    assert [("RUN" in line) for line in started[:4]] == [True] * 4, "all four start before one is done"


def test_interrupted_build_leaves_nothing_running_and_a_store_that_works(as_root: Builds) -> None:
    token = f"2.{int.from_bytes(os.urandom(2), 'big'):05d}"
    (as_root.context / "Dockerfile").write_text(f"FROM busybox\nRUN echo ready; sleep 1000{token}\n")
    for deadly in (signal.SIGINT, signal.SIGKILL):
        process = subprocess.Popen(as_root.tool.argv("pybuild", "build", "--progress", "plain", str(as_root.context)), stderr=subprocess.PIPE, text=True,
                                   env=as_root.tool.env, start_new_session=True)
        assert process.stderr is not None
        for line in process.stderr:
            if line.rstrip().endswith(" ready"):
                break
        process.send_signal(deadly)
        rest = process.stderr.read()
        process.wait()
        process.stderr.close()
        assert process.returncode == (130 if deadly == signal.SIGINT else -9)
        assert "Traceback" not in rest
        deadline = time.monotonic() + 60
        while _running(token):
            assert time.monotonic() < deadline, "the step outlived its build"
            os.sched_yield()
    as_root.ok("FROM busybox\nRUN echo fine\n")


def _running(token: str) -> bool:
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if token.encode() in Path(f"/proc/{pid}/cmdline").read_bytes() and b"sleep" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0]:
                return True
        except OSError:
            continue
    return False


def test_image_config_and_history_as_docker_writes_them(as_root: Builds) -> None:
    as_root.ok("""FROM busybox
LABEL a=1
ENV X=y
EXPOSE 80 53/udp
VOLUME /data
USER 7
WORKDIR /w
STOPSIGNAL SIGINT
HEALTHCHECK --interval=5s CMD true
ENTRYPOINT ["/bin/echo"]
CMD ["hi"]
""", "--label", "b=2")
    config = json.loads(as_root.tool.pybuild("inspect", "--format", "{{json .}}", "it").out)
    inner = config["Config"]
    assert inner["Labels"]["a"] == "1" and inner["Labels"]["b"] == "2" and "X=y" in inner["Env"]
    assert sorted(inner["ExposedPorts"]) == ["53/udp", "80/tcp"] and inner["Volumes"] == {"/data": {}}
    assert (inner["User"], inner["WorkingDir"], inner["StopSignal"], inner["Entrypoint"], inner["Cmd"]) == ("7", "/w", "SIGINT", ["/bin/echo"], ["hi"])
    assert inner["Healthcheck"] == {"Test": ["CMD-SHELL", "true"], "Interval": 5_000_000_000}
    made_by = as_root.tool.pybuild("history", "--no-trunc", "--format", "{{.CreatedBy}}", "it").out.splitlines()
    assert made_by[:4] == ['CMD ["hi"]', 'ENTRYPOINT ["/bin/echo"]', 'HEALTHCHECK &{["CMD-SHELL" "true"] "5s" "0s" "0s" "0s" \'\\x00\'}', "STOPSIGNAL SIGINT"]


def test_outputs_tar_and_local(builds: Builds) -> None:
    out = builds.context.parent / "out"
    builds.ok("FROM busybox AS b\nRUN mkdir /e && echo 1 > /e/f\nFROM scratch\nCOPY --from=b /e /x\n", "-o", f"type=local,dest={out}/local", "-o",
              f"type=tar,dest={out}.tar")
    assert (out / "local/x/f").read_text() == "1\n"
    assert subprocess.run(["tar", "-tf", f"{out}.tar"], capture_output=True, text=True, check=True).stdout.split() == ["x/", "x/f"]


def test_cached_path_imports_little(builds: Builds) -> None:
    """What a build costs that was done before is its imports: none of these is among them."""
    builds.write(f="x")
    old = time.time() - 100
    os.utime(builds.context / "f", (old, old))
    builds.write(Dockerfile="FROM busybox\nCOPY f /\n")
    time.sleep(2.1)              # files younger than the clock's granularity are read again; there is nothing to wait for but the clock
    builds.tool.pybuild("build", "-q", str(builds.context))
    again = builds.tool.pybuild("build", "-q", str(builds.context), env={"PYTHONPROFILEIMPORTTIME": "1"})
    loaded = {line.rpartition("|")[2].strip() for line in again.err.splitlines()}
    assert "builder.record" in loaded
    forbidden = {"lark", "msgspec", "dataclasses", "typing", "pathlib", "json", "re", "enum", "subprocess", "logging", "argparse", "lang.parser", "builder.build"}
    assert not loaded & forbidden


def test_workdir_belongs_to_the_user_as_far_as_there_is_one(builds: Builds) -> None:
    builds.ok("FROM busybox\nUSER 7\nWORKDIR /a\nUSER 1\nWORKDIR /b\nUSER nosuch:mail\nWORKDIR /c\nUSER mail\nWORKDIR /d\nUSER 0:5\nWORKDIR /e\nUSER 0\n")
    owners = builds.says("for i in a b c d e; do stat -c %u:%g /$i; done").split()
    assert owners == ["7:7", "1:1", "0:8", "8:8", "0:5"]


def test_workdir_of_a_user_that_scratch_cannot_have(builds: Builds) -> None:
    builds.ok("FROM scratch\nUSER app\nWORKDIR /x\n")


def test_run_has_the_groups_that_docker_gives(builds: Builds) -> None:
    builds.ok("FROM busybox\nRUN --network=none id > /0\nUSER 1234\nRUN --network=none id > /tmp/1\nUSER 1234:1234\nRUN --network=none id > /tmp/2\nUSER 0\n")
    assert builds.says("cat /0 /tmp/1 /tmp/2").splitlines() == [
        "uid=0(root) gid=0(root) groups=0(root)", "uid=1234 gid=0(root) groups=0(root)", "uid=1234 gid=1234 groups=1234"]


def test_name_that_begins_an_image_id_is_no_image(as_root: Builds) -> None:
    identity = as_root.tool.pybuild("images", "-q", "--no-trunc", "busybox").out.split()[0].removeprefix("sha256:")
    as_root.ok(f"FROM {identity[:12]}\n")
    done = as_root.build(f"FROM scratch\nCOPY --from={identity[:11]} / /\n")
    assert done.status == 1 and f"no image `{identity[:11]}`" in done.err and "Dockerfile:2:1" in done.err


def test_device_is_refused_never_passed_over(as_root: Builds) -> None:
    done = as_root.build("FROM busybox\nRUN --device=vendor.com/gpu=all true\n", "--allow", "device")
    assert done.status == 1 and "CDI" in done.err


def test_stage_to_run_anew_that_is_none_is_told(as_root: Builds) -> None:
    assert "--no-cache-filter other: no stage is called so" in as_root.ok("FROM scratch AS one\n", "--no-cache-filter", "other,ONE").err


@pytest.mark.parametrize(("file", "said"), [
    ("FROM busybox\n", "no image `busybox for linux/s390x`"), ("FROM scratch\nCOPY --from=busybox /bin/sh /\n", "no image `busybox for linux/s390x`"),
    ("FROM host/base\n", "made of this machine's files")])
def test_image_of_another_machine_is_never_taken_instead(as_root: Builds, file: str, said: str) -> None:
    done = as_root.build(file, "--platform", "linux/s390x")
    assert done.status == 1 and said in done.err and "Dockerfile:" in done.err


def test_build_platform_is_this_machines(as_root: Builds) -> None:
    as_root.ok("FROM --platform=$BUILDPLATFORM busybox AS one\nRUN --network=none echo $(uname -m) > /f\nFROM scratch\nCOPY --from=one /f /\n",
               "--platform", "linux/s390x")
    assert json.loads(as_root.tool.pybuild("inspect", "it").out)[0]["Architecture"] == "s390x"


def test_program_of_another_machine_says_what_is_missing(as_root: Builds) -> None:
    program = bytearray(Path("/bin/true").read_bytes())
    program[18:20] = (22).to_bytes(2, "little")          # EM_S390
    (as_root.context / "true").write_bytes(program)
    (as_root.context / "true").chmod(0o755)
    done = as_root.build("FROM scratch\nCOPY true /\nRUN [\"/true\"]\n", "--platform", "linux/s390x")
    assert done.status == 1 and "exec format error" in done.err and "qemu-user-static" in done.err
