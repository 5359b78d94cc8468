"""Signatures of images."""


def require(session: object, reference: object, digest: str, keys: "tuple[str, ...]") -> None:
    raise NotImplementedError
