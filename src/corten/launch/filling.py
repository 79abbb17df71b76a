"""The fork of the launcher that gives new volumes what the image has where they are mounted.

It sees the image through a mount of its own, in a mount namespace that ends with it; keeps, of
its capabilities, those that make files; and ends with its launcher, so that a daemon which
begins anew meets nobody at work.
"""

from __future__ import annotations

import _signal
import os
from _socket import socket as Socket
from _stat import S_ISDIR

from corten.errors import CortenError, Internal, ResourceExhausted, Unavailable
from corten.kernel import creds, limits
from corten.kernel import mounts as k
from corten.kernel.namespaces import CLONE_NEWNS, setns, unshare
from corten.launch import messages, wire
from corten.launch.bundle import mount_root
from corten.launch.forked import keep_only
from corten.launch.messages import Fill, Filled
from corten.launch.peers import describe
from corten.oci.copyup import copy_tree
from corten.oci.paths import Root
from corten.spec import mount

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from corten.launch.wire import Packet

_KEEP = (
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_MKNOD",
    "CAP_SETFCAP",
)
_FULL = (28, 122)  # ENOSPC, EDQUOT
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def run(request: Fill, packet: Packet, host_mount_ns: int, parent: int) -> None:
    """Fill, answer over the descriptor ``control``, end. Never returns."""
    try:
        creds.set_pdeathsig(_signal.SIGKILL)
        if os.getppid() != parent:
            return
        control = packet.take("control")
        keep_only([0, 1, 2, control, host_mount_ns])
        creds.set_name("corten-fill")
        _answer(Socket(fileno=control), _outcome(request, host_mount_ns))
    finally:
        os._exit(0)


def _outcome(request: Fill, host_mount_ns: int) -> dict[str, Any]:
    try:
        return {"ok": _fill(request, host_mount_ns).to_dict()}
    except CortenError as error:
        return {"error": error.to_dict()}
    except OSError as error:
        return {"error": _explain(error).to_dict()}
    except Exception as error:
        return {"error": describe(error, "fill volume").to_dict()}


def _explain(error: OSError) -> CortenError:
    text = os.strerror(error.errno or 0)
    path = "" if error.filename is None else str(error.filename)
    if error.errno in _FULL:
        return ResourceExhausted(
            text, step="fill volume", errno=error.errno, hint="free space and try again"
        )
    return Internal(text, step="fill volume", path=path, errno=error.errno or 0)


def _answer(sock: Socket, answer: dict[str, Any]) -> None:
    packets, spill = wire.encode({"id": messages.CREATE_ID, **answer}, {})
    sock.setblocking(True)
    try:
        for raw, fds in packets:
            wire.send_packet(sock, raw, fds)
    except Unavailable:
        pass  # nobody waits any more
    if spill >= 0:
        os.close(spill)


def _fill(request: Fill, host_mount_ns: int) -> Filled:
    setns(host_mount_ns, CLONE_NEWNS)
    unshare(CLONE_NEWNS)
    k.mount("", "/", "", k.MS_REC | k.MS_PRIVATE)
    for data in request.rootfs_mounts:
        mount_root(mount.from_dict(data), request.rootfs)
    root = os.open(request.rootfs, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    os.umask(0)
    files = limits.RLIMITS["RLIMIT_NOFILE"]
    _, hard = limits.getrlimit(files)
    limits.setrlimit(files, hard, hard)  # two for each directory on the way
    _drop_privileges()
    outcomes = [_one(Root(root), path, target) for path, target in request.volumes]
    return Filled(outcomes=tuple(outcomes))


def _one(root: Root, path: str, target: str) -> str:
    try:
        there = root.open(path)
    except FileNotFoundError:
        return "missing"
    except NotADirectoryError:
        return "file"
    try:
        if not S_ISDIR(os.fstat(there).st_mode):
            return "file"
    finally:
        os.close(there)
    source = root.open(path, _DIRECTORY)
    try:
        into = os.open(target, _DIRECTORY | os.O_NOFOLLOW)
        try:
            copy_tree(source, into)
        finally:
            os.close(into)
    finally:
        os.close(source)
    return "copied"


def _drop_privileges() -> None:
    mask = sum([1 << creds.CAPABILITY_NUMBERS[name] for name in _KEEP])
    _, permitted, _ = creds.capget()
    creds.capset(mask & permitted, mask & permitted, 0)
    creds.set_no_new_privs()
