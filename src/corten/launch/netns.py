"""Network namespaces, made by the launcher: the daemon never unshares."""

from __future__ import annotations

import os

from corten.errors import AlreadyExists, Internal
from corten.kernel import mounts as k
from corten.kernel.namespaces import CLONE_NEWNET, CLONE_NEWNS, open_namespace, setns, unshare
from corten.kernel.netlink import route_socket, set_link_up

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket as Socket
    from collections.abc import Callable


class NetworkNamespaces:
    """Makes them in this process, which has a single thread, and returns to its own."""

    def __init__(self, host_mount_ns: int) -> None:
        self._own_net = open_namespace("network")
        self._own_mount = open_namespace("mount")
        self._host_mount = host_mount_ns

    def make(self, pin: str) -> tuple[int, Socket]:
        """A new one with its loopback up, and a NETLINK_ROUTE socket opened inside; both are
        the caller's. ``pin``: see ``messages.MakeNetns``."""
        try:
            unshare(CLONE_NEWNET)
            try:
                fd = open_namespace("network")
                try:
                    set_link_up("lo")
                    netlink = route_socket()
                except BaseException:
                    os.close(fd)
                    raise
            finally:
                setns(self._own_net, CLONE_NEWNET)
        except OSError as error:
            raise Internal(
                f"no network namespace can be made: {error.strerror}",
                step="make network namespace",
                errno=error.errno or 0,
            ) from None
        if pin:
            try:
                self._pin(fd, pin)
            except BaseException:
                os.close(fd)
                netlink.close()
                raise
        return fd, netlink

    def open_netlink(self, netns: int) -> Socket:
        """A NETLINK_ROUTE socket inside of a namespace."""
        try:
            setns(netns, CLONE_NEWNET)
            try:
                return route_socket()
            finally:
                setns(self._own_net, CLONE_NEWNET)
        except OSError as error:
            raise Internal(
                f"the network namespace can't be entered: {error.strerror}",
                step="open netlink",
                errno=error.errno or 0,
            ) from None

    def _pin(self, fd: int, path: str) -> None:
        self._on_host(lambda: _bind(fd, path), step="pin network namespace", path=path)

    def unpin(self, path: str) -> None:
        """See ``messages.Unpin``."""
        self._on_host(lambda: _unbind(path), step="unpin network namespace", path=path)

    def _on_host(self, action: Callable[[], None], *, step: str, path: str) -> None:
        """Do something in the host's mount namespace: what is pinned has to be seen there."""
        try:
            setns(self._host_mount, CLONE_NEWNS)
            try:
                action()
            finally:
                setns(self._own_mount, CLONE_NEWNS)
        except FileExistsError:
            raise AlreadyExists("the path to pin to exists", step=step, path=path) from None
        except OSError as error:
            raise Internal(
                error.strerror or str(error), step=step, path=path, errno=error.errno or 0
            ) from None


def _bind(fd: int, path: str) -> None:
    os.close(os.open(path, os.O_RDONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444))
    try:
        k.mount(f"/proc/self/fd/{fd}", path, "", k.MS_BIND)
    except BaseException:
        os.unlink(path)
        raise


def _unbind(path: str) -> None:
    try:
        k.umount2(path, k.MNT_DETACH | k.UMOUNT_NOFOLLOW)
    except OSError:
        pass  # not mounted (any more), or not there
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
