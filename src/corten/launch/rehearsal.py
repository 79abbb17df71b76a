"""The launcher plays a container's life before it forks the first.

CPython 3.11 rewrites bytecode as it runs hot, and fills caches of types and methods. What
happens before the fork is shared; afterwards every monitor would do it again, each in
pages of its own. Measured: a monitor owns less by a quarter, and starts faster.
"""

from __future__ import annotations

import os
from _socket import socket as Socket

from corten.errors import CortenError
from corten.kernel.creds import set_pdeathsig
from corten.kernel.process import clone3
from corten.kernel.sockets import seqpacket_pair
from corten.launch import wire
from corten.launch.messages import Create, MonitorState
from corten.launch.monitor import Monitor
from corten.launch.operations import handle
from corten.launch.process import LocalProcess
from corten.launch.runtime import CreateRequest
from corten.launch.statefile import StateFile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from corten.launch.runtime import Process, Streams
    from corten.launch.slumber import Bag

_KILL = 9
_TIMES = 12  # bytecode is specialised after eight calls
_REQUESTS: tuple[dict[str, Any], ...] = (
    {"id": 1, "op": "start", "args": {}},
    {"id": 2, "op": "state", "args": {}},
    {"id": 3, "op": "attach", "args": {"stdin": False}},
    {"id": 4, "op": "exec", "args": {"exec_id": "e", "process": {}, "stdin": True}},
    {"id": 5, "op": "subscribe", "args": {}},
    {"id": 6, "op": "kill", "args": {"signal": 9}},
    {"id": 7, "op": "delete", "args": {"force": True}},  # else a full disk would be waited for
)


def rehearse(state_dir: str) -> None:
    """Play it some times, in a directory of our own below ``state_dir``; on a full disk, too,
    as far as it goes."""
    directory = f"{state_dir}/rehearsal"
    try:
        os.makedirs(directory, mode=0o700, exist_ok=True)
    except OSError:
        return
    try:
        for _ in range(_TIMES):
            _play(directory)
    finally:
        for name in os.listdir(directory):
            os.unlink(f"{directory}/{name}")
        os.rmdir(directory)


def _play(directory: str) -> None:
    request = Create(
        id="rehearsal", run_dir=directory, bundle=directory, log={"path": f"{directory}/log"}
    )
    what = CreateRequest(
        id=request.id, config_fd=-1, run_dir=directory, bundle=directory, rootfs=""
    )
    state = StateFile(directory, MonitorState(id=request.id))
    monitor = Monitor(
        request, what, _Stub(), state, lambda peer, asked: handle(monitor, peer, asked)
    )
    mine, theirs = seqpacket_pair()
    try:
        monitor.create(theirs, [])
        for data in _REQUESTS:
            mine.send(wire.encode(data, {})[0][0][0])
        monitor.loop.run()
        _close_what_came(mine)
    finally:
        monitor.close()
        mine.close()


def _close_what_came(sock: Socket) -> None:
    sock.setblocking(False)
    receiver = wire.Receiver(sock)
    try:
        while packet := receiver.receive():
            packet.close()
    except CortenError:
        pass  # the end


class _Stub:
    """A runtime whose processes print two lines and wait to be killed, or end."""

    steps: list[tuple[str, int]] = []

    def __init__(self) -> None:
        self._init: LocalProcess | None = None

    def create(self, request: CreateRequest, streams: Streams) -> Process:
        self._init = _process(streams.stdout, waits=True)
        return self._init

    def start(self) -> None: ...

    def exec(self, exec_id: str, process: dict[str, Any], streams: Streams) -> Process:
        return _process(streams.stdout, waits=False)

    def kill(self, signal: int, *, all: bool = False) -> None:
        if self._init is not None:
            self._init.signal(signal)

    def resize(self, process: Process, rows: int, columns: int) -> None: ...

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def update(self, resources: dict[str, Any]) -> None: ...

    def stats(self) -> dict[str, Any]:
        return {}

    def events(self) -> dict[str, int]:
        return {"oom": 0}

    def events_fd(self) -> int:
        return -1

    def init_ended(self) -> None: ...

    def rest(self, bag: Bag) -> None: ...

    def resume_from(self, state: dict[str, Any], bag: Bag, request: CreateRequest) -> Process:
        return _process(-1, waits=False)

    def checkpoint(self, path: str) -> None: ...

    def restore(self, path: str) -> None: ...

    def delete(self) -> None: ...

    def state(self) -> dict[str, Any]:
        return {}

    def features(self) -> dict[str, Any]:
        return {}


def _process(stdout: int, *, waits: bool) -> LocalProcess:
    launcher = os.getpid()
    pid, pidfd = clone3()
    if pid == 0:
        try:
            # A launcher that is killed meanwhile must not leave one that holds its lock.
            set_pdeathsig(_KILL)
            if os.getppid() != launcher:
                os._exit(0)
            os.write(stdout, b"one line\nand another\n")
            if waits:
                os.read(os.pipe()[0], 1)
        finally:
            os._exit(0)
    return LocalProcess(pid, pidfd)
