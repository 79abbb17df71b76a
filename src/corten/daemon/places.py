"""Where a daemon keeps its things, and what bears its name in the whole host."""

from __future__ import annotations

import grp
import hashlib
import os
import socket
from contextlib import ExitStack

DEFAULT_ROOT = "/var/lib/corten"
DEFAULT_STATE = "/run/corten"
LOG = "cortend.log"  # below the state directory, of a daemon that no service manager started
DEFAULT_CONFIG = "/etc/corten/config.toml"


def prefix(state: str) -> str:
    """The prefix of names in host-wide name spaces: short, because a link's name holds 15
    characters."""
    real = os.path.realpath(state)
    if real == DEFAULT_STATE:
        return "corten"
    return "c" + hashlib.sha256(os.fsencode(real)).hexdigest()[:6]


def make(root: str, state: str) -> None:
    """Make both directories. Others may pass through S to its sockets, not look around."""
    for path in (root, state):
        os.makedirs(path, exist_ok=True)
        os.chmod(path, 0o711)  # noqa: S103 the sockets' own modes decide who may connect


def group_id(name: str) -> int:
    """The group's number; root's where there is no such group."""
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        return 0


def listen(path: str, *, mode: int, gid: int) -> socket.socket:
    """A listening UNIX socket. Whatever lies at the path is of an earlier daemon (we hold the
    directory's lock) and is replaced."""
    with ExitStack() as undo:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        undo.callback(listener.close)
        if os.path.lexists(path):
            os.unlink(path)
        mask = os.umask(0o777)  # nobody connects before the mode is right
        try:
            listener.bind(path)
        finally:
            os.umask(mask)
        os.chown(path, -1, gid)
        os.chmod(path, mode)
        listener.listen(512)
        listener.setblocking(False)
        undo.pop_all()
    return listener
