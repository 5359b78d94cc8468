"""The cache as a document: what is written can be read, and nothing else can."""

import json

import pytest

from builder.cache.document import CONFIG, CONFIG_LIMIT, Config, Record, layer_descriptor, parse_config, parse_document, read, write
from builder.cache.errors import InvalidCache
from builder.cache.inline import embed, extract
from store.digest import Digest, digest_of
from store.oci import OCI_LAYER, Descriptor, ImageConfig, Manifest, RootFS, to_json


def name(text: str) -> Digest:
    return digest_of(text.encode())


def record(text: str) -> Record:
    return Record(name(f"key {text}"), name("op"), name(f"result {text}"), name(f"tree {text}"), name(f"diff {text}"), 7, "2026-11-24T07:00:00Z", 1, 2, "RUN x")


CONTENT = Config((record("a"), record("b")), memos={name("m"): name("c")})
BLOB = layer_descriptor(f"{OCI_LAYER}+gzip", name("blob"), 12, name("diff a"))


def test_what_is_written_is_read() -> None:
    manifest, config = write(CONTENT, (BLOB,))
    found = read(parse_document(manifest, "it"), lambda descriptor, limit: config, "it")
    assert found.config == CONTENT and found.layers == {name("diff a"): BLOB}


def test_the_same_cache_is_the_same_document() -> None:
    assert write(CONTENT, (BLOB,)) == write(Config(CONTENT.records, memos=dict(CONTENT.memos)), (BLOB,))


def broken(**fields: object) -> bytes:
    document = json.loads(to_json(CONTENT))
    document["records"][0].update(fields)
    return json.dumps(document).encode()


@pytest.mark.parametrize("data", [
    b"", b"{}", b"[", b"\xff", b'{"records": 1}', b'{"records": [], "version": 2}', b"[" * 10000,
    broken(key="sha256:../../etc/passwd"), broken(diff_id=""), broken(tree="x"), broken(size=-1), broken(created="\x1b[31m"), broken(label="x" * 1000),
    broken(size=1 << 70), json.dumps({"records": [], "memos": {"a": "b"}}).encode(),
    json.dumps({"records": [], "mounts": [{"name": "../x", "id": "x", "index": {"mediaType": "x", "digest": name("x"), "size": 1}}]}).encode()])
def test_a_damaged_or_hostile_config_is_no_cache(data: bytes) -> None:
    with pytest.raises(InvalidCache):
        parse_config(data, "it")


def test_a_config_that_is_too_large_is_not_parsed() -> None:
    with pytest.raises(InvalidCache, match="more than"):
        parse_config(b" " * (CONFIG_LIMIT + 1), "it")


def test_blobs_that_are_no_layers_are_not_taken_for_some() -> None:
    blob = Descriptor("application/octet-stream", name("blob"), 1, annotations=BLOB.annotations)
    manifest, config = write(CONTENT, (blob,))
    assert not read(parse_document(manifest, "it"), lambda descriptor, limit: config, "it").layers


def test_another_tools_cache_is_none_of_ours() -> None:
    manifest = Manifest(schema_version=2, config=Descriptor("application/vnd.buildkit.cacheconfig.v0", name("x"), 1), layers=())
    with pytest.raises(InvalidCache, match="no cache of pybuild"):
        read(manifest, lambda descriptor, limit: b"", "it")


# ---------------------------------------------------------------- inline
def image(cache: Config | None) -> tuple[Manifest, bytes]:
    config = to_json(ImageConfig(architecture="amd64", os="linux", rootfs=RootFS((name("diff a"),))))
    config = embed(config, cache) if cache else config
    layer = Descriptor(f"{OCI_LAYER}+gzip", name("blob"), 12)
    return Manifest(schema_version=2, config=Descriptor("application/vnd.oci.image.config.v1+json", digest_of(config), len(config)), layers=(layer,)), config


def test_inline_cache_comes_out_as_it_went_in() -> None:
    found = extract(*image(CONTENT), "it")
    assert found is not None and found.config == CONTENT and found.layers[name("diff a")].digest == name("blob")


def test_config_with_a_cache_is_still_an_image_config() -> None:
    _, config = image(CONTENT)
    assert json.loads(config)["architecture"] == "amd64"


def test_image_without_a_cache_has_none() -> None:
    assert extract(*image(None), "it") is None


@pytest.mark.parametrize("packed", ["!", "AAAA", "eJw", "eJyrrgUAAXUA+Q=="])
def test_hostile_inline_cache(packed: str) -> None:
    manifest, config = image(None)
    with pytest.raises(InvalidCache):
        extract(manifest, config[:-1] + f',"pybuild.cache.v1":"{packed}"}}'.encode(), "it")


def test_inline_cache_that_unpacks_to_too_much() -> None:
    import zlib
    from base64 import b64encode

    manifest, config = image(None)
    bomb = b64encode(zlib.compress(b" " * (CONFIG_LIMIT + 10), 9)).decode()
    with pytest.raises(InvalidCache, match="more than"):
        extract(manifest, config[:-1] + f',"pybuild.cache.v1":"{bomb}"}}'.encode(), "it")


def test_media_type_of_the_config_is_the_documented_one() -> None:
    assert CONFIG == "application/vnd.pybuild.cache.config.v1+json"
