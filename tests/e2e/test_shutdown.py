"""``cortend --shutdown``: what `make uninstall` calls. Nothing of a daemon stays."""

from __future__ import annotations

import os
import subprocess

import pytest

from tests.harness import Daemon
from tests.support import wiped


def shut_down(daemon: Daemon, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*daemon.argv(), "--shutdown", *options],
        env=daemon.environment(),
        capture_output=True,
        text=True,
        timeout=90,
        check=True,
    )


def test_everything_of_a_running_daemon_goes(own_daemon: Daemon) -> None:
    own_daemon.start()
    own_daemon.corten("run", "-d", "--name", "lives", "-p", "18099:80", "hello", "sleep", "1000")
    shut_down(own_daemon, "--purge")
    assert own_daemon.process is not None
    assert own_daemon.process.wait(10) == 0
    assert not own_daemon.root.exists()
    assert not own_daemon.state.exists()
    own_daemon.process = None


def test_everything_of_a_dead_daemon_goes(own_daemon: Daemon) -> None:
    own_daemon.start()
    own_daemon.corten("run", "-d", "--name", "lives", "hello", "sleep", "1000")
    own_daemon.kill()
    shut_down(own_daemon)
    own_daemon.process = None
    own_daemon.start()
    assert own_daemon.corten("ps", "-aq").stdout == ""
    assert "hello" in own_daemon.corten("images").stdout


@pytest.mark.parametrize("lost", [(), ("root",), ("state",), ("root", "state")], ids=str)
def test_a_purge_after_a_kill(own_daemon: Daemon, lost: tuple[str, ...]) -> None:
    """Whatever of its directories is gone: bridge, table, groups, processes go, too."""
    own_daemon.start()
    own_daemon.corten("run", "-d", "-p", "18098:80", "hello", "sleep", "1000")
    own_daemon.kill()
    for name in lost:
        wiped(getattr(own_daemon, name))
    shut_down(own_daemon, "--purge")
    own_daemon.process = None
    prefix = own_daemon.prefix
    assert not [name for name in os.listdir("/sys/class/net") if name.startswith(prefix)]
    tables = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True)
    assert prefix not in tables.stdout
    assert not own_daemon.root.exists() and not own_daemon.state.exists()


def test_nothing_to_do_is_no_error(own_daemon: Daemon) -> None:
    shut_down(own_daemon, "--purge")
