"""Documents of image spec and docker: read in every spelling that occurs, written always the same."""

import json

import pytest

from store.digest import Digest, digest_of
from store.errors import InvalidImage, InvalidPlatform
from store.oci import (
    DOCKER_MANIFEST,
    OCI_INDEX,
    OCI_MANIFEST,
    ContainerConfig,
    Descriptor,
    Healthcheck,
    HistoryEntry,
    ImageConfig,
    Index,
    Manifest,
    Platform,
    RootFS,
    compression_of,
    from_json,
    layer_media_type,
    parse_manifest,
    to_json,
)
from store.platform import choose, local_platform, parse_platform

DIGEST = digest_of(b"x")
CONFIG = ImageConfig(
    architecture="arm64", os="linux", variant="v8", created="2026-01-01T00:00:00Z", author="a",
    config=ContainerConfig(user="u", exposed_ports={"80/tcp": {}}, env=("A=ä",), entrypoint=("/e",), cmd=("c",), volumes={"/v": {}}, working_dir="/w",
                           labels={"l": "1"}, stop_signal="SIGTERM", args_escaped=True, shell=("/bin/sh", "-c"), on_build=("RUN x",),
                           healthcheck=Healthcheck(("CMD", "x"), interval=30_000_000_000, retries=3)),
    history=(HistoryEntry("2026-01-01T00:00:00Z", "RUN x", "", "buildkit.dockerfile.v0"), HistoryEntry(created_by="ENV", empty_layer=True)),
    rootfs=RootFS((DIGEST,)))


def test_config_there_and_back() -> None:
    assert from_json(ImageConfig, to_json(CONFIG), "x") == CONFIG


def test_config_has_the_keys_of_the_spec() -> None:
    document = json.loads(to_json(CONFIG))
    assert document["config"] == {
        "User": "u", "ExposedPorts": {"80/tcp": {}}, "Env": ["A=ä"], "Cmd": ["c"], "Healthcheck": {"Test": ["CMD", "x"], "Interval": 30_000_000_000, "Retries": 3},
        "ArgsEscaped": True, "Volumes": {"/v": {}}, "WorkingDir": "/w", "Entrypoint": ["/e"], "OnBuild": ["RUN x"], "Labels": {"l": "1"},
        "StopSignal": "SIGTERM", "Shell": ["/bin/sh", "-c"]}
    assert document["rootfs"] == {"type": "layers", "diff_ids": [DIGEST]}
    assert document["history"][1] == {"created_by": "ENV", "empty_layer": True}


def test_config_with_nulls_is_read_as_empty() -> None:
    config = from_json(ImageConfig, b'{"author":null,"os":"linux","config":{"Cmd":null,"User":null,"Labels":null},"history":null,"rootfs":{"diff_ids":null}}', "x")
    assert (config.author, config.os, config.diff_ids, config.config) == ("", "linux", (), ContainerConfig())


def test_manifest_there_and_back() -> None:
    manifest = Manifest(schema_version=2, media_type=OCI_MANIFEST, config=Descriptor("c", DIGEST, 1), annotations={"a": "b"},
                        layers=(Descriptor("l", DIGEST, 2, urls=("https://x",)),))
    assert parse_manifest(to_json(manifest), "x", OCI_MANIFEST) == manifest
    assert list(json.loads(to_json(manifest))) == ["schemaVersion", "mediaType", "config", "layers", "annotations"]


def test_index_there_and_back() -> None:
    index = Index(schema_version=2, media_type=OCI_INDEX, manifests=(
        Descriptor(OCI_MANIFEST, DIGEST, 1, platform=Platform("arm", "linux", "10.0", ("f",), "v7")),))
    assert parse_manifest(to_json(index), "x") == index
    assert json.loads(to_json(index))["manifests"][0]["platform"] == {
        "architecture": "arm", "os": "linux", "os.version": "10.0", "os.features": ["f"], "variant": "v7"}


@pytest.mark.parametrize(("document", "sent_as", "why"), [
    ({"schemaVersion": 2, "layers": [], "manifests": [], "config": {}}, "", "either"),
    ({"schemaVersion": 2, "mediaType": OCI_INDEX, "layers": [], "config": {}}, OCI_MANIFEST, "was sent as"),
    ({"schemaVersion": 2, "layers": [], "config": {}}, OCI_INDEX, "not what"),
    ({"schemaVersion": 2, "manifests": []}, DOCKER_MANIFEST, "not what"),
    ({"schemaVersion": 1, "fsLayers": []}, "", "schema 1"),
    ({"schemaVersion": 3, "manifests": []}, "", "is 3"),
    ({"layers": []}, "", "is 0"),
    ({"schemaVersion": 2, "config": {"mediaType": "x", "digest": "sha256:../../x", "size": 1}, "layers": []}, "", "no sha256 digest"),
    ({"schemaVersion": 2, "config": {"mediaType": "x", "digest": DIGEST, "size": -1}, "layers": []}, "", "negative"),
    ({"schemaVersion": 2, "config": {"mediaType": "x", "digest": DIGEST, "size": "1"}, "layers": []}, "", "int"),
    ({"schemaVersion": 2}, "", "config"),
    ([], "", "array"),
])
def test_manifest_that_is_none_says_why(document: object, sent_as: str, why: str) -> None:
    with pytest.raises(InvalidImage, match=why) as caught:
        parse_manifest(json.dumps(document).encode(), "the manifest", sent_as)
    assert "\n" not in str(caught.value)


def test_manifest_that_is_too_large_is_refused() -> None:
    with pytest.raises(InvalidImage, match="more than"):
        parse_manifest(b" " * (5 << 20), "x")


@pytest.mark.parametrize("data", [b"", b"\xff", b"[" * 100_000, b'{"a":' * 100_000, b"nul"])
def test_json_that_is_none_is_one_clear_error(data: bytes) -> None:
    for read in (lambda: parse_manifest(data, "x"), lambda: from_json(ImageConfig, data, "x")):
        with pytest.raises(InvalidImage) as caught:
            read()
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("compression", ["uncompressed", "gzip", "zstd"])
@pytest.mark.parametrize("docker", [True, False])
def test_media_type_of_a_layer_tells_its_compression(compression: str, docker: bool) -> None:
    assert compression_of(layer_media_type(compression, docker)) == compression


def test_media_type_of_no_layer() -> None:
    assert compression_of("application/vnd.in-toto+json") == ""


@pytest.mark.parametrize(("text", "platform"), [
    ("linux/amd64", "linux/amd64"), ("amd64", "linux/amd64"), ("x86_64", "linux/amd64"), ("linux/arm64/v8", "linux/arm64"), ("aarch64", "linux/arm64"),
    ("linux/arm/v6", "linux/arm/v6"), ("armhf", "linux/arm/v7"), ("Linux/AMD64", "linux/amd64"), ("windows/amd64", "windows/amd64")])
def test_platform_as_text(text: str, platform: str) -> None:
    assert str(parse_platform(text)) == platform


@pytest.mark.parametrize("text", ["", "a/b/c/d", "linux/", "/amd64", "linux /amd64"])
def test_platform_that_is_none(text: str) -> None:
    with pytest.raises(InvalidPlatform):
        parse_platform(text)


def test_platform_of_this_machine_is_one() -> None:
    assert parse_platform(str(local_platform())) == local_platform()


def manifest(platform: "str | None") -> Descriptor:
    return Descriptor(OCI_MANIFEST, Digest(digest_of(str(platform).encode())), 1, platform=parse_platform(platform) if platform else None)


@pytest.mark.parametrize(("have", "wanted", "chosen"), [
    (["linux/arm64", "linux/amd64"], "linux/amd64", "linux/amd64"), (["linux/arm/v5", "linux/arm/v6"], "linux/arm/v7", "linux/arm/v6"),
    (["linux/arm/v7"], "linux/arm/v6", None), (["linux/arm64"], "linux/arm64/v8", "linux/arm64"), ([None, "linux/amd64"], "linux/amd64", "linux/amd64"),
    ([None], "linux/amd64", None), (["windows/amd64"], "linux/amd64", None)])
def test_choose_a_manifest(have: "list[str | None]", wanted: str, chosen: "str | None") -> None:
    found = choose([manifest(p) for p in have], parse_platform(wanted))
    assert found == (manifest(chosen) if chosen or have == [None] else None)
