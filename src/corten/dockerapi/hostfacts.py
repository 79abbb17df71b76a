"""Facts of this machine for ``docker info`` and ``docker version``."""

from __future__ import annotations

import functools
import os
import platform
from pathlib import Path

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}


def architecture() -> str:
    """This machine's architecture in Go's words (``amd64``)."""
    machine = os.uname().machine
    return _ARCHITECTURES.get(machine, machine)


@functools.cache
def operating_system() -> tuple[str, str]:
    """Name and version of the distribution (``Debian GNU/Linux 12 (bookworm)``, ``12``)."""
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        return "linux", ""
    return release.get("PRETTY_NAME", "linux"), release.get("VERSION_ID", "")


def memory_total() -> int:
    """Bytes of memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def ip_forwarding() -> bool:
    """Whether the kernel forwards IPv4 packets."""
    try:
        return Path("/proc/sys/net/ipv4/ip_forward").read_text().strip() == "1"
    except OSError:
        return False
