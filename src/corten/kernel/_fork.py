"""What a bare clone3 needs of CPython: its fork hooks, and a call that keeps the interpreter."""

from __future__ import annotations

from _ctypes import FUNCFLAG_CDECL, FUNCFLAG_PYTHONAPI, FUNCFLAG_USE_ERRNO, CFuncPtr, dlsym

from corten.kernel._call import NR, c_void_p, failure, itself

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class _CallHoldingGil(CFuncPtr):
    """For clone3: the interpreter must not be given away between the fork and its hooks."""

    _flags_ = FUNCFLAG_CDECL | FUNCFLAG_USE_ERRNO | FUNCFLAG_PYTHONAPI
    _argtypes_ = (c_void_p,) * 7


class _Hook(CFuncPtr):
    _flags_ = FUNCFLAG_CDECL | FUNCFLAG_PYTHONAPI
    _restype_ = None
    _argtypes_ = ()


_raw_holding_gil = _CallHoldingGil(dlsym(itself, "syscall"))
before_fork = _Hook(dlsym(itself, "PyOS_BeforeFork"))
after_fork_parent = _Hook(dlsym(itself, "PyOS_AfterFork_Parent"))
after_fork_child = _Hook(dlsym(itself, "PyOS_AfterFork_Child"))


def call_holding_gil(name: str, a: Any, b: Any) -> int:
    """Like :func:`call`, without a moment in which Python could switch threads."""
    result: int = _raw_holding_gil(NR[name], a, b, 0, 0, 0, 0)
    if result == -1:
        raise failure(name)
    return result
