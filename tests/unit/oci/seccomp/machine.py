"""The kernel's classic BPF machine, as far as seccomp filters use it."""

from __future__ import annotations

import struct

from corten.kernel.libseccomp import ACTIONS

X86_64, I386, AARCH64, ARM = 0xC000003E, 0x40000003, 0xC00000B7, 0x40000028
X32 = 0x40000000

ALLOW = ACTIONS["SCMP_ACT_ALLOW"]
KILL = ACTIONS["SCMP_ACT_KILL"]


def errno(number: int) -> int:
    return ACTIONS["SCMP_ACT_ERRNO"] | number


class Machine:
    """A filter that answers calls."""

    def __init__(self, program: bytes) -> None:
        self.code = list(struct.iter_unpack("HBBI", program))
        assert 0 < len(self.code) <= 4096

    def __call__(self, arch: int, number: int, *args: int) -> int:
        words = [number, arch, 0, 0]
        for arg in [*args, 0, 0, 0, 0, 0, 0][:6]:
            words += [arg & 0xFFFFFFFF, arg >> 32]
        accumulator = at = 0
        while True:
            op, yes, no, value = self.code[at]
            at += 1
            if op == 0x06:
                return int(value)
            if op == 0x20:
                assert value % 4 == 0
                accumulator = words[value // 4]
            elif op == 0x54:
                accumulator &= value
            elif op == 0x05:
                at += value
            else:
                holds = {
                    0x15: accumulator == value,
                    0x25: accumulator > value,
                    0x35: accumulator >= value,
                    0x45: bool(accumulator & value),
                }[op]
                at += yes if holds else no

    def constants(self) -> list[int]:
        """What the program compares with: only there answers can change."""
        return sorted({value for op, _, _, value in self.code if op in (0x15, 0x25, 0x35, 0x45)})
