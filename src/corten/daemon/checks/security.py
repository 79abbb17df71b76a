"""What keeps a container in: seccomp, capabilities, AppArmor; and who may do all this."""

from __future__ import annotations

import os
from pathlib import Path

from corten.daemon.checks.finding import Area, Finding
from corten.engine import hostfacts
from corten.errors import CortenError
from corten.kernel import libseccomp
from corten.kernel.seccomp import action_available

_RETURN_ERRNO = 0x00050000  # SECCOMP_RET_ERRNO
_CAPABILITIES = ("CAP_SYS_ADMIN", "CAP_NET_ADMIN", "CAP_CHOWN", "CAP_MKNOD", "CAP_SYS_CHROOT")


def check() -> list[Finding]:
    """The findings; blocks for microseconds."""
    area = Area("security")
    if os.geteuid() == 0:
        _capabilities(area)
    else:
        area.add("root", None, f"you are user {os.geteuid()}; the daemon runs as root")
    _seccomp(area)
    enabled = Path("/sys/module/apparmor/parameters/enabled")
    on = enabled.exists() and enabled.read_text("ascii").strip() == "Y"
    area.add(
        "AppArmor", on, "" if on else "not enabled",
        without="--security-opt apparmor=PROFILE is refused",
        remedy="apparmor=1 security=apparmor on the kernel's command line",
    )  # fmt: skip
    return area.findings


def _capabilities(area: Area) -> None:
    ours = hostfacts.read().capabilities
    missing = [name for name in _CAPABILITIES if name not in ours]
    area.add(
        "root", not missing, f"without {', '.join(missing)}" if missing else "", need="needed",
        without="containers or their networks can't be made",
        remedy="run cortend as root of the machine; in a container: run that with --privileged",
    )  # fmt: skip


def _seccomp(area: Area) -> None:
    try:
        kernel = action_available(_RETURN_ERRNO)
    except OSError:
        kernel = False
    area.add(
        "seccomp", kernel, need="needed", without="no container starts with the default profile",
        remedy="a kernel with CONFIG_SECCOMP_FILTER",
    )  # fmt: skip
    try:
        version = libseccomp.version()
    except (CortenError, OSError) as error:
        version = ""
        said = str(error)
    area.add(
        "libseccomp", bool(version), version or said, need="needed",
        without="no container starts with the default profile", remedy="apt install libseccomp2",
    )  # fmt: skip
