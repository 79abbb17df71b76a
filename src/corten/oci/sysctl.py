"""Kernel parameters of the container's namespaces.

They are written through the host's own procfs, before pivot_root: ``/proc/sys`` shows the
namespaces of whoever opens it, and nothing inside the container can have been put in its
place (CVE-2019-16884, CVE-2025-52881).
"""

from __future__ import annotations

from corten.errors import InvalidArgument
from corten.kernel.files import write_proc
from corten.spec._struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.oci.context import Context
    from corten.spec.records import Linux

_IPC = (
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
)
_UTS = ("kernel.domainname", "kernel.hostname")


class WriteSysctls(Struct):
    """Write the parameters in the order given."""

    values: tuple[tuple[str, str], ...]  # (path below /proc/sys, value)

    @property
    def name(self) -> str:
        return "write sysctls"

    def describe(self) -> str:
        return "sysctl " + " ".join([f"{path}={value}" for path, value in self.values])

    def execute(self, context: Context) -> None:
        for path, value in self.values:
            write_proc(f"/proc/sys/{path}", value.encode())


def compile_sysctls(linux: Linux, domainname: str = "") -> WriteSysctls | None:
    """Check that each parameter belongs to a namespace of the container's own.

    Raises:
        InvalidArgument: it would change the host.
    """
    values = []
    for key, value in linux.sysctl.items():
        path = key_to_path(key)
        name = path.replace("/", ".")
        kind = _namespace_of(name)
        where = f"linux.sysctl[{key!r}]"
        if not kind:
            raise InvalidArgument(f"{where} belongs to no namespace", path=where)
        if linux.namespace(kind) is None:
            raise InvalidArgument(f"{where} needs a {kind} namespace of its own", path=where)
        if name == "kernel.hostname":
            raise InvalidArgument(f"{where} is set by the member hostname", path=where)
        if name == "kernel.domainname" and domainname not in ("", value):
            raise InvalidArgument(f"{where} is set by the member domainname", path=where)
        values.append((path, value))
    return WriteSysctls(values=tuple(values)) if values else None


def key_to_path(key: str) -> str:
    """``net.ipv4.ip_forward`` (or with slashes, then dots belong to names) as a path.

    Raises:
        InvalidArgument: the key would leave its directory.
    """
    slash = key.find("/")
    dot = key.find(".")
    if slash != -1 and (dot == -1 or slash < dot):
        path = key
    else:
        path = key.translate({ord("."): "/", ord("/"): "."})
    parts = path.split("/")
    if any(part in ("", ".", "..") for part in parts):
        raise InvalidArgument(f"linux.sysctl has the malformed key {key!r}", path="linux.sysctl")
    return path


def _namespace_of(name: str) -> str:
    if name in _IPC or name.startswith("fs.mqueue."):
        return "ipc"
    if name.startswith("net."):
        return "network"
    if name in _UTS:
        return "uts"
    if name.startswith("user."):
        return "user"
    return ""
