"""Caches between machines, as a user sees them: real builds in root directories that share nothing else."""

import json
import os
import shutil
from pathlib import Path

import pytest

from tests.builder.cache.conftest import Machines, cached, fetched, image, ran
from tests.users import User

pytestmark = pytest.mark.userns

STAGES = """FROM busybox AS deps
COPY lock /lock
RUN cp /lock /installed && head -c 200000 /dev/zero > /large
FROM deps AS build
COPY src /src
RUN cat /src /installed > /out
FROM busybox
WORKDIR /app
COPY --from=build /out /app/
RUN wc -c < /app/out > /app/size
"""


def local(machines: Machines, mode: str = "max") -> tuple[str, str]:
    """(--cache-to, --cache-from) of a directory."""
    place = machines.context.parent / "cache"
    return f"--cache-to=type=local,dest={place},mode={mode}", f"--cache-from=type=local,src={place}"


def blobs(machines: Machines) -> dict[str, Path]:
    """Blobs of the cache by their media type (of layers: the last one of that type)."""
    place = machines.context.parent / "cache"
    index = json.loads((place / "index.json").read_text())
    manifest = json.loads((place / "blobs/sha256" / index["manifests"][0]["digest"][7:]).read_text())
    return {d["mediaType"]: place / "blobs/sha256" / d["digest"][7:] for d in (manifest["config"], *manifest["layers"])}


def test_second_machine_runs_nothing_and_has_the_same_image(machines: Machines) -> None:
    machines.write(lock="1", src="one")
    to, source = local(machines)
    first = machines.new().ok(STAGES, to)
    second = machines.new().ok(STAGES, source)
    assert ran(second) == [] and image(second) == image(first)


@pytest.mark.parametrize("mode", ["min", "max"])
def test_only_layers_of_the_image_are_fetched_when_everything_hits(machines: Machines, mode: str) -> None:
    machines.write(lock="1", src="one")
    to, source = local(machines, mode)
    machines.new().ok(STAGES, to)
    second = machines.new()
    second.ok(STAGES, source)
    assert fetched(second) == 3
    assert second.says("cat /app/out /app/size") == "one14"


def test_nothing_is_fetched_when_nobody_wants_the_image(machines: Machines) -> None:
    machines.write(lock="1", src="one")
    to, source = local(machines)
    machines.new().ok(STAGES, to)
    second = machines.new()
    before = second.snapshots()
    done = second.ok(STAGES, source, "-o", "type=cacheonly")
    assert ran(done) == [] and fetched(second) == 0 and second.snapshots() == before


def test_a_changed_source_runs_what_depends_on_it_and_fetches_what_that_reads(machines: Machines) -> None:
    machines.write(lock="1", src="one")
    to, source = local(machines)
    machines.new().ok(STAGES, to)
    machines.write(src="two")
    second = machines.new()
    done = second.ok(STAGES, source)
    assert cached(done) == ["COPY lock /lock", "RUN cp /lock /installed && head -c 200000 /dev/zero > /large", "WORKDIR /app"]
    assert fetched(second) == 3
    assert second.says("cat /app/out") == "two1"


def test_mode_min_has_records_of_other_stages_and_not_their_files(machines: Machines) -> None:
    machines.write(lock="1", src="one")
    to, source = local(machines, "min")
    machines.new().ok(STAGES, to)
    machines.write(src="two")
    second = machines.new()
    done = second.ok(STAGES, source)
    assert cached(done) == ["WORKDIR /app"]
    assert second.says("cat /app/out") == "two1"


def test_a_step_that_yields_what_it_yielded_elsewhere_leaves_later_ones_cached(machines: Machines) -> None:
    machines.write(lock="1", src="some words here")
    dockerfile = "FROM busybox\nCOPY src /tmp/\nRUN wc -w < /tmp/src > /count && rm /tmp/src\nRUN echo later\nRUN echo last\n"
    to, source = local(machines)
    machines.new().ok(dockerfile, to)
    done = machines.new().ok(dockerfile.replace("RUN wc", "RUN : a comment; wc"), source)
    assert cached(done) == ["COPY src /tmp/", "RUN echo later", "RUN echo last"]


def test_a_miss_is_explained_by_what_another_machine_built(machines: Machines) -> None:
    machines.write(lock="1", src="one")
    to, source = local(machines)
    machines.new().ok(STAGES, to)
    machines.write(src="two")
    done = machines.new().ok(STAGES, source, "--explain")
    assert "MISS: src content changed" in done.err
    assert "MISS: out content changed" in done.err


def test_a_cache_that_is_not_there_yet_is_a_warning(machines: Machines) -> None:
    machines.write(lock="1", src="one")
    done = machines.new().ok(STAGES, local(machines)[1])
    assert f"there is no cache at `{machines.context.parent}/cache` yet" in done.err


def test_a_damaged_layer_makes_its_step_run(machines: Machines) -> None:
    machines.write(lock="1", src="one")
    to, source = local(machines)
    machines.new().ok(STAGES, to)
    for path in (machines.context.parent / "cache/blobs/sha256").iterdir():
        data = path.read_bytes()
        if data[:2] == b"\x1f\x8b":                      # every layer of it
            path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    second = machines.new()
    done = second.ok(STAGES, source)
    assert "the build goes on without a cached result: the layer `sha256:" in done.err and done.err.count("goes on") <= 2
    assert second.says("cat /app/out") == "one1"


def test_a_record_that_lies_about_its_layer_makes_its_step_run(machines: Machines) -> None:
    """Its tree is another step's: the diff ID fits the blob, and the blob is not what the record says."""
    machines.write(lock="1", src="one")
    dockerfile = "FROM busybox\nRUN echo a > /a\nRUN echo b > /b\n"
    to, source = local(machines)
    machines.new().ok(dockerfile, to)
    place = machines.context.parent / "cache"
    found = blobs(machines)
    config_path = found["application/vnd.pybuild.cache.config.v1+json"]
    config = json.loads(config_path.read_text())
    config["records"][0]["diff_id"], config["records"][1]["diff_id"] = config["records"][1]["diff_id"], config["records"][0]["diff_id"]
    _replace(place, config_path, json.dumps(config).encode())
    second = machines.new()
    done = second.ok(dockerfile, source)
    assert "the build goes on without a cached result" in done.err
    assert second.says("cat /a /b") == "a\nb"


def _replace(place: Path, old: Path, data: bytes) -> None:
    """Put another config into a cache, with all digests as they have to be."""
    from store.digest import digest_of

    index = json.loads((place / "index.json").read_text())
    path = place / "blobs/sha256" / index["manifests"][0]["digest"][7:]
    manifest = json.loads(path.read_text())
    manifest["config"].update(digest=digest_of(data), size=len(data))
    (place / "blobs/sha256" / digest_of(data)[7:]).write_bytes(data)
    raw = json.dumps(manifest).encode()
    (place / "blobs/sha256" / digest_of(raw)[7:]).write_bytes(raw)
    index["manifests"][0].update(digest=digest_of(raw), size=len(raw))
    (place / "index.json").write_text(json.dumps(index))


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schemaVersion": 2}', "\0" * 100])
def test_a_hostile_index_is_a_warning_and_no_cache(machines: Machines, text: str) -> None:
    machines.write(lock="1", src="one")
    to, source = local(machines)
    machines.new().ok("FROM busybox\nRUN echo a > /a\n", to)
    (machines.context.parent / "cache/index.json").write_text(text)
    done = machines.new().ok("FROM busybox\nRUN echo a > /a\n", source)
    assert "warning:" in done.err and ran(done) == ["RUN echo a > /a"]


def test_inline_cache_travels_in_the_image(machines: Machines) -> None:
    machines.write(lock="1", src="one")
    place = machines.context.parent / "layout"
    first = machines.new().ok(STAGES, "--cache-to=type=inline", "-o", f"type=oci,tar=false,dest={place},name=it")
    index = json.loads((place / "index.json").read_text())
    tag = index["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"]
    second = machines.new()
    done = second.ok(STAGES, f"--cache-from=type=local,src={place},tag={tag}", "--cache-to=type=inline")
    assert ran(done) == [] and image(done) == image(first)


def test_inline_cache_by_build_arg_as_docker_has_it(machines: Machines) -> None:
    machines.write(lock="1", src="one")
    machine = machines.new()
    machine.ok("FROM busybox\nRUN echo a > /a\n", "--build-arg", "BUILDKIT_INLINE_CACHE=1")
    plain = machine.ok("FROM busybox\nRUN echo a > /a\n")
    again = machine.ok("FROM busybox\nRUN echo a > /a\n", "--build-arg", "BUILDKIT_INLINE_CACHE=1")
    assert image(plain) != image(again)


def test_a_cache_that_cannot_be_written_fails_the_build_after_the_image_is_there(machines: Machines) -> None:
    machine = machines.new()
    (machines.context.parent / "cache").write_text("a file is in the way")
    done = machine.build("FROM busybox\nRUN echo a > /a\n", local(machines)[0])
    assert done.status == 1 and "error: the cache is not written" in done.err and "ignore-error=true" in done.err
    assert machine.says("cat /a") == "a"


def test_a_cache_that_cannot_be_written_is_ignored_on_request(machines: Machines) -> None:
    (machines.context.parent / "cache").write_text("a file is in the way")
    done = machines.new().ok("FROM busybox\nRUN echo a > /a\n", local(machines)[0] + ",ignore-error=true")
    assert "warning: the cache is not written" in done.err


def test_what_is_not_used_any_more_is_removed_from_a_directory(machines: Machines) -> None:
    machine = machines.new()
    to, _ = local(machines)
    machine.ok("FROM busybox\nRUN head -c 100000 /dev/urandom > /a\n", to)
    directory = machines.context.parent / "cache/blobs/sha256"
    old = set(directory.iterdir())
    for path in old:
        os.utime(path, (1, 1))
    machine.ok("FROM busybox\nRUN head -c 100000 /dev/urandom > /b\n", to)
    assert not old & set(directory.iterdir())


def test_copy_link_is_a_hit_on_another_base(machines: Machines) -> None:
    machines.write(src="one")
    to, source = local(machines)
    machines.new().ok("FROM busybox\nRUN echo 1 > /base\nCOPY --link src /src\n", to)
    second = machines.new()
    done = second.ok("FROM busybox\nRUN echo 2 > /base\nCOPY --link src /src\n", source)
    assert cached(done) == ["COPY --link src /src"]
    assert second.says("cat /base /src") == "2\none"


def test_fully_cached_build_still_writes_the_cache(machines: Machines) -> None:
    machine = machines.new()
    machine.ok("FROM busybox\nRUN echo a > /a\n")
    to, source = local(machines)
    machine.ok("FROM busybox\nRUN echo a > /a\n", to)
    assert ran(machines.new().ok("FROM busybox\nRUN echo a > /a\n", source)) == []


OWNERS = """FROM busybox
RUN mkdir /d && touch /d/f && chown 12:34 /d/f && ln /d/f /d/g && rm /bin/wget && mkfifo /d/p
RUN --mount=type=cache,id=m,target=/m echo kept > /m/f && rm -r /d/p
"""


@pytest.mark.parametrize("first", ["root", "user"])
def test_root_and_an_ordinary_user_share_a_cache(machines: Machines, unprivileged: User, first: str) -> None:
    """Layers and cache mounts carry owners and deletions, however each store keeps them."""
    place = unprivileged.directory(unprivileged.home / f"shared-{first}-{os.getpid()}")
    to, source = f"--cache-to=type=local,dest={place},mode=max,mounts=m", f"--cache-from=type=local,src={place}"
    root, user = machines.new(), machines.of_user(unprivileged)
    one, two = (root, user) if first == "root" else (user, root)
    built = one.ok(OWNERS, to)
    done = two.ok(OWNERS, source)
    assert ran(done) == [] and image(done) == image(built)
    again = two.ok(OWNERS.replace("echo kept", "cat /m/f && echo kept"), source)
    assert "restored the cache mount `m`" in again.err and "kept" in again.err
    assert two.says("stat -c %h /d/f; ls -d /bin/wget /d/p 2>/dev/null; true") == "2"
    if two is root:                                      # an ordinary user's store tells owners by attributes, which a RUN does not see
        assert two.says("stat -c %u:%g /d/f") == "12:34"
    shutil.rmtree(place)
