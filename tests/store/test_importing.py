"""Images out of tars of files."""

import bz2
import gzip
import lzma
from collections.abc import Callable

import msgspec
import pytest

from store.digest import digest_of
from store.errors import InvalidLayer
from store.importing import import_tar
from store.oci import ContainerConfig, ImageConfig
from store.platform import parse_platform
from store.store import Store
from tests.store.making import member, tar_of

TAR = tar_of(member("bin/sh", content=b"#!"), member("etc/hostname", content=b"box"))


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress])
def test_tar_becomes_an_image_of_one_layer(store: Store, pack: Callable[[bytes], bytes]) -> None:
    image = import_tar(store, [pack(TAR)], source="rootfs.tar", name="mine:1")
    assert store.images.require("mine:1").id == image
    config = store.images.config(image)
    assert config.diff_ids == (digest_of(TAR),) and config.history and config.history[0].comment == "Imported from rootfs.tar"
    with store.view(store.images.layers(image)) as view:
        assert view.read("etc/hostname", 10) == b"box"
    blob = store.layerblobs.of(config.diff_ids[0])[0]
    assert blob.compression in ("uncompressed", "gzip")


def test_config_is_as_wished(store: Store) -> None:
    def change(config: ImageConfig) -> ImageConfig:
        return msgspec.structs.replace(config, config=ContainerConfig(cmd=("/bin/sh",)))

    image = import_tar(store, [TAR], source="-", message="by hand", platform=parse_platform("linux/arm64"), change=change)
    config = store.images.config(image)
    assert config.config == ContainerConfig(cmd=("/bin/sh",)) and config.architecture == "arm64"
    assert config.history and config.history[0].comment == "by hand" and store.images.runtime(image).cmd == ("/bin/sh",)


@pytest.mark.parametrize("data", [b"nothing" * 1000, gzip.compress(TAR)[:-20], tar_of(member("../x", content=b"1"))])
def test_what_is_no_tar_is_refused(store: Store, data: bytes) -> None:
    with pytest.raises(InvalidLayer):
        import_tar(store, [data], source="-")
    assert store.images.list() == () and store.snapshots.all() == []
