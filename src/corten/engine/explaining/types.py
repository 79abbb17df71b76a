"""What an explanation says; the same form for every kind of object."""

from __future__ import annotations

from typing import Literal

import msgspec

Kind = Literal["container", "image", "volume", "network", "pod"]
# Whether removing the object takes it: always, only with ``rm -v``, never.
Goes = Literal["yes", "with -v", "no"]


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """Base: every member is written, also an empty one, so that scripts find it."""


class Place(Fact, frozen=True, kw_only=True):
    """Where bytes lie.

    Fields:
        size: bytes; None: not measured (a bind's belong to the host), or not there.
    """

    what: str
    path: str
    size: int | None = None
    goes: Goes = "no"


class Process(Fact, frozen=True, kw_only=True):
    """One process.

    Fields:
        role: ``init``, ``exec``, ``keeper``, ``attendant``, ``reaper``, or empty.
        memory: resident bytes.
    """

    pid: int
    role: str
    user: int
    memory: int
    command: str


class MountPoint(Fact, frozen=True, kw_only=True):
    """A mount, as the processes inside see it.

    Fields:
        source: the device or directory; of a volume its name.
        kernel: one of the kernel's own file systems: no bytes on a disk.
    """

    target: str
    source: str
    type: str
    options: str
    kernel: bool = False


class Group(Fact, frozen=True, kw_only=True):
    """A directory of the cgroup file system."""

    path: str
    controllers: str
    of: str  # "container", "pod" or "monitor"


class Namespace(Fact, frozen=True, kw_only=True):
    """A namespace that its processes are in.

    Fields:
        kind: ``net``, ``pid`` and so on.
        number: the inode by which the kernel names it.
        whose: ``its own``, ``the machine's``, or the object with which it is shared.
    """

    kind: str
    number: int
    whose: str


class Link(Fact, frozen=True, kw_only=True):
    """A network interface, on the machine or inside."""

    name: str
    what: str
    addresses: tuple[str, ...] = ()


class Rule(Fact, frozen=True, kw_only=True):
    """An element or rule of a firewall."""

    where: str
    what: str


class Related(Fact, frozen=True, kw_only=True):
    """Another object.

    Fields:
        how: as in ``uses it``.
    """

    kind: str
    id: str
    name: str
    how: str


class Removal(Fact, frozen=True, kw_only=True):
    """What its removal would do.

    Fields:
        command: that does it.
        obstacle: why it would be refused as things are; empty: it would not.
        takes, leaves: in words.
        frees: bytes that are measured and would be free; None: not known.
    """

    command: str
    obstacle: str = ""
    takes: tuple[str, ...] = ()
    leaves: tuple[str, ...] = ()
    frees: int | None = None


class Explanation(Fact, frozen=True, kw_only=True):
    """Everything about one object.

    Fields:
        what: one sentence.
        also: other kinds of objects that the same name means.
    """

    kind: Kind
    id: str
    name: str
    tenant: str
    what: str
    removal: Removal
    places: tuple[Place, ...] = ()
    processes: tuple[Process, ...] = ()
    mounts: tuple[MountPoint, ...] = ()
    cgroups: tuple[Group, ...] = ()
    namespaces: tuple[Namespace, ...] = ()
    links: tuple[Link, ...] = ()
    rules: tuple[Rule, ...] = ()
    related: tuple[Related, ...] = ()
    also: tuple[str, ...] = ()


def frees(places: tuple[Place, ...], *, volumes: bool = False) -> int:
    """Bytes of the places that go; with ``volumes`` also those that need ``-v``."""
    gone = ("yes", "with -v") if volumes else ("yes",)
    return sum([place.size or 0 for place in places if place.goes in gone])
