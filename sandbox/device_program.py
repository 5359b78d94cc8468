"""Rules like `c 1:3 rwm` -> a BPF program that permits what one of them does, and nothing else. Pure.

For control groups of version 2, which have no files for that. The program is asked at every opening and making of a node.
"""

from struct import pack

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_LOAD, _COPY, _SHIFT_RIGHT, _AND, _UNLESS, _SET, _EXIT = 0x61, 0xBF, 0x77, 0x57, 0x55, 0xB7, 0x95
_CONTEXT, _KIND, _ACCESS, _MAJOR, _MINOR, _SCRATCH, _RESULT = 1, 2, 3, 4, 5, 1, 0      # registers
_KINDS = {"b": 1, "c": 2}
_ACCESSES = {"m": 1, "r": 2, "w": 4}
_ALL = 7
_ANSWER = 2                                               # instructions: what it is, and the end
_MOST = 0x7FFFFFFF                                        # more than any number of a device


def compiled(rules: "Iterable[str]") -> bytes:
    found = [
        _instruction(_LOAD, _KIND, _CONTEXT, 0), _instruction(_COPY, _ACCESS, _KIND), _instruction(_SHIFT_RIGHT, _ACCESS, value=16),
        _instruction(_AND, _KIND, value=0xFFFF), _instruction(_LOAD, _MAJOR, _CONTEXT, 4), _instruction(_LOAD, _MINOR, _CONTEXT, 8)]
    for rule in rules:
        block = _block(rule)
        found += block
        if len(block) == _ANSWER:                         # everything fits it: what nothing leads to is refused by the kernel
            return b"".join(found)
    return b"".join((*found, _instruction(_SET, _RESULT, value=0), _instruction(_EXIT)))


def _block(rule: str) -> "list[bytes]":
    """Ends the program with yes if the rule fits, else goes on behind itself."""
    words = rule.split()
    kind, numbers, accesses = words if len(words) == 3 else (words[0], "*:*", "rwm")
    major, _, minor = numbers.partition(":")
    tests: list[tuple[bytes, ...]] = []                   # the last instruction of each jumps when it does not fit
    if kind in _KINDS:
        tests.append((_if_not(_KIND, _KINDS[kind], 0),))
    forbidden = _ALL & ~sum(_ACCESSES[one] for one in set(accesses))
    if forbidden:
        tests.append((_instruction(_COPY, _SCRATCH, _ACCESS), _instruction(_AND, _SCRATCH, value=forbidden), _if_not(_SCRATCH, 0, 0)))
    tests += [(_if_not(register, min(int(word), _MOST), 0),) for register, word in ((_MAJOR, major), (_MINOR, minor)) if word != "*"]
    answer = [_instruction(_SET, _RESULT, value=1), _instruction(_EXIT)]
    length = sum(map(len, tests)) + _ANSWER
    made: list[bytes] = []
    for test in tests:
        made += test
        made[-1] = made[-1][:2] + pack("=h", length - len(made)) + made[-1][4:]
    return made + answer


def _if_not(register: int, value: int, distance: int) -> bytes:
    return _instruction(_UNLESS, register, offset=distance, value=value)


def _instruction(code: int, target: int = 0, source: int = 0, offset: int = 0, value: int = 0) -> bytes:
    return pack("=BBhi", code, source << 4 | target, offset, value)
