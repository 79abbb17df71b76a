"""What the init that was started ahead is given, and what it does not take."""

from __future__ import annotations

import os

import pytest

from corten.kernel import rights
from corten.oci import second
from corten.oci.channel import Channel, channel_pair
from corten.spec import transfer

WIRES = {"join": ("network", "ipc"), "groups": 1, "listen": False}


def give(parent: Channel, fds: int) -> None:
    document = transfer.dumps((("a", "plan"), WIRES))
    parent.write(str(len(document)).encode())
    parent.write(document)
    if fds:
        rights.send(parent.fileno(), b"descriptors", [0] * fds)


def test_plan_and_descriptors() -> None:
    parent, init = channel_pair()
    give(parent, 3)
    received = second._receive(init)
    assert received is not None
    plan, wires, fds = received
    assert (str(plan), wires) == ("('a', 'plan')", WIRES)
    assert len(fds) == 3
    for fd in fds:
        os.close(fd)


@pytest.mark.parametrize("fds", [0, 2])
def test_a_parent_that_was_killed_in_between(fds: int) -> None:
    """Nothing runs in the namespaces and groups of the host for lack of others."""
    parent, init = channel_pair()
    give(parent, fds)
    parent.close()
    assert second._receive(init) is None


def test_half_a_plan() -> None:
    parent, init = channel_pair()
    parent.write(b"100")
    parent.write(b"x" * 50)
    parent.close()
    assert second._receive(init) is None


@pytest.mark.parametrize("descriptors", [False, True])
def test_last_words_count_although_something_was_left_unread(descriptors: bool) -> None:
    parent, init = channel_pair()
    parent.write(b"nobody reads this")
    init.send("ready", steps=[])
    init.close()
    assert parent.receive(descriptors=descriptors) == ({"kind": "ready", "steps": []}, [])
    assert parent.receive(descriptors=descriptors) is None
