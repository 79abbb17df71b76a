"""``cortend --restart``: what `make upgrade` calls once the new version is in its place."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.harness import Daemon, wait_gone
from tests.support import eventually


def restart(daemon: Daemon) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*daemon.argv(), "--restart"],
        env=daemon.environment(),
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


def served_by(daemon: Daemon) -> int:
    from corten.daemon.shutdown import peer

    return peer(str(daemon.state / "corten.sock"))


def test_the_daemon_is_another_and_the_container_the_same(own_daemon: Daemon) -> None:
    own_daemon.start()
    assert own_daemon.process is not None
    own_daemon.corten("run", "-d", "--name", "lives", "hello", "sleep", "1000")
    inner = own_daemon.corten("inspect", "--format", "{{.State.Pid}}", "lives").stdout
    before = own_daemon.process.pid
    done = restart(own_daemon)
    assert done.returncode == 0, done.stderr
    assert "was restarted" in done.stdout
    own_daemon.process.wait(10)
    after = served_by(own_daemon)
    try:
        assert after not in (0, before)
        assert own_daemon.corten("exec", "lives", "echo", "on").stdout == "on\n"
        again = own_daemon.corten("inspect", "--format", "{{.State.Pid}}", "lives").stdout
        assert again == inner
        eventually(
            lambda: own_daemon.log.read_text().count("ready at") == 2,
            what="the new one writes where the old one wrote",
        )
        cmdline = Path(f"/proc/{after}/cmdline").read_bytes()
        assert str(own_daemon.config).encode() in cmdline
    finally:
        os.kill(after, signal.SIGTERM)
        wait_gone(after, deadline=30)  # until then it has the lock


def test_without_a_daemon_there_is_nothing_to_do(own_daemon: Daemon) -> None:
    done = restart(own_daemon)
    assert done.returncode == 0
    assert "no daemon" in done.stdout


def test_a_daemon_that_a_supervisor_starts_again_is_left_to_it(own_daemon: Daemon) -> None:
    own_daemon.start()
    assert own_daemon.process is not None
    first = own_daemon.process
    with subprocess.Popen(
        [*own_daemon.argv(), "--restart"], env=own_daemon.environment(), stdout=subprocess.PIPE
    ) as restarting:
        first.wait(60)
        own_daemon.start()
        assert restarting.stdout is not None
        assert b"was restarted" in restarting.stdout.read()
    assert served_by(own_daemon) == own_daemon.process.pid


@pytest.mark.parametrize("group", ["/system.slice/corten.service", "/user.slice/session.scope"])
def test_a_unit_is_found_by_its_cgroup(
    group: str, monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    from corten.daemon import restart as module

    monkeypatch.setattr(module, "_BOOTED", str(tmp_path))
    monkeypatch.setattr(Path, "read_text", lambda *_: f"0::{group}\n")
    assert module._unit_of(1) == ("corten.service" if "service" in group else "")
