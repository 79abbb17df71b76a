"""A compiled filter as init needs it."""

from __future__ import annotations

from corten.spec._struct import Struct

DEFAULT_DIRECTORY = "/var/cache/corten/seccomp"


class Program(Struct):
    """What :func:`corten.kernel.seccomp.load_filter` takes, and where its listener goes.

    Fields:
        code: BPF instructions.
        flags: ``SECCOMP_FILTER_FLAG_*``.
        listener_path: unix socket that gets the notifications' descriptor, or ``""``.
        listener_metadata: sent along.
    """

    code: bytes
    flags: int = 0
    listener_path: str = ""
    listener_metadata: str = ""
