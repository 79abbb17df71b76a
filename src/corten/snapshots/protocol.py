"""What every snapshotter promises.

Two kinds of things: *layers*, read-only, keyed by chain id (the stack of layers up to and
including this one), and *active* snapshots, writable, keyed by what their owner chooses
(a container's id) on top of a layer's stack.

A layer is visible once :meth:`Snapshotter.commit_layer` returns, whole and never before;
an active snapshot once :meth:`Snapshotter.prepare` returns. A crash in between leaves what
:meth:`Snapshotter.recover` removes.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Protocol

from corten.spec._struct import Struct
from corten.spec.mount import Mount

if TYPE_CHECKING:
    import sqlite3

    from corten.snapshots.records import Active


class Usage(Struct):
    """What something takes on the disk.

    Fields:
        size: bytes allocated to it alone (not to the layers below).
        inodes: files, directories and the rest.
    """

    size: int
    inodes: int


class LayerInfo(Struct):
    """One layer of a stack."""

    chain_id: str
    parent: str
    diff_id: str
    path: str
    size: int
    inodes: int


class Snapshotter(Protocol):
    """Layers and writable states on top of them; all paths are absolute."""

    name: str

    async def recover(self) -> None:
        """After a start: remove what crashed operations left. Call before anything else."""

    async def close(self) -> None:
        """Wait for removals that are under way."""

    # active ----------------------------------------------------------------------------
    async def prepare(self, key: str, parent: str) -> tuple[Mount, ...]:
        """Make a writable state on top of the layers of ``parent``.

        The same call again returns the same (a retry). The record becomes durable with the
        caller's next durable transaction.

        Arguments:
            parent: chain id as text; ``""`` for an empty root.
        Returns:
            the mounts that make the root file system, in order; targets are below the root.
        Raises:
            NotFound: no such layer. AlreadyExists: the key is in use with another parent.
        """

    async def stage(self, key: str, parent: str) -> Active:
        """The directories of a writable state that is on no record yet: followed by
        :meth:`enter` or :meth:`give_up`; a crash in between leaves what :meth:`recover` removes.

        Raises:
            NotFound: no such layer. AlreadyExists: the key is in use.
        """

    def enter(self, connection: sqlite3.Connection, staged: Active) -> None:
        """In somebody's transaction: put it on record. It is there after the commit."""

    def give_up(self, staged: Active) -> None:
        """It was not entered; deleted in the background."""

    def leave(self, connection: sqlite3.Connection, key: str) -> None:
        """In somebody's transaction: :meth:`remove`, with its commit."""

    def mounts(self, key: str) -> tuple[Mount, ...]:
        """The mounts of an active snapshot. NotFound if there is none."""

    def upper(self, key: str) -> str:
        """The directory with what was written. NotFound if there is none."""

    def parent(self, key: str) -> str:
        """The chain id that an active snapshot stands on. NotFound if there is none."""

    def keys(self) -> list[str]:
        """All active snapshots."""

    async def remove(self, key: str) -> None:
        """Remove an active snapshot; nothing if there is none.

        Gone when this returns; the files are deleted in the background. It must not be mounted.
        """

    async def usage(self, key: str) -> Usage:
        """What an active snapshot takes now; walks it, in a thread."""

    # layers ----------------------------------------------------------------------------
    def has_layer(self, chain_id: str) -> bool: ...

    def layer(self, chain_id: str) -> LayerInfo:
        """NotFound if there is none."""

    def stack(self, chain_id: str) -> list[LayerInfo]:
        """The layer and those below it, topmost first."""

    async def stage_layer(self) -> str:
        """An empty directory to unpack a layer into, on the file system of the layers."""

    async def drop_stage(self, path: str) -> None:
        """Give a staging directory up; the files are deleted in the background."""

    async def commit_layer(
        self, path: str, *, chain_id: str, parent: str, diff_id: str, usage: Usage
    ) -> LayerInfo:
        """Make a staged directory the layer ``chain_id``; by rename, after a sync.

        If the layer exists meanwhile, the staged one is given up and nothing changes.
        """

    async def collect(self, keep: Collection[str]) -> list[str]:
        """Remove layers that are neither in ``keep`` nor below one of it nor in use by an
        active snapshot; returns their chain ids. Deleted in the background."""
