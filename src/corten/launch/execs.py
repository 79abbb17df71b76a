"""The exec processes of one container, with their streams and exit codes."""

from __future__ import annotations

import os
from time import time_ns

from corten.errors import AlreadyExists, CortenError, NotFound
from corten.launch import messages
from corten.launch.messages import Exec, ExecStarted, ExecState
from corten.launch.stdio import Stdio

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from corten.launch.children import Children
    from corten.launch.loop import Loop
    from corten.launch.peers import Peer, Request
    from corten.launch.runtime import Process, Runtime
    from corten.launch.statefile import StateFile

GRACE = 2.0  # seconds that others may hold an ended process's output open


def failure_code(error: CortenError) -> int:
    """The exit code of a process that could not be started, as Docker reports it."""
    return {"program_not_found": 127, "program_not_executable": 126}.get(error.code, 128)


class _Running:
    __slots__ = ("process", "started_at", "stdio")

    def __init__(self, process: Process, stdio: Stdio) -> None:
        self.process = process
        self.stdio = stdio
        self.started_at = time_ns()


class Execs:
    """``tell(event, data)`` reaches the subscribers; ``changed`` is called after each end."""

    def __init__(
        self,
        loop: Loop,
        children: Children,
        runtime: Runtime,
        state: StateFile,
        tell: Callable[[str, dict[str, Any]], None],
        changed: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._children = children
        self._runtime = runtime
        self._state = state
        self._tell = tell
        self._changed = changed
        self._all: dict[str, _Running] = {}

    def __bool__(self) -> bool:
        return bool(self._all)

    def start(self, peer: Peer, request: Request) -> None:
        """Run one and answer."""
        exec = messages.read(Exec, request.args)
        if exec.exec_id in self._all or exec.exec_id in self._state.record["execs"]:
            raise AlreadyExists(f"exec {exec.exec_id} exists")
        stdio = self._streams(exec)
        stream = -1
        try:
            try:
                if exec.attach:
                    stream = self._attach(exec, stdio, request)
                process = self._runtime.exec(exec.exec_id, exec.process, stdio.ends)
            except BaseException as error:
                stdio.close()
                if isinstance(error, CortenError):
                    code = failure_code(error)
                    self._record(exec.exec_id, status="exited", exit_code=code)
                raise
            self._begin(exec, process, stdio)
            fds = {"stream": stream} if stream >= 0 else {}
            peer.reply(request.id, ExecStarted(pid=process.pid).to_dict(), fds)
        finally:
            if stream >= 0:
                os.close(stream)

    def _streams(self, exec: Exec) -> Stdio:
        return Stdio(
            self._loop,
            tty=exec.tty,
            stdin=exec.stdin,
            stdin_once=True,
            discard=not (exec.attach and (exec.stdout or exec.stderr)),
            console_size=exec.console_size,
        )

    def _attach(self, exec: Exec, stdio: Stdio, request: Request) -> int:
        return stdio.attach(
            stdin=exec.stdin,
            stdout=exec.stdout,
            stderr=exec.stderr,
            given=request.packet.take("stream"),
        )

    def _begin(self, exec: Exec, process: Process, stdio: Stdio) -> None:
        """The process runs: it is ours until its end, whatever fails from here on."""
        running = self._all[exec.exec_id] = _Running(process, stdio)
        self._children.expect(process, lambda: self._ended(exec.exec_id))
        try:
            stdio.created(process.console_fd)
        except BaseException:
            process.signal(9)
            raise
        process.console_fd = -1
        self._record(exec.exec_id, pid=process.pid, started_at=running.started_at)
        started = messages.Started(
            exec_id=exec.exec_id, pid=process.pid, started_at=running.started_at
        )
        self._tell(messages.EVENT_EXEC_START, started.to_dict())

    def find(self, exec_id: str) -> tuple[Process, Stdio]:
        """A running one; NotFound if there is none."""
        running = self._all.get(exec_id)
        if running is None:
            raise NotFound(f"exec {exec_id} is not running")
        return running.process, running.stdio

    def kill(self) -> None:
        """Kill all of them; their ends follow."""
        for running in list(self._all.values()):
            try:
                running.process.signal(9)
            except NotFound:
                continue

    def _ended(self, exec_id: str) -> None:
        running = self._all[exec_id]
        code, signal = running.process.reap() or (255, 0)
        finished = time_ns()
        self._record(
            exec_id,
            pid=running.process.pid,
            status="exited",
            exit_code=code,
            signal=signal,
            started_at=running.started_at,
            finished_at=finished,
        )
        exit = messages.Exit(exec_id=exec_id, code=code, signal=signal, finished_at=finished)
        running.stdio.drained = lambda: self._drained(exec_id, exit)
        running.stdio.process_ended(GRACE)

    def _drained(self, exec_id: str, exit: messages.Exit) -> None:
        running = self._all.pop(exec_id)
        running.process.close()
        self._tell(messages.EVENT_EXEC_EXIT, exit.to_dict())
        self._changed()

    def _record(self, exec_id: str, **fields: Any) -> None:
        self._state.set_exec(exec_id, ExecState(**fields).to_dict())
