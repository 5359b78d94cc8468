"""Caches in registries: what goes wrong on the way, and whole builds on machines that share a real registry and nothing else."""

import random
import re
from collections.abc import Iterator

import pytest

from builder.cache.depot import blob, verified
from builder.cache.errors import BlobGone, CacheError
from builder.cache.registry import RegistryDepot
from builder.errors import BuildError
from store.config import Config
from store.digest import Digest
from store.oci import Descriptor
from store.registry.patience import Patience
from store.registry.session import Session
from tests.builder.cache.conftest import Machines, cached, fetched, image, ran, sent
from tests.store.registry.fake import FakeRegistry
from tests.tool import Done


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with FakeRegistry() as running:
        yield running


def depot(registry: FakeRegistry, name: str = "team/cache") -> RegistryDepot:
    patience = Patience(attempts=3, pause=0.0, connect=5, idle=5)
    return RegistryDepot(f"{registry.host}/{name}:main", lambda: Session(Config(), {"HOME": "/nonexistent"}, patience=patience, directories=(), sleep=lambda s: None))


def stored(registry: FakeRegistry, data: bytes) -> Descriptor:
    return Descriptor("application/octet-stream", Digest(registry.put_blob("team/cache", data)), len(data))


DATA = random.Random(4).randbytes(3_000_000)


def test_a_download_that_breaks_off_goes_on_where_it_ended(registry: FakeRegistry) -> None:
    descriptor = stored(registry, DATA)
    registry.breaks("/blobs/", 1_000_000)
    assert b"".join(verified(depot(registry), descriptor)) == DATA
    assert [a.headers.get("Range") for a in registry.asked("GET", "/blobs/")][-1] == "bytes=1000000-"


def test_a_busy_registry_is_asked_again(registry: FakeRegistry) -> None:
    descriptor = stored(registry, b"x")
    registry.says("GET", "/blobs/", 503, times=2)
    assert blob(depot(registry), descriptor, 10) == b"x"


def test_a_registry_that_stays_broken_is_one_error(registry: FakeRegistry) -> None:
    registry.says("GET", "/manifests/", 500, times=99)
    with pytest.raises(CacheError, match="cannot be reached"):
        depot(registry).load()


def test_other_bytes_are_noticed(registry: FakeRegistry) -> None:
    descriptor = stored(registry, b"right")
    registry.blobs["team/cache"][descriptor.digest] = b"wrong"
    with pytest.raises(BlobGone, match="not what it was"):
        blob(depot(registry), descriptor, 10)


def test_a_blob_of_another_repository_is_mounted(registry: FakeRegistry) -> None:
    descriptor = stored(registry, b"x")
    there = depot(registry, "other/place")
    assert there.take(descriptor, depot(registry)) and there.has(descriptor)
    assert registry.asked("GET", "/blobs/") == []


def test_a_name_that_is_none_is_one_clear_error() -> None:
    with pytest.raises(BuildError, match="no image name"):
        RegistryDepot("UPPER CASE", lambda: Session(Config()))


# ---------------------------------------------------------------- whole builds
PACKAGES = """FROM busybox
COPY lock /lock
RUN --mount=type=cache,id=packages,target=/cache if [ -e /cache/$(cat /lock) ]; then echo nothing to download; else echo downloading; \
  for i in $(seq 100); do head -c 300000 /dev/urandom > /cache/package$i; done; touch /cache/$(cat /lock); fi; cat /cache/package* | md5sum > /installed
COPY src /src
RUN --mount=type=cache,id=packages,target=/cache cat /src /installed > /built && date > /cache/log
"""


def printed(done: Done, line: str) -> bool:
    """Whether a step printed this line."""
    return re.search(rf"^#\d+ [\d.]+ {line}$", done.err, re.M) is not None


@pytest.mark.userns
def test_two_machines_share_a_registry(machines: Machines, docker_registry: str) -> None:
    """The proof: a changed source and the same lock file download nothing and run only what changed; what went up is less than 2 % of the cache."""
    name = f"{docker_registry}/proof/cache:main"
    to, source = f"--cache-to=type=registry,ref={name},mode=max,mounts=packages", f"--cache-from={name}"
    machines.write(lock="lock1", src="one")
    first = machines.new().ok(PACKAGES, to, source)
    assert printed(first, "downloading")
    machines.write(src="two")
    second = machines.new().ok(PACKAGES, to, source)
    assert cached(second) == ["COPY lock /lock", next(label for label in cached(second) if label.startswith("RUN"))]
    assert "restored the cache mount `packages`" in second.err and not printed(second, "downloading")
    assert sent(second) < 0.02 * sent(first)
    machines.write(lock="lock2")                         # the install step itself runs, and finds its packages
    third = machines.new().ok(PACKAGES.replace("$(cat /lock)", "lock1"), source)
    assert printed(third, "nothing to download")


@pytest.mark.userns
def test_a_cache_moves_to_another_repository_without_coming_here(machines: Machines, docker_registry: str) -> None:
    machines.write(src="one")
    dockerfile = "FROM busybox\nCOPY src /src\nRUN head -c 300000 /dev/urandom > /large\nRUN echo last\n"
    first, second = f"{docker_registry}/moves/one:c", f"{docker_registry}/moves/two:c"
    built = machines.new().ok(dockerfile, f"--cache-to=type=registry,ref={first},mode=max")
    passing = machines.new()
    done = passing.ok(dockerfile, f"--cache-from={first}", f"--cache-to=type=registry,ref={second},mode=max", "-o", "type=cacheonly")
    assert fetched(passing) == 0 and sent(done) < 0.1
    last = machines.new().ok(dockerfile, f"--cache-from={second}")
    assert ran(last) == [] and image(last) == image(built)
