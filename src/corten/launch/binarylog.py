"""What a runtime's program says when it fails, as one of our errors."""

from __future__ import annotations

from corten.errors import (
    CortenError,
    FailedPrecondition,
    Internal,
    InvalidArgument,
    NotFound,
    ProgramNotExecutable,
    ProgramNotFound,
)
from corten.spec.jsonlite import loads

# (all of these words in the message, the error); the first that fits. The words are those
# of runc 1.1 to 1.3, crun 1.8 to 1.20 and runsc of 2023 to 2025.
_WORDS: tuple[tuple[tuple[str, ...], type[CortenError]], ...] = (
    (("executable file not found",), ProgramNotFound),
    (("exec:", "no such file or directory"), ProgramNotFound),
    (("unable to start container process", "no such file or directory"), ProgramNotFound),
    (("executable file", "not found"), ProgramNotFound),
    (("error finding executable",), ProgramNotFound),
    (("failed to load", "no such file or directory"), ProgramNotFound),
    (("exec:", "permission denied"), ProgramNotExecutable),
    (("exec:", "exec format error"), ProgramNotExecutable),
    (("exec format error",), ProgramNotExecutable),
    (("failed to load", "permission denied"), ProgramNotExecutable),
    (("unable to start container process", "permission denied"), ProgramNotExecutable),
    (("open executable", "permission denied"), ProgramNotExecutable),
    (("executable path", "permission denied"), ProgramNotExecutable),
    (("does not exist",), NotFound),
    (("not found", "container"), NotFound),
    (("process already finished",), NotFound),
    (("process not running",), NotFound),
    (("container not running",), NotFound),
    (("no such process",), NotFound),
    (("cannot", "state"), FailedPrecondition),
    (("unable to find user",), InvalidArgument),
    (("cannot run with network enabled in root network namespace",), FailedPrecondition),
)
# What to do about it, by words of the message.
_HINTS: tuple[tuple[str, str], ...] = (
    (
        # It looks for a sysctl that namespaces have as well by now (Debian 12's runsc of 2022).
        "cannot run with network enabled in root network namespace",
        "this runsc is older than the kernel and takes every network namespace for the host's: "
        "install a newer one (https://gvisor.dev/docs/user_guide/install), or let it run without a "
        'network: [runtimes.runsc] with args = ["--network=none"] in config.toml',
    ),
)


def failure(command: str, code: int, log: bytes) -> CortenError:
    """The error for a program that ended with ``code`` and wrote ``log`` (JSON or text)."""
    message = _message(log) or f"the runtime ended with code {code}"
    lower = message.lower()
    for words, kind in _WORDS:
        if all([word in lower for word in words]):
            return kind(message, step=f"runtime {command}", hint=_hint(lower))
    return Internal(message, step=f"runtime {command}")


def _hint(lower: str) -> str:
    return next((hint for words, hint in _HINTS if words in lower), "")


def _message(log: bytes) -> str:
    """The last error in the log."""
    last = ""
    for line in log.decode("utf-8", "replace").splitlines():
        text, is_error = _line(line)
        if text and (is_error or not last):
            last = text
    return last


def _line(line: str) -> tuple[str, bool]:
    if line.startswith("{"):
        try:
            entry = loads(line)
        except InvalidArgument:
            return line, False
        return str(entry.get("msg", "")), entry.get("level") in ("error", "fatal", "panic")
    return line.strip(), True
