"""Cache mounts of steps that run at once: nobody waits for somebody who waits."""

from pathlib import Path

import pytest

from tests.pybuild.small import build, small_context

pytestmark = pytest.mark.userns
CIRCLE = """\
FROM scratch AS base
COPY busybox /bin/sh
COPY busybox /bin/busybox
FROM base AS x
RUN --mount=type=cache,id=a,SHARING,target=/1 --mount=type=cache,id=b,SHARING,target=/2 busybox sleep 0.1; echo x >/x
FROM base AS y
RUN --mount=type=cache,id=b,SHARING,target=/1 --mount=type=cache,id=a,SHARING,target=/2 busybox sleep 0.1; echo y >/y
FROM base
COPY --from=x /x /
COPY --from=y /y /
"""
TWICE = """\
FROM scratch
COPY busybox /bin/sh
RUN --mount=type=cache,id=a,sharing=locked,target=/1 --mount=type=cache,id=a,sharing=locked,target=/2 echo x >/1/x && test -s /2/x
"""


@pytest.mark.parametrize("sharing", ["shared", "locked", "private"])
def test_steps_that_name_the_same_caches_in_another_order(tmp_path: Path, sharing: str) -> None:
    context = small_context(tmp_path / "context", CIRCLE.replace("SHARING", f"sharing={sharing}"))
    for _ in range(3):
        done = build(tmp_path / "root", context, "--network=none", "--no-cache", before=("timeout", "60"))
        assert done.returncode == 0, done.stderr


def test_a_step_does_not_wait_for_a_cache_that_it_has(tmp_path: Path) -> None:
    done = build(tmp_path / "root", small_context(tmp_path / "context", TWICE), "--network=none", before=("timeout", "60"))
    assert done.returncode == 0, done.stderr
