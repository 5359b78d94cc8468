"""Push of blobs: all the ways, resumed, cut off, taken over, wrong; mounts."""

import os
import threading

import pytest

from store.digest import digest_of
from tests.engine.registry.hub import Hub, codes
from tests.engine.serving import request

DATA = os.urandom(300_000)
DIGEST = digest_of(DATA)


def stored(hub: Hub, name: str = "a/b") -> bool:
    return hub.get(f"/v2/{name}/blobs/{DIGEST}").body == DATA


def debris(hub: Hub) -> list[str]:
    return os.listdir(f"{hub.store.root.path}/tmp")


# ---------------------------------------------------------------- the ways
def test_begin_answers_where_to_go_on(hub: Hub) -> None:
    found = hub.ask("POST", "/v2/a/b/blobs/uploads/")
    assert (found.status, found.headers["range"], found.headers["content-length"]) == (202, "0-0", "0")
    assert found.headers["location"] == f"/v2/a/b/blobs/uploads/{found.headers['docker-upload-uuid']}"


def test_post_then_put(hub: Hub) -> None:
    found = hub.ask("PUT", f"{hub.begin()}?digest={DIGEST}", DATA, content_type="application/octet-stream")
    assert (found.status, found.headers["location"], found.headers["docker-content-digest"]) == (201, f"/v2/a/b/blobs/{DIGEST}", DIGEST)
    assert stored(hub) and not debris(hub)


def test_digest_with_escaped_colon(hub: Hub) -> None:
    assert hub.ask("PUT", f"{hub.begin()}?digest={DIGEST.replace(':', '%3A')}", DATA).status == 201


def test_single_post(hub: Hub) -> None:
    assert hub.ask("POST", f"/v2/a/b/blobs/uploads/?digest={DIGEST}", DATA).status == 201
    assert stored(hub) and not debris(hub)


def test_streamed_patch_then_put(hub: Hub) -> None:
    location = hub.begin()
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(DATA[i:i + 32768]), DATA[i:i + 32768]) for i in range(0, len(DATA), 32768)) + b"0\r\n\r\n"
    found = hub.ask("PATCH", location, chunks, transfer_encoding="chunked")
    assert (found.status, found.headers["range"], found.headers["location"]) == (202, f"0-{len(DATA) - 1}", location)
    assert hub.ask("PUT", f"{location}?digest={DIGEST}").status == 201
    assert stored(hub)


def test_chunks_with_ranges(hub: Hub) -> None:
    location = hub.begin()
    for start in range(0, 200_000, 50_000):
        found = hub.ask("PATCH", location, DATA[start:start + 50_000], content_range=f"{start}-{start + 49_999}")
        assert (found.status, found.headers["range"]) == (202, f"0-{start + 49_999}")
    found = hub.ask("PUT", f"{location}?digest={DIGEST}", DATA[200_000:], content_range=f"200000-{len(DATA) - 1}")
    assert found.status == 201 and stored(hub)


def test_status_says_how_much_has_come(hub: Hub) -> None:
    location = hub.begin()
    hub.ask("PATCH", location, DATA[:1000])
    found = hub.get(location)
    assert (found.status, found.headers["range"], found.headers["location"]) == (204, "0-999", location)


def test_cancel(hub: Hub) -> None:
    location = hub.begin()
    hub.ask("PATCH", location, DATA)
    assert debris(hub)
    assert hub.ask("DELETE", location).status == 204
    assert not debris(hub)
    for method in ("GET", "PATCH", "PUT", "DELETE"):
        found = hub.ask(method, location + (f"?digest={DIGEST}" if method == "PUT" else ""))
        assert (found.status, codes(found)) == (404, ["BLOB_UPLOAD_UNKNOWN"])


# ---------------------------------------------------------------- what is wrong
def test_wrong_digest_keeps_nothing(hub: Hub) -> None:
    found = hub.ask("PUT", f"{hub.begin()}?digest={digest_of(b'other')}", DATA)
    assert (found.status, codes(found)) == (400, ["DIGEST_INVALID"])
    assert not debris(hub) and not hub.store.blobs.all()


@pytest.mark.parametrize("digest", ["", "sha256:abc", "sha512:" + "a" * 128, "../../etc"])
def test_put_with_no_digest_leaves_the_upload(hub: Hub, digest: str) -> None:
    location = hub.begin()
    found = hub.ask("PUT", f"{location}?digest={digest}", DATA)
    assert (found.status, codes(found)) == (400, ["DIGEST_INVALID"])
    assert hub.get(location).status == 204


@pytest.mark.parametrize("range", ["10-20", "999-1998", "1001-2000"])
def test_chunk_that_does_not_follow_is_416_and_says_where(hub: Hub, range: str) -> None:
    location = hub.begin()
    hub.ask("PATCH", location, DATA[:1000])
    first, last = map(int, range.split("-"))
    found = hub.ask("PATCH", location, DATA[first:last + 1], content_range=range)
    assert (found.status, codes(found), found.headers["range"], found.headers["location"]) == (416, ["RANGE_INVALID"], "0-999", location)
    assert hub.get(location).headers["range"] == "0-999"


@pytest.mark.parametrize("range", ["x-y", "5", "9-1", "-1-2", "1-" + "9" * 30])
def test_content_range_that_is_none(hub: Hub, range: str) -> None:
    assert hub.ask("PATCH", hub.begin(), b"abc", content_range=range).status == 416


def test_content_range_of_another_length(hub: Hub) -> None:
    found = hub.ask("PATCH", hub.begin(), b"abc", content_range="0-10")
    assert (found.status, codes(found)) == (400, ["SIZE_INVALID"])
    found = hub.ask("PATCH", hub.begin(), b"5\r\nabcde\r\n0\r\n\r\n", content_range="0-2", transfer_encoding="chunked")
    assert (found.status, codes(found)) == (400, ["SIZE_INVALID"])


def test_upload_of_another_repository_is_unknown(hub: Hub) -> None:
    location = hub.begin("mine")
    assert hub.ask("PATCH", location.replace("mine", "yours"), b"x").status == 404


# ---------------------------------------------------------------- cut off
def test_what_came_before_a_break_counts(hub: Hub) -> None:
    location = hub.begin()
    with hub.connect() as client:
        client.send(request(f"PATCH {location}\nContent-Length: {len(DATA)}") + DATA[:100_000])
    hub.serving.wait_done(2)
    found = hub.get(location)
    assert found.headers["range"] == "0-99999"
    assert hub.ask("PATCH", location, DATA[100_000:], content_range=f"100000-{len(DATA) - 1}").status == 202
    assert hub.ask("PUT", f"{location}?digest={DIGEST}").status == 201
    assert stored(hub)


def test_upload_is_taken_over_from_a_connection_that_hangs(hub: Hub) -> None:
    """The server has not noticed yet that the first connection is dead."""
    location = hub.begin()
    with hub.connect() as hanging:
        hanging.send(request(f"PATCH {location}\nContent-Length: {len(DATA)}") + DATA[:50_000])
        while hub.get(location).headers["range"] != "0-49999":
            pass
        assert hub.ask("PATCH", location, DATA[50_000:], content_range=f"50000-{len(DATA) - 1}").status == 202
        hanging.send(DATA[50_000:60_000])
        assert hanging.all() == b""
        assert hub.ask("PUT", f"{location}?digest={DIGEST}").status == 201
    assert stored(hub)


def test_same_blob_by_many_at_once(hub: Hub) -> None:
    found: list[int] = []
    threads = [threading.Thread(target=lambda n=n: found.append(hub.ask("PUT", f"{hub.begin(f'r{n % 3}')}?digest={DIGEST}", DATA).status))
               for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert found == [201] * 12
    assert all(stored(hub, f"r{n}") for n in range(3))
    assert hub.store.blobs.all() == [DIGEST] and not debris(hub)


def test_idle_uploads_are_given_up(hub: Hub) -> None:
    location = hub.begin()
    hub.ask("PATCH", location, DATA)
    assert hub.registry.uploads.expire(idle_s=3600) == 0
    assert hub.registry.uploads.expire(idle_s=0) == 1
    assert hub.get(location).status == 404 and not debris(hub)


def test_no_lease_is_left_after_pushes(hub: Hub) -> None:
    hub.push_image()
    assert [name for name in os.listdir(f"{hub.store.root.path}/leases") if name != "gate"] == []


# ---------------------------------------------------------------- mounts
def test_mount_from_another_repository(hub: Hub) -> None:
    hub.push_blob(DATA, "mine")
    found = hub.ask("POST", f"/v2/yours/blobs/uploads/?mount={DIGEST}&from=mine")
    assert (found.status, found.headers["location"], found.headers["docker-content-digest"]) == (201, f"/v2/yours/blobs/{DIGEST}", DIGEST)
    assert stored(hub, "yours")


def test_mount_from_anywhere(hub: Hub) -> None:
    hub.push_blob(DATA, "mine")
    assert hub.ask("POST", f"/v2/yours/blobs/uploads/?mount={DIGEST}").status == 201


def test_mount_of_what_is_not_there_is_an_upload(hub: Hub) -> None:
    hub.push_blob(DATA, "mine")
    for query in (f"mount={DIGEST}&from=theirs", f"mount={digest_of(b'x')}&from=mine"):
        found = hub.ask("POST", f"/v2/yours/blobs/uploads/?{query}")
        assert found.status == 202 and "/uploads/" in found.headers["location"]
    assert not stored(hub, "yours")


def test_mount_with_a_name_that_is_none(hub: Hub) -> None:
    found = hub.ask("POST", f"/v2/yours/blobs/uploads/?mount={DIGEST}&from=../x")
    assert (found.status, codes(found)) == (400, ["NAME_INVALID"])
