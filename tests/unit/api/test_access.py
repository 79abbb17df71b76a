"""Who may connect: by the socket's mode, and by what the kernel says of the peer."""

from __future__ import annotations

import grp
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from corten.api.server import bind, may_connect
from tests.conftest import needs_root

GROUP = "games"  # every Debian has it, and nobody is in it
USER = 65534

pytestmark = needs_root


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[socket.socket]:
    for directory in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        directory.chmod(0o755)
    made = bind(tmp_path / "s", GROUP)
    yield made
    made.close()


def connect_as(listener: socket.socket, groups: list[int], gid: int = USER) -> int:
    """0, or the errno, of a connection by another user."""
    path = listener.getsockname()
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    os.setgroups(groups)
    os.setresgid(gid, gid, gid)
    os.setresuid(USER, USER, USER)
    with socket.socket(socket.AF_UNIX) as sock:
        try:
            sock.connect(path)
        except OSError as error:
            os._exit(error.errno or 1)
    os._exit(0)


def accepted(listener: socket.socket) -> bool:
    peer, _ = listener.accept()
    with peer:
        return may_connect(peer, GROUP)


def test_members_of_the_group(listener: socket.socket) -> None:
    gid = grp.getgrnam(GROUP).gr_gid
    assert connect_as(listener, [gid]) == 0
    assert accepted(listener)
    assert connect_as(listener, [], gid) == 0
    assert accepted(listener)


def test_others_are_kept_out_by_the_mode(listener: socket.socket) -> None:
    assert connect_as(listener, []) == 13


def test_others_are_kept_out_by_their_ids(listener: socket.socket) -> None:
    Path(listener.getsockname()).chmod(0o666)
    assert connect_as(listener, []) == 0
    assert not accepted(listener)


def test_root(listener: socket.socket) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(listener.getsockname())
        assert accepted(listener)


def test_without_the_group_it_is_root_s_alone(tmp_path: Path) -> None:
    with bind(tmp_path / "s", "no-such-group"):
        assert (tmp_path / "s").stat().st_mode & 0o777 == 0o600
