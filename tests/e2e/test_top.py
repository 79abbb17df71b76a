"""``corten top`` on a real daemon: a log, a shell, a stop, and a daemon that restarts meanwhile."""

from __future__ import annotations

from pathlib import Path

import pexpect
import pytest

from tests.cli_driver import Corten
from tests.harness import Daemon

BUSYBOX = "/bin/busybox"


def test_the_live_view(own_daemon: Daemon) -> None:
    if not Path(BUSYBOX).exists():
        pytest.skip("needs busybox-static")
    daemon = own_daemon.start()
    daemon.corten("image", "from-host", "--tag", "box", "sh", BUSYBOX)
    text = "trap 'exit 0' TERM; echo said by web; while :; do busybox sleep 0.1; done"
    daemon.corten("run", "-d", "--name", "web", "box", "sh", "-c", text)
    child = Corten(daemon.state).spawn("top", "--interval", "0.2")
    try:
        child.expect_exact("1 running")
        child.expect_exact("web")
        child.send("l")
        child.expect_exact("said by web")
        child.send("q")
        child.expect_exact("1 running")
        child.send("e")
        child.expect("[#$] ")
        child.sendline("echo in $((40 + 2))")
        child.expect_exact("in 42")
        child.sendline("exit")
        child.expect_exact("the shell in web has ended")
        daemon.kill()
        child.expect_exact("the daemon does not answer")
        daemon.start()
        child.expect_exact("1 running")
        child.send("s")
        child.expect_exact("stop web? y/n")
        child.send("y")
        child.expect_exact("web has been stopped")
        child.expect_exact("0 running")
        child.send("q")
        child.expect(pexpect.EOF)
        assert child.wait() == 0
    finally:
        child.close(force=True)
