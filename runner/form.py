"""Values as bytes that outlive a version of this program, and back: fields by name, those with their default left out, unknown ones ignored.

So a field can be added (with a default) or dropped, and what an earlier version has written down is still understood.
"""

import marshal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Kinds = dict[str, Any]                                # name of a class -> the class

_MARSHAL = 4
_KIND = ""                                                # the key of a value's class name: no field is called that


def to_bytes(value: "Any") -> bytes:
    """A value, or a tuple or dict of such and of what marshal takes."""
    return marshal.dumps(to_plain(value), _MARSHAL)


def from_bytes(data: bytes, kinds: "Kinds") -> "Any":
    """kinds: every class that may be in it."""
    return from_plain(marshal.loads(data), kinds)


def kinds(*classes: "Any") -> "Kinds":
    return {one.__name__: one for one in classes}


def to_plain(value: "Any") -> "Any":
    if isinstance(value, tuple):
        if hasattr(value, "_fields"):
            return {_KIND: type(value).__name__, **_fields(value)}
        return tuple(to_plain(item) for item in value)
    if isinstance(value, dict):
        return {key: to_plain(item) for key, item in value.items()}
    return value


def _fields(value: "Any") -> "dict[str, Any]":
    names = value._fields
    defaults = value._defaults
    required = len(names) - len(defaults)
    return {name: to_plain(field) for index, (name, field) in enumerate(zip(names, value)) if index < required or field != defaults[index - required]}


def from_plain(plain: "Any", kinds: "Kinds") -> "Any":
    if isinstance(plain, dict):
        if _KIND not in plain:
            return {key: from_plain(item, kinds) for key, item in plain.items()}
        kind = kinds[plain[_KIND]]
        return kind(**{name: from_plain(field, kinds) for name, field in plain.items() if name in kind._fields})
    if isinstance(plain, tuple):
        return tuple(from_plain(item, kinds) for item in plain)
    return plain
