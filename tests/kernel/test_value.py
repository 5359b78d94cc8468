import marshal

import pytest

from kernel.value import Value, plain


class Span(Value):
    start: int
    end: int = 0


class Range(Value):
    start: int
    end: int = 0


def test_values_of_two_classes_are_never_equal() -> None:
    assert Span(1, 2) == Span(start=1, end=2)
    assert Span(1, 2) != (1, 2)
    assert Span(1, 2) != Range(1, 2)      # type: ignore[comparison-overlap]
    assert len({Span(1), Range(1)}) == 2


def test_value_repr_match_and_replace() -> None:
    assert repr(Span(1)) == "Span(start=1, end=0)"
    match Span(1, 2):
        case Span(start, end):
            assert (start, end) == (1, 2)
    assert Span(1)._replace(end=5) == Span(1, 5)
    with pytest.raises(ValueError):
        Span(1)._replace(stop=5)          # type: ignore[call-arg]


def test_value_is_frozen_and_checks_its_arguments() -> None:
    with pytest.raises(AttributeError):
        Span(1).start = 2                 # type: ignore[misc]
    with pytest.raises(TypeError, match="Span"):
        Span()                            # type: ignore[call-arg]


def test_plain_is_what_marshal_takes() -> None:
    value = (Span(1, 2), {"k": [Range(3)]}, frozenset((2, 1)))
    assert plain(value) == (("Span", 1, 2), {"k": [("Range", 3, 0)]}, (1, 2))
    assert marshal.loads(marshal.dumps(plain(value))) == plain(value)
