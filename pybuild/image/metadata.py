"""What a build tells other programs in a file: `--iidfile`, and `--metadata-file` with buildx' names."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from builder.request import Request, Result
    from store.document import Document
    from store.registry.push import Pushed
    from store.store import Store


def metadata_of(store: "Store", request: "Request", result: "Result", pushed: "tuple[Pushed, ...]") -> bytes:
    """JSON. The image's digest is that of the manifest that was given away; of one that stays here, whose manifest nobody has seen, it is the ID."""
    import json

    from store.digest import Digest

    found: dict[str, object] = {}
    if result.image:
        found["containerimage.config.digest"] = result.image
        document = _given_away(store, request, result)
        if pushed:
            last = pushed[-1]
            descriptor = {"mediaType": last.media_type, "digest": last.digest, "size": last.size}
        elif document is not None:
            described = document.descriptor
            descriptor = {"mediaType": described.media_type, "digest": described.digest, "size": described.size}
        else:
            descriptor = {}
        if descriptor:
            platform = store.images.config(Digest(result.image)).platform
            found["containerimage.descriptor"] = {**descriptor, "platform": {"architecture": platform.architecture, "os": platform.os, **(
                {"variant": platform.variant} if platform.variant else {})}}
        found["containerimage.digest"] = descriptor.get("digest", result.image)
        names = list(dict.fromkeys((*result.names, *(name for output in request.outputs for name in output.names))))
        if names:
            from store.reference import parse_reference

            found["image.name"] = ",".join(str(parse_reference(name)) for name in names)
    return json.dumps(found, indent=2).encode() + b"\n"


def _given_away(store: "Store", request: "Request", result: "Result") -> "Document | None":
    """The manifest of the last archive or layout that was written."""
    from builder.outputs import chosen_of, packing_of
    from store.digest import Digest
    from store.document import describe

    written = [output for output in request.outputs if output.type in ("docker", "oci") and output.dest]
    if not written:
        return None
    chosen = chosen_of(store, request, written[-1], Digest(result.image))
    return describe(store, chosen.image, packing_of(written[-1]), dict(chosen.annotations))
