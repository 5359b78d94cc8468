"""Builds of an ordinary user without subordinate ids: layers have the owners, modes and devices that root's would have."""

import io
import json
import os
import re
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.builder.conftest import Builds
from tests.tool import Tool
from tests.users import User

pytestmark = pytest.mark.userns

Entry = tuple[object, ...]


def layers(archive: Path) -> list[dict[str, Entry]]:
    """Of each layer in a `pybuild save`: path -> type, mode, owner, device, link target, attributes."""
    found = []
    with tarfile.open(archive) as image:
        for name in json.load(image.extractfile("manifest.json"))[0]["Layers"]:  # type: ignore[arg-type]
            with tarfile.open(fileobj=io.BytesIO(image.extractfile(name).read())) as layer:  # type: ignore[union-attr]
                found.append({member.name.rstrip("/"): _entry(member) for member in layer})
    return found


def _entry(member: tarfile.TarInfo) -> Entry:
    attributes = sorted((key, value) for key, value in member.pax_headers.items() if "xattr" in key)
    return member.type, oct(member.mode), member.uid, member.gid, member.devmajor, member.devminor, member.linkname, *attributes


@pytest.fixture
def single(unprivileged_single: User) -> Iterator[Builds]:
    user = unprivileged_single
    place = user.directory(Path(tempfile.mkdtemp(prefix="builds-", dir=user.home)))
    tool = Tool(place / "root", user)
    tool.pybuild("base", "busybox", "-t", "busybox")
    yield Builds(tool, place)
    shutil.rmtree(place, ignore_errors=True)


def _same(mine: Builds, roots: Builds, dockerfile: str, *words: str) -> list[dict[str, Entry]]:
    """The layers of both builds, which must be equal."""
    both = []
    for builds in (roots, mine):
        builds.ok(dockerfile, *words)
        archive = builds.context.parent / "it.tar"
        builds.tool.pybuild("save", "-o", str(archive), "it")
        both.append(layers(archive))
        archive.unlink()
    assert len(both[0]) == len(both[1])
    for of_root, of_user in zip(*both):
        different = {path: (of_root.get(path), of_user.get(path)) for path in {*of_root, *of_user} if of_root.get(path) != of_user.get(path)}
        assert not different, "\n".join(f"{path}: root {was}, user {now}" for path, (was, now) in sorted(different.items()))
    return both[1]


_PEOPLE = "RUN printf 'root::0:0:root:/root:/bin/sh\\napp:x:1000:1000::/home/app:/bin/sh\\n' > /etc/passwd; printf 'root:x:0:\\napp:x:1000:\\nwheel:x:10:app\\n' > /etc/group\n"


def test_a_run_leaves_what_roots_leaves(single: Builds, as_root: Builds) -> None:
    made = _same(single, as_root, "FROM busybox\n" + _PEOPLE + """RUN mkdir -p /srv/a /srv/g && cd /srv && touch a/f && chown 5:6 a a/f && chmod 4755 a/f && mkfifo -m 600 p && chown 7 p \\
 && ln -s f a/l && chown -h 8:9 a/l && ln a/f a/hard && chown :10 g && chmod 2775 g && mkdir g/d && touch g/d/x \\
 && su app -c 'touch /tmp/of-app; mkdir /tmp/d; ln -s x /tmp/d/l' && cp -a a copy && tar cf - a | (mkdir t && cd t && tar xf -) \\
 && sed -i s/x/x/ /etc/passwd && chown 5 /etc/group && mv /etc/group /etc/g2 && mv /etc/g2 /etc/group && chown 3:3 /bin/busybox
""", "--network", "none")
    last = made[-1]
    assert last["srv/a/l"][2:4] == (8, 9) and last["srv/copy/f"][2:4] == (5, 6) and last["tmp/of-app"][2:4] == (1000, 1000)
    assert last["srv/g/d/x"][3] == 10


def test_later_steps_see_and_keep_the_owners_of_earlier_ones(single: Builds, as_root: Builds) -> None:
    made = _same(single, as_root, "FROM busybox\n" + _PEOPLE + """RUN mkdir -p /srv/d && cd /srv && touch f && ln -s f l && mkfifo p && chown -h 5:6 f l p d
RUN cd /srv && test "$(stat -c %u:%g f l p d | sort -u)" = 5:6 && mv l l2 && mv p p2 && cp -a l2 l3 && touch d/x && echo more >> f
""", "--network", "none")
    assert made[-1]["srv/l2"][2:4] == made[-1]["srv/l3"][2:4] == made[-1]["srv/p2"][2:4] == made[-1]["srv/d"][2:4] == (5, 6)


def test_user_copy_and_workdir(single: Builds, as_root: Builds) -> None:
    for builds in (single, as_root):
        builds.write(f="x", d__g="y")
        (builds.context / "link").symlink_to("f")
        builds.give(builds.context)
    made = _same(single, as_root, "FROM busybox AS one\n" + _PEOPLE + """USER app
WORKDIR /home/app/w
RUN touch mine && ln -s mine link
COPY --chown=app:wheel f d link /srv/
COPY --chown=7:8 <<x /srv/
text
x
FROM busybox
COPY --from=one / /
COPY --from=one --chown=9 /home /home2
RUN --mount=type=cache,target=/c,uid=5,mode=0700 --mount=type=tmpfs,target=/t test "$(stat -c %u:%a /c)" = 5:700
""", "--network", "none")
    whole = {path: entry for layer in made for path, entry in layer.items()}
    assert whole["home/app/w/mine"][2:4] == whole["home/app/w/link"][2:4] == (1000, 1000)
    assert whole["srv/f"][2:4] == (1000, 10) and whole["home2/app/w/link"][2:4] == (9, 9)


def test_a_device_is_in_the_layer_as_roots_is(single: Builds) -> None:
    """(Root of a sandbox may not make any under a file system without devices: it only has the node.)"""
    single.ok("FROM busybox\nRUN mknod /null c 1 3 && mknod -m 640 /disk b 8 1 && chown :6 /disk\nFROM busybox\nCOPY --from=0 /null /disk /dev2/\n", "--network", "none")
    archive = single.context.parent / "it.tar"
    single.tool.pybuild("save", "-o", str(archive), "it")
    last = layers(archive)[-1]
    assert last["dev2/null"][0] == tarfile.CHRTYPE and last["dev2/null"][4:6] == (1, 3)
    assert last["dev2/disk"][0] == tarfile.BLKTYPE and last["dev2/disk"][1:4] == ("0o640", 0, 6)


def test_steps_beside_each_other_have_supervisors_of_their_own(single: Builds) -> None:
    stages = "".join(f"FROM busybox AS s{n}\nRUN --network=none touch /{n} && chown {n + 5} /{n} && for i in 1 2 3 4 5 6 7 8 9; do stat /{n} > /dev/null; done\n"
                     for n in range(4))
    single.ok(stages + "FROM busybox\n" + "".join(f"COPY --from=s{n} /{n} /\n" for n in range(4)))
    assert single.says("stat -c %u /0 /1 /2 /3").split() == ["5", "6", "7", "8"]


def test_a_failed_step_says_why(single: Builds) -> None:
    done = single.build("FROM busybox\nRUN --network=none chown nobody-of-that-name /etc\n")
    assert done.status == 1 and "Traceback" not in done.err and "status 1" in done.err


@pytest.mark.slow
def test_packages_of_debian_have_the_owners_of_a_root_build(single: Builds, as_root: Builds, tmp_path: Path) -> None:
    """openssh-server, cron, redis, and postgresql with its initdb: needs a mirror, and mmdebstrap's image in /var/tmp/pybuild-bench."""
    image = Path("/var/tmp/pybuild-bench/images/debian.tar")
    if not image.exists():
        pytest.skip("there is no Debian image: `bench/images.py` makes one")
    if os.system("getent hosts deb.debian.org > /dev/null"):
        pytest.skip("there is no mirror of Debian to be reached")
    for builds in (single, as_root):
        builds.tool.pybuild("load", "-i", str(image))
        builds.write(sources="".join(f"deb http://deb.debian.org/{part} main\n" for part in (
            "debian bookworm", "debian bookworm-updates", "debian-security bookworm-security")))
    made = _same(single, as_root, """FROM debian:bookworm
COPY sources /etc/apt/sources.list
ENV DEBIAN_FRONTEND=noninteractive
RUN apt-get update -qq -o Acquire::Check-Valid-Until=false && apt-get install -qq -y --no-install-recommends openssh-server cron redis > /dev/null
RUN apt-get install -qq -y --no-install-recommends postgresql > /dev/null
""", "--network", "host")
    cluster = [path for path in made[-1] if re.match("var/lib/postgresql/[0-9]+/main/", path)]
    assert len(cluster) > 500 and {made[-1][path][2] for path in cluster} != {0}
