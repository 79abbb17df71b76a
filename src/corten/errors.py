"""The closed set of errors that every layer raises.

One class per answer to the caller's question "what can I do about it?". Each edge
(HTTP status, gRPC code, exit code) has one translation table over ``code``. An error
crosses a process border as the plain dictionary of :meth:`CortenError.to_dict`.

Nothing here imports anything: the module is part of what every container is forked from.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class CortenError(Exception):
    """Base of all errors.

    Arguments:
        message: what happened, one sentence without a final stop; no secrets.
        step: the step that failed, as ``mount /proc`` or ``pull layer``; may be empty.
        path: the file, URL (without credentials) or object concerned; may be empty.
        errno: the kernel's error number where there was one, else 0.
        hint: what the user can do about it; may be empty.
    """

    code: str = "internal"
    # whether a container's init said so, or stands in its name; stays in the process that reads it
    from_init: bool = False

    def __init__(
        self, message: str, *, step: str = "", path: str = "", errno: int = 0, hint: str = ""
    ) -> None:
        super().__init__(message)
        self.message = message
        self.step = step
        self.path = path
        self.errno = errno
        self.hint = hint

    def __str__(self) -> str:
        text = self.message
        if self.step:
            text = f"{self.step}: {text}"
        if self.path and self.path not in text:
            text = f"{text} ({self.path})"
        return text

    def to_dict(self) -> dict[str, Any]:
        """Plain data for a message to another process; inverse of :func:`from_dict`."""
        return {
            "code": self.code,
            "message": self.message,
            "step": self.step,
            "path": self.path,
            "errno": self.errno,
            "hint": self.hint,
        }


class InvalidArgument(CortenError):
    """The request can never work as it is."""

    code = "invalid_argument"


class NotFound(CortenError):
    """The named object does not exist (for this tenant)."""

    code = "not_found"


class AlreadyExists(CortenError):
    """The name is taken."""

    code = "already_exists"


class FailedPrecondition(CortenError):
    """The object is not in a state that allows this (start of a running container)."""

    code = "failed_precondition"


class NotModified(CortenError):
    """Nothing to do: the object is already in the wanted state (Docker's 304)."""

    code = "not_modified"


class PermissionDenied(CortenError):
    """The caller or the kernel's policy forbids it."""

    code = "permission_denied"


class Unauthenticated(CortenError):
    """Credentials are missing or wrong."""

    code = "unauthenticated"


class ResourceExhausted(CortenError):
    """Disk, memory, descriptors, addresses or ports are used up; a retry may work later."""

    code = "resource_exhausted"


class Unavailable(CortenError):
    """A peer (registry, launcher, plugin) does not answer; a retry may work."""

    code = "unavailable"


class DeadlineExceeded(CortenError):
    """The deadline passed; the operation may still be under way."""

    code = "deadline_exceeded"


class Cancelled(CortenError):
    """The caller gave up."""

    code = "cancelled"


class DataLoss(CortenError):
    """Bytes are not what their digest says, or a record is damaged."""

    code = "data_loss"


class Unimplemented(CortenError):
    """Not offered (yet); the message names what was asked for."""

    code = "unimplemented"


class Internal(CortenError):
    """A defect of ours, or a kernel answer nobody expected."""

    code = "internal"


class ProgramNotFound(InvalidArgument):
    """The program of a container or exec does not exist in it: exit code 127 (POSIX)."""

    code = "program_not_found"


class ProgramNotExecutable(InvalidArgument):
    """The program exists and can't be executed: exit code 126 (POSIX)."""

    code = "program_not_executable"


_ALL = (
    CortenError,
    InvalidArgument,
    NotFound,
    AlreadyExists,
    FailedPrecondition,
    NotModified,
    PermissionDenied,
    Unauthenticated,
    ResourceExhausted,
    Unavailable,
    DeadlineExceeded,
    Cancelled,
    DataLoss,
    Unimplemented,
    Internal,
    ProgramNotFound,
    ProgramNotExecutable,
)
BY_CODE: dict[str, type[CortenError]] = {cls.code: cls for cls in _ALL}


# By the kernel's numbers: this module imports nothing.
_USED_UP = {
    12: "free memory and try again",  # ENOMEM
    23: "close files or raise fs.file-max, then try again",  # ENFILE
    24: "raise the limit of open files (LimitNOFILE), then try again",  # EMFILE
    28: "free space on that file system and try again",  # ENOSPC
    122: "free space or raise the quota, then try again",  # EDQUOT
}


def exhausted(
    error: OSError, *, step: str = "", path: str = "", hint: str = ""
) -> ResourceExhausted | None:
    """What the kernel says is used up, as an error of ours; None where it says something else."""
    usual = _USED_UP.get(error.errno or 0)
    if usual is None:
        return None
    text, number = error.strerror or str(error), error.errno or 0
    return ResourceExhausted(text, step=step, path=path, errno=number, hint=hint or usual)


def from_dict(data: dict[str, Any]) -> CortenError:
    """Rebuild an error from :meth:`CortenError.to_dict`; unknown codes become ``Internal``."""
    cls = BY_CODE.get(str(data.get("code")), Internal)
    return cls(
        str(data.get("message", "")),
        step=str(data.get("step", "")),
        path=str(data.get("path", "")),
        errno=int(data.get("errno", 0)),
        hint=str(data.get("hint", "")),
    )
