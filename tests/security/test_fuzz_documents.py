"""Fuzzed manifests, indexes, configs and archives of images: each is taken or refused with one line, whatever it says. PYBUILD_LONG=1 for long runs.

What a long run has found is kept in `FOUND`.
"""

import io
import json
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kernel.value import Value
from pybuild.output.errors import message
from store.archive import load
from store.digest import digest_of
from store.errors import StoreError
from store.oci import OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST, ImageConfig, Manifest, from_json, parse_manifest, plain, to_json
from store.root import open_root
from store.store import Store

HEX = "0" * 64
DESCRIPTOR = {"mediaType": OCI_LAYER, "digest": f"sha256:{HEX}", "size": 7}
MANIFEST = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": {**DESCRIPTOR, "mediaType": OCI_CONFIG}, "layers": [DESCRIPTOR], "annotations": {"a": "b"}}
INDEX = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [{**DESCRIPTOR, "mediaType": OCI_MANIFEST, "annotations": {},
                                                                  "platform": {"architecture": "amd64", "os": "linux", "os.features": ["x"]}}]}
CONFIG = {"architecture": "amd64", "os": "linux", "created": "2020-01-01T00:00:00Z", "rootfs": {"type": "layers", "diff_ids": [f"sha256:{HEX}"]},
          "config": {"Env": ["A=b"], "Cmd": ["x"], "User": "0", "ExposedPorts": {"80/tcp": {}}, "Volumes": {"/v": {}}, "WorkingDir": "/", "Labels": {"a": "b"},
                     "StopSignal": "TERM", "StopTimeout": 1, "Healthcheck": {"Test": ["CMD", "x"], "Interval": 1}, "OnBuild": ["RUN x"]},
          "history": [{"created": "2020-01-01T00:00:00Z", "created_by": "x", "empty_layer": True}]}
DOCKER = [{"Config": "config.json", "RepoTags": ["a:b"], "Layers": ["layer.tar"]}]
EMPTY_TAR = bytes(10240)


class Raw(Value):
    """Bytes of a document that no JSON library writes."""

    data: bytes


HOSTILE = st.one_of(
    st.none(), st.booleans(), st.integers(), st.sampled_from([-1, 2**31, 2**63, 2**64, 10**400]), st.floats(), st.text(max_size=8), st.binary(max_size=4),
    st.sampled_from(["", "\0", "../../etc/passwd", "/etc/passwd", "a\nb", "\ud800", "\x1b[2J", "sha256:", f"sha256:{HEX}", f"sha512:{HEX}", f"sha256:{HEX.upper()}x",
                     "x" * 5000, OCI_MANIFEST, OCI_INDEX, "linux", "=", "a=\0"]),
    st.sampled_from([[], {}, [[]], {"a": {}}, [None], {"": None}]),
    st.integers(1, 3000).map(lambda depth: Raw(b"[" * depth + b"]" * depth)),
    st.integers(1, 3000).map(lambda depth: Raw(b'{"a":' * depth + b"1" + b"}" * depth)),
    st.sampled_from([Raw(b"1e999999"), Raw(b"-"), Raw(b"00"), Raw(b'"\\ud800"'), Raw(b'"\xff"'), Raw(b"NaN"), Raw(b"1" * 5000), Raw(b'"\\u0000"')]))


def paths(value: Any, above: "tuple[Any, ...]" = ()) -> "Iterator[tuple[Any, ...]]":
    """Where something can be put into `value`."""
    yield above
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from paths(item, (*above, key))


def changed(value: Any, path: "tuple[Any, ...]", new: Any) -> Any:
    if not path:
        return new
    first, *rest = path
    if isinstance(value, dict):
        return {**value, first: changed(value[first], tuple(rest), new)}
    return [changed(item, tuple(rest), new) if index == first else item for index, item in enumerate(value)]


def encode(value: Any, twice: int = -1) -> bytes:
    """JSON, with what is raw as it is. twice: of every object the member of that number is there two times, the second time as null."""
    if isinstance(value, Raw):
        return value.data
    if isinstance(value, dict):
        members = [encode(str(key), twice) + b":" + encode(item, twice) for key, item in value.items()]
        if 0 <= twice < len(members):
            members.append(encode(str(list(value)[twice])) + b":null")
        return b"{" + b",".join(members) + b"}"
    if isinstance(value, list):
        return b"[" + b",".join(encode(item, twice) for item in value) + b"]"
    if isinstance(value, bytes):
        return value
    return json.dumps(value, ensure_ascii=True).encode()


@st.composite
def documents(draw: st.DrawFn, base: Any) -> bytes:
    value = base
    for _ in range(draw(st.integers(1, 3))):
        places = list(paths(value))
        value = changed(value, places[draw(st.integers(0, len(places) - 1))], draw(HOSTILE))
    data = encode(value, draw(st.integers(-4, 3)))
    cut = draw(st.integers(0, 20))
    return data[:-cut] if cut > 17 else data


def one_line(error: StoreError) -> None:
    shown = message(error)
    assert shown and len(shown) < 9000 and shown.isprintable(), shown


def taken_or_refused(data: bytes) -> None:
    for read in (lambda: parse_manifest(data, "the manifest"), lambda: parse_manifest(data, "the index", OCI_INDEX),
                 lambda: from_json(ImageConfig, data, "the config"), lambda: plain(data, "the document")):
        try:
            value = read()
        except StoreError as error:
            one_line(error)
            continue
        if isinstance(value, Manifest | ImageConfig):
            assert type(value) is type(from_json(type(value), to_json(value), "what was read"))        # it can be written, and read again


@given(st.one_of(documents(MANIFEST), documents(INDEX), documents(CONFIG), documents(DOCKER), st.binary(max_size=64)))
def test_document(data: bytes) -> None:
    taken_or_refused(data)


FOUND: "list[bytes]" = []


@pytest.mark.parametrize("data", FOUND)
def test_document_that_was_found(data: bytes) -> None:
    taken_or_refused(data)


# ---------------------------------------------------------------- whole archives
@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    path = tmp_path_factory.mktemp("fuzz")
    with Store(open_root(str(path / "store"), str(path / "run"))) as opened:
        load(opened, "the.tar", archive(docker_archive(encode(DOCKER), encode(REAL))))      # what it opens once is open then
        yield opened


def archive(files: "dict[str, bytes]") -> int:
    """fd of a tar of them."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    fd = os.memfd_create("archive")
    os.write(fd, buffer.getvalue())
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def loaded_or_refused(store: Store, files: "dict[str, bytes]") -> None:
    before = len(os.listdir("/proc/self/fd"))
    try:
        for image in load(store, "the.tar", archive(files)):
            store.images.runtime(image.id)
            store.images.config(image.id)
    except StoreError as error:
        one_line(error)
    assert len(os.listdir("/proc/self/fd")) == before
    assert not [name for name in os.listdir(store.root.path) if name == "layer.tar"]


def docker_archive(manifest: bytes, config: bytes) -> "dict[str, bytes]":
    return {"manifest.json": manifest, "config.json": config, "layer.tar": EMPTY_TAR}


def layout(index: bytes, manifest: "bytes | None" = None, config: bytes = b"") -> "dict[str, bytes]":
    """With manifest and config at the digests that they have."""
    files = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}', "index.json": index, f"blobs/sha256/{digest_of(EMPTY_TAR)[7:]}": EMPTY_TAR}
    return files | {f"blobs/sha256/{digest_of(data)[7:]}": data for data in (manifest, config) if data is not None}


def descriptor(data: bytes, media_type: str) -> "dict[str, Any]":
    return {"mediaType": media_type, "digest": digest_of(data), "size": len(data), "annotations": {"io.containerd.image.name": "docker.io/library/a:b"}}


REAL = {**CONFIG, "rootfs": {"type": "layers", "diff_ids": [digest_of(EMPTY_TAR)]}}
SLOW = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large])


@SLOW
@given(manifest=documents(DOCKER))
def test_archive_of_docker_with_any_manifest(store: Store, manifest: bytes) -> None:
    loaded_or_refused(store, docker_archive(manifest, encode(REAL)))


@SLOW
@given(config=documents(REAL))
def test_archive_of_docker_with_any_config(store: Store, config: bytes) -> None:
    loaded_or_refused(store, docker_archive(encode(DOCKER), config))


@SLOW
@given(config=documents(REAL), data=st.data())
def test_layout_with_any_documents(store: Store, config: bytes, data: st.DataObject) -> None:
    base = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": descriptor(config, OCI_CONFIG),
            "layers": [descriptor(EMPTY_TAR, OCI_LAYER)]}
    manifest = data.draw(documents(base)) if data.draw(st.booleans()) else encode(base)
    index = {"schemaVersion": 2, "manifests": [descriptor(manifest, OCI_MANIFEST)]}
    loaded_or_refused(store, layout(data.draw(documents(index)) if data.draw(st.booleans()) else encode(index), manifest, config))


TOP = "a" * 64
LEGACY = {"id": TOP, "parent": "", "created": "2020-01-01T00:00:00Z", "config": CONFIG["config"], "container_config": {"Cmd": ["x"]}, "os": "linux",
          "architecture": "amd64", "author": "x", "comment": "y", "throwaway": True}


@SLOW
@given(repositories=st.one_of(st.just(encode({"a": {"b": TOP}})), documents({"a": {"b": TOP}})), layer=documents(LEGACY))
def test_archive_from_before_1_10_with_any_documents(store: Store, repositories: bytes, layer: bytes) -> None:
    loaded_or_refused(store, {"repositories": repositories, f"{TOP}/json": layer, f"{TOP}/layer.tar": EMPTY_TAR, f"{TOP}/VERSION": b"1.0"})


def test_the_unchanged_archives_are_taken(store: Store, tmp_path: Path) -> None:
    """Else the fuzzers above would only ever see one refusal."""
    config = encode(REAL)
    manifest = encode({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": descriptor(config, OCI_CONFIG), "layers": [descriptor(EMPTY_TAR, OCI_LAYER)]})
    index = encode({"schemaVersion": 2, "manifests": [descriptor(manifest, OCI_MANIFEST)]})
    legacy = {"repositories": encode({"a": {"b": TOP}}), f"{TOP}/json": encode({**LEGACY, "parent": None}), f"{TOP}/layer.tar": EMPTY_TAR}
    for files in (docker_archive(encode(DOCKER), config), layout(index, manifest, config), legacy):
        assert len(load(store, "the.tar", archive(files))) == 1
