"""What a monitor's socket offers: one function for each request of ``messages.MONITOR_OPS``."""

from __future__ import annotations

import os

from corten.errors import FailedPrecondition, Unimplemented
from corten.launch import messages
from corten.launch.messages import read

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from corten.launch.monitor import Monitor
    from corten.launch.peers import Peer, Request

    Operation = Callable[[Monitor, Peer, Request], None]


def handle(monitor: Monitor, peer: Peer, request: Request) -> None:
    """Answer a request, now or later; errors are raised."""
    operation = _TABLE.get(request.op)
    if operation is None:
        raise Unimplemented(f"a monitor knows no operation {request.op!r}")
    operation(monitor, peer, request)


def _state(monitor: Monitor, peer: Peer, request: Request) -> None:
    peer.reply(request.id, monitor.state.record)


def _subscribe(monitor: Monitor, peer: Peer, request: Request) -> None:
    peer.reply(request.id, monitor.state.record)
    peer.subscribed = True


def _start(monitor: Monitor, peer: Peer, request: Request) -> None:
    monitor.start()
    peer.reply(request.id, {})


def _kill(monitor: Monitor, peer: Peer, request: Request) -> None:
    kill = read(messages.Kill, request.args)
    if kill.exec_id:
        monitor.execs.find(kill.exec_id)[0].signal(kill.signal)
    else:
        monitor.kill(kill.signal, all=kill.all)
    peer.reply(request.id, {})


def _exec(monitor: Monitor, peer: Peer, request: Request) -> None:
    if monitor.status != "running":
        raise FailedPrecondition(f"the container is {monitor.status}", step="exec")
    monitor.execs.start(peer, request)


def _attach(monitor: Monitor, peer: Peer, request: Request) -> None:
    attach = read(messages.Attach, request.args)
    _, stdio = monitor.target(attach.exec_id)
    fd = stdio.attach(
        stdin=attach.stdin,
        stdout=attach.stdout,
        stderr=attach.stderr,
        given=request.packet.take("stream"),
    )
    if fd < 0:
        peer.reply(request.id, {})
        return
    try:
        peer.reply(request.id, {}, {"stream": fd})
    finally:
        os.close(fd)


def _close_stdin(monitor: Monitor, peer: Peer, request: Request) -> None:
    monitor.target(read(messages.CloseStdin, request.args).exec_id)[1].close_stdin()
    peer.reply(request.id, {})


def _resize(monitor: Monitor, peer: Peer, request: Request) -> None:
    resize = read(messages.Resize, request.args)
    monitor.target(resize.exec_id)[1].resize(resize.rows, resize.columns)
    peer.reply(request.id, {})


def _pause(monitor: Monitor, peer: Peer, request: Request) -> None:
    monitor.pause()
    peer.reply(request.id, {})


def _resume(monitor: Monitor, peer: Peer, request: Request) -> None:
    monitor.resume()
    peer.reply(request.id, {})


def _update(monitor: Monitor, peer: Peer, request: Request) -> None:
    monitor.target("")
    monitor.runtime.update(read(messages.Update, request.args).resources)
    peer.reply(request.id, {})


def _reopen_log(monitor: Monitor, peer: Peer, request: Request) -> None:
    if monitor.log is not None:
        monitor.log.reopen()
    peer.reply(request.id, {})


def _delete(monitor: Monitor, peer: Peer, request: Request) -> None:
    monitor.delete(peer, request, force=read(messages.Delete, request.args).force)


def _namespaces(monitor: Monitor, peer: Peer, request: Request) -> None:
    raise Unimplemented("namespaces are asked of a pod's monitor", step="namespaces")


_TABLE: dict[str, Operation] = {
    "state": _state,
    "subscribe": _subscribe,
    "start": _start,
    "kill": _kill,
    "exec": _exec,
    "attach": _attach,
    "close_stdin": _close_stdin,
    "resize": _resize,
    "pause": _pause,
    "resume": _resume,
    "update": _update,
    "reopen_log": _reopen_log,
    "namespaces": _namespaces,
    "delete": _delete,
}
