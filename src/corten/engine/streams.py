"""Attaching to a container, also before there is anything to attach to."""

from __future__ import annotations

import select
import socket

from corten.engine import states
from corten.engine.parts import Parts
from corten.engine.types import Container, Tenant
from corten.errors import FailedPrecondition
from corten.launch.messages import Attach


class Streams:
    """``attach_container``."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def attach(
        self, tenant: Tenant, ref: str, *, stdin: bool, stdout: bool, stderr: bool
    ) -> socket.socket:
        """See ``contract.Engine.attach_container``."""
        record = self._parts.view.container(tenant, ref)
        request = Attach(stdin=stdin and record.config.open_stdin, stdout=stdout, stderr=stderr)
        if not states.is_running(record):
            return self._early(record, request)
        if record.state.status == "paused":
            raise FailedPrecondition(
                f"container {record.id} is paused, unpause the container before attach"
            )
        if record.state.status == "restarting":
            raise FailedPrecondition(
                f"container {record.id} is restarting, wait until it is running"
            )
        run = self._parts.runs.get(record.id)
        if run is None:
            raise FailedPrecondition(f"container {record.id} has ended")
        reply = await run.monitor.call_fds(request)
        return socket.socket(fileno=reply.fds.pop("stream"))

    def _early(self, record: Container, request: Attach) -> socket.socket:
        """A stream whose other end the monitor gets when the container is started."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        waiting = self._parts.attaching.setdefault(record.id, [])
        for one in [one for one in waiting if _left(one[1])]:
            waiting.remove(one)
            one[1].close()
        waiting.append((request, theirs))
        return ours


def _left(end: socket.socket) -> bool:
    """Whether the one who attached has gone again."""
    poll = select.poll()
    poll.register(end, 0)
    return any(flags & select.POLLHUP for _fd, flags in poll.poll(0))
