"""Frozen values that cost next to nothing to define: named tuples without `typing`, `collections` or generated source.

To a type checker `Value` *is* `typing.NamedTuple`. At run time a class costs 5 us instead of 170 (`__new__` is compiled when the first
instance is made), and two values are equal only if they are of one class, so a union of values needs no kind field.
"""

__all__ = ["Value", "plain"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any
    from typing import NamedTuple as Value
else:
    from _collections import _tuplegetter

    _new = tuple.__new__

    class _ValueType(type):
        def __new__(mcs, name, bases, namespace):
            fields = tuple(namespace.get("__annotations__", ()))
            defaults = tuple(namespace.pop(f) for f in fields if f in namespace)
            namespace["__slots__"] = ()
            namespace["_fields"] = namespace["__match_args__"] = fields
            namespace["_defaults"] = defaults
            for index, field in enumerate(fields):
                namespace[field] = _tuplegetter(index, field)
            return super().__new__(mcs, name, bases, namespace)

    class Value(tuple, metaclass=_ValueType):
        """A frozen value: `class Span(Value): start: int; end: int = 0`."""

        def __new__(cls, *args, **named):
            fields = cls._fields
            names = ", ".join(fields)
            make = eval(f"lambda _cls, {names}: _new(_cls, ({names}{',' if names else ''}))", {"_new": _new})
            make.__defaults__ = cls._defaults
            make.__name__ = make.__qualname__ = cls.__name__      # a wrong call then says which value it was
            cls.__new__ = make
            return make(cls, *args, **named)

        def __eq__(self, other):
            return self.__class__ is other.__class__ and tuple.__eq__(self, other)

        def __ne__(self, other):
            return not self.__eq__(other)

        __hash__ = tuple.__hash__

        def __repr__(self):
            return f"{self.__class__.__name__}({', '.join(f'{k}={v!r}' for k, v in zip(self._fields, self))})"

        def __getnewargs__(self):
            return tuple(self)

        def _replace(self, **changes):
            value = _new(self.__class__, [changes.pop(f, v) for f, v in zip(self._fields, self)])
            if changes:
                raise ValueError(f"{self.__class__.__name__} has no field {', '.join(changes)}")
            return value

        def _asdict(self):
            return dict(zip(self._fields, self))


def plain(value: "Any") -> "Any":
    """Values as nested tuples that `marshal` takes: ("ClassName", field, ...); containers keep their order, sets are sorted."""
    if isinstance(value, tuple):
        inner = tuple(plain(item) for item in value)
        return (value.__class__.__name__, *inner) if hasattr(value, "_fields") else inner
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, frozenset | set):
        return tuple(sorted(plain(item) for item in value))
    if isinstance(value, dict):
        return {plain(k): plain(v) for k, v in value.items()}
    return value
