"""Drives a launcher and its monitors synchronously, as the engine does asynchronously."""

from __future__ import annotations

import os
import select
import shutil
import signal
import socket
import struct
import tempfile
import time
from pathlib import Path
from typing import Any

from corten.launch import messages, wire
from corten.launch.client import (
    Connection,
    Event,
    Reply,
    connect_monitor,
    is_locked,
    read_state,
)
from corten.launch.groups import remove_group_if_empty
from corten.launch.messages import (
    CREATE_ID,
    Attach,
    Create,
    Created,
    CreatePod,
    Exec,
    Forked,
    Hello,
    HelloReply,
    Message,
    MonitorState,
    PodCreated,
    Start,
)
from corten.launch.orphan import bury
from corten.launch.spawning import LauncherProcess, spawn_launcher
from corten.spec.jsonlite import dumpb
from tests.support import eventually

DEADLINE = 30.0


class Ended(AssertionError):
    """The other end closed the connection before it answered."""


class Talk:
    """A connection on which one waits for replies and events."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.replies: dict[int, Reply] = {}
        self.events: list[Event] = []

    def pump(self, timeout: float = DEADLINE) -> bool:
        """Receive what comes within ``timeout`` seconds; False: nothing did."""
        if self.connection.closed:
            return False
        writable = [self.connection] if self.connection.pending else []
        ready = select.select([self.connection], writable, [], timeout)
        if ready[1]:
            self.connection.flush()
        for item in self.connection.receive() if ready[0] else ():
            if isinstance(item, Reply):
                self.replies[item.id] = item
            else:
                self.events.append(item)
        return bool(ready[0] or ready[1])

    def reply(self, number: int) -> Reply:
        end = time.monotonic() + DEADLINE
        while number not in self.replies:
            if self.connection.closed:
                raise Ended("the connection ended without a reply")
            if not self.pump(max(0.0, end - time.monotonic())) and time.monotonic() > end:
                raise AssertionError("no reply within the deadline")
        return self.replies.pop(number)

    def ask(self, request: Message, fds: dict[str, int] | None = None) -> dict[str, Any]:
        """Send and wait; the reply's fields, or its error. Descriptors are closed."""
        answer = self.reply(self.connection.send(request, fds))
        answer.close_fds()
        return answer.result()

    def ask_fds(self, request: Message, fds: dict[str, int] | None = None) -> dict[str, int]:
        """As :meth:`ask`; the reply's descriptors, the caller's."""
        answer = self.reply(self.connection.send(request, fds))
        answer.result()
        return answer.fds

    def event(self, name: str) -> Any:
        """The next event of this name (its message)."""
        end = time.monotonic() + DEADLINE
        while True:
            for event in self.events:
                if event.name == name:
                    self.events.remove(event)
                    return event.data
            if self.connection.closed:
                raise Ended(f"the connection ended without an event {name}")
            if not self.pump(max(0.0, end - time.monotonic())) and time.monotonic() > end:
                raise AssertionError(f"no event {name} within the deadline; had {self.events}")

    def end(self) -> None:
        """Wait until the other side has closed the connection."""
        end = time.monotonic() + DEADLINE
        while not self.connection.closed:
            if not self.pump(max(0.0, end - time.monotonic())) and time.monotonic() > end:
                raise AssertionError("the connection was not closed within the deadline")
        self.connection.close()


class Host:
    """A launcher with a state directory of its own, below ``place``."""

    def __init__(
        self, *, program: str = "", protect: bool = True, place: Path = Path("/tmp")
    ) -> None:
        self.base = Path(tempfile.mkdtemp(prefix="corten-launch-", dir=place))
        self.errors = (self.base / "launcher.err").open("w+b")
        self._program = program
        self._protect = protect
        self.group = f"/corten-test-{self.base.name[-8:]}"
        self.monitors: list[int] = []
        self.talks: list[Talk] = []
        self.launcher: LauncherProcess
        self.talk: Talk
        self.start()

    def start(self) -> None:
        self.launcher = spawn_launcher(
            state_dir=str(self.base),
            program=self._program,
            protect=self._protect,
            stderr=self.errors.fileno(),
        )
        self.talk = Talk(self.launcher.connection)
        try:
            self.hello = messages.read(HelloReply, self.talk.ask(Hello()))
        except Ended:
            text = (self.base / "launcher.err").read_text()
            raise AssertionError(f"the launcher ended:\n{text}") from None

    def kill_launcher(self) -> None:
        os.kill(self.launcher.pid, signal.SIGKILL)
        self.reap()

    def reap(self) -> int:
        _, status = os.waitpid(self.launcher.pid, 0)
        os.close(self.launcher.pidfd)
        self.launcher.connection.close()
        return os.waitstatus_to_exitcode(status)

    def stop(self) -> None:
        self.launcher.connection.close()
        os.waitpid(self.launcher.pid, 0)
        os.close(self.launcher.pidfd)

    def close(self) -> None:
        """Kill what is left of the test, and say what the launcher complained about."""
        for stream in Stream.all:
            stream.close()
        Stream.all.clear()
        for talk in self.talks:
            talk.connection.close()
        for pidfd in self.monitors:
            try:
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            except ProcessLookupError:
                pass
            os.close(pidfd)
        if self.launcher.connection.fileno() >= 0:
            self.stop()
        for run_dir in self.base.glob("run/*"):
            _bury(str(run_dir))
        remove_group_if_empty(self.group)
        self.errors.seek(0)
        text = self.errors.read().decode()
        self.errors.close()
        shutil.rmtree(self.base)
        assert not text, text

    def at_rest(self) -> None:
        """Wait until the next monitor is forked, and nothing is left for the launcher to do."""
        eventually(lambda: self._spares(), what="a spare monitor")
        self.talk.ask(Hello())  # it has read this when it was done with the fork

    def _spares(self) -> list[int]:
        template = _children(self.hello.pid)
        return [pid for one in template for pid in _children(one) if _name(pid) == "corten-spare"]

    def run_dir(self, name: str) -> Path:
        path = self.base / "run" / name
        path.mkdir(parents=True, mode=0o700)
        return path

    def make(self, request: Create | CreatePod, fds: dict[str, int]) -> tuple[Forked, Talk, int]:
        """Send ``create`` or ``pod``: the launcher's answer, the monitor's connection and
        its pidfd."""
        number, connection = self.launcher.connection.create(request, fds)
        talk = Talk(connection)
        self.talks.append(talk)
        answer = self.talk.reply(number)
        forked = messages.read(Forked, answer.result())
        self.monitors.append(answer.fds["pidfd"])
        return forked, talk, answer.fds["pidfd"]


def _children(pid: int) -> list[int]:
    try:
        return [int(n) for n in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:  # it has ended
        return []


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def _bury(run_dir: str) -> None:
    """End what a failed test left."""
    eventually(lambda: not is_locked(run_dir))
    bury(run_dir)


class Container:
    """One container; made by :meth:`create`, which may raise what its monitor answers."""

    def __init__(self, host: Host, name: str, config: dict[str, Any], **fields: Any) -> None:
        self.host = host
        self.name = name
        self.dir = host.run_dir(name)
        self.fds: dict[str, int] = fields.pop("fds", {})
        self.config = config
        self.log = self.dir / "log"
        self.rootfs = self.dir / "rootfs"
        self.rootfs.mkdir()
        fields.setdefault("log", {"driver": "json-file", "path": str(self.log)})
        fields.setdefault("cgroup", f"{host.group}/{name}")
        fields.setdefault("rootfs", str(self.rootfs))
        self.request = Create(
            id=name, tenant="test", run_dir=str(self.dir), bundle=str(self.dir), **fields
        )
        self.talk: Talk
        self.created: Created

    def create(self) -> Container:
        config = wire.sealed_memfd("config", dumpb(self.config))
        try:
            fds = {**self.fds, "config": config}
            self.forked, self.talk, self.pidfd = self.host.make(self.request, fds)
        finally:
            os.close(config)
        self.created = messages.read(Created, self.talk.reply(CREATE_ID).result())
        return self

    def start(self) -> Container:
        self.talk.ask(Start())
        return self

    def attach(self, *, stdin: bool = False, exec_id: str = "") -> Stream:
        return Stream(self.talk.ask_fds(Attach(stdin=stdin, exec_id=exec_id))["stream"])

    def exec(self, args: list[str], *, exec_id: str = "e1", **options: Any) -> Stream | None:
        process = {**self.config["process"], "args": args, "terminal": options.get("tty", False)}
        process.update(options.pop("process", {}))
        fds = self.talk.ask_fds(Exec(exec_id=exec_id, process=process, **options))
        return Stream(fds["stream"]) if "stream" in fds else None

    def wait(self) -> messages.Exit:
        """The exit of the container; then its monitor has ended."""
        exit: messages.Exit = self.talk.event("exit")
        self.gone()
        return exit

    def gone(self) -> None:
        """Wait until the monitor has ended."""
        self.talk.end()
        select.select([self.pidfd], [], [], DEADLINE)

    def reconnect(self) -> Talk:
        """Another connection, as a daemon that was started anew makes it."""
        return Talk(connect_monitor(str(self.dir)))

    @property
    def state(self) -> MonitorState:
        state = read_state(str(self.dir))
        assert state is not None
        return state


class Stream:
    """An attacher's end: frames or raw bytes."""

    all: list[Stream] = []  # a failing test leaves them open

    def __init__(self, fd: int) -> None:
        self.all.append(self)
        self.sock = socket.socket(fileno=fd)
        self.sock.settimeout(DEADLINE)

    def write(self, data: bytes) -> None:
        self.sock.sendall(data)

    def end_input(self) -> None:
        self.sock.shutdown(socket.SHUT_WR)

    def raw(self) -> bytes:
        """Everything up to the end of file."""
        data = b""
        while chunk := self.sock.recv(65536):
            data += chunk
        return data

    def until(self, text: bytes) -> bytes:
        """Raw bytes up to where ``text`` has come."""
        data = b""
        while text not in data:
            chunk = self.sock.recv(65536)
            assert chunk, f"ended before {text!r}: {data!r}"
            data += chunk
        return data

    def until_printed(self, text: bytes) -> None:
        """Frames up to where ``text`` has come on stdout, over however many of them."""
        rest = out = b""
        while text not in out:
            chunk = self.sock.recv(65536)
            assert chunk, f"ended before {text!r}"
            rest += chunk
            while len(rest) >= 8 and len(rest) >= (end := 8 + struct.unpack(">4xL", rest[:8])[0]):
                out = out[-len(text) :] + rest[8:end] if rest[0] == 1 else out
                rest = rest[end:]

    def frames(self) -> dict[str, bytes]:
        """Everything up to the end of file, by stream."""
        return unframe(self.raw())

    def close(self) -> None:
        self.sock.close()


def unframe(data: bytes) -> dict[str, bytes]:
    """Docker's frames taken apart."""
    out = {"stdout": b"", "stderr": b""}
    while data:
        kind, size = struct.unpack(">BxxxL", data[:8])
        out["stdout" if kind == 1 else "stderr"] += data[8 : 8 + size]
        data = data[8 + size :]
    return out


__all__ = ["Container", "Ended", "Host", "PodCreated", "Stream", "Talk", "unframe"]
