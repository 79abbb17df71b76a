"""Device rules: folded as the kernel's v1 controller does, and the same as a v2 program."""

from __future__ import annotations

import random
import struct
from typing import Any

import pytest

from corten.cgroups import devices, devices_bpf
from corten.errors import InvalidArgument

DENY_ALL = {"allow": False, "access": "rwm"}
NULL = {"allow": True, "type": "c", "major": 1, "minor": 3, "access": "rwm"}


def test_docker_like_rules_become_an_allow_list() -> None:
    policy = devices.normalise(
        [DENY_ALL, {"allow": True, "type": "c", "access": "m"}, NULL, {**NULL, "type": "u"}]
    )
    assert policy.allow is False
    assert [item.text() for item in policy.exceptions] == ["c *:* m", "c 1:3 rwm"]


def test_a_privileged_container_has_no_exceptions() -> None:
    policy = devices.normalise([DENY_ALL, NULL, {"allow": True, "type": "a", "access": "rwm"}])
    assert (policy.allow, policy.exceptions) == (True, ())


def test_a_later_rule_takes_bits_back() -> None:
    policy = devices.normalise([DENY_ALL, NULL, {**NULL, "allow": False, "access": "w"}])
    assert [item.text() for item in policy.exceptions] == ["c 1:3 rm"]


def test_all_types_with_numbers_mean_both_types() -> None:
    policy = devices.normalise([DENY_ALL, {"allow": True, "type": "a", "major": 7, "access": "r"}])
    assert [item.text() for item in policy.exceptions] == ["b 7:* r", "c 7:* r"]


@pytest.mark.parametrize(
    "rule", [{"type": "x"}, {"access": "q"}, {"major": -2}, {"minor": "3"}, {"major": 2**32}]
)
def test_nonsense_is_refused(rule: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument, match="device rule"):
        devices.normalise([rule])


def run_program(code: bytes, kind: str, major: int, minor: int, access: int) -> int:
    """The kernel's virtual machine, as far as the programs use it."""
    registers = [0] * 11
    context = {0: access << 16 | {"b": 1, "c": 2}[kind], 4: major, 8: minor}
    at = 0
    for _ in range(len(code)):
        op, both, offset, value = struct.unpack_from("=BBhi", code, at * 8)
        to, source = both & 15, both >> 4
        at += 1
        if op == 0x95:
            return registers[0]
        if op == 0x61:
            assert source == 1, "the context is only there before r1 is overwritten"
            registers[to] = context[offset]
        elif op == 0xBF:
            registers[to] = registers[source]
        elif op == 0xB7:
            registers[to] = value
        elif op == 0x57:
            registers[to] &= value
        elif op == 0x77:
            registers[to] >>= value
        elif op in (0x16, 0x56):
            equal = registers[to] & 0xFFFFFFFF == value & 0xFFFFFFFF
            at += offset if equal == (op == 0x16) else 0
        else:
            raise AssertionError(f"opcode {op:#x}")
    raise AssertionError("program has no end")


def test_programs_agree_with_the_rules(seed: int) -> None:
    chance = random.Random(seed)
    numbers = [None, -1, 0, 1, 5, 2**32 - 1]
    for _ in range(300):
        rules = [
            {
                "allow": chance.random() < 0.5,
                "type": chance.choice(["a", "b", "c", None]),
                "major": chance.choice(numbers),
                "minor": chance.choice(numbers),
                "access": chance.choice(["r", "w", "m", "rw", "rwm", None]),
            }
            for _ in range(chance.randrange(6))
        ]
        policy = devices.normalise(rules)
        code = devices_bpf.assemble(policy)
        for kind in "bc":
            for major in (0, 1, 5, 2**32 - 1):
                for access in range(1, 8):
                    asked = (kind, major, chance.choice([0, 1, 5]), access)
                    expected = devices.allows(policy, *asked)
                    assert run_program(code, *asked) == expected, (rules, asked)
