"""Listening at ``S/corten.sock``: who may connect, and one connection per client."""

from __future__ import annotations

import asyncio
import contextlib
import grp
import logging
import os
import socket
import struct
from pathlib import Path

from corten.api.connection import Connection
from corten.engine.contract import Engine
from corten.errors import PermissionDenied

log = logging.getLogger(__name__)

SO_PEERGROUPS = 59  # asm-generic/socket.h; the socket module does not name it
_MAX_GROUPS = 1024  # bytes
_UCRED = struct.Struct("3i")


class Server:
    """A listening socket and its connections. Made by :func:`serve`."""

    def __init__(self, engine: Engine, listener: socket.socket, group: str) -> None:
        self._engine = engine
        self._listener = listener
        self._group = group
        self._loop = asyncio.get_running_loop()
        self._connections: set[Connection] = set()
        self._loop.add_reader(listener.fileno(), self._accept)

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except BlockingIOError:
                return
            except OSError as error:  # EMFILE: what is open goes on, the backlog waits
                log.warning("corten.sock: accept: %s", error)
                self._pause()
                return
            sock.setblocking(False)
            connection = Connection(self._engine, sock, self._connections.discard)
            self._connections.add(connection)
            if not may_connect(sock, self._group):
                connection.refuse(
                    PermissionDenied(
                        "only root and members of the group may use this daemon",
                        path=self._group,
                        hint=f'sudo usermod -aG {self._group} "$USER", then log in again',
                    )
                )

    def _pause(self) -> None:
        """Stop accepting for a moment, so that a lack of descriptors is no busy loop."""
        self._loop.remove_reader(self._listener.fileno())
        self._loop.call_later(0.2, self._resume)

    def _resume(self) -> None:
        if self._listener.fileno() >= 0:
            self._loop.add_reader(self._listener.fileno(), self._accept)

    async def close(self) -> None:
        """Stop listening and close every connection; operations of the engine go on."""
        if self._listener.fileno() >= 0:
            self._loop.remove_reader(self._listener.fileno())
            self._listener.close()
        for connection in list(self._connections):
            await connection.close()


async def serve(
    engine: Engine, socket_or_path: socket.socket | str | os.PathLike[str], *, group: str = "corten"
) -> Server:
    """Serve the native protocol until :meth:`Server.close`.

    Arguments:
        socket_or_path: a listening ``AF_UNIX`` stream socket, or where to make one: a stale
            file there is replaced (the caller holds the state directory's lock), mode 0660,
            owned by ``group`` where that exists, else 0600.
        group: whose members may connect, besides root and the daemon's own user.
    """
    if isinstance(socket_or_path, socket.socket):
        listener = socket_or_path
    else:
        listener = bind(Path(socket_or_path), group)
    listener.setblocking(False)
    return Server(engine, listener, group)


def bind(path: Path, group: str) -> socket.socket:
    """A listening socket at ``path`` that only ``group`` (and root) can connect to."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    with contextlib.ExitStack() as undo:
        undo.callback(listener.close)
        path.unlink(missing_ok=True)
        mask = os.umask(0o177)
        try:
            listener.bind(str(path))
        finally:
            os.umask(mask)
        gid = group_id(group)
        if gid is not None and os.geteuid() == 0:
            os.chown(path, 0, gid)
            path.chmod(0o660)
        listener.listen(512)
        undo.pop_all()
    return listener


def group_id(name: str) -> int | None:
    """The group's number, or None where there is no such group."""
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        return None


def may_connect(sock: socket.socket, group: str) -> bool:
    """Whether the peer is root, the daemon's own user, or a member of ``group``."""
    pid, uid, gid = _UCRED.unpack(
        sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    )
    if uid in (0, os.geteuid()):
        return True
    wanted = group_id(group)
    if wanted is None:
        return False
    return gid == wanted or wanted in peer_groups(sock, pid)


def peer_groups(sock: socket.socket, pid: int) -> tuple[int, ...]:
    """Supplementary groups of the peer when it connected (``SO_PEERGROUPS``, Linux 4.13).

    Python's getsockopt has room for 256; of a peer with more they are read from /proc, which
    tells those it has now (the socket's mode has already kept strangers out).
    """
    try:
        raw = sock.getsockopt(socket.SOL_SOCKET, SO_PEERGROUPS, _MAX_GROUPS)
    except OSError:
        return _proc_groups(pid)
    return struct.unpack(f"{len(raw) // 4}I", raw)


def _proc_groups(pid: int) -> tuple[int, ...]:
    try:
        lines = Path(f"/proc/{pid}/status").read_text(errors="replace").splitlines()
    except OSError:
        return ()
    found = next((line for line in lines if line.startswith("Groups:")), "Groups:")
    return tuple(int(word) for word in found.split()[1:])
