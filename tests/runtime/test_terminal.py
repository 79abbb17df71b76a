"""The pseudoterminal: of the container's devpts, handed to a socket or joined with ours."""

from __future__ import annotations

import array
import fcntl
import os
import pty
import select
import signal
import socket
import struct
import subprocess
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runtime.harness import Bundle
from tests.support import eventually


class ConsoleSocket:
    """What containerd's shim is: takes one terminal."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.bind(str(path))
        self.sock.listen()
        self.sock.settimeout(10)
        self.fd = -1

    def take(self) -> int:
        connection, _ = self.sock.accept()
        with connection:
            space = socket.CMSG_SPACE(4)
            _, ancillary, _, _ = connection.recvmsg(4096, space)
        fds = array.array("i")
        fds.frombytes(ancillary[0][2][:4])
        self.fd = fds[0]
        return self.fd

    def close(self) -> None:
        self.sock.close()
        if self.fd >= 0:
            os.close(self.fd)


@pytest.fixture
def console(tmp_path: Path) -> Iterator[ConsoleSocket]:
    # a socket's address is short, pytest's directories are long
    path = Path(f"/tmp/corten-console-{os.getpid()}")
    sock = ConsoleSocket(path)
    yield sock
    sock.close()
    path.unlink()


def read_until(fd: int, wanted: bytes) -> bytes:
    seen = b""
    end = time.monotonic() + 10
    while wanted not in seen:
        assert time.monotonic() < end, seen
        if select.select([fd], [], [], 0.1)[0]:
            try:
                seen += os.read(fd, 4096)
            except OSError:  # the other side is closed
                break
    return seen


def test_console_socket(box: Bundle, console: ConsoleSocket) -> None:
    box.process["terminal"] = True
    box.shell("tty; readlink /proc/self/fd/0 /proc/self/fd/1 /proc/self/fd/2; read x; echo got $x")
    box.created("--console-socket", str(console.path))
    master = console.take()
    box.start()
    seen = read_until(master, b"/dev/pts/0\r\n" * 4)
    assert seen.count(b"/dev/pts/0\r\n") == 4
    os.write(master, b"hello\n")
    assert b"got hello" in read_until(master, b"got hello")


def test_it_is_the_controlling_terminal(box: Bundle, console: ConsoleSocket) -> None:
    box.process["terminal"] = True
    # the child says it is ready, so the signal can't come before there is one
    box.shell("(echo ready > /dev/tty; exec sleep 60); exit 0")
    box.created("--console-socket", str(console.path))
    master = console.take()
    box.start()
    read_until(master, b"ready")
    os.write(master, b"\x03")  # SIGINT for the foreground group; PID 1 is shielded, its child not
    box.stopped()


def test_console_size(box: Bundle, console: ConsoleSocket) -> None:
    box.process["terminal"] = True
    box.process["consoleSize"] = {"height": 33, "width": 77}
    box.shell("stty size; sleep 60")
    box.created("--console-socket", str(console.path))
    master = console.take()
    box.start()
    assert b"33 77" in read_until(master, b"\n")


def test_dev_console_is_the_terminal(box: Bundle, console: ConsoleSocket) -> None:
    box.process["terminal"] = True
    box.shell("echo through > /dev/console; stat -c '%F %Hr' /dev/console; sleep 60")
    box.created("--console-socket", str(console.path))
    master = console.take()
    box.start()
    assert b"through\r\ncharacter special file 136" in read_until(master, b"136")


def test_the_user_owns_the_terminal(box: Bundle, console: ConsoleSocket) -> None:
    box.process["terminal"] = True
    box.process["user"] = {"uid": 1000, "gid": 1000}
    box.shell("stat -c %u /dev/pts/0; echo ok > /dev/stderr; sleep 60")
    box.created("--console-socket", str(console.path))
    master = console.take()
    box.start()
    assert read_until(master, b"ok").split() == [b"1000", b"ok"]


def test_detached_without_a_socket_is_refused(box: Bundle) -> None:
    box.process["terminal"] = True
    done = box.runtime("create", "--bundle", str(box.path), box.id)
    box.write()
    done = box.runtime("create", "--bundle", str(box.path), box.id)
    assert done.returncode == 1
    assert "console socket" in done.stderr


def test_socket_without_a_terminal_is_refused(box: Bundle, console: ConsoleSocket) -> None:
    box.write()
    done = box.runtime(
        "create", "--bundle", str(box.path), "--console-socket", str(console.path), box.id
    )
    assert done.returncode == 1


def test_exec_with_a_console_socket(box: Bundle, console: ConsoleSocket) -> None:
    box.running()
    done = box.exec("sh", "-c", "tty; sleep 60", options=[
        "--tty", "--detach", "--console-socket", str(console.path)])  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert b"/dev/pts/0" in read_until(console.take(), b"\n")


class Foreground:
    """A command on a terminal of its own, as a person would type it."""

    def __init__(self, argv: list[str], size: tuple[int, int] = (24, 80)) -> None:
        self.master, slave = pty.openpty()
        self.resize(*size)
        self.before = termios.tcgetattr(slave)
        self.slave = slave
        self.process = subprocess.Popen(
            argv, stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )  # fmt: skip

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))

    def wait(self) -> int:
        return self.process.wait(10)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)
        os.close(self.slave)


def on_terminal(box: Bundle, *words: str) -> Foreground:
    box.write()
    return Foreground([*box.runtime.argv, "--root", str(box.runtime.root), *words])


def test_run_in_the_foreground(box: Bundle) -> None:
    box.process["terminal"] = True
    # runc tells the terminal its size when the program runs already, now and then too late
    late = "" if box.runtime.own else "until stty size | grep -q '24 80'; do sleep 0.01; done; "
    box.shell(f"tty; {late}stty size; read x; echo got $x; exit 5")
    front = on_terminal(box, "run", "--bundle", str(box.path), box.id)
    try:
        seen = read_until(front.master, b"24 80")
        assert b"/dev/pts/0" in seen
        os.write(front.master, b"typed\r")
        seen = read_until(front.master, b"got typed\r\n")
        assert seen.count(b"typed\r\n") == 2  # one echo, by the container's terminal alone
        assert front.wait() == 5
        assert termios.tcgetattr(front.slave) == front.before
    finally:
        front.close()


def test_interrupt_reaches_the_program(box: Bundle) -> None:
    box.process["terminal"] = True
    box.shell("trap 'echo interrupted; exit 9' INT; echo ready; while :; do sleep 0.1; done")
    front = on_terminal(box, "run", "--bundle", str(box.path), box.id)
    try:
        read_until(front.master, b"ready")
        os.write(front.master, b"\x03")
        assert b"interrupted" in read_until(front.master, b"interrupted")
        assert front.wait() == 9
    finally:
        front.close()


def test_resize_reaches_the_program(box: Bundle) -> None:
    box.process["terminal"] = True
    box.shell("trap 'stty size' WINCH; echo ready; while :; do sleep 0.05; done")
    front = on_terminal(box, "run", "--bundle", str(box.path), box.id)
    try:
        read_until(front.master, b"ready")
        front.resize(44, 111)
        os.kill(front.process.pid, signal.SIGWINCH)
        assert b"44 111" in read_until(front.master, b"44 111")
    finally:
        front.close()


def test_exec_in_the_foreground(box: Bundle) -> None:
    box.running()
    front = on_terminal(box, "exec", "--tty", box.id, "sh", "-c", "tty; exit 6")
    try:
        assert b"/dev/pts/0" in read_until(front.master, b"/dev/pts/0")
        assert front.wait() == 6
    finally:
        front.close()


def test_everything_printed_before_the_end_arrives(box: Bundle) -> None:
    box.process["terminal"] = True
    box.shell("i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done")
    front = on_terminal(box, "run", "--bundle", str(box.path), box.id)
    try:
        assert b"line 1999" in read_until(front.master, b"line 1999")
        assert front.wait() == 0
    finally:
        front.close()


def test_terminal_without_devpts_is_an_error(box: Bundle, console: ConsoleSocket) -> None:
    box.process["terminal"] = True
    box.config["mounts"] = [m for m in box.config["mounts"] if m["type"] != "devpts"]
    assert box.create("--console-socket", str(console.path)).returncode == 1


def test_init_keeps_no_master(box: Bundle, console: ConsoleSocket) -> None:
    box.process["terminal"] = True
    box.shell("ls /proc/self/fd | wc -l; sleep 60")
    box.created("--console-socket", str(console.path))
    master = console.take()
    box.start()
    read_until(master, b"\n")
    box.do("kill", "KILL")
    eventually(lambda: box.state()["status"] == "stopped", what="its end")
    with pytest.raises(OSError):  # nobody holds the other side
        while os.read(master, 100):
            pass
