"""The one table from the engine's errors to gRPC's status codes."""

from __future__ import annotations

import grpc

from corten.errors import CortenError

_CODES = {
    "invalid_argument": grpc.StatusCode.INVALID_ARGUMENT,
    "program_not_found": grpc.StatusCode.INVALID_ARGUMENT,
    "program_not_executable": grpc.StatusCode.INVALID_ARGUMENT,
    "not_found": grpc.StatusCode.NOT_FOUND,
    "already_exists": grpc.StatusCode.ALREADY_EXISTS,
    "failed_precondition": grpc.StatusCode.FAILED_PRECONDITION,
    "not_modified": grpc.StatusCode.FAILED_PRECONDITION,
    "permission_denied": grpc.StatusCode.PERMISSION_DENIED,
    "unauthenticated": grpc.StatusCode.UNAUTHENTICATED,
    "resource_exhausted": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "unavailable": grpc.StatusCode.UNAVAILABLE,
    "deadline_exceeded": grpc.StatusCode.DEADLINE_EXCEEDED,
    "cancelled": grpc.StatusCode.CANCELLED,
    "data_loss": grpc.StatusCode.DATA_LOSS,
    "unimplemented": grpc.StatusCode.UNIMPLEMENTED,
    "internal": grpc.StatusCode.INTERNAL,
}


def status(error: CortenError) -> grpc.StatusCode:
    """The code that answers ``error``."""
    return _CODES.get(error.code, grpc.StatusCode.INTERNAL)


def message(error: CortenError) -> str:
    """The text for people: what happened, and the hint."""
    return f"{error}: {error.hint}" if error.hint else str(error)
