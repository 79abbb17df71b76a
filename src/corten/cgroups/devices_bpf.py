"""A device policy as an eBPF program for cgroup v2 (BPF_PROG_TYPE_CGROUP_DEVICE)."""

from __future__ import annotations

import posix
from _struct import pack

from corten.cgroups.devices import ALL_ACCESS, WILDCARD
from corten.kernel import bpf

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cgroups.devices import DeviceException, DevicePolicy

# <linux/bpf.h>: opcodes
_LOAD_WORD = 0x61  # BPF_LDX | BPF_MEM | BPF_W
_MOVE = 0xBF  # 64 bit, from a register
_MOVE_VALUE = 0xB7
_AND_VALUE = 0x57
_RIGHT_SHIFT = 0x77
_JUMP_EQ = 0x16  # 32 bit, against a value
_JUMP_NE = 0x56
_EXIT = 0x95

_TYPES = {"b": 1, "c": 2}  # BPF_DEVCG_DEV_*
# Registers: the context comes in r1, which is free for scratch once it was read.
_RESULT, _SCRATCH, _TYPE, _ACCESS, _MAJOR, _MINOR = range(6)
_NUMBERS = ((_MAJOR, 4), (_MINOR, 8))  # offsets in struct bpf_cgroup_dev_ctx


def assemble(policy: DevicePolicy) -> bytes:
    """The program: the first exception that matches decides, else the default."""
    code = [
        # access_type holds the type in its lower half, the access in the upper
        _op(_LOAD_WORD, _TYPE, _SCRATCH),
        _op(_MOVE, _ACCESS, _TYPE),
        _op(_AND_VALUE, _TYPE, value=0xFFFF),
        _op(_RIGHT_SHIFT, _ACCESS, value=16),
    ]
    code += [_op(_LOAD_WORD, register, _SCRATCH, offset) for register, offset in _NUMBERS]
    for item in policy.exceptions:
        code += _exception(item, policy.allow)
    code += [_op(_MOVE_VALUE, _RESULT, value=int(policy.allow)), _op(_EXIT)]
    return b"".join(code)


def _exception(item: DeviceException, default: bool) -> list[bytes]:
    """Instructions of one exception; each test jumps behind its end if it does not match."""
    tests: list[tuple[int, int, int]] = [(_JUMP_NE, _TYPE, _TYPES[item.type])]
    access: list[bytes] = []
    if item.access != ALL_ACCESS:
        # allowing takes the whole request, denying a part of it
        mask = item.access if default else ALL_ACCESS & ~item.access
        access = [_op(_MOVE, _SCRATCH, _ACCESS), _op(_AND_VALUE, _SCRATCH, value=mask)]
        tests.append((_JUMP_EQ if default else _JUMP_NE, _SCRATCH, 0))
    if item.major != WILDCARD:
        tests.append((_JUMP_NE, _MAJOR, item.major))
    if item.minor != WILDCARD:
        tests.append((_JUMP_NE, _MINOR, item.minor))
    code = list(access)
    for position, (jump, register, value) in enumerate(tests):
        code.append(_op(jump, register, 0, len(tests) - position - 1 + 2, value))
    return [*code, _op(_MOVE_VALUE, _RESULT, value=int(not default)), _op(_EXIT)]


def _op(code: int, to: int = 0, source: int = 0, offset: int = 0, value: int = 0) -> bytes:
    signed = value - (1 << 32) if value >= 1 << 31 else value
    return pack("=BBhi", code, source << 4 | to, offset, signed)


def attach(group: str, policy: DevicePolicy) -> None:
    """Put ``policy`` in force for the group at ``group``, in the place of what was there.

    Raises:
        OSError: the kernel refused (EPERM without CAP_BPF or CAP_SYS_ADMIN).
    """
    directory = posix.open(group, posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC)
    held: list[int] = [directory]
    try:
        for number in bpf.attached_device_programs(directory):
            held.append(bpf.program_by_id(number))
        old = held[1:]
        if policy.allow and not policy.exceptions:
            for program in old:
                bpf.detach_device_program(directory, program)
            return
        new = bpf.load_device_program(assemble(policy))
        held.append(new)
        # replaced in one step, so that no moment is without a program or with both
        bpf.attach_device_program(directory, new, old[0] if len(old) == 1 else -1)
        for program in old if len(old) > 1 else ():
            bpf.detach_device_program(directory, program)
    finally:
        for fd in held:
            posix.close(fd)
