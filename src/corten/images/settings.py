"""What an administrator may set for images (``[images]`` in config.toml)."""

from __future__ import annotations

import msgspec


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Defaults are Docker's where it has the setting.

    Fields:
        insecure: registries (``host[:port]`` or a CIDR network) without TLS or with a
            certificate nobody vouches for. Loopback addresses always are.
        mirrors: base URLs asked first for ``docker.io``.
        parallel_downloads: layers at once per pull.
        parallel_unpacks: worker processes at once; 0: one a core.
        stall_seconds: a transfer that moves no byte for so long is broken off and resumed.
        least_bytes_per_second: a transfer that is slower over that time is broken off as well.
        attempts: tries per request and per blob before a pull fails.
        max_ratio: an archive that unpacks to more than so many times its packed size
            (beyond the first 100 MB) is taken for a bomb.
        max_unpacked: bytes of one unpacked layer; 0: as much as the disk has.
    """

    insecure: tuple[str, ...] = ()
    mirrors: tuple[str, ...] = ()
    parallel_downloads: int = 3
    parallel_unpacks: int = 0
    stall_seconds: float = 30.0
    least_bytes_per_second: int = 256
    attempts: int = 5
    max_ratio: int = 2000
    max_unpacked: int = 0
