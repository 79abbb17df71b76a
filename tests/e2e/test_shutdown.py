"""``cortend --shutdown``: what `make uninstall` calls. Nothing of a daemon stays."""

from __future__ import annotations

import subprocess

from tests.harness import Daemon


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


def test_nothing_to_do_is_no_error(own_daemon: Daemon) -> None:
    shut_down(own_daemon, "--purge")
