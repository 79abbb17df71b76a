"""The thin client on a terminal: raw mode, sizes, detach keys, job control."""

from __future__ import annotations

import os
import re
import signal
import termios
from pathlib import Path
from typing import Any

import pexpect
import pytest

from tests.cli_driver import Corten
from tests.support import eventually


def is_raw(child: Any) -> bool:
    return not termios.tcgetattr(child.child_fd)[3] & termios.ICANON


@pytest.fixture
def term(corten: Corten) -> Any:
    """An attached terminal that has said ``ready``."""
    child = corten.spawn("run", "-it", "img", "term")
    child.expect_exact("ready")
    eventually(lambda: is_raw(child), what="raw mode")
    yield child
    child.close(force=True)


def test_keys_arrive_raw_and_the_mode_comes_back(term: Any) -> None:
    term.send("a\r")
    term.expect_exact("<a\r>")
    term.send("\x03\x1a")  # Ctrl-C and Ctrl-Z are the container's
    term.expect_exact("<^C^Z>")
    term.send("\x04")
    term.expect(pexpect.EOF)
    assert term.wait() == 3


def test_the_mode_is_restored_at_the_end(corten: Corten) -> None:
    shell = pexpect.spawn("/bin/sh", env={**corten.environ, "PS1": "$ "}, timeout=20)
    shell.expect_exact("$ ")
    before = termios.tcgetattr(shell.child_fd)
    shell.sendline(quoted(corten, "run -it img term"))
    shell.expect_exact("ready")
    eventually(lambda: is_raw(shell))
    shell.send("\x04")
    shell.expect_exact("$ ")
    assert termios.tcgetattr(shell.child_fd) == before
    shell.close(force=True)


def test_sizes_first_and_later(term: Any) -> None:
    term.setwinsize(50, 132)
    term.expect_exact("size 50 132")


def test_detach_keys_leave_it_running(term: Any, corten: Corten) -> None:
    term.send("\x10")
    term.send("x")
    term.expect_exact("<\x10x>")  # not the keys after all
    term.send("\x10\x11")
    term.expect(pexpect.EOF)
    assert term.wait() == 0
    assert "Up " in corten("ps").stdout


def test_detach_keys_of_the_users_own(corten: Corten) -> None:
    child = corten.spawn("run", "-it", "--detach-keys", "ctrl-x,q", "img", "term")
    child.expect_exact("ready")
    eventually(lambda: is_raw(child))
    child.send("\x10\x11")
    child.expect_exact("<\x10\x11>")
    child.send("\x18q")
    child.expect(pexpect.EOF)
    assert child.wait() == 0


def test_no_terminal_is_said(corten: Corten) -> None:
    done = corten("run", "-it", "img", "term")
    assert done.returncode == 1
    assert "the input device is not a TTY" in done.stderr


class Shell:
    """An interactive bash, which has job control, and ``corten`` as a function in it."""

    def __init__(self, corten: Corten) -> None:
        environ = {**corten.environ, "PS1": "\\$ ", "HISTFILE": "/dev/null"}
        self.child = pexpect.spawn(
            "/bin/bash", ["--norc", "--noprofile"], env=environ, timeout=20, echo=False,
            dimensions=(24, 500),
        )  # fmt: skip
        self.child.sendline("bind 'set enable-bracketed-paste off'; PS1='SHELL> '; stty -echo")
        self.child.expect("SHELL> $")

    def run(self, line: str) -> None:
        self.child.sendline(line)

    def prompt(self) -> str:
        self.child.expect_exact("SHELL> ")
        return str(self.child.before.decode())

    def jobs(self) -> str:
        self.run("jobs")
        return self.prompt()


def quoted(corten: Corten, arguments: str) -> str:
    words = [f"'{word}'" if " " not in word else '"' + word + '"' for word in corten.argv]
    return " ".join(words) + " " + arguments


@pytest.fixture
def shell(corten: Corten) -> Any:
    made = Shell(corten)
    yield made
    made.child.close(force=True)


def test_a_background_job_runs_on(shell: Shell, corten: Corten) -> None:
    """With -i on the terminal, and not in the foreground: it neither stops nor takes what is
    typed."""
    shell.run(quoted(corten, "run -i img cat &"))
    shell.prompt()
    shell.run("echo still $((40 + 2)) mine")
    shell.child.expect_exact("still 42 mine")
    shell.prompt()
    assert "Running" in shell.jobs()
    shell.run("fg")
    shell.child.expect("corten.cli.thin")
    shell.run("typed later")
    shell.child.expect_exact("typed later")
    shell.child.sendeof()
    shell.prompt()


def test_ctrl_z_stops_the_client_and_fg_continues(shell: Shell, corten: Corten) -> None:
    shell.run(quoted(corten, "run -i img cat"))
    shell.run("one")
    shell.child.expect_exact("one")
    shell.child.send("\x1a")
    shell.child.expect("Stopped")
    shell.prompt()
    shell.run("fg")
    shell.child.expect("corten.cli.thin")
    shell.run("two")
    shell.child.expect_exact("two")
    shell.child.sendeof()
    shell.prompt()


def test_a_terminal_started_in_the_background_waits_for_the_foreground(
    shell: Shell, corten: Corten
) -> None:
    shell.run(quoted(corten, "run -it img term &"))
    shell.prompt()
    shell.child.expect_exact("ready")
    shell.run("echo $((1 + 1)) is typed")  # the terminal is still the shell's
    shell.child.expect_exact("2 is typed")
    shell.prompt()
    assert "Running" in shell.jobs()
    shell.run("fg")
    shell.child.expect("corten.cli.thin")
    eventually(lambda: is_raw(shell.child))
    shell.child.send("key")
    shell.child.expect_exact("<key>")
    shell.child.send("\x04")
    shell.prompt()


def test_ctrl_c_without_a_terminal_inside_goes_to_the_container(
    shell: Shell, corten: Corten
) -> None:
    shell.run(quoted(corten, "run img hold") + "; echo code $?")
    shell.child.expect_exact("holding")
    shell.child.send("\x03")
    shell.child.expect(re.compile(rb"code (\d+)"))
    assert shell.child.match[1] == b"2"


def test_stopped_from_outside_and_continued(shell: Shell, corten: Corten) -> None:
    """As ``kill -TSTP`` does: in raw mode the keys don't."""
    shell.run(quoted(corten, "run -it img term"))
    shell.child.expect_exact("ready")
    eventually(lambda: is_raw(shell.child))
    os.kill(child_of(shell.child.pid), signal.SIGTSTP)
    shell.child.expect("Stopped")
    shell.prompt()
    assert "Stopped" in shell.jobs()
    shell.run("fg")
    eventually(lambda: is_raw(shell.child))
    shell.child.send("on")
    shell.child.expect_exact("<on>")
    shell.child.send("\x04")
    shell.prompt()


def child_of(pid: int) -> int:
    words = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    assert len(words) == 1
    return int(words[0])
