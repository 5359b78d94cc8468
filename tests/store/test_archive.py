"""Image archives of every form: read, written, and refused where they are damaged or hostile."""

import gzip
import io
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from store.archive import Loaded, load
from store.archivewriter import Chosen, choose_images, save, write_archive
from store.digest import Digest, digest_of
from store.document import Packing
from store.errors import DigestMismatch, InvalidArchive, InvalidImage, ReferenceMissing, StoreError
from store.layout import write_layout
from store.platform import parse_platform
from store.root import open_root
from store.store import Store
from tests.store.making import image_of, member, tar_of

NAME = "docker.io/library/x:1"


def take(store: Store, data: bytes, tmp_path: Path, **options: Any) -> tuple[Loaded, ...]:
    path = tmp_path / f"archive-{os.urandom(4).hex()}"
    path.write_bytes(data)
    return load(store, str(path), os.open(path, os.O_RDONLY), **options)


def saved(store: Store, *names: str, form: str = "docker", packing: "Packing | None" = None) -> bytes:
    out = io.BytesIO()
    save(store, names, out.write, form, packing)
    return out.getvalue()


def other(tmp_path: Path) -> Store:
    return Store(open_root(str(tmp_path / "other"), str(tmp_path / "other-run")))


def docker_archive(layer: bytes, *, names: "list[str] | None" = None, config: "bytes | None" = None, extra: tuple[Any, ...] = (),
                   manifest: "object | None" = None, layer_name: str = "abc/layer.tar") -> bytes:
    """As docker before 25 wrote it."""
    config = config or json.dumps({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [digest_of(layer)]}}).encode()
    items = manifest or [{"Config": "c.json", "RepoTags": names, "Layers": [layer_name]}]
    return tar_of(member("abc/", tarfile.DIRTYPE), member("abc/VERSION", content=b"1.0"), member("abc/layer.tar", content=layer),
                  member("c.json", content=config), *extra, member("manifest.json", content=json.dumps(items).encode()))


LAYER = tar_of(member("etc/hostname", content=b"box"))


# ---------------------------------------------------------------- there and back
@pytest.mark.parametrize("form", ["docker", "oci"])
@pytest.mark.parametrize("compression", ["", "uncompressed", "gzip", "zstd"])
def test_save_and_load_keep_the_id_and_the_files(store: Store, tmp_path: Path, form: str, compression: str) -> None:
    image = image_of(store, {"a": b"1" * 5000, "d/b": b""}, {"a": b"2"}, names=("x:1",), env=("A=1",))
    there = other(tmp_path)
    assert take(there, saved(store, "x:1", form=form, packing=Packing(compression) if compression else None), tmp_path) == (Loaded(image, (NAME,)),)
    with store.view(store.images.layers(image)) as mine, there.view(there.images.layers(image)) as theirs:
        assert {rel: [(r[0], r[4]) for r in rows] for rel, rows in mine.walk().items()} == {
            rel: [(r[0], r[4]) for r in rows] for rel, rows in theirs.walk().items()}
    assert there.images.config_bytes(image) == store.images.config_bytes(image)


def test_archive_saved_again_is_the_same(store: Store, tmp_path: Path) -> None:
    image_of(store, {"a": b"1" * 5000}, names=("x:1",))
    for form in ("docker", "oci"):
        data = saved(store, "x:1", form=form)
        there = other(tmp_path)
        take(there, data, tmp_path)
        assert saved(there, "x:1", form=form) == data
        shutil.rmtree(tmp_path / "other")


def test_foreign_layer_bytes_are_kept(store: Store, tmp_path: Path) -> None:
    packed = gzip.compress(LAYER, mtime=77)
    config = json.dumps({"rootfs": {"type": "layers", "diff_ids": [digest_of(LAYER)]}}).encode()
    loaded, = take(store, docker_archive(packed, names=["x:1"], config=config), tmp_path)
    out = saved(store, "x:1", form="oci")
    with tarfile.open(fileobj=io.BytesIO(out)) as tar:
        assert (tar.extractfile(f"blobs/sha256/{digest_of(packed)[7:]}") or io.BytesIO()).read() == packed
    docker = saved(store, "x:1")
    with tarfile.open(fileobj=io.BytesIO(docker)) as tar:
        assert (tar.extractfile(f"blobs/sha256/{digest_of(LAYER)[7:]}") or io.BytesIO()).read() == LAYER
    assert loaded.id == digest_of(config)


def test_several_images_in_one_archive(store: Store, tmp_path: Path) -> None:
    one = image_of(store, {"a": b"1"}, names=("x:1", "x:2"))
    two = image_of(store, {"b": b"1"}, names=("y",))
    for form in ("docker", "oci"):
        loaded = take(other(tmp_path), saved(store, "x:1", "x:2", "y", form=form), tmp_path)
        assert {(item.id, item.names) for item in loaded} == {
            (one, (NAME, "docker.io/library/x:2")), (two, ("docker.io/library/y:latest",))}
        shutil.rmtree(tmp_path / "other")


def test_layer_that_is_in_two_images_is_written_once(store: Store) -> None:
    image_of(store, {"a": b"1"}, names=("x",))
    image_of(store, {"a": b"1"}, names=("y",), env=("B=2",))
    with tarfile.open(fileobj=io.BytesIO(saved(store, "x", "y"))) as tar:
        names = tar.getnames()
    assert len(names) == len(set(names))


def test_layer_that_is_there_is_not_unpacked_again(store: Store, tmp_path: Path) -> None:
    seen: list[Digest] = []
    for _ in range(2):
        take(store, docker_archive(LAYER, names=["x"]), tmp_path, on_layer=seen.append)
    assert seen == [digest_of(LAYER)]


def test_layer_that_was_built_here_is_not_unpacked_again(store: Store, tmp_path: Path) -> None:
    image = image_of(store, {"a": b"1"}, names=("x",))
    data = saved(store, "x")
    store.images.remove("x")
    seen: list[Digest] = []
    loaded, = take(store, data, tmp_path, on_layer=seen.append)
    assert (loaded.id, seen) == (image, [])


def test_save_of_a_repository_saves_its_tags(store: Store) -> None:
    image = image_of(store, {"a": b"1"}, names=("x:1", "x:2", "xy:1"))
    assert choose_images(store, ("x",)) == (Chosen(image, (NAME, "docker.io/library/x:2")),)


def test_save_of_an_id_has_no_name(store: Store, tmp_path: Path) -> None:
    image = image_of(store, {"a": b"1"}, names=("x:1",))
    assert choose_images(store, (image[7:19],)) == (Chosen(image, ()),)
    for form in ("docker", "oci"):
        assert take(other(tmp_path), saved(store, image, form=form), tmp_path) == (Loaded(image, ()),)
        shutil.rmtree(tmp_path / "other")


def test_save_of_what_is_not_there(store: Store) -> None:
    with pytest.raises(ReferenceMissing):
        saved(store, "nothing")


def test_archive_with_names_that_the_store_does_not_have(store: Store, tmp_path: Path) -> None:
    image = image_of(store, {"a": b"1"})
    out = io.BytesIO()
    write_archive(store, (Chosen(image, ("reg.io/new/name:3",)),), out.write)
    assert take(other(tmp_path), out.getvalue(), tmp_path)[0].names == ("reg.io/new/name:3",)


# ---------------------------------------------------------------- forms
def test_load_from_a_pipe(store: Store) -> None:
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(read)
        with open(write, "wb") as file:
            file.write(docker_archive(LAYER, names=["x"]))
        os._exit(0)
    os.close(write)
    assert load(store, "-", read)[0].names == ("docker.io/library/x:latest",)
    os.waitpid(pid, 0)
    assert os.listdir(f"{store.root.path}/tmp") == []


@pytest.mark.parametrize("pack", [gzip.compress, lambda data: subprocess.run(["xz"], input=data, capture_output=True, check=True).stdout])
def test_load_of_a_compressed_archive(store: Store, tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    if pack is not gzip.compress and not shutil.which("xz"):
        pytest.skip("xz is not installed")
    assert take(store, pack(docker_archive(LAYER, names=["x"])), tmp_path)[0].id


def test_load_of_an_unpacked_layout(store: Store, tmp_path: Path) -> None:
    image = image_of(store, {"a": b"1"}, names=("x:1",))
    write_layout(store, choose_images(store, ("x:1",)), str(tmp_path / "layout"))
    fd = os.open(tmp_path / "layout", os.O_RDONLY)
    assert load(other(tmp_path), "layout", fd) == (Loaded(image, (NAME,)),)


def test_load_with_a_tag_of_the_callers(store: Store, tmp_path: Path) -> None:
    assert take(store, docker_archive(LAYER, names=["x"]), tmp_path, tag="mine:2")[0].names == ("docker.io/library/mine:2",)
    assert store.images.resolve("x") is None


def test_load_of_several_with_one_tag_is_refused(store: Store, tmp_path: Path) -> None:
    image_of(store, {"a": b"1"}, names=("x",))
    image_of(store, {"b": b"1"}, names=("y",))
    with pytest.raises(InvalidArchive, match="2 images"):
        take(other(tmp_path), saved(store, "x", "y"), tmp_path, tag="z")


def test_load_of_layers_that_are_links_in_the_archive(store: Store, tmp_path: Path) -> None:
    """docker and skopeo write a layer that occurs twice as a link to the first."""
    extra = (member("def/", tarfile.DIRTYPE), member("def/layer.tar", tarfile.SYMTYPE, link="../abc/layer.tar"))
    assert take(store, docker_archive(LAYER, extra=extra, layer_name="def/layer.tar"), tmp_path)


def test_load_of_an_archive_of_docker_before_1_10(store: Store, tmp_path: Path) -> None:
    upper = tar_of(member("b", content=b"2"))
    one, two = "1" * 64, "2" * 64
    bottom = {"id": one, "created": "2015-01-01T00:00:00Z", "container_config": {"Cmd": ["/bin/sh", "-c", "#(nop) ADD x"]}}
    top = {"id": two, "parent": one, "architecture": "amd64", "os": "linux", "created": "2015-01-02", "config": {"Cmd": ["sh"], "Env": None}}
    data = tar_of(member(f"{one}/layer.tar", content=LAYER), member(f"{one}/json", content=json.dumps(bottom).encode()),
                  member(f"{two}/layer.tar", content=upper), member(f"{two}/json", content=json.dumps(top).encode()),
                  member("repositories", content=json.dumps({"old": {"1": two}}).encode()))
    loaded, = take(store, data, tmp_path)
    config = store.images.config(loaded.id)
    assert (loaded.names, config.diff_ids, config.created) == (("docker.io/library/old:1",), (digest_of(LAYER), digest_of(upper)), "2015-01-02")
    assert [h.created_by for h in config.history or ()] == ["/bin/sh -c #(nop) ADD x", ""]
    assert config.config is not None and config.config.cmd == ("sh",)


def _blob(data: bytes) -> tuple[tarfile.TarInfo, bytes]:
    return member(f"blobs/sha256/{digest_of(data)[7:]}", content=data)


def oci_archive(*images: tuple[str, dict[str, str]], nested: bool = False) -> bytes:
    """One image a platform; annotations of its index entry."""
    blobs, entries = [], []
    for platform, annotations in images:
        layer = tar_of(member("platform", content=platform.encode()))
        system, architecture, *variant = platform.split("/")
        config = json.dumps({"architecture": architecture, "os": system, "rootfs": {"type": "layers", "diff_ids": [digest_of(layer)]}}).encode()
        manifest = json.dumps({
            "schemaVersion": 2, "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest_of(config), "size": len(config)},
            "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest_of(layer), "size": len(layer)}]}).encode()
        blobs += [_blob(layer), _blob(config), _blob(manifest)]
        entries.append({"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest_of(manifest), "size": len(manifest),
                        "annotations": annotations, "platform": {"os": system, "architecture": architecture, "variant": "".join(variant)}})
    if nested:
        inner = json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": entries}).encode()
        blobs.append(_blob(inner))
        entries = [{"mediaType": "application/vnd.oci.image.index.v1+json", "digest": digest_of(inner), "size": len(inner),
                    "annotations": {"io.containerd.image.name": NAME}}]
    index = json.dumps({"schemaVersion": 2, "manifests": entries}).encode()
    return tar_of(member("oci-layout", content=b'{"imageLayoutVersion":"1.0.0"}'), member("index.json", content=index), *blobs)


@pytest.mark.parametrize(("wanted", "platform"), [("linux/amd64", "linux/amd64"), ("linux/arm/v7", "linux/arm/v7"), ("linux/arm/v8", "linux/arm/v7"),
                                                  ("arm64", "linux/arm64")])
@pytest.mark.parametrize("nested", [True, False])
def test_load_chooses_the_platform(store: Store, tmp_path: Path, wanted: str, platform: str, nested: bool) -> None:
    data = oci_archive(("linux/amd64", {}), ("linux/arm64", {}), ("linux/arm/v6", {}), ("linux/arm/v7", {}), nested=nested)
    loaded = take(store, data, tmp_path, platform=parse_platform(wanted))
    assert [i.names for i in loaded] == [(NAME,) if nested else ()]
    with store.view(store.images.layers(loaded[0].id)) as view:
        assert view.read("platform", 100).decode() == platform


def test_load_of_a_platform_that_is_not_in_it(store: Store, tmp_path: Path) -> None:
    with pytest.raises(InvalidArchive, match="no image for linux/s390x"):
        take(store, oci_archive(("linux/amd64", {}), ("linux/arm64", {}), nested=True), tmp_path, platform=parse_platform("linux/s390x"))


def test_load_keeps_the_index_that_a_name_stands_for(store: Store, tmp_path: Path) -> None:
    take(store, oci_archive(("linux/amd64", {}), ("linux/arm64", {}), nested=True), tmp_path)
    target = store.images.target(NAME)
    assert target is not None and b"arm64" in store.blobs.read(target, 10_000)


def test_load_leaves_attestations_out(store: Store, tmp_path: Path) -> None:
    data = oci_archive(("linux/amd64", {"org.opencontainers.image.ref.name": "x:1"}),
                       ("unknown/unknown", {"vnd.docker.reference.type": "attestation-manifest"}))
    assert len(take(store, data, tmp_path)) == 1


@pytest.mark.parametrize(("annotations", "names"), [
    ({"io.containerd.image.name": NAME, "org.opencontainers.image.ref.name": "1"}, (NAME,)), ({"org.opencontainers.image.ref.name": "x:1"}, (NAME,)),
    ({"org.opencontainers.image.ref.name": "latest"}, ()), ({}, ())])
def test_load_names_of_an_oci_archive(store: Store, tmp_path: Path, annotations: dict[str, str], names: tuple[str, ...]) -> None:
    assert take(store, oci_archive(("linux/amd64", annotations)), tmp_path)[0].names == names


# ---------------------------------------------------------------- damage and hostility
@pytest.mark.parametrize("data", [b"", b"no archive", b"\x1f\x8b\x08broken", tar_of(member("x")), bytes(1024), docker_archive(LAYER)[:2500]])
def test_load_of_what_is_no_archive(store: Store, tmp_path: Path, data: bytes) -> None:
    with pytest.raises(InvalidArchive) as caught:
        take(store, data, tmp_path)
    assert "\n" not in str(caught.value)
    assert store.images.list() == ()


@pytest.mark.parametrize("manifest", [[], {}, 7, [7], [{}], [{"Config": 7}], [{"Config": "missing.json"}],
                                      [{"Config": "c.json", "Layers": ["missing"]}], [{"Config": "c.json", "Layers": []}],
                                      [{"Config": "../../etc/passwd"}],
                                      [{"Config": "c.json", "RepoTags": ["No Name"], "Layers": ["abc/layer.tar"]}]])
def test_load_of_a_bad_manifest(store: Store, tmp_path: Path, manifest: object) -> None:
    data = docker_archive(LAYER, manifest=manifest) if manifest else tar_of(member("manifest.json", content=json.dumps(manifest).encode()))
    with pytest.raises((InvalidArchive, InvalidImage)) as caught:
        take(store, data, tmp_path)
    assert "\n" not in str(caught.value)


def test_load_of_a_layer_that_is_not_the_configs(store: Store, tmp_path: Path) -> None:
    config = json.dumps({"rootfs": {"type": "layers", "diff_ids": [digest_of(b"another")]}}).encode()
    with pytest.raises(DigestMismatch):
        take(store, docker_archive(LAYER, config=config), tmp_path)
    assert (os.listdir(f"{store.root.path}/tmp"), store.snapshots.all()) == ([], [])


def test_load_of_a_config_with_a_hostile_diff_id(store: Store, tmp_path: Path) -> None:
    config = json.dumps({"rootfs": {"type": "layers", "diff_ids": ["sha256:../../../../etc/passwd"]}}).encode()
    with pytest.raises(StoreError):
        take(store, docker_archive(LAYER, config=config), tmp_path)


def test_load_of_an_archive_with_links_to_the_host(store: Store, tmp_path: Path) -> None:
    for link in ("/etc/passwd", "../../../../../../etc/passwd"):
        data = tar_of(member("manifest.json", tarfile.SYMTYPE, link=link))
        with pytest.raises(InvalidArchive):
            take(store, data, tmp_path)


def test_load_of_a_layout_with_links_to_the_host(store: Store, tmp_path: Path) -> None:
    (tmp_path / "layout").mkdir()
    (tmp_path / "layout/oci-layout").write_text("{}")
    (tmp_path / "layout/index.json").symlink_to("/etc/passwd")
    with pytest.raises(InvalidArchive):
        load(store, "layout", os.open(tmp_path / "layout", os.O_RDONLY))


def test_load_of_links_in_a_circle(store: Store, tmp_path: Path) -> None:
    data = tar_of(member("manifest.json", tarfile.SYMTYPE, link="a"), member("a", tarfile.SYMTYPE, link="manifest.json"))
    with pytest.raises(InvalidArchive):
        take(store, data, tmp_path)


def test_load_of_an_index_inside_of_itself_ends(store: Store, tmp_path: Path) -> None:
    """A real circle would need a broken sha256; a deep chain stands for it."""
    blobs, entry = [], None
    for _ in range(30):
        document = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [entry] if entry else []}
        data = json.dumps(document).encode()
        blobs.append(_blob(data))
        entry = {"mediaType": "application/vnd.oci.image.index.v1+json", "digest": digest_of(data), "size": len(data)}
    index = json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode()
    with pytest.raises(InvalidArchive, match="nested"):
        take(store, tar_of(member("oci-layout", content=b"{}"), member("index.json", content=index), *blobs), tmp_path)


def test_load_of_a_document_that_is_a_manifest_and_an_index(store: Store, tmp_path: Path) -> None:
    """CVE-2021-41190."""
    index = json.dumps({"schemaVersion": 2, "manifests": [], "layers": [], "config": {}}).encode()
    with pytest.raises(InvalidImage, match="either"):
        take(store, tar_of(member("oci-layout", content=b"{}"), member("index.json", content=index)), tmp_path)


def test_load_of_a_manifest_whose_bytes_are_others(store: Store, tmp_path: Path) -> None:
    data = oci_archive(("linux/amd64", {})).replace(b'"schemaVersion": 2, "config"', b'"schemaVersion": 2, "CONFIG"')
    with pytest.raises(DigestMismatch):
        take(store, data, tmp_path)


def test_hostile_layer_in_an_archive_names_both(store: Store, tmp_path: Path) -> None:
    with pytest.raises(InvalidArchive, match=r"abc/layer\.tar.*leads outside"):
        take(store, docker_archive(tar_of(member("../x"))), tmp_path)


def test_config_of_the_wrong_type_is_one_clear_error(store: Store, tmp_path: Path) -> None:
    with pytest.raises(InvalidImage) as caught:
        take(store, docker_archive(LAYER, config=b'{"rootfs": []}'), tmp_path)
    assert "\n" not in str(caught.value)


def test_later_member_of_a_name_counts(store: Store, tmp_path: Path) -> None:
    data = docker_archive(LAYER, names=["x"])
    end = data.rindex(b"manifest.json")
    assert take(store, tar_of(member("manifest.json", content=b"[]")).rstrip(b"\0").ljust(1024, b"\0") + data, tmp_path)[0].names
    assert end


# ---------------------------------------------------------------- others
@pytest.mark.skipif(not shutil.which("skopeo"), reason="skopeo is not installed")
@pytest.mark.parametrize(("form", "transport"), [("docker", "docker-archive"), ("oci", "oci-archive")])
def test_skopeo_reads_what_we_write_and_we_read_what_it_writes(store: Store, tmp_path: Path, form: str, transport: str) -> None:
    image = image_of(store, {"a": b"1" * 5000}, {"b": b"2"}, names=("x:1",), cmd=("sh",))
    (tmp_path / "ours").write_bytes(saved(store, "x:1", form=form))
    source = f"{transport}:{tmp_path}/ours" + (":x:1" if form == "docker" else "")
    for target in ("docker-archive", "oci-archive", "oci", "dir"):
        subprocess.run(["skopeo", "--insecure-policy", "copy", "-q", source, f"{target}:{tmp_path}/{target}" + (":x:1" if target != "dir" else "")],
                       check=True, capture_output=True)
        if target != "dir":
            loaded, = load(other(tmp_path), target, os.open(tmp_path / target, os.O_RDONLY))
            assert loaded.names == (NAME,)
            assert (loaded.id == image) or target != transport
            shutil.rmtree(tmp_path / "other")


@pytest.mark.skipif(not shutil.which("podman") or os.geteuid() != 0, reason="needs podman and root")
def test_podman_reads_what_we_write_and_we_read_what_it_writes(store: Store, tmp_path: Path, run_directory: Path) -> None:
    image = image_of(store, {"a": b"1" * 5000}, {"b": b"2"}, names=("reg.io/x:1",), cmd=("sh",))
    podman = ["podman", "--storage-driver", "vfs", "--root", str(run_directory / "root"), "--runroot", str(run_directory / "run")]
    for form in ("docker", "oci"):
        (tmp_path / "ours").write_bytes(saved(store, "reg.io/x:1", form=form))
        subprocess.run([*podman, "load", "-q", "-i", str(tmp_path / "ours")], check=True, capture_output=True)
        there = subprocess.run([*podman, "images", "--no-trunc", "--format", "{{.ID}}"], check=True, capture_output=True, text=True).stdout.split()
        assert there == [image]
        subprocess.run([*podman, "save", "-q", "--format", f"{form}-archive", "-o", str(tmp_path / f"theirs-{form}"), "reg.io/x:1"], check=True,
                       capture_output=True)
        loaded, = load(other(tmp_path), "theirs", os.open(tmp_path / f"theirs-{form}", os.O_RDONLY))
        assert (loaded.id, loaded.names) == (image, ("reg.io/x:1",))
        subprocess.run([*podman, "rmi", "-af"], check=True, capture_output=True)
        shutil.rmtree(tmp_path / "other")


# ---------------------------------------------------------------- containers/image's dir:
def flat(directory: Path, *platforms: str) -> Path:
    """As `skopeo copy .. dir:` writes it: one image, or with several platforms an index of them."""
    directory.mkdir()
    entries = []
    for platform in platforms:
        architecture = platform.partition("/")[2]
        config = json.dumps({"architecture": architecture, "os": "linux", "rootfs": {"type": "layers", "diff_ids": [digest_of(LAYER)]}}).encode()
        manifest = json.dumps({
            "schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
            "config": {"mediaType": "application/vnd.docker.container.image.v1+json", "size": len(config), "digest": digest_of(config)},
            "layers": [{"mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip", "size": len(LAYER), "digest": digest_of(LAYER)}]}).encode()
        for data, ending in ((config, ""), (LAYER, ""), (manifest, ".manifest.json")):
            (directory / f"{digest_of(data).partition(':')[2]}{ending}").write_bytes(data)
        (directory / "manifest.json").write_bytes(manifest)
        entries.append({"mediaType": "application/vnd.docker.distribution.manifest.v2+json", "size": len(manifest), "digest": digest_of(manifest),
                        "platform": {"os": "linux", "architecture": architecture}})
    if len(platforms) > 1:
        (directory / "manifest.json").write_text(json.dumps({
            "schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.list.v2+json", "manifests": entries}))
    (directory / "version").write_text("Directory Transport Version: 1.1\n")
    return directory


@pytest.mark.parametrize("platforms", [("linux/amd64",), ("linux/arm64", "linux/amd64")])
def test_load_of_a_flat_directory(store: Store, tmp_path: Path, platforms: tuple[str, ...]) -> None:
    path = flat(tmp_path / "flat", *platforms)
    [loaded] = load(store, str(path), os.open(path, os.O_RDONLY), tag="x:1", platform=parse_platform("linux/amd64"))
    assert loaded.names == (NAME,) and store.images.require("x:1").platform == "linux/amd64"
    assert store.images.target("x:1") == digest_of((path / "manifest.json").read_bytes())


def test_load_of_a_flat_directory_with_a_layer_that_is_another(store: Store, tmp_path: Path) -> None:
    path = flat(tmp_path / "flat", "linux/amd64")
    (path / digest_of(LAYER).partition(":")[2]).write_bytes(tar_of(member("etc/hostname", content=b"bad")))
    with pytest.raises((DigestMismatch, InvalidArchive)):
        load(store, str(path), os.open(path, os.O_RDONLY), tag="x")
    assert store.images.resolve("x") is None
