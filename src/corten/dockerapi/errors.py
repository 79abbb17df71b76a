"""The one table from the engine's errors to HTTP, in the words docker's clients look for."""

from __future__ import annotations

from corten.errors import CortenError

STATUS = {
    "invalid_argument": 400,
    "program_not_found": 400,
    "program_not_executable": 400,
    "unauthenticated": 401,
    "permission_denied": 403,
    "not_found": 404,
    "already_exists": 409,
    "failed_precondition": 409,
    "not_modified": 304,
    "resource_exhausted": 500,
    "data_loss": 500,
    "internal": 500,
    "deadline_exceeded": 500,
    "cancelled": 500,
    "unimplemented": 501,
    "unavailable": 503,
}

# The command line turns the text of a failed start into its exit code: 127 if it finds one of
# the first words, 126 for one of the second (docker/cli, "run" and "start").
_WORDS = {
    "program_not_found": (
        "executable file not found in $PATH",
        ("executable file not found", "no such file or directory"),
    ),
    "program_not_executable": ("permission denied", ("permission denied",)),
}


def status(error: CortenError) -> int:
    """The HTTP status that answers ``error``."""
    return STATUS.get(error.code, 500)


def message(error: CortenError) -> str:
    """The text for people: what happened, and the hint."""
    text = str(error)
    default, words = _WORDS.get(error.code, ("", ()))
    if default and not any(word in text for word in words):
        text = f"{text}: {default}"
    return f"{text}: {error.hint}" if error.hint else text
