"""Raw bytes both ways between a client and a monitor's socket.

Each direction holds at most two buffers and stops reading while the other side does not take
them. A client that goes away ends the copying and nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import select
import socket
import termios
from collections.abc import AsyncIterator, Callable
from typing import NamedTuple

from corten.dockerapi.connection import BUFFER
from corten.dockerapi.detach import Scanner

_HEAD_SECONDS = 0.5


class Stream(NamedTuple):
    """Both ends of asyncio's view of one connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


@contextlib.asynccontextmanager
async def adopted(connected: socket.socket) -> AsyncIterator[Stream]:
    """The engine's connected socket as a stream, for as long as the block runs."""
    try:
        stream = Stream(*await asyncio.open_unix_connection(sock=connected, limit=BUFFER))
    except BaseException:
        connected.close()
        raise
    try:
        yield stream
    finally:
        stream.writer.transport.abort()


async def run(
    client: Stream,
    monitor: Stream,
    *,
    stdin: bool,
    detach: Scanner,
    shape: Callable[[bytes], bytes] | None = None,
) -> bool:
    """Copy until the process ends, the user detaches, or the client is gone.

    Arguments:
        shape: what is made of the output on its way.
        stdin: pass on what the client sends; otherwise it is read and dropped.
        detach: finds the detach keys in it.
    Returns:
        whether the user detached.
    """
    await head_taken(client)
    typing = asyncio.create_task(_input(client, monitor, stdin=stdin, detach=detach))
    showing = asyncio.create_task(_output(monitor, client, shape))
    try:
        await asyncio.wait((typing, showing), return_when=asyncio.FIRST_COMPLETED)
        return not showing.done() and _result(typing)
    finally:
        for task in (typing, showing):
            task.cancel()
        await asyncio.gather(typing, showing, return_exceptions=True)


async def head_taken(client: Stream) -> None:
    """Wait a little until the client has read what was sent (unix(7), SIOCOUTQ): docker-py reads
    the head through a buffer and the stream past it, and loses what came together with it."""
    descriptor = client.writer.get_extra_info("socket").fileno()
    end = asyncio.get_running_loop().time() + _HEAD_SECONDS
    while not client.writer.is_closing() and asyncio.get_running_loop().time() < end:
        unread = fcntl.ioctl(descriptor, termios.TIOCOUTQ, bytes(4))
        if unread == bytes(4):
            return
        await asyncio.sleep(0.001)


def _result(task: asyncio.Task[bool]) -> bool:
    return task.exception() is None and task.result()


async def _input(client: Stream, monitor: Stream, *, stdin: bool, detach: Scanner) -> bool:
    while data := await client.reader.read(BUFFER):
        if not stdin:
            continue
        passed, complete = detach.feed(data)
        if passed:
            await _send(monitor, passed)
        if complete:
            return True
    if stdin:
        await _send(monitor, detach.flush())
        with contextlib.suppress(ConnectionError, OSError):
            monitor.writer.write_eof()
    await _hangup(client)
    return False


async def _send(monitor: Stream, data: bytes) -> None:
    """The process may have closed its input, or ended: its output decides when we end."""
    with contextlib.suppress(ConnectionError):
        monitor.writer.write(data)
        await monitor.writer.drain()


async def _output(monitor: Stream, client: Stream, shape: Callable[[bytes], bytes] | None) -> None:
    while data := await monitor.reader.read(BUFFER):
        client.writer.write(data if shape is None else shape(data))
        await client.writer.drain()


async def _hangup(client: Stream) -> None:
    """Wait until a client that has ended its sending is gone altogether.

    End of file alone does not tell the two apart, and nobody polls a stream that has ended; a
    hang-up is reported by an epoll that asks for nothing (epoll_ctl(2), EPOLLHUP).
    """
    loop = asyncio.get_running_loop()
    gone = asyncio.Event()
    with select.epoll() as poll:
        poll.register(client.writer.get_extra_info("socket").fileno(), 0)
        loop.add_reader(poll.fileno(), gone.set)
        try:
            await gone.wait()
        finally:
            loop.remove_reader(poll.fileno())
