"""SOURCE_DATE_EPOCH: what is younger is recorded as being as old as it says."""

import tarfile
from pathlib import Path

import pytest

from tests.pybuild.small import build, small_context

pytestmark = pytest.mark.userns
STAGES = """\
FROM scratch AS made
COPY busybox /bin/sh
RUN echo text >/file
FROM scratch
COPY --from=made /file /copy
"""


def test_what_a_stage_has_made_can_be_copied(tmp_path: Path) -> None:
    """Its files are younger on the disk than in its layer."""
    done = build(tmp_path / "root", small_context(tmp_path / "context", STAGES), "--network=none", "-o", f"type=tar,dest={tmp_path}/out.tar")
    assert done.returncode == 0, done.stderr
    with tarfile.open(tmp_path / "out.tar") as archive:
        assert [(one.name.strip("./"), one.mtime) for one in archive if one.isreg()] == [("copy", 1000000000)]
