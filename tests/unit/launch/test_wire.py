"""Packets, descriptors and documents over a pair of sockets."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from corten.errors import DataLoss, InvalidArgument, NotFound, Unavailable
from corten.kernel.sockets import seqpacket_pair
from corten.launch import messages, wire
from corten.launch.client import Connection, Event, LauncherConnection, Reply
from corten.launch.messages import Attach, Create, Exec, GetState, Kill


class Pair:
    """A client's connection and the bare other end."""

    def __init__(self) -> None:
        mine, self.far = seqpacket_pair()
        self.far.setblocking(False)
        self.near = LauncherConnection(mine)
        self.receiver = wire.Receiver(self.far)

    def received(self) -> wire.Packet:
        packet = self.receiver.receive()
        assert packet is not None
        return packet

    def send(self, data: dict[str, object], fds: dict[str, int] | None = None) -> None:
        packets, spill = wire.encode(data, fds or {})
        for raw, numbers in packets:
            wire.send_packet(self.far, raw, numbers)
        if spill >= 0:
            os.close(spill)

    def close(self) -> None:
        self.near.close()
        self.receiver.close()
        self.far.close()


@pytest.fixture
def pair() -> Iterator[Pair]:
    before = open_descriptors()
    pair = Pair()
    yield pair
    pair.close()
    assert open_descriptors() == before


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_request_as_it_is_on_the_wire(pair: Pair) -> None:
    number = pair.near.send(Kill(signal=15))
    assert pair.received().data == {
        "v": 1,
        "id": number,
        "op": "kill",
        "args": {"signal": 15, "all": False, "exec_id": ""},
    }
    assert pair.receiver.receive() is None


def test_descriptors_come_by_name(pair: Pair) -> None:
    reading, writing = os.pipe()
    pair.near.send(Attach(), {"stream": writing})
    os.close(writing)
    packet = pair.received()
    assert list(packet.fds) == ["stream"]
    fd = packet.take("stream")
    assert packet.take("stream") == -1
    os.write(fd, b"x")
    assert os.read(reading, 1) == b"x"
    assert not os.get_inheritable(fd)
    os.close(fd)
    os.close(reading)


def test_many_descriptors_go_ahead_in_packets_of_their_own(pair: Pair) -> None:
    null = os.open("/dev/null", os.O_RDONLY)
    names = [f"published.{n}" for n in range(wire.MAX_FDS * 2 + 7)]
    pair.near.send(GetState(), dict.fromkeys(names, null))
    os.close(null)
    packet = pair.received()
    assert sorted(packet.fds) == sorted(names)
    packet.close()


def test_large_request_travels_in_a_sealed_memfd(pair: Pair) -> None:
    process = {"args": ["x" * 100_000], "env": ["A=" + "y" * 100_000]}
    null = os.open("/dev/null", os.O_RDONLY)
    pair.near.send(Exec(exec_id="e", process=process), {"stream": null})
    os.close(null)
    packet = pair.received()
    assert messages.read(Exec, packet.data["args"]).process == process
    assert list(packet.fds) == ["stream"]
    packet.close()


def test_a_memfd_that_is_not_sealed_is_refused() -> None:
    fd = os.memfd_create("x", os.MFD_ALLOW_SEALING)
    with pytest.raises(InvalidArgument):
        wire.read_memfd(fd, what="config.json")
    os.close(fd)


def test_replies_errors_and_events(pair: Pair) -> None:
    pair.send({"id": 7, "ok": {"pid": 1}})
    pair.send({"id": 8, "error": NotFound("gone", step="kill", errno=3).to_dict()})
    pair.send({"event": "exit", "data": {"code": 3, "finished_at": 9, "later": True}})
    pair.send({"event": "novelty", "data": {"x": 1}})
    reply, failure, exit, novelty = pair.near.receive()
    assert isinstance(reply, Reply) and reply.result() == {"pid": 1}
    assert isinstance(failure, Reply)
    with pytest.raises(NotFound) as caught:
        failure.result()
    assert caught.value.errno == 3
    assert isinstance(exit, Event) and exit.data == messages.Exit(code=3, finished_at=9)
    assert isinstance(novelty, Event) and novelty.data is None and novelty.raw == {"x": 1}


def test_end_of_the_connection(pair: Pair) -> None:
    pair.send({"id": 1, "ok": {}})
    pair.far.close()
    assert len(pair.near.receive()) == 1
    assert pair.near.closed
    with pytest.raises(Unavailable):
        pair.near.send(GetState())


def test_a_full_socket_queues_and_keeps_descriptors(pair: Pair) -> None:
    null = os.open("/dev/null", os.O_RDONLY)
    sent = []
    while not pair.near.pending:
        sent.append(pair.near.send(GetState(), {"x": null}))
    sent.append(pair.near.send(GetState(), {"x": null}))
    os.close(null)
    got: list[int] = []
    while len(got) < len(sent):
        packet = pair.receiver.receive()
        if packet is None:
            pair.near.flush()
            continue
        assert list(packet.fds) == ["x"]
        packet.close()
        got.append(packet.data["id"])
    assert got == sent and not pair.near.pending


@pytest.mark.parametrize("raw", [b"{", b"[]", b"7", b'{"fds":["a"]}', b'{"body":true}'])
def test_nonsense_is_refused(pair: Pair, raw: bytes) -> None:
    pair.far.send(raw)
    with pytest.raises((DataLoss, InvalidArgument)):
        pair.near.receive()


def test_create_carries_the_monitors_end(pair: Pair) -> None:
    config = wire.sealed_memfd("config", b"{}")
    request = Create(id="c", run_dir="/r", bundle="/b", console_size=(24, 80))
    number, monitor = pair.near.create(request, {"config": config})
    os.close(config)
    packet = pair.received()
    assert packet.data["id"] == number and sorted(packet.fds) == ["config", "control"]
    assert messages.read(Create, packet.data["args"]) == request
    packet.close()
    assert monitor.receive() == [] and monitor.closed
    monitor.close()


def test_every_operation_has_a_name_of_its_own() -> None:
    for group in (messages.LAUNCHER_OPS, messages.MONITOR_OPS):
        names = [message.op for message in group]
        assert len(set(names)) == len(names) and all(names)


def test_fields_of_a_newer_version_are_ignored() -> None:
    assert messages.read(Kill, {"signal": 9, "novelty": [1]}) == Kill(signal=9)


def test_a_connection_is_not_inherited() -> None:
    mine, theirs = seqpacket_pair()
    connection = Connection(mine)
    assert not os.get_inheritable(connection.fileno())
    connection.close()
    theirs.close()
