"""From the kernel's errno to the closed set of errors, with the step and the path."""

from __future__ import annotations

import posix
from errno import (
    EACCES,
    EAGAIN,
    EBUSY,
    EEXIST,
    EINVAL,
    ELOOP,
    ENAMETOOLONG,
    ENODEV,
    ENOENT,
    ENOSYS,
    ENOTDIR,
    EOPNOTSUPP,
    EPERM,
    EROFS,
    ESRCH,
    EXDEV,
)

from corten import errors
from corten.kernel.paths import fsdecode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    from corten.errors import CortenError

    T = TypeVar("T")

_CLASSES: dict[int, type[CortenError]] = {
    EPERM: errors.PermissionDenied,
    EACCES: errors.PermissionDenied,
    EROFS: errors.PermissionDenied,
    ENOENT: errors.NotFound,
    ENOTDIR: errors.InvalidArgument,
    EINVAL: errors.InvalidArgument,
    ELOOP: errors.InvalidArgument,
    ENAMETOOLONG: errors.InvalidArgument,
    ENODEV: errors.FailedPrecondition,
    EXDEV: errors.PermissionDenied,
    EEXIST: errors.AlreadyExists,
    EBUSY: errors.FailedPrecondition,
    ESRCH: errors.FailedPrecondition,
    ENOSYS: errors.Unimplemented,
    EOPNOTSUPP: errors.Unimplemented,
    EAGAIN: errors.ResourceExhausted,
}
# What execve says of a program that is there and is none (or of its interpreter).
_NOT_FOUND = (ENOENT, ENOTDIR)


def failed(step: str, error: OSError, *, path: str = "", hint: str = "") -> CortenError:
    """The error to raise where ``error`` happened in ``step``.

    Arguments:
        path: what the step is about; otherwise the path that the kernel was given. A path in
            ``/proc/self/fd`` tells nobody anything and is left out.
    """
    code = error.errno or 0
    if not path and isinstance(error.filename, (str, bytes)):
        named = fsdecode(error.filename)
        path = "" if named.startswith("/proc/self/fd/") else named
    used_up = errors.exhausted(error, step=step, path=path, hint=hint)
    if used_up is not None:
        return used_up
    cls = _CLASSES.get(code, errors.Internal)
    return cls(error.strerror or str(error), step=step, path=path, errno=code, hint=hint)


def attempt(step: str, function: Callable[..., T], *args: Any) -> T:
    """Call ``function``; an OSError becomes the error of ``step``."""
    try:
        return function(*args)
    except OSError as error:
        raise failed(step, error) from None


def not_found(name: str, *, detail: str = "executable file not found in $PATH") -> CortenError:
    """Exit code 127, in the words that every container tool looks for."""
    return errors.ProgramNotFound(f'exec: "{name}": {detail}', path=name, errno=ENOENT)


def not_executable(name: str, code: int) -> CortenError:
    """Exit code 126."""
    text = posix.strerror(code).lower()
    return errors.ProgramNotExecutable(f'exec: "{name}": {text}', path=name, errno=code)


def exec_failed(name: str, error: OSError) -> CortenError:
    """What execve's answer means for the container's exit code."""
    code = error.errno or 0
    if code in _NOT_FOUND:  # the file is there (it was looked up): its interpreter is not
        text = f"exec {name}: {posix.strerror(code).lower()}"
        return errors.ProgramNotFound(text, path=name, errno=code)
    return not_executable(name, code)
