"""A connection on the loop: replies, events, descriptors, and its other end's death."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Any

import pytest

from corten.engine.peer import Peer, ProcessWatch
from corten.errors import NotFound, Unavailable
from corten.kernel.sockets import seqpacket_pair
from corten.launch import wire
from corten.launch.client import Connection, Event
from corten.launch.messages import CREATE_ID, GetState, Kill, Start


class Other:
    """The other end of a connection, driven by the test."""

    def __init__(self) -> None:
        mine, theirs = seqpacket_pair()
        self.sock = mine
        self.connection = Connection(theirs)
        self.events: list[Event] = []
        self.closed = 0

    def peer(self, first: int | None = None) -> Peer:
        return Peer(
            self.connection,
            name="the monitor",
            on_event=self.events.append,
            on_close=self._closed,
            first=first,
        )

    def _closed(self) -> None:
        self.closed += 1

    def send(self, data: dict[str, Any], fds: dict[str, int] | None = None) -> None:
        packets, _spill = wire.encode(data, fds or {})
        for raw, numbers in packets:
            wire.send_packet(self.sock, raw, numbers)

    def request(self) -> dict[str, Any]:
        packet = wire.Receiver(self.sock).receive()
        assert packet is not None
        return packet.data


@pytest.fixture
async def other() -> AsyncIterator[Other]:
    made = Other()
    yield made
    made.sock.close()


async def test_requests_and_replies_in_any_order(other: Other) -> None:
    peer = other.peer()
    one = asyncio.create_task(peer.call(GetState()))
    two = asyncio.create_task(peer.call(Kill(signal=9)))
    await asyncio.sleep(0)
    first, second = other.request(), other.request()
    assert (first["op"], second["op"]) == ("state", "kill")
    other.send({"id": second["id"], "error": NotFound("gone").to_dict()})
    other.send({"id": first["id"], "ok": {"status": "running"}})
    assert await one == {"status": "running"}
    with pytest.raises(NotFound, match="gone"):
        await two
    peer.close()


async def test_what_is_asked_ahead_is_sent_at_once(other: Other) -> None:
    peer = other.peer(first=CREATE_ID)
    kill, start = peer.ask(Kill(signal=9)), peer.ask(Start())
    sent = [other.request(), other.request()]
    assert [request["op"] for request in sent] == ["kill", "start"]
    other.send({"id": sent[0]["id"], "error": NotFound("gone").to_dict()})
    with pytest.raises(NotFound, match="gone"):
        (await kill).result()
    other.sock.close()
    with pytest.raises(Unavailable):
        await start


async def test_events_come_before_a_later_reply(other: Other) -> None:
    peer = other.peer()
    call = asyncio.create_task(peer.call(Start()))
    await asyncio.sleep(0)
    number = other.request()["id"]
    other.send({"event": "exit", "data": {"code": 3, "finished_at": 1}})
    other.send({"id": number, "ok": {}})
    await call
    assert [event.name for event in other.events] == ["exit"]
    peer.close()


async def test_the_first_reply_may_come_before_anybody_asks(other: Other) -> None:
    peer = other.peer(first=CREATE_ID)
    other.send({"id": CREATE_ID, "ok": {"pid": 5}})
    other.sock.close()
    async with asyncio.timeout(5):
        while not other.closed:
            await asyncio.sleep(0)
    assert (await peer.expect_first()).result() == {"pid": 5}


async def test_the_other_ends_death_answers_everything(other: Other) -> None:
    peer = other.peer(first=CREATE_ID)
    call = asyncio.create_task(peer.call(GetState()))
    await asyncio.sleep(0)
    other.sock.close()
    with pytest.raises(Unavailable, match="the monitor has ended"):
        await call
    with pytest.raises(Unavailable):
        await peer.expect_first()
    with pytest.raises(Unavailable):
        await peer.call(GetState())
    assert other.closed == 1


async def test_descriptors_that_nobody_waits_for_are_closed(other: Other) -> None:
    peer = other.peer()
    call = asyncio.create_task(peer.call_fds(GetState()))
    await asyncio.sleep(0)
    number = other.request()["id"]
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    reading, writing = os.pipe()
    other.send({"id": number, "ok": {}}, {"stream": writing})
    os.close(writing)
    # End of file: the copy that was received is closed as well.
    async with asyncio.timeout(5):
        assert await asyncio.to_thread(os.read, reading, 1) == b""
    os.close(reading)
    peer.close()


async def test_a_dead_process_is_drained_although_a_child_holds_its_socket(other: Other) -> None:
    copy = os.dup(other.sock.fileno())
    peer = other.peer()
    other.send({"event": "exit", "data": {"code": 3, "finished_at": 1}})
    other.sock.close()
    peer.drain()
    assert [event.name for event in other.events] == ["exit"]
    assert other.closed == 1
    os.close(copy)


async def test_process_watch() -> None:
    pid = os.posix_spawn("/bin/sleep", ["sleep", "60"], {})
    ended = asyncio.Event()
    watch = ProcessWatch(os.pidfd_open(pid), ended.set)
    watch.kill()
    async with asyncio.timeout(5):
        await ended.wait()
    os.waitpid(pid, 0)
    watch.close()
