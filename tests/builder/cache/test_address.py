"""--cache-from and --cache-to: what can be said, and what is told of what cannot."""

import pytest

from builder.cache.address import How, how_of, parse_address, title
from builder.errors import BuildError
from builder.request import CacheAddress


@pytest.mark.parametrize(("word", "address"), [
    ("app:cache", CacheAddress("registry", (("ref", "app:cache"),))),
    ("type=registry,ref=host:5000/a/b:c", CacheAddress("registry", (("ref", "host:5000/a/b:c"),))),
    ("type=local,src=/x,tag=t", CacheAddress("local", (("src", "/x"), ("tag", "t")))),
    ('type=local,"src=/with,comma"', CacheAddress("local", (("src", "/with,comma"),))),
    ("type=s3,bucket=b,region=eu-central-1,touch_refresh=24h", CacheAddress("s3", (("bucket", "b"), ("region", "eu-central-1")))),
    ("type=gha,scope=main,version=2", CacheAddress("gha", (("scope", "main"),)))])
def test_cache_from(word: str, address: CacheAddress) -> None:
    assert parse_address(word, to=False) == address


def test_cache_to_says_how() -> None:
    address = parse_address("type=registry,ref=a,mode=max,compression=zstd,compression-level=9,force-compression=true,ignore-error=true,mounts=a;b;a,oci-mediatypes=true", to=True)
    assert how_of(address) == How(True, "zstd", 9, True, True, ("a", "b"))


def test_bare_cache_to_is_as_docker_has_it() -> None:
    assert how_of(parse_address("type=inline", to=True)) == How()


@pytest.mark.parametrize(("word", "to", "says"), [
    ("type=azblob,name=x", True, "there is no cache of type `azblob`"),
    ("type=inline", False, "there is no cache of type `inline`"),
    ("ref=x", True, "has no type"),
    ("type=registry", True, "needs `ref`"),
    ("type=local,src=x", True, "has no `src`"),
    ("type=local,dest=x", False, "has no `dest`"),
    ("type=local,dest=x,mode=middle", True, "there is no mode `middle`"),
    ("type=local,dest=x,compression=lzma", True, "there is no compression `lzma`"),
    ("type=local,dest=x,compression-level=-1", True, "is no compression level"),
    ("type=local,dest=x,ignore-error=perhaps", True, "neither true nor false"),
    ("type=local,dest=x,mode", True, "`mode` in"),
    ("type=registry,ref=x,mode=max", False, "has no `mode`"),
    ("type=inline,mode=max", True, "the image's own layers only"),
    ("type=inline,mounts=x", True, "the image's own layers only")])
def test_what_cannot_be_is_one_clear_error(word: str, to: bool, says: str) -> None:
    with pytest.raises(BuildError) as caught:
        parse_address(word, to=to)
    assert says in str(caught.value) and "\n" not in str(caught.value)


def test_secrets_of_an_address_are_not_shown() -> None:
    address = parse_address("type=s3,bucket=b,name=n,access_key_id=me,secret_access_key=hush", to=True)
    assert title(address) == "s3://b/n"


def test_an_error_names_the_command_that_was_given_the_cache() -> None:
    for to, option in ((False, "cache import"), (True, "cache export"), (False, "--from")):
        with pytest.raises(BuildError, match=rf"^{option}: there is no cache of type `zz`"):
            parse_address("type=zz", to=to, option=option)
    with pytest.raises(BuildError, match=r"^cache export: there is no mode"):
        parse_address("type=local,dest=x,mode=zz", to=True, option="cache export")
