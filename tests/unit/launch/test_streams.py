"""Standard streams without a process: pipes here play its part."""

from __future__ import annotations

import errno
import os
import pty
import socket
import struct
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from corten.launch.loop import READ, Loop
from corten.launch.slumber import Bag
from corten.launch.stdin import Input
from corten.launch.stdio import Stdio
from tests.support import eventually


class Recorder:
    """A log that remembers."""

    def __init__(self) -> None:
        self.data = {"stdout": b"", "stderr": b""}
        self.finished: list[str] = []
        self.dropped = 0

    def write(self, stream: str, chunk: bytes) -> None:
        self.data[stream] += chunk

    def finish(self, stream: str) -> None:
        self.finished.append(stream)

    def reopen(self) -> None: ...

    def close(self) -> None: ...

    def rest(self, bag: Bag) -> dict[str, Any]:
        return {}


class Turning(Loop):
    """A loop that is turned by hand."""

    def turn_until(self, probe: Callable[[], object]) -> None:
        def tick(_events: int) -> None:
            os.read(self.tick_in, 1)

        self.watch(self.tick_in, READ, tick)

        def step() -> object:
            os.write(self.tick_out, b".")  # so that a turn never waits
            self.turn()
            return probe()

        eventually(step)
        self.forget(self.tick_in)

    def __init__(self) -> None:
        super().__init__()
        self.tick_in, self.tick_out = os.pipe()


@pytest.fixture
def loop() -> Iterator[Turning]:
    loop = Turning()
    yield loop
    os.close(loop.tick_in)
    os.close(loop.tick_out)


class Process:
    """The process's side of a Stdio."""

    def __init__(self, loop: Turning, *, tty: bool = False, stdin_once: bool = True) -> None:
        self.log = Recorder()
        self.stdio = Stdio(loop, tty=tty, stdin=True, stdin_once=stdin_once, log=self.log)
        self.drained = False
        self.stdio.drained = self._drained
        self.ends: list[int] = []
        if tty:
            master, slave = pty.openpty()
            self.ends = [slave]
            self.stdio.created(master)
        else:
            ends = self.stdio.ends
            self.ends = [os.dup(fd) for fd in (ends.stdin, ends.stdout, ends.stderr)]
            self.stdio.created(-1)

    def _drained(self) -> None:
        self.drained = True

    def exit(self) -> None:
        for fd in self.ends:
            os.close(fd)
        self.ends = []


def client(stdio: Stdio, *, stdin: bool = True) -> socket.socket:
    sock = socket.socket(fileno=stdio.attach(stdin=stdin, stdout=True, stderr=True))
    sock.setblocking(False)
    return sock


def received(sock: socket.socket) -> bytes:
    try:
        return sock.recv(1 << 20)
    except BlockingIOError:
        return b""


def frame(stream: int, data: bytes) -> bytes:
    return struct.pack(">BxxxL", stream, len(data)) + data


def test_output_goes_to_log_and_attachers_in_frames(loop: Turning) -> None:
    process = Process(loop)
    one, two = client(process.stdio), client(process.stdio, stdin=False)
    os.write(process.ends[1], b"out")
    loop.turn_until(lambda: process.log.data["stdout"] == b"out")
    os.write(process.ends[2], b"err")
    loop.turn_until(lambda: process.log.data["stderr"] == b"err")
    expected = frame(1, b"out") + frame(2, b"err")
    assert received(one) == expected and received(two) == expected
    process.exit()
    process.stdio.process_ended(5)
    assert process.drained and sorted(process.log.finished) == ["stderr", "stdout"]
    assert one.recv(1) == b"" and two.recv(1) == b""
    one.close()
    two.close()


def test_stdin_ends_with_the_attachers(loop: Turning) -> None:
    process = Process(loop)
    sock = client(process.stdio)
    sock.sendall(b"typed")
    sock.shutdown(socket.SHUT_WR)
    os.set_blocking(process.ends[0], False)
    got = b""

    def read() -> bool:
        nonlocal got
        try:
            chunk = os.read(process.ends[0], 100)
        except BlockingIOError:
            return False
        got += chunk
        return not chunk

    loop.turn_until(read)
    assert got == b"typed"
    process.exit()
    process.stdio.process_ended(5)
    sock.close()


@pytest.mark.parametrize("detach", [False, True])
def test_stdin_stays_open_without_stdin_once_or_on_detach(loop: Turning, detach: bool) -> None:
    process = Process(loop, stdin_once=detach)
    sock = client(process.stdio)
    sock.sendall(b"typed")
    if detach:
        sock.close()
    else:
        sock.shutdown(socket.SHUT_WR)
    loop.turn_until(lambda: not detach or not process.stdio.attached)
    again = client(process.stdio)
    again.sendall(b" more")
    os.set_blocking(process.ends[0], False)
    got = b""

    def read() -> bool:
        nonlocal got
        try:
            got += os.read(process.ends[0], 100)
        except BlockingIOError:
            pass
        return got == b"typed more"

    loop.turn_until(read)
    with pytest.raises(BlockingIOError):
        os.read(process.ends[0], 1)
    process.exit()
    process.stdio.process_ended(5)
    sock.close()
    again.close()


def test_slow_attacher_holds_the_output_up_and_loses_nothing(loop: Turning) -> None:
    process = Process(loop)
    sock = client(process.stdio)
    os.set_blocking(process.ends[1], False)
    sent = 0
    block = bytes(range(256)) * 64

    def fill() -> bool:
        nonlocal sent
        try:
            sent += os.write(process.ends[1], block[: 4096 - sent % 4096])
        except BlockingIOError:
            return len(process.log.data["stdout"]) < sent
        return False

    loop.turn_until(fill)
    assert 1 << 20 <= sent < 8 << 20
    got = b""

    def drain() -> bool:
        nonlocal got
        got += received(sock)
        return len(process.log.data["stdout"]) == sent

    loop.turn_until(drain)
    process.exit()
    process.stdio.process_ended(5)
    assert process.drained
    while chunk := received(sock):
        got += chunk
    payload = b""
    while got:
        size = struct.unpack(">BxxxL", got[:8])[0:2][1]
        payload += got[8 : 8 + size]
        got = got[8 + size :]
    assert payload == process.log.data["stdout"] and len(payload) == sent
    sock.close()


def test_what_a_slow_attacher_did_not_read_outlives_the_process(loop: Turning) -> None:
    process = Process(loop)
    sock = client(process.stdio, stdin=False)
    os.set_blocking(process.ends[1], False)
    sent = 0

    def fill() -> bool:
        nonlocal sent
        try:
            sent += os.write(process.ends[1], b"z" * 4096)
        except BlockingIOError:
            return len(process.log.data["stdout"]) < sent
        return False

    loop.turn_until(fill)
    process.exit()
    process.stdio.process_ended(5)
    assert process.drained and not process.stdio.attached
    got = b""
    while chunk := received(sock):
        got += chunk
    assert got.count(b"z") == sent
    sock.close()


def test_input_that_nobody_reads_does_not_spoil_the_end(loop: Turning) -> None:
    process = Process(loop)
    sock = client(process.stdio)
    os.close(process.ends[0])
    process.ends.pop(0)
    sock.sendall(b"for nobody")
    loop.turn_until(lambda: True)
    with pytest.raises(BlockingIOError):
        while True:
            sock.send(b"x" * 65536)
    process.exit()
    process.stdio.process_ended(5)
    assert sock.recv(10) == b""  # and not ECONNRESET
    sock.close()


def test_others_that_hold_the_output_get_a_grace(loop: Turning) -> None:
    process = Process(loop)
    heir = os.dup(process.ends[1])
    process.exit()
    process.stdio.process_ended(0.2)
    assert not process.drained
    os.write(heir, b"late")
    loop.turn_until(lambda: process.drained)
    assert process.log.data["stdout"] == b"late"
    with pytest.raises(BrokenPipeError):
        os.write(heir, b"too late")
    os.close(heir)


def test_closed_output_of_a_running_process_ends_no_attachment(loop: Turning) -> None:
    process = Process(loop)
    sock = client(process.stdio)
    os.close(process.ends.pop())
    os.close(process.ends.pop())
    loop.turn_until(lambda: len(process.log.finished) == 2)
    assert not process.drained
    sock.sendall(b"typed")
    loop.turn_until(lambda: True)
    assert os.read(process.ends[0], 10) == b"typed"
    process.exit()
    process.stdio.process_ended(5)
    assert process.drained and sock.recv(1) == b""
    sock.close()


def test_terminal_is_raw_both_ways_and_resized(loop: Turning) -> None:
    process = Process(loop, tty=True)
    process.stdio.resize(33, 99)
    assert tuple(os.get_terminal_size(process.ends[0])) == (99, 33)
    sock = client(process.stdio)
    os.write(process.ends[0], b"$ ")
    loop.turn_until(lambda: process.log.data["stdout"] == b"$ ")
    assert received(sock) == b"$ "
    sock.sendall(b"ls\r")
    loop.turn_until(lambda: b"ls" in process.log.data["stdout"])  # the terminal's echo
    assert os.read(process.ends[0], 10) == b"ls\n"
    sock.shutdown(socket.SHUT_WR)
    loop.turn_until(lambda: True)
    other = client(process.stdio)
    other.sendall(b"x\r")
    loop.turn_until(lambda: b"x" in process.log.data["stdout"])
    process.exit()
    process.stdio.process_ended(5)
    assert process.drained
    sock.close()
    other.close()


def test_input_waits_for_a_slow_process(loop: Turning) -> None:
    reading, writing = os.pipe()
    full: list[bool] = []
    source = Input(loop, writing)
    source.on_full = full.append
    source.write(b"x" * 300_000)
    assert full == [True]
    got = b""

    def read() -> bool:
        nonlocal got
        got += os.read(reading, 65536)
        return len(got) == 300_000

    loop.turn_until(read)
    assert full == [True, False]
    source.end()
    assert os.read(reading, 1) == b""
    os.close(reading)


def test_input_to_a_process_that_closed_its_stdin(loop: Turning) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    source = Input(loop, writing)
    source.write(b"x")
    assert source.full
    with pytest.raises(OSError) as caught:
        os.fstat(writing)
    assert caught.value.errno == errno.EBADF
