"""Compiler from rules about system calls to a classic BPF program: a binary search over runs of equal answers, conditions at the leaves.

The kernel runs the program at every system call, and once for each number when it is installed: depth matters, length does not.
"""

import struct

from kernel.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

ALLOW = 0x7FFF0000
ERRNO = 0x00050000
KILL_PROCESS = 0x80000000
KILL_THREAD = 0x00000000
LOG = 0x7FFC0000
NOTIFY = 0x7FC00000
TRACE = 0x7FF00000
TRAP = 0x00030000

ENOSYS = 38
EPERM = 1

ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}      # linux/audit.h
_X32 = 0x40000000                                                  # __X32_SYSCALL_BIT

_LOAD, _AND, _JUMP, _EQ, _GT, _GE, _RETURN = 0x20, 0x54, 0x05, 0x15, 0x25, 0x35, 0x06
_NUMBER, _ARCH, _ARGUMENTS = 0, 4, 16                              # offsets in struct seccomp_data
_LOW = 0xFFFFFFFF


class Condition(Value):
    """On the argument of that number, 64 bits unsigned: operator is "eq", "ne", "lt", "le", "gt", "ge", or "masked": (argument & mask) == value.

    An argument that the kernel takes as an int is to be compared with mask 0xffffffff: the upper half is whatever the caller put there.
    """

    argument: int
    operator: str
    value: int
    mask: int = (1 << 64) - 1


class Rule(Value):
    """If all conditions hold, the answer is `action`."""

    action: int
    conditions: tuple[Condition, ...] = ()


Rules = dict[int, tuple[Rule, ...]]
_Instruction = tuple[int, int, int, int]      # code, jump if true, jump if false, k


def answer(rules: "Mapping[int, tuple[Rule, ...]]", default: int, number: int, arguments: tuple[int, ...]) -> int:
    """What a program compiled from `rules` returns: the first rule that holds, else the default. This is the meaning; `compile` must agree."""
    for rule in rules.get(number, ()):
        if all(_holds(condition, arguments[condition.argument]) for condition in rule.conditions):
            return rule.action
    return default


def _holds(condition: Condition, argument: int) -> bool:
    value, operator = condition.value, condition.operator
    if operator == "masked":
        return argument & condition.mask == value
    return {"eq": argument == value, "ne": argument != value, "lt": argument < value,
            "le": argument <= value, "gt": argument > value, "ge": argument >= value}[operator]


def compile(rules: "Mapping[int, tuple[Rule, ...]]", default: int, machine: str) -> bytes:
    """The program for `machine`, 8 bytes an instruction. Other architectures' calls kill the process; x32 calls do not exist."""
    head = [(_LOAD, 0, 0, _ARCH), (_EQ, 1, 0, ARCHITECTURES[machine]), (_RETURN, 0, 0, KILL_PROCESS), (_LOAD, 0, 0, _NUMBER)]
    if machine == "x86_64":
        head += [(_GE, 0, 1, _X32), (_RETURN, 0, 0, ERRNO | ENOSYS)]
    return b"".join(struct.pack("=HBBI", *one) for one in head + _search(_runs(rules, default), default))


def _runs(rules: "Mapping[int, tuple[Rule, ...]]", default: int) -> list[tuple[int, tuple[Rule, ...]]]:
    """(first number, rules) of each run of numbers that are treated alike."""
    runs: list[tuple[int, tuple[Rule, ...]]] = []
    for number in range(max(rules, default=0) + 2):
        found = _simplified(rules.get(number, ()), default)
        if not runs or runs[-1][1] != found:
            runs.append((number, found))
    return runs


def _simplified(rules: tuple[Rule, ...], default: int) -> tuple[Rule, ...]:
    """Without what comes after an unconditional rule; always ends with one."""
    kept = []
    for rule in rules:
        kept.append(rule)
        if not rule.conditions:
            break
    else:
        kept.append(Rule(default))
    return tuple(kept) if len(kept) > 1 else (Rule(kept[0].action),)


def _search(runs: list[tuple[int, tuple[Rule, ...]]], default: int) -> list[_Instruction]:
    if len(runs) == 1:
        return _leaf(runs[0][1])
    middle = len(runs) // 2
    low, high = _search(runs[:middle], default), _search(runs[middle:], default)
    if len(low) <= 255:
        return [(_GE, len(low), 0, runs[middle][0]), *low, *high]
    return [(_GE, 0, 1, runs[middle][0]), (_JUMP, 0, 0, len(low)), *low, *high]


def _leaf(rules: tuple[Rule, ...]) -> list[_Instruction]:
    code: list[_Instruction] = []
    for rule in reversed(rules):
        code = _block(rule) + code
    return code


_NEXT, _FAIL, _PASS = 0, -1, -2      # where a jump goes: on, past the rule, past the condition


def _block(rule: Rule) -> list[_Instruction]:
    """Instructions that return the action if all conditions hold and else run out at the end."""
    code = [(_RETURN, 0, 0, rule.action & _LOW)]
    for condition in reversed(rule.conditions):
        test = _test(condition)
        resolved = []
        for place, (operation, true, false, k) in enumerate(test):
            to = {_NEXT: 0, _PASS: len(test) - place - 1, _FAIL: len(test) - place - 1 + len(code)}
            resolved.append((operation, to[true], to[false], k))
        code = resolved + code
    return code


def _test(condition: Condition) -> list[_Instruction]:
    """One condition, by halves of 32 bits; jumps are _NEXT, _PASS or _FAIL."""
    operator, value, mask = condition.operator, condition.value, condition.mask
    low, high = _ARGUMENTS + 8 * condition.argument, _ARGUMENTS + 8 * condition.argument + 4
    if operator == "masked" and value & ~mask:
        return [(_LOAD, 0, 0, low), (_GE, _FAIL, _FAIL, 0)]
    if operator in ("eq", "masked"):
        found: list[_Instruction] = []
        for offset, half, bits in ((high, value >> 32, mask >> 32), (low, value & _LOW, mask & _LOW)):
            if operator == "eq":
                bits = _LOW
            if bits:
                found += [(_LOAD, 0, 0, offset), *([] if bits == _LOW else [(_AND, 0, 0, bits)]), (_EQ, _NEXT, _FAIL, half)]
        return found or [(_LOAD, 0, 0, low)]
    if operator == "ne":
        return [(_LOAD, 0, 0, high), (_EQ, _NEXT, _PASS, value >> 32), (_LOAD, 0, 0, low), (_EQ, _FAIL, _NEXT, value & _LOW)]
    # the high halves decide unless they are equal
    decided_pass, decided_fail = (_PASS, _FAIL) if operator in ("gt", "ge") else (_FAIL, _PASS)
    last = {"gt": (_GT, _NEXT, _FAIL), "ge": (_GE, _NEXT, _FAIL), "lt": (_GE, _FAIL, _NEXT), "le": (_GT, _FAIL, _NEXT)}[operator]
    return [(_LOAD, 0, 0, high), (_GT, decided_pass, _NEXT, value >> 32), (_EQ, _NEXT, decided_fail, value >> 32),
            (_LOAD, 0, 0, low), (*last, value & _LOW)]
