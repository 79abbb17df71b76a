"""Programs answer what profiles say; the rearranged one answers what libseccomp's does."""

from __future__ import annotations

import os
import random
from typing import Any

import pytest

from corten.errors import InvalidArgument
from corten.kernel.libseccomp import ACTIONS, architecture, syscall_number
from corten.oci.seccomp import compiler
from corten.oci.seccomp.optimizer import lay_out, optimize
from corten.oci.seccomp.profile import resolve_default
from tests.unit.oci.seccomp.machine import (
    AARCH64,
    ALLOW,
    ARM,
    I386,
    KILL,
    X32,
    X86_64,
    Machine,
    errno,
)

pytestmark = pytest.mark.skipif(
    os.uname().machine != "x86_64", reason="expectations are written in x86_64's call numbers"
)

FEW = ["CAP_CHOWN", "CAP_SETUID", "CAP_KILL"]
EPERM, ENOSYS = errno(1), errno(38)


@pytest.fixture(scope="module")
def docker() -> Machine:
    return Machine(compiler.compile_filter(resolve_default(FEW)))


@pytest.mark.parametrize(
    ("arch", "number", "args", "answer"),
    [
        (X86_64, 0, (), ALLOW),  # read
        (X86_64, 165, (), EPERM),  # mount
        (X86_64, 272, (), EPERM),  # unshare
        (X86_64, 56, (0x11,), ALLOW),  # clone as fork makes it
        (X86_64, 56, (0x10000000,), EPERM),  # clone(CLONE_NEWUSER)
        (X86_64, 56, (0x1_0000_0011,), ALLOW),  # the mask covers the low half only
        (X86_64, 435, (), ENOSYS),  # clone3
        (X86_64, 41, (2,), ALLOW),  # socket(AF_INET)
        (X86_64, 41, (38,), EPERM),  # socket(AF_ALG)
        (X86_64, 41, (39,), ALLOW),
        (X86_64, 41, (40,), EPERM),  # socket(AF_VSOCK)
        (X86_64, 41, (41,), ALLOW),
        (X86_64, 135, (0,), ALLOW),  # personality
        (X86_64, 135, (8,), ALLOW),
        (X86_64, 135, (0x0040000,), EPERM),  # ADDR_NO_RANDOMIZE
        (X86_64, 135, (0xFFFFFFFF,), ALLOW),
        (X86_64, 135, (0x1_0000_0000,), EPERM),
        (X86_64, 101, (), ALLOW),  # ptrace, since Linux 4.8
        (X86_64, 321, (), EPERM),  # bpf
        (X86_64, 425, (), EPERM),  # io_uring_setup
        (X86_64, 462, (), ALLOW),  # mseal, which Debian's libseccomp does not know
        (X86_64, 460, (), EPERM),  # lsm_set_self_attr, known to exist and closed
        (X86_64, 900, (), ENOSYS),  # newer than the profile
        (X86_64, X32 | 0, (), ALLOW),
        (X86_64, X32 | 165, (), EPERM),
        (I386, 3, (), ALLOW),  # read
        (I386, 21, (), EPERM),  # mount
        (I386, 102, (1,), ALLOW),  # socketcall is not looked into
        (I386, 117, (), ALLOW),  # ipc
        (I386, 359, (38,), EPERM),  # socket(AF_ALG)
        (I386, 462, (), ALLOW),
        (I386, 900, (), ENOSYS),
        (AARCH64, 63, (), KILL),  # a foreign architecture
        (ARM, 900, (), KILL),
        (0, 0, (), KILL),
    ],
)
def test_docker_answers(
    docker: Machine, arch: int, number: int, args: tuple[int, ...], answer: int
) -> None:
    assert docker(arch, number, *args) == answer


@pytest.mark.parametrize(("name", "arch"), [("x86_64", X86_64), ("x86", I386), ("x32", X86_64)])
def test_every_named_call_is_open(docker: Machine, name: str, arch: int) -> None:
    token = architecture(name)
    tried = 0
    for rule in resolve_default(FEW)["syscalls"]:
        if "args" in rule:
            continue
        expected = ALLOW if rule["action"] == "SCMP_ACT_ALLOW" else ENOSYS
        for call in rule["names"]:
            number = syscall_number(call, token)
            if number < 0 and name != "x32":  # the stub leaves x32 to the library
                number = compiler._NEW_CALLS.get(call, -1)
            if number >= 0:
                tried += 1
                assert docker(arch, number) == expected, call
    assert tried > 250


def random_profile(chance: random.Random) -> dict[str, Any]:
    actions = ["ALLOW", "ERRNO", "TRAP", "LOG", "KILL_PROCESS", "KILL_THREAD", "TRACE"]
    names = sorted({n for rule in resolve_default(FEW)["syscalls"] for n in rule["names"]})
    rules = []
    for _ in range(chance.randrange(1, 25)):
        rule: dict[str, Any] = {
            "names": chance.sample(names, chance.randrange(1, 30)),
            "action": f"SCMP_ACT_{chance.choice(actions)}",
        }
        if chance.random() < 0.4:
            rule["errnoRet"] = chance.randrange(1, 200)
        if chance.random() < 0.5:
            rule["args"] = [
                {
                    "index": chance.randrange(3),
                    "op": f"SCMP_CMP_{chance.choice(OPERATORS)}",
                    "value": chance.choice(VALUES),
                    "valueTwo": chance.choice(VALUES),
                }
                for _ in range(chance.randrange(1, 3))
            ]
        rules.append(rule)
    architectures = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]
    return {
        "defaultAction": f"SCMP_ACT_{chance.choice(actions)}",
        "architectures": chance.sample(architectures, chance.randrange(4)),
        "syscalls": rules,
    }


OPERATORS = ["NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"]
VALUES = [0, 1, 2, 40, 0xFF, 0x7E020000, 0xFFFFFFFF, 1 << 32, (1 << 32) + 1, (1 << 64) - 1]


def compile_both(profile: dict[str, Any]) -> tuple[bytes, bytes]:
    """What we make of it, and libseccomp's program with our stub."""
    return compiler.compile_filter(profile), compiler.library_program(profile)


def assert_same(short: bytes, long: bytes, chance: random.Random, samples: int) -> None:
    """At every number where either program's answer can change, on every architecture."""
    one, other = Machine(short), Machine(long)
    edges = {0, 1, 500, 0xFFFFFFFF, X32, X32 + 600}
    for value in {*one.constants(), *other.constants()}:
        edges |= {value, value + 1, value - 1}
    interesting = [v for v in edges | set(VALUES) if v >= 0]
    for arch in (X86_64, I386, AARCH64, 0):
        for number in sorted(edge for edge in edges if 0 <= edge <= 0xFFFFFFFF):
            for _ in range(samples):
                args = [chance.choice(interesting) for _ in range(3)]
                asked = (arch, number, *args)
                assert one(*asked) == other(*asked), asked


def test_dockers_profile_is_the_same_and_a_third(seed: int) -> None:
    short, long = compile_both(resolve_default(FEW))
    assert len(short) * 3 < len(long)
    chance = random.Random(seed)
    assert_same(short, long, chance, 2)
    one, other = Machine(short), Machine(long)
    for base in (0, X32):
        for number in range(base, base + 700):
            for arch in (X86_64, I386):
                args = [chance.choice(VALUES) for _ in range(3)]
                assert one(arch, number, *args) == other(arch, number, *args)


@pytest.mark.parametrize("turn", range(12))
def test_any_profile_is_the_same(turn: int, seed: int) -> None:
    chance = random.Random(seed + turn)
    short, long = compile_both(random_profile(chance))
    assert len(short) <= len(long)
    assert_same(short, long, chance, 4)


def without_plain_calls(profile: dict[str, Any]) -> bytes | None:
    """A program whose plain calls the library was not asked, whether that pays or not."""
    read = compiler._Profile(profile)
    plain, answers = compiler._plain_calls(read)
    return lay_out(read.compiled([r for r in read.rules if r.name not in plain]), answers)


@pytest.mark.parametrize("turn", range(8))
def test_any_profile_without_plain_calls_is_the_same(turn: int, seed: int) -> None:
    chance = random.Random(seed + turn)
    profile = random_profile(chance)
    program = without_plain_calls(profile)
    if program is not None:  # else the library makes all of it
        assert_same(program, compiler.library_program(profile), chance, 2)


@pytest.mark.soak
def test_many_profiles_are_the_same(seed: int) -> None:
    for turn in range(300):
        chance = random.Random(seed + turn)
        profile = random_profile(chance)
        short, long = compile_both(profile)
        assert_same(short, long, chance, 8)
        program = without_plain_calls(profile)
        if program is not None:
            assert_same(program, long, chance, 8)


@pytest.mark.parametrize("architectures", [[], ["X86"], ["X86", "X32"], ["AARCH64", "ARM"]])
def test_what_the_library_is_not_asked_makes_no_difference(architectures: list[str]) -> None:
    """The same program, byte by byte, as from all rules by libseccomp."""
    profile = resolve_default(FEW)
    profile["architectures"] = [f"SCMP_ARCH_{name}" for name in architectures]
    short, long = compile_both(profile)
    assert short == optimize(long)


def test_what_the_optimizer_does_not_know_stays() -> None:
    allow = b"\x06\x00\x00\x00\x00\x00\xff\x7f"
    scratch = b"\x02\x00\x00\x00\x00\x00\x00\x00"  # BPF_ST
    for program in (allow, scratch + allow, allow[:6] + b"\0\0", b"\x20\0\0\0\0\0\0\0"):
        assert optimize(program) == program


def test_conditions_on_one_argument_are_alternatives() -> None:
    rule = {
        "names": ["personality"],
        "action": "SCMP_ACT_ALLOW",
        "args": [{"index": 0, "value": v, "op": "SCMP_CMP_EQ"} for v in (3, 5)],
    }
    program = Machine(
        compiler.compile_filter({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [rule]})
    )
    assert [program(X86_64, 135, value) == ALLOW for value in (3, 4, 5)] == [True, False, True]


def test_a_rule_on_several_arguments_needs_all() -> None:
    args = [
        {"index": 0, "value": 2, "op": "SCMP_CMP_GE"},
        {"index": 1, "value": 0xF0, "valueTwo": 0x10, "op": "SCMP_CMP_MASKED_EQ"},
    ]
    rule = {"names": ["socket"], "action": "SCMP_ACT_ERRNO", "errnoRet": 97, "args": args}
    program = Machine(
        compiler.compile_filter({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]})
    )
    assert program(X86_64, 41, 2, 0x1F) == errno(97)
    assert program(X86_64, 41, 1, 0x1F) == ALLOW
    assert program(X86_64, 41, 2, 0x2F) == ALLOW


@pytest.mark.parametrize("action", ["ALLOW", "LOG"])
def test_a_profile_that_lets_through_has_no_stub(action: str) -> None:
    rule = {"names": ["mount"], "action": "SCMP_ACT_KILL_PROCESS"}
    profile = {"defaultAction": f"SCMP_ACT_{action}", "syscalls": [rule]}
    program = Machine(compiler.compile_filter(profile))
    assert program(X86_64, 900) == ACTIONS[f"SCMP_ACT_{action}"]
    assert program(X86_64, 165) == 0x80000000


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"defaultAction": "SCMP_ACT_MAYBE"}, "action 'SCMP_ACT_MAYBE'"),
        ({"defaultErrnoRet": 70000}, "errno"),
        ({"architectures": ["SCMP_ARCH_VAX"]}, "SCMP_ARCH_VAX"),
        ({"syscalls": [{"names": ["read"], "action": "X"}]}, "action 'X'"),
        (
            {"syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": [{"op": "?"}]}]},
            "operator",
        ),
        (
            {
                "syscalls": [
                    {
                        "names": ["read"],
                        "action": "SCMP_ACT_ALLOW",
                        "args": [{"op": "SCMP_CMP_EQ", "index": 6, "value": 0}],
                    }
                ]
            },
            "argument 6",
        ),
    ],
)
def test_nonsense_is_refused(change: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidArgument, match=text):
        compiler.compile_filter({"defaultAction": "SCMP_ACT_ERRNO", **change})


def test_unknown_calls_are_ignored() -> None:
    rules = [{"names": ["no_such_call", "read"], "action": "SCMP_ACT_ALLOW"}]
    program = Machine(
        compiler.compile_filter({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules})
    )
    assert program(X86_64, 0) == ALLOW
    assert program(X86_64, 1) == ENOSYS  # nothing newer than read was named
