"""Images of OCI layouts, as named contexts take them."""

import json
from pathlib import Path

import pytest

from builder.remote.errors import BadLayout
from builder.remote.layout import load_layout
from lang.platform import Platform
from store.digest import Digest, digest_of
from store.errors import DigestMismatch
from store.oci import OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST
from store.store import Store
from tests.builder.remote.test_download import tar_of


class Layout:
    """A layout in `path`, written by hand."""

    def __init__(self, path: Path) -> None:
        self.path = path
        (path / "blobs/sha256").mkdir(parents=True)
        (path / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        self.entries: list[dict[str, object]] = []
        self.write()

    def write(self) -> None:
        (self.path / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": self.entries}))

    def blob(self, data: bytes, kind: str) -> dict[str, object]:
        digest = digest_of(data)
        (self.path / "blobs/sha256" / digest.removeprefix("sha256:")).write_bytes(data)
        return {"mediaType": kind, "digest": str(digest), "size": len(data)}

    def manifest(self, text: str, architecture: str = "amd64") -> dict[str, object]:
        layer = tar_of(f=text)
        config = {"architecture": architecture, "os": "linux", "config": {"Env": [f"TEXT={text}"]}, "rootfs": {"type": "layers", "diff_ids": [digest_of(layer)]}}
        document = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": self.blob(json.dumps(config).encode(), OCI_CONFIG), "layers": [self.blob(layer, OCI_LAYER)]}
        return self.blob(json.dumps(document).encode(), OCI_MANIFEST)

    def add(self, descriptor: dict[str, object], tag: str = "") -> Digest:
        self.entries.append({**descriptor, **({"annotations": {"org.opencontainers.image.ref.name": tag}} if tag else {})})
        self.write()
        return Digest(str(descriptor["digest"]))


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "layout")


def text_of(store: Store, layout: Layout, end: str = "", platform: Platform | None = None) -> str:
    image = load_layout(store, f"oci-layout://{layout.path}{end}", platform)
    [path] = store.images.lowerdirs(image)
    text = (Path(path) / "f").read_text()
    assert store.images.runtime(image).env == (f"TEXT={text}",)
    return text


def test_only_image_needs_no_tag_and_gets_no_name(store: Store, layout: Layout) -> None:
    layout.add(layout.manifest("one"))
    assert text_of(store, layout) == "one"
    assert [record.names for record in store.images.list()] == [()]


def test_image_by_tag_by_digest_and_the_latest(store: Store, layout: Layout) -> None:
    layout.add(layout.manifest("one"), "v1")
    second = layout.add(layout.manifest("two"), "docker.io/library/x:latest")
    assert [text_of(store, layout, end) for end in (":v1", f"@{second}", "")] == ["one", "two", "two"]


def test_image_for_the_platform_out_of_an_index(store: Store, layout: Layout) -> None:
    manifests = [{**layout.manifest(name, name), "platform": {"os": "linux", "architecture": name}} for name in ("amd64", "arm64")]
    layout.add(layout.blob(json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests}).encode(), OCI_INDEX), "v1")
    assert text_of(store, layout, ":v1", Platform("linux", "arm64")) == "arm64"
    with pytest.raises(BadLayout, match="no image for linux/s390x"):
        text_of(store, layout, ":v1", Platform("linux", "s390x"))


def test_image_that_is_not_there(store: Store, layout: Layout) -> None:
    layout.add(layout.manifest("one"), "v1")
    layout.add(layout.manifest("two"), "v2")
    with pytest.raises(BadLayout) as missing:
        text_of(store, layout, ":v3")
    assert str(missing.value).endswith("has no image `v3`") and missing.value.help == "it has `v1`, `v2`"
    with pytest.raises(BadLayout, match="none is called `latest`"):
        text_of(store, layout)
    with pytest.raises(BadLayout, match="has no image"):
        text_of(store, layout, "@sha256:" + "0" * 64)
    with pytest.raises(BadLayout, match="no digest"):
        text_of(store, layout, "@sha256:../../x")


def test_directory_that_is_no_layout(store: Store, tmp_path: Path, layout: Layout) -> None:
    with pytest.raises(BadLayout, match="no directory that can be read"):
        load_layout(store, f"oci-layout://{tmp_path}/nowhere", None)
    with pytest.raises(BadLayout, match=r"has no index\.json"):
        load_layout(store, f"oci-layout://{tmp_path}", None)
    (layout.path / "index.json").unlink()
    (layout.path / "index.json").symlink_to("/etc/passwd")
    with pytest.raises(BadLayout):
        text_of(store, layout)


def test_blob_that_is_not_what_its_name_says(store: Store, layout: Layout) -> None:
    descriptor = layout.manifest("one")
    layout.add(descriptor)
    (layout.path / "blobs/sha256" / str(descriptor["digest"]).removeprefix("sha256:")).write_text('{"schemaVersion": 2}')
    with pytest.raises(DigestMismatch):
        text_of(store, layout)
