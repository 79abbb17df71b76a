"""The D-Bus encoding, against bytes that were read by dbus-daemon and its own answers."""

from __future__ import annotations

from typing import Any

import pytest

from corten.cgroups import dbus, units
from corten.errors import Internal

# The specification's smallest call, written out by hand: Hello to the bus.
HELLO = (
    b"l\x01\x00\x01\x00\x00\x00\x00\x01\x00\x00\x00\x6d\x00\x00\x00"
    b"\x01\x01o\x00\x15\x00\x00\x00/org/freedesktop/DBus\x00\x00\x00"
    b"\x02\x01s\x00\x14\x00\x00\x00org.freedesktop.DBus\x00\x00\x00\x00"
    b"\x03\x01s\x00\x05\x00\x00\x00Hello\x00\x00\x00"
    b"\x06\x01s\x00\x14\x00\x00\x00org.freedesktop.DBus\x00\x00\x00\x00"
)


def test_hello_is_what_the_specification_says() -> None:
    bus = "org.freedesktop.DBus"
    message = dbus.Message(
        kind=dbus.METHOD_CALL,
        serial=1,
        path="/org/freedesktop/DBus",
        interface=bus,
        member="Hello",
        destination=bus,
    )
    assert dbus.encode(message) == HELLO
    assert dbus.decode(HELLO) == (message, len(HELLO))


def test_a_transient_unit_comes_back_as_it_went() -> None:
    unit = units.parse("a-b.slice:corten:x")
    properties = units.start_properties(unit, 77)
    body: tuple[Any, ...] = (unit.name, "replace", properties, [])
    message = dbus.Message(
        kind=dbus.METHOD_CALL,
        serial=9,
        path="/x",
        member="StartTransientUnit",
        signature="ssa(sv)a(sa(sv))",
        body=body,
    )
    raw = dbus.encode(message)
    decoded = dbus.decode(raw + b"next")
    assert decoded is not None
    assert decoded[1] == len(raw)
    assert decoded[0].body[2] == [(name, value) for name, (_, value) in properties]


def test_a_message_may_come_in_pieces() -> None:
    for cut in range(len(HELLO)):
        assert dbus.decode(HELLO[:cut]) is None


def test_an_empty_array_keeps_its_alignment() -> None:
    message = dbus.Message(
        kind=dbus.METHOD_CALL, path="/", member="X", signature="a(sv)u", body=([], 5)
    )
    decoded = dbus.decode(dbus.encode(message))
    assert decoded is not None
    assert decoded[0].body == ([], 5)


@pytest.mark.parametrize(
    "raw", [b"B" + HELLO[1:], b"l\x01\x00\x02" + HELLO[4:], b"HTTP/1.1 400 Bad"]
)
def test_other_protocols_are_refused(raw: bytes) -> None:
    with pytest.raises(Internal):
        dbus.decode(raw)


def test_signatures_are_split() -> None:
    assert dbus.split("sa{sv}(uo)aau") == ["s", "a{sv}", "(uo)", "aau"]
    for cut in ("a", "(s", "a{s"):
        with pytest.raises(Internal, match="is cut"):
            dbus.split(cut)
