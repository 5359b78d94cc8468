"""Attacks by Dockerfiles, contexts and images on the machine that builds them."""

import os
from pathlib import Path

import pytest

from tests.builder.conftest import Builds, as_root, builds, root_store, user_store  # noqa: F401  # a store for root, one for a user

SECRET = "host-secret-7c1f"


@pytest.fixture
def outside(builds: Builds) -> Path:  # noqa: F811
    """A directory of the host with a secret in it, readable by whoever builds."""
    directory = builds.context.parent / "outside"
    directory.mkdir()
    (directory / "file").write_text(f"{SECRET}\n")
    builds.give(directory)
    return directory


@pytest.mark.parametrize(("line", "entitlement"), [
    ("RUN --security=insecure true", "security.insecure"), ("RUN --network=host true", "network.host"),
    ("RUN --device=vendor.com/gpu=all true", "device")])
def test_cve_2024_23653_step_with_privileges_needs_them_to_be_granted(as_root: Builds, line: str, entitlement: str) -> None:  # noqa: F811
    done = as_root.build(f"FROM busybox\n{line}\n", "--no-cache")
    assert done.status == 1 and f"needs the entitlement `{entitlement}`" in done.err and "--allow" in done.err


def test_cve_2024_1753_bind_from_an_image_whose_source_is_a_link(builds: Builds, outside: Path) -> None:  # noqa: F811
    done = builds.build(f"""FROM busybox AS evil
RUN ln -s {outside} /link && ln -s / /root-link
FROM busybox
RUN --mount=type=bind,from=evil,source=/root-link,target=/mnt,rw ls -la /mnt{outside}; cat /mnt{outside}/file; touch /mnt/new; true
RUN --mount=type=bind,from=evil,source=/link,target=/mnt,rw cat /mnt/file; touch /mnt/new
""", "--no-cache")
    assert done.status == 1 and f"\n{SECRET}" not in done.out + done.err and "Traceback" not in done.err
    assert os.listdir(outside) == ["file"]


@pytest.mark.parametrize("name", ["../../../outside", "/etc", "a/../../b", ".", "..", "x" * 5000])
def test_cve_2024_9675_name_of_a_cache_leads_nowhere(builds: Builds, outside: Path, name: str) -> None:  # noqa: F811
    done = builds.build(f"FROM busybox\nRUN --mount=type=cache,id={name},target=/c ls /c; touch /c/planted\n", "--no-cache")
    assert done.status == 0 and SECRET not in done.err
    assert os.listdir(outside) == ["file"]
    assert not any(builds.context.parent.rglob("planted"))


def test_cve_2024_23651_source_of_a_cache_is_a_link(builds: Builds, outside: Path) -> None:  # noqa: F811
    done = builds.build(f"""FROM busybox
RUN --mount=type=cache,id=evil,target=/c rm -rf /c/link; ln -s {outside} /c/link; ln -s ../../../../../../../../.. /c/up
RUN --mount=type=cache,id=evil,source=link,target=/m cat /m/file; touch /m/new
""", "--no-cache")
    assert f"\n{SECRET}" not in done.err and "Traceback" not in done.err
    assert os.listdir(outside) == ["file"]


@pytest.mark.parametrize("options", ["bind-propagation=shared", "type=bind,o=rbind,source=/", "type=proc", "type=overlay,lowerdir=/",
                                     "type=tmpfs,options=suid", "type=bind,source=/,dev", "type=cache,mode=99999"])
def test_cve_2024_9407_options_of_mounts_are_a_short_list(as_root: Builds, options: str) -> None:  # noqa: F811
    done = as_root.build(f"FROM busybox\nRUN --mount={options},target=/m true\n")
    assert done.status == 1 and "error: " in done.err and "Traceback" not in done.err


def test_bind_of_the_context_is_no_way_out_of_it(builds: Builds, outside: Path) -> None:  # noqa: F811
    (builds.context / "link").symlink_to(outside)
    for source in ("../outside", "/../../outside", "link", "link/file"):
        done = builds.build(f"FROM busybox\nRUN --mount=type=bind,source={source},target=/m cat /m/file /m; false\n", "--no-cache")
        assert done.status == 1 and f"{SECRET}\n" not in done.err.replace(source, "") and "Traceback" not in done.err


def test_copy_does_not_follow_links_out_of_the_context(builds: Builds, outside: Path) -> None:  # noqa: F811
    (builds.context / "link").symlink_to(outside / "file")
    (builds.context / "directory").mkdir()
    (builds.context / "directory/up").symlink_to("../../outside/file")
    os.mkfifo(builds.context / "directory/fifo")
    done = builds.build("FROM busybox\nCOPY link /a\n", "--no-cache")
    assert done.status == 1 and SECRET not in done.err
    builds.ok("FROM busybox\nCOPY directory /d\nCOPY . /all\n", "--no-cache")
    assert SECRET not in builds.says("cat /d/up /all/link 2>&1 || true")


@pytest.mark.parametrize("name", ["resolv.conf", "hosts", "passwd", "group"])
def test_files_of_etc_are_links_to_the_host(builds: Builds, outside: Path, name: str) -> None:  # noqa: F811
    done = builds.build(f"FROM busybox\nRUN ln -sf {outside}/file /etc/{name}\nRUN echo changed >/etc/{name}; true\nUSER 1000\nWORKDIR /w\n", "--no-cache")
    assert "Traceback" not in done.err
    assert (outside / "file").read_text() == f"{SECRET}\n"


def test_cve_2026_55686_workdir_through_a_link(builds: Builds, outside: Path) -> None:  # noqa: F811
    builds.build(f"FROM busybox\nRUN ln -s {outside} /w\nUSER 1000\nWORKDIR /w/made\nRUN touch here\n", "--no-cache")
    assert os.listdir(outside) == ["file"]


def test_secret_is_in_no_layer_no_history_no_key_and_no_argv(builds: Builds, tmp_path: Path) -> None:  # noqa: F811
    builds.write(secret=SECRET)
    builds.ok("FROM busybox\nRUN --mount=type=secret,id=s,env=S --mount=type=secret,id=s cat /proc/self/cmdline /run/secrets/s >/dev/null\n",
              "--no-cache", "--secret", f"id=s,src={builds.context}/secret")
    for path in builds.tool.root.rglob("*"):
        if path.is_file() and not path.is_symlink():
            assert SECRET.encode() not in path.read_bytes(), path


def test_syntax_image_is_not_run(as_root: Builds) -> None:  # noqa: F811
    done = as_root.build("# syntax=registry.invalid/evil:latest\nFROM busybox\nRUN true\n", "--no-cache")
    assert done.status == 0 and "Traceback" not in done.err


def test_output_is_not_written_through_links(builds: Builds, outside: Path) -> None:  # noqa: F811
    """Of the directory that it goes to, and of what was put there before."""
    out = builds.context.parent / "out"
    out.mkdir()
    (out / "directory").symlink_to(outside)
    (out / "name").symlink_to(outside / "file")
    builds.give(out)
    done = builds.build(f"""FROM busybox AS made
RUN mkdir -p /o/directory /o/sub && echo planted >/o/directory/file && echo planted >/o/name && ln -s {outside} /o/link
FROM scratch
COPY --from=made /o /
""", "--no-cache", "--output", f"type=local,dest={out}")
    assert "Traceback" not in done.err
    assert os.listdir(outside) == ["file"] and (outside / "file").read_text() == f"{SECRET}\n"


def test_second_copy_through_a_link_stays_in_the_image(builds: Builds, outside: Path) -> None:  # noqa: F811
    (builds.context / "link").symlink_to(outside)
    (builds.context / "file").write_text("planted\n")
    done = builds.build("FROM busybox\nCOPY link /link\nCOPY . /d/\nCOPY file /d/link/file\nCOPY file /d/link/new/\n", "--no-cache")
    assert "Traceback" not in done.err
    builds.build(f"FROM busybox\nRUN ln -s {outside} /link\nCOPY file /link/file\nADD file /link/new\nCOPY --chmod=777 file /link/\n", "--no-cache")
    assert os.listdir(outside) == ["file"] and (outside / "file").read_text() == f"{SECRET}\n"


def test_cve_2024_11218_stages_that_run_at_once_share_nothing_by_binds(builds: Builds, outside: Path) -> None:  # noqa: F811
    """One changes what it has bound of a stage, and puts links in the way, while the other reads the same."""
    evil = f"for n in 1 2 3 4 5 6 7 8; do rm -rf /m/d; ln -s {outside} /m/d; rm /m/d; mkdir /m/d; done; echo changed >/m/f"
    done = builds.build(f"""FROM busybox AS base
RUN mkdir -p /o/d && echo kept >/o/f && echo kept >/o/d/file
FROM busybox AS one
RUN --mount=type=bind,from=base,source=/o,target=/m,rw {evil}
FROM busybox AS two
RUN --mount=type=bind,from=base,source=/o/d,target=/m,rw for n in 1 2 3 4 5 6 7 8; do cat /m/file; echo x >/m/new; done >/seen
RUN --mount=type=bind,from=base,source=/o,target=/m cat /m/f /m/d/file >>/seen; ls /m/d >>/seen
FROM busybox
COPY --from=one /etc/passwd /one
COPY --from=two /seen /seen
RUN sort -u /seen >&2
""", "--no-cache")
    seen = done.err.rpartition("sort -u")[2]
    assert done.status == 0 and SECRET not in done.err and "kept" in seen and "changed" not in seen, done.err
    assert os.listdir(outside) == ["file"]
