"""Kills a process at its N-th system call: as ``strace -e inject=all:signal=KILL:when=N``
does, but aimed at a fork of the process that is attached to, by its generation.

``tracer.py PID GENERATION N``: 0 is the process itself, 1 its children, and so on (a child
of the launcher is a monitor, a child of that is an init). The count begins with the attach
or the fork and ends with an exec. It prints ``attached``, then ``killed PID CALL`` when it
has; at SIGTERM it prints ``counted N`` and lets everything go.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from types import FrameType

_CONT, _SYSCALL, _GETEVENTMSG = 7, 24, 0x4201
_SEIZE, _INTERRUPT, _LISTEN, _GET_SYSCALL_INFO = 0x4206, 0x4207, 0x4208, 0x420E
_SYSGOOD, _FORKS, _EXEC = 0x1, 0x2 | 0x4 | 0x8, 0x10
_EVENT_FORKS, _EVENT_EXEC, _EVENT_STOP = (1, 2, 3), 4, 128
_WALL = 0x40000000
_ENTRY = 1
_STOPS = (signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU)

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_libc.ptrace.restype = ctypes.c_long


def ptrace(request: int, pid: int, address: int = 0, data: int = 0) -> None:
    if _libc.ptrace(request, pid, address, data) < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


class Tracer:
    """Follows the forks of one process."""

    def __init__(self, pid: int, generation: int, when: int) -> None:
        self._target = generation
        self._when = when
        self._generations = {pid: 0}
        self._early: set[int] = set()  # stopped before the fork of theirs was told
        self._over: set[int] = set()  # has executed a program
        self._counts: dict[int, int] = {}
        ptrace(_SEIZE, pid, 0, _SYSGOOD | _FORKS | _EXEC)
        if generation == 0:
            ptrace(_INTERRUPT, pid)
            self._turn()
        print("attached", flush=True)

    def run(self) -> None:
        """Until everybody has ended."""
        try:
            while True:
                self._turn()
        except ChildProcessError:
            self.counted()

    def counted(self, *_: int | FrameType | None) -> None:
        """How many calls the one with the most has made."""
        os.write(1, b"counted %d\n" % max(self._counts.values(), default=0))
        os._exit(0)

    def _turn(self) -> None:
        pid, status = os.waitpid(-1, _WALL)
        if os.WIFSTOPPED(status):
            try:
                self._stopped(pid, os.WSTOPSIG(status), status >> 16)
            except ProcessLookupError:
                return  # killed meanwhile: its end is told next

    def _stopped(self, pid: int, number: int, event: int) -> None:
        if event == _EVENT_STOP and number in _STOPS:
            ptrace(_LISTEN, pid)
        elif pid not in self._generations:
            self._early.add(pid)
        elif event in _EVENT_FORKS:
            self._forked(pid)
            self._go_on(pid)
        elif event == _EVENT_EXEC:
            self._over.add(pid)
            self._go_on(pid)
        elif number == signal.SIGTRAP | 0x80:
            self._call(pid)
            self._go_on(pid)
        else:
            self._go_on(pid, 0 if event else number)

    def _forked(self, pid: int) -> None:
        child = ctypes.c_ulong()
        ptrace(_GETEVENTMSG, pid, 0, ctypes.addressof(child))
        self._generations[child.value] = self._generations[pid] + 1
        if child.value in self._early:
            self._early.remove(child.value)
            self._go_on(child.value)

    def _call(self, pid: int) -> None:
        info = ctypes.create_string_buffer(88)
        ptrace(_GET_SYSCALL_INFO, pid, len(info), ctypes.addressof(info))
        if info.raw[0] != _ENTRY:
            return
        count = self._counts[pid] = self._counts.get(pid, 0) + 1
        if count == self._when:
            os.kill(pid, signal.SIGKILL)
            print("killed", pid, int.from_bytes(info.raw[24:32], sys.byteorder), flush=True)

    def _go_on(self, pid: int, number: int = 0) -> None:
        wanted = self._generations[pid] == self._target and pid not in self._over
        ptrace(_SYSCALL if wanted else _CONT, pid, 0, number)


if __name__ == "__main__":
    tracer = Tracer(*map(int, sys.argv[1:4]))
    signal.signal(signal.SIGTERM, tracer.counted)
    tracer.run()
