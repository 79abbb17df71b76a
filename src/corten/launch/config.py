"""The config.json of a request: read from its memfd, its seccomp profile resolved."""

from __future__ import annotations

from corten.errors import InvalidArgument
from corten.launch.wire import read_memfd
from corten.oci.seccomp import cache, profile
from corten.spec.jsonlite import loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from corten.launch.runtime import CreateRequest
    from corten.oci.seccomp.cache import Program

# Docker's, for which the warm process has the compiled profile.
DEFAULT_CAPABILITIES = frozenset(
    (
        "CAP_AUDIT_WRITE",
        "CAP_CHOWN",
        "CAP_DAC_OVERRIDE",
        "CAP_FOWNER",
        "CAP_FSETID",
        "CAP_KILL",
        "CAP_MKNOD",
        "CAP_NET_BIND_SERVICE",
        "CAP_NET_RAW",
        "CAP_SETFCAP",
        "CAP_SETGID",
        "CAP_SETPCAP",
        "CAP_SETUID",
        "CAP_SYS_CHROOT",
    )
)
_programs: dict[frozenset[str], Program] = {}


def warm_up() -> None:
    """Compile the profile that nearly every container has."""
    try:
        _default_program(DEFAULT_CAPABILITIES)
    except Exception:
        _programs.clear()  # no libseccomp: told to whoever asks for the profile


def load(request: CreateRequest) -> dict[str, Any]:
    """The document, as the request gives it.

    Raises:
        InvalidArgument: no sealed memfd, no JSON, no object.
    """
    config = loads(read_memfd(request.config_fd, what="config.json"), what="config.json")
    if not isinstance(config, dict):
        raise InvalidArgument("config.json is no object")
    return config


def with_seccomp(request: CreateRequest, config: dict[str, Any]) -> dict[str, Any]:
    """``config`` with the profile that the request names as its ``linux.seccomp``."""
    if not request.seccomp:
        return config
    held = _bounding(config)
    if request.seccomp == "default":
        seccomp = profile.resolve_default(sorted(held))
    else:
        seccomp = profile.resolve(loads(request.seccomp, what="seccomp profile"), sorted(held))
    return {**config, "linux": {**(config.get("linux") or {}), "seccomp": seccomp}}


def default_program(request: CreateRequest, config: dict[str, Any]) -> Program | None:
    """The compiled default profile, if it is what the request names."""
    if request.seccomp != "default":
        return None
    return _default_program(_bounding(config))


def _default_program(held: frozenset[str]) -> Program:
    program = _programs.get(held)
    if program is None:
        program = _programs[held] = cache.program_for(profile.resolve_default(sorted(held)))
    return program


def _bounding(config: dict[str, Any]) -> frozenset[str]:
    capabilities = (config.get("process") or {}).get("capabilities") or {}
    return frozenset(capabilities.get("bounding") or ())
