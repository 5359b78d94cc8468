"""A registry over a store of its own, served in a thread; and what clients do with it, request by request."""

import json
from pathlib import Path
from typing import Any

from engine.registry.access import Access
from engine.registry.collection import Keeping
from engine.registry.registry import Registry
from engine.registry.upstream import Upstream
from store.digest import digest_of
from store.oci import DOCKER_MANIFEST, OCI_CONFIG, OCI_EMPTY, OCI_INDEX, OCI_MANIFEST
from store.root import open_root
from store.store import Store
from tests.engine.serving import Answer, Client, Serving, request

__all__ = ["DOCKER_MANIFEST", "OCI_INDEX", "OCI_MANIFEST", "Hub", "index", "manifest"]


class Hub:
    """`with Hub(tmp_path) as hub:`."""

    def __init__(self, root: Path, access: Access | None = None, keeping: Keeping | None = None, upstream: Upstream | None = None) -> None:
        self.store = Store(open_root(str(root), str(root / "run")))
        self.registry = Registry(self.store, access, keeping, upstream)
        self.serving = Serving(self.registry.handle, on_error=self.registry.on_error, on_done=self.registry.note)

    def __enter__(self) -> "Hub":
        self.serving.__enter__()
        return self

    def __exit__(self, *what: object) -> None:
        self.serving.__exit__(None, None, None)
        self.registry.close()
        self.store.close()

    # ------------------------------------------------------------ requests
    def connect(self) -> Client:
        return self.serving.connect()

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> Answer:
        """One request; headers: `content_type="x"`."""
        lines = [f"{method} {path}", *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items())]
        if method not in ("GET", "HEAD", "DELETE") and "transfer_encoding" not in headers and "content_length" not in headers:
            lines.append(f"Content-Length: {len(body)}")
        with self.connect() as client:
            client.send(request("\n".join(lines)) + body)
            return client.answer(method)

    def get(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, b"", **headers)

    # ------------------------------------------------------------ what clients do
    def begin(self, name: str = "a/b") -> str:
        """Begin an upload; its location."""
        found = self.ask("POST", f"/v2/{name}/blobs/uploads/")
        assert found.status == 202, found
        return found.headers["location"]

    def push_blob(self, data: bytes, name: str = "a/b") -> str:
        digest = digest_of(data)
        found = self.ask("PUT", f"{self.begin(name)}?digest={digest}", data)
        assert found.status == 201, found
        return digest

    def push_manifest(self, document: dict[str, Any], tag: str = "", name: str = "a/b") -> str:
        data = json.dumps(document).encode()
        found = self.ask("PUT", f"/v2/{name}/manifests/{tag or digest_of(data)}", data, content_type=document["mediaType"])
        assert found.status == 201, found
        return digest_of(data)

    def push_image(self, tag: str = "latest", name: str = "a/b", layer: bytes = b"layer", **fields: Any) -> str:
        """A whole small image; the digest of its manifest."""
        config = b'{"architecture": "amd64", "os": "linux"}'
        self.push_blob(config, name)
        self.push_blob(layer, name)
        return self.push_manifest(manifest(config, layer, **fields), tag, name)


def manifest(config: bytes, *layers: bytes, media_type: str = OCI_MANIFEST, config_type: str = OCI_CONFIG, **fields: Any) -> dict[str, Any]:
    """subject=.., artifactType=.., annotations=..: as in the document."""
    kind = "application/vnd.oci.image.layer.v1.tar+gzip"
    return {"schemaVersion": 2, "mediaType": media_type, "config": {"mediaType": config_type, "digest": digest_of(config), "size": len(config)},
            "layers": [{"mediaType": kind, "digest": digest_of(layer), "size": len(layer)} for layer in layers], **fields}


def index(*children: str, media_type: str = OCI_INDEX, **fields: Any) -> dict[str, Any]:
    return {"schemaVersion": 2, "mediaType": media_type, "manifests": [{"mediaType": OCI_MANIFEST, "digest": child, "size": 100} for child in children],
            **fields}


def referrer(subject: str, kind: str, **fields: Any) -> dict[str, Any]:
    """A manifest with a subject and an empty config, which has to be pushed as `{}`."""
    return manifest(b"{}", config_type=OCI_EMPTY, artifactType=kind, subject={"mediaType": OCI_MANIFEST, "digest": subject, "size": 100}, **fields)


def codes(answer: Answer) -> list[str]:
    """The codes of an error body, which has to be one."""
    assert answer.headers["content-type"] == "application/json"
    errors = json.loads(answer.body)["errors"]
    assert errors and all(entry["message"] and entry["message"][0].islower() and not entry["message"].endswith(".") for entry in errors)
    return [entry["code"] for entry in errors]
