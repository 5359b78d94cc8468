"""Whole builds with sources from elsewhere, as root and as an ordinary user."""

import gzip
import json
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.builder.conftest import Builds, _cached
from tests.builder.remote.servers import OLD, Page, Repository, Web, certificate, web
from tests.builder.remote.test_download import digest, tar_of
from tests.tool import Tool
from tests.users import needs_root

pytestmark = pytest.mark.userns


def feed(builds: Builds, data: bytes, *words: str) -> subprocess.CompletedProcess[bytes]:
    """`pybuild -` with these bytes on stdin."""
    argv = builds.tool.argv("pybuild", "build", "--progress", "plain", "-t", "it", *words)
    user = builds.tool.user
    if user is not None:
        return subprocess.run(argv, input=data, capture_output=True, user=user.uid, group=user.gid, extra_groups=[], env=user.environment, cwd=user.home)
    return subprocess.run(argv, input=data, capture_output=True, env=builds.tool.env)


# ---------------------------------------------------------------- ADD
def test_add_url_name_mode_time_and_destinations(builds: Builds, site: Web) -> None:
    site.pages["/d/file.txt?x=1"] = Page(b"hello", modified=OLD)
    site.pages["/"] = Page(b"root")
    url = site.url
    builds.ok(f"FROM busybox\nADD {url}/d/file.txt?x=1 /as/\nADD {url}/d/file.txt?x=1 /named\nADD --chmod=644 --chown=5:6 {url} /as/\n")
    assert builds.says("stat -c '%n %a %u:%g %Y' /as/file.txt /named /as/__unnamed__").splitlines() == [
        f"/as/file.txt 600 0:0 {OLD}", f"/named 600 0:0 {OLD}", "/as/__unnamed__ 644 5:6 0"]


def test_add_url_is_cached_until_its_content_changes(builds: Builds, site: Web) -> None:
    site.pages["/f"] = Page(b"hello", etag='"1"', modified=OLD)
    dockerfile = f"FROM busybox\nADD {site.url}/f /\nRUN --network=none cat /f > /g\n"
    first = builds.ok(dockerfile)
    site.pages["/f"] = Page(b"hello", etag='"2"', modified=OLD + 1000)
    second = builds.ok(dockerfile)
    steps = [f"ADD {site.url}/f /", "RUN --network=none cat /f > /g"]
    assert _cached(second) == steps and second.err.splitlines()[-1] == first.err.splitlines()[-1].replace("0 of 2", "2 of 2")
    assert _cached(builds.ok(dockerfile)) == [f"fetch {site.url}/f", *steps] or "CACHED (not modified)" in builds.ok(dockerfile).err
    site.pages["/f"] = Page(b"other", etag='"3"')
    assert _cached(builds.ok(dockerfile)) == []
    assert builds.says("cat /g") == "other"


def test_pinned_url_is_not_asked_again_and_the_build_is_remembered(builds: Builds, site: Web) -> None:
    site.pages["/f"] = Page(b"hello")
    dockerfile = f"FROM busybox\nADD --checksum={digest(b'hello')} {site.url}/f /\n"
    builds.ok(dockerfile)
    site.close()
    assert "CACHED" in builds.ok(dockerfile).err
    assert builds.ok(dockerfile + "ENV A=b\n").status == 0


def test_add_url_archive_is_unpacked_only_where_asked(builds: Builds, site: Web) -> None:
    site.pages["/f.tgz"] = Page(gzip.compress(tar_of(inner="1")))
    builds.ok(f"FROM busybox\nADD {site.url}/f.tgz /packed/\nADD --unpack {site.url}/f.tgz /open/\n")
    assert builds.says("ls /packed /open").split() == ["/open:", "inner", "/packed:", "f.tgz"]


def test_add_many_sources_in_their_order(builds: Builds, site: Web, repository: Repository) -> None:
    site.pages["/same"] = Page(b"from the web")
    repository.commit({"same": "from git"})
    builds.write(same="from here", other="other")
    tar = builds.context / "local.tar"
    tar.write_bytes(tar_of(unpacked="1"))
    git = f"{site.url}/git/repo.git"
    builds.ok(f"FROM busybox\nADD same {site.url}/same /a/\nADD {site.url}/same same other /b/\nADD same {git} local.tar /c/\n")
    assert builds.says("cat /a/same /b/same /c/same; ls /b /c") == "from the webfrom herefrom git/b:\nother\nsame\n\n/c:\na\nbin\ndocs\nsame\nunpacked"


def test_add_git_with_flags_and_queries(builds: Builds, site: Web, repository: Repository) -> None:
    git = f"{site.url}/git/repo.git"
    commit = repository.git("rev-parse", "v1^{commit}")
    builds.ok(f"FROM busybox\nADD {git}#v1:docs /docs\nADD --keep-git-dir=true {git}?tag=v1 /kept\nADD --chown=3:4 --exclude=docs {git}?branch=topic/x&commit={commit[:9]} /x\n")
    out = builds.says("ls /docs; ls -d /kept/.git/HEAD; stat -c '%a %u:%g' /x/a /x/bin/tool; ls /x; readlink /docs/link")
    assert out.split() == ["guide", "link", "/kept/.git/HEAD", "644", "3:4", "755", "3:4", "a", "bin", "../a"]


def test_checksum_added_to_a_git_source_hits(as_root: Builds, site: Web, repository: Repository) -> None:
    git, commit = f"{site.url}/git/repo.git#v1", repository.git("rev-parse", "v1^{commit}")
    as_root.ok(f"FROM busybox\nADD {git} /src\nRUN --network=none echo 1\n")
    assert _cached(as_root.ok(f"FROM busybox\nADD --checksum={commit} {git} /src\nRUN --network=none echo 1\n"))[-2:] == [
        f"ADD --checksum={commit} {git} /src", "RUN --network=none echo 1"]


def test_link_of_a_download_is_a_layer_of_its_own(as_root: Builds, site: Web) -> None:
    site.pages["/f"] = Page(b"hello")
    as_root.ok(f"FROM busybox\nRUN --network=none echo 1\nADD --link {site.url}/f /x/\n")
    assert _cached(as_root.ok(f"FROM busybox\nRUN --network=none echo 2\nADD --link {site.url}/f /x/\n"))[-1] == f"ADD --link {site.url}/f /x/"


def test_private_url_and_repository_by_secret(builds: Builds, site: Web, repository: Repository, tmp_path: Path) -> None:
    site.pages["/f"] = Page(b"hello", auth="Bearer t0ken")
    site.git_auth = "Basic eC1hY2Nlc3MtdG9rZW46dDBrZW4="
    builds.write(token="t0ken\n")
    secret = builds.context / "token"
    done = builds.ok(f"FROM busybox\nADD {site.url}/f /f\nADD {site.url}/git/repo.git#v1 /g\n", "--secret", f"id=HTTP_AUTH_TOKEN_127.0.0.1:{site.port},src={secret}",
                     "--secret", f"id=GIT_AUTH_TOKEN,src={secret}")
    assert "t0ken" not in done.err and builds.says("cat /f /g/a") == "helloone"


def test_certificates_of_the_environment_are_believed(as_root: Builds, git_place: Path, repository: Repository, tmp_path: Path) -> None:
    believed = certificate(tmp_path)
    with web(git_place, believed) as server:
        server.pages["/f"] = Page(b"hello")
        as_root.write(f="1")
        (as_root.context / "Dockerfile").write_text(f"FROM busybox\nADD {server.url}/f /f\nADD {server.url}/git/repo.git#v1 /g\n")
        for environment, status in (({}, 1), ({"SSL_CERT_FILE": str(believed)}, 0)):
            done = as_root.tool.run("pybuild", "build", "-t", "it", str(as_root.context), env=environment)
            assert done.status == status, done
    assert as_root.says("cat /f /g/a") == "helloone"


# ---------------------------------------------------------------- what goes wrong
@pytest.mark.parametrize(("line", "message"), [
    ("ADD {url}/missing /", "cannot download `{url}/missing`: the server says 404 Not Found"),
    ("ADD --checksum=sha256:{zeros} {url}/f /", "`{url}/f` is sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824, and its checksum says sha256:{zeros}"),
    ("ADD {url}/to-file /", "cannot download `{url}/to-file`: it redirects to `file:///etc/passwd`: files come by http and https, not by `file`"),
    ("ADD {url}/git/repo.git#nope /", "the git repository `{url}/git/repo.git` has no branch or tag `nope`"),
    ("ADD {url}/git/repo.git#main:nope /", "`nope` does not exist in the git repository `{url}/git/repo.git`"),
    ("ADD {url}/git/repo.git#a..b /", "`{url}/git/repo.git#a..b` is no address that can be fetched: behind `#` is no name of a branch, tag or commit"),
    ("ADD {url}/git/repo.git?mtime=never /", "`mtime` of the address is `never`")])
def test_errors_are_one_line_with_their_place(as_root: Builds, site: Web, repository: Repository, line: str, message: str) -> None:
    site.pages["/f"] = Page(b"hello")
    site.pages["/to-file"] = Page(status=302, headers={"Location": "file:///etc/passwd"})
    fields = {"url": site.url, "zeros": "0" * 64}
    done = as_root.build("FROM busybox\n" + line.format(**fields) + "\n")
    lines = done.err[done.err.index("error: "):].splitlines()
    assert done.status == 1 and lines[0] == "error: " + message.format(**fields) and lines[1].endswith("Dockerfile:2:1")
    assert "Traceback" not in done.err


def test_missing_git_is_said_where_it_is_needed(as_root: Builds, tmp_path: Path) -> None:
    as_root.write(f="1")
    (as_root.context / "Dockerfile").write_text("FROM busybox\nADD https://example.invalid/x.git /\n")
    done = as_root.tool.run("pybuild", str(as_root.context), env={"PATH": str(tmp_path)})
    assert "git is not installed on this machine" in done.err and "Dockerfile:2:1" in done.err


# ---------------------------------------------------------------- contexts
def test_tar_on_stdin_keeps_owners_and_knows_no_ignore_file(builds: Builds) -> None:
    data = tar_of(Dockerfile="FROM busybox\nCOPY . /c\nRUN --network=none --mount=type=bind,target=/m ls -A /m > /seen\n", f="1", **{".dockerignore": "f\n"})
    done = feed(builds, gzip.compress(data), "-")
    assert done.returncode == 0, done.stderr.decode()
    assert builds.says("ls -A /c; cat /seen").split() == [".dockerignore", "Dockerfile", "f"] * 2
    assert b"CACHED" in feed(builds, data, "-").stderr


@needs_root
def test_owner_in_a_tar_context_stays(as_root: Builds, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM busybox\nCOPY f /f\nCOPY --chown=0:0 f /g\n")
    (tmp_path / "f").write_text("1")
    os.chown(tmp_path / "f", 12, 34)
    with tarfile.open(tmp_path / "c.tar", "w") as tar:
        for name in ("Dockerfile", "f"):
            tar.add(tmp_path / name, name)
    assert feed(as_root, (tmp_path / "c.tar").read_bytes(), "-").returncode == 0
    assert as_root.says("stat -c %u:%g /f /g").split() == ["12:34", "0:0"]


def test_dockerfile_on_stdin_has_an_empty_context(builds: Builds) -> None:
    assert feed(builds, b"FROM busybox\nCOPY . /c\n", "-").returncode == 0
    assert builds.says("ls -A /c") == ""
    done = feed(builds, b"FROM busybox\nCOPY f /c\n", "-")
    assert b"error: `f` does not exist in the build context, which is empty: there is only a Dockerfile" in done.stderr


def test_git_and_http_contexts(builds: Builds, site: Web, repository: Repository) -> None:
    repository.commit({"Dockerfile": "FROM busybox\nCOPY . /c\n", "sub/Dockerfile": "FROM busybox\nCOPY . /s\n", ".dockerignore": "*\n"})
    git = f"{site.url}/git/repo.git"
    tool = builds.tool
    done = tool.pybuild("build", "-t", "it", git)
    assert f"context {git}" in done.err and builds.says("ls -A /c").split() == [".dockerignore", "Dockerfile", "a", "bin", "docs", "sub"]
    tool.pybuild("build", "-t", "it", f"{git}#main:sub")
    assert builds.says("ls -A /s") == "Dockerfile"
    tool.pybuild("build", "-t", "it", "--build-arg", "BUILDKIT_CONTEXT_KEEP_GIT_DIR=1", git)
    assert ".git" in builds.says("ls -A /c").split()
    site.pages["/c.tar"] = Page(tar_of(Dockerfile="FROM busybox\nCOPY f /\n", other="FROM busybox\nCOPY f /o\n", f="tar"))
    tool.pybuild("build", "-t", "it", "-f", "other", f"{site.url}/c.tar")
    assert builds.says("cat /o") == "tar"
    site.pages["/D"] = Page(b"FROM busybox\nLABEL a=b\n")
    tool.pybuild("build", "-t", "it", f"{site.url}/D")
    tool.pybuild("build", "-t", "it", "-f", f"{site.url}/D", str(builds.context))


def test_dockerfile_from_elsewhere_than_its_context(as_root: Builds, site: Web, repository: Repository, tmp_path: Path) -> None:
    git = f"{site.url}/git/repo.git"
    (tmp_path / "D").write_text("FROM busybox\nCOPY a /local\n")
    as_root.tool.pybuild("build", "-t", "it", "-f", str(tmp_path / "D"), git)
    assert as_root.says("cat /local") == "two"
    as_root.tool.pybuild("build", "-t", "it", "-f", "-", git, stdin=b"FROM busybox\nCOPY a /stdin\n")
    assert as_root.says("cat /stdin") == "two"
    done = as_root.tool.run("pybuild", "build", "-f", "-", "-", stdin=b"FROM busybox\n")
    assert done.status == 2 and "cannot both come from stdin" in done.err


def test_unchanged_git_context_is_a_remembered_build(as_root: Builds, site: Web, repository: Repository) -> None:
    repository.commit({"Dockerfile": "FROM busybox\nCOPY a /\n"})
    git = f"{site.url}/git/repo.git"
    first, second = as_root.tool.pybuild("build", git), as_root.tool.pybuild("build", git)
    assert "is known" in second.err and "CACHED" in second.err
    assert second.err.splitlines()[-1] == first.err.splitlines()[-1].replace("0 of 1", "1 of 1")


def test_epoch_of_a_git_context_is_its_commit(as_root: Builds, site: Web, repository: Repository) -> None:
    repository.commit({"Dockerfile": "FROM busybox\nCOPY a /\nRUN --network=none touch /new\n"}, moment=OLD)
    as_root.tool.pybuild("build", "-t", "it", "--reproducible", f"{site.url}/git/repo.git")
    assert "2017-07-14T02:40:00Z" in as_root.tool.pybuild("inspect", "it").out


def test_dockerfile_from_elsewhere_includes_nothing_of_this_machine(as_root: Builds, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("ENV A=stolen\n")
    data = f"# syntax=pybuild\nFROM busybox\nINCLUDE {tmp_path}/secret\n".encode()
    for stdin in (data, tar_of(Dockerfile=data.decode())):
        done = feed(as_root, stdin, "-")
        assert done.returncode == 1 and b"no file can be included here" in done.stderr


# ---------------------------------------------------------------- named contexts
def test_named_contexts_of_every_kind(builds: Builds, site: Web, repository: Repository, tmp_path: Path) -> None:
    site.pages["/t.tar"] = Page(tar_of(inner="tar"))
    site.pages["/file"] = Page(b"file")
    builds.write(f="1", named__x="named", named__y="y", named___dot_dockerignore="y\n")
    layout = builds.context / "layout"
    builds.ok("FROM busybox\nRUN --network=none echo layout > /kind\n", "-o", f"type=oci,tar=false,dest={layout}")
    contexts = {"lay": f"oci-layout://{layout}", "dir": str(builds.context / "named"), "git": f"{site.url}/git/repo.git#v1", "web": f"{site.url}/t.tar",
                "one": f"{site.url}/file", "img": "docker-image://busybox", "late": "target:last", "unused": "oci-layout:///nowhere"}
    builds.ok("""FROM img AS middle
COPY --from=lay /kind /kind
COPY --from=dir / /dir/
COPY --from=git a /git/
COPY --from=web . /web/
COPY --from=one file /one
COPY --from=late /late /late
RUN --network=none --mount=from=git,target=/g --mount=from=web,target=/w --mount=from=dir,target=/d cat /g/a /w/inner /d/x > /mounted
FROM busybox AS last
RUN --network=none echo late > /late
FROM middle
""", *[word for name, value in contexts.items() for word in ("--build-context", f"{name}={value}")])
    assert builds.says("cat /kind /git/a /web/inner; echo; cat /one; echo; cat /late; cat /mounted; echo; ls -A /dir").split() == [
        "layout", "one", "tar", "file", "late", "one", "tarnamed", ".dockerignore", "x"]


def test_from_a_context_its_files_are_the_root(builds: Builds, site: Web, repository: Repository) -> None:
    site.pages["/t.tar"] = Page(tar_of(inner="tar"))
    builds.write(named__x="named")
    contexts = ("--build-context", f"web={site.url}/t.tar", "--build-context", f"dir={builds.context / 'named'}", "--build-context", f"git={site.url}/git/repo.git#v1:docs")
    builds.ok("FROM web AS one\nENV A=b\nFROM dir AS two\nCOPY --from=one inner /\nFROM git AS three\nFROM busybox\nCOPY --from=two / /two/\nCOPY --from=three / /three/\n", *contexts)
    assert builds.says("ls -A /two /three").split() == ["/three:", "guide", "link", "/two:", "inner", "x"]
    for name, files in (("web", ["inner"]), ("dir", ["x"]), ("git", ["guide", "link"])):
        builds.ok(f"FROM {name}\n", *contexts, "-o", f"type=local,dest={builds.context / ('out-' + name)}")
        assert sorted(os.listdir(builds.context / f"out-{name}")) == files


def test_named_context_in_the_place_of_a_stage_and_of_an_image(as_root: Builds) -> None:
    as_root.write(named__x="named")
    contexts = ("--build-context", f"build={as_root.context / 'named'}", "--build-context", "alpine:3=docker-image://busybox")
    as_root.ok("FROM nowhere.invalid/x AS build\nRUN exit 1\nFROM alpine:3\nCOPY --from=build /x /x\n", *contexts)
    assert as_root.says("cat /x") == "named"


def test_stage_that_needs_itself_by_a_named_context(as_root: Builds) -> None:
    done = as_root.build("FROM busybox AS a\nCOPY --from=c /x /\nFROM c AS b\n", "--build-context", "c=target:a")
    assert done.status == 1 and "error: the named context `c` is the stage `a`, which needs it itself" in done.err and "Dockerfile:2:1" in done.err


def test_stage_of_a_named_context_keeps_its_config(as_root: Builds) -> None:
    as_root.ok("FROM base AS top\nRUN --network=none echo $A > /a\nFROM busybox AS real\nENV A=b\nFROM top\n", "--build-context", "base=target:real")
    assert as_root.says("cat /a") == "b"


def test_changed_layout_is_seen(as_root: Builds, tmp_path: Path) -> None:
    layout = tmp_path / "layout"
    for number in ("1", "2"):
        as_root.ok(f"FROM busybox\nRUN --network=none echo {number} > /n\n", "-o", f"type=oci,tar=false,dest={layout}")
        for _ in range(2):
            as_root.ok("FROM lay\n", "--build-context", f"lay=oci-layout://{layout}")
        assert as_root.says("cat /n") == number


def test_prune_takes_mirrors_that_are_old_enough(as_root: Builds, site: Web, repository: Repository, tmp_path: Path) -> None:
    as_root.tool = Tool(tmp_path / "root")
    as_root.ok(f"FROM scratch\nADD {site.url}/git/repo.git#v1 /\n")

    def mirrors() -> str:
        rows = [json.loads(line) for line in as_root.tool.pybuild("du", "--format", "json").out.splitlines()]
        return next((str(row["TotalCount"]) for row in rows if row["Type"] == "Git mirrors"), "0")

    as_root.tool.pybuild("prune", "-af", "--filter", "until=1h")
    assert mirrors() != "0"
    as_root.tool.pybuild("prune", "-af")
    assert mirrors() == "0" and as_root.tool.pybuild("images", "-q").out == ""
