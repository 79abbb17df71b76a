"""Hiding and write-protecting parts of procfs and sysfs.

All of it happens before pivot_root, on descriptors: what was looked at is what is covered.
"""

from __future__ import annotations

import posix
from _stat import S_ISDIR
from errno import ENOENT, ENOTDIR

from corten.kernel import mounts as k
from corten.oci import trees
from corten.oci.devices import open_null
from corten.spec._struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.oci.context import Context


class MaskPaths(Struct):
    """Cover files with the null device and directories with an empty read-only tmpfs.

    One tmpfs serves all directories: a super block for each is what makes many masks slow.
    """

    paths: tuple[str, ...]
    label: str = ""  # SELinux, for the tmpfs

    @property
    def name(self) -> str:
        return "mask paths"

    def describe(self) -> str:
        return f"mask {' '.join(self.paths)}"

    def execute(self, context: Context) -> None:
        null = empty = -1
        try:
            for path in self.paths:
                target = _open_if_there(context, path)
                if target < 0:
                    continue
                try:
                    if not S_ISDIR(posix.fstat(target).st_mode):
                        if null < 0:
                            null = open_null(context)
                        self._cover(null, target)
                    elif empty < 0:
                        empty = self._empty()
                        trees.attach(empty, target)
                    else:
                        self._cover(empty, target)
                finally:
                    posix.close(target)
        finally:
            for fd in (null, empty):
                if fd >= 0:
                    posix.close(fd)

    @staticmethod
    def _cover(source: int, target: int) -> None:
        tree = trees.clone("", dirfd=source, recursive=False)
        try:
            trees.attach(tree, target)
        finally:
            posix.close(tree)

    def _empty(self) -> int:
        """A detached tmpfs with room for nothing. Once attached it can be cloned."""
        context = k.fsopen("tmpfs")
        try:
            options = {"source": "tmpfs", "nr_blocks": "1", "nr_inodes": "1", "mode": "755"}
            if self.label:
                options["context"] = self.label
            for key, value in options.items():
                k.fsconfig(context, k.FSCONFIG_SET_STRING, key, value)
            k.fsconfig(context, k.FSCONFIG_CMD_CREATE)
            flags = k.MOUNT_ATTR_NOSUID | k.MOUNT_ATTR_NODEV | k.MOUNT_ATTR_NOEXEC
            return k.fsmount(context, flags | k.MOUNT_ATTR_RDONLY)
        finally:
            posix.close(context)


class ReadOnlyPaths(Struct):
    """Mount each path over itself, read-only, with what is mounted below."""

    paths: tuple[str, ...]

    @property
    def name(self) -> str:
        return "read-only paths"

    def describe(self) -> str:
        return f"read-only {' '.join(self.paths)}"

    def execute(self, context: Context) -> None:
        for path in self.paths:
            target = _open_if_there(context, path)
            if target < 0:
                continue
            try:
                self._protect(target)
            finally:
                posix.close(target)

    @staticmethod
    def _protect(target: int) -> None:
        tree = trees.clone("", dirfd=target, recursive=True)
        try:
            trees.attach_with(tree, target, k.MOUNT_ATTR_RDONLY, 0)
        finally:
            posix.close(tree)


def _open_if_there(context: Context, path: str) -> int:
    """What the path leads to inside; -1 if there is nothing (config-linux.md: then nothing is
    to be done)."""
    try:
        return context.root.open(path)
    except OSError as error:
        if error.errno not in (ENOENT, ENOTDIR):
            raise
        return -1
