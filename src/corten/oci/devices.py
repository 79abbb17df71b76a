"""Device nodes, the links in ``/dev``, and the console."""

from __future__ import annotations

import posix
from _stat import S_IFBLK, S_IFCHR, S_IFIFO, S_IFMT, S_ISCHR
from errno import ELOOP, EPERM

from corten.errors import FailedPrecondition, InvalidArgument
from corten.kernel import mounts as k
from corten.kernel.files import mknodat
from corten.oci import trees
from corten.oci.paths import clean
from corten.spec._struct import Struct
from corten.spec.records import Device

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.oci.context import Context
    from corten.spec.records import IdMapping, Linux

_TYPES = {"c": S_IFCHR, "u": S_IFCHR, "b": S_IFBLK, "p": S_IFIFO}

# config-linux.md, "Default Devices".
DEFAULT_DEVICES = (
    Device(path="/dev/null", type="c", major=1, minor=3),
    Device(path="/dev/zero", type="c", major=1, minor=5),
    Device(path="/dev/full", type="c", major=1, minor=7),
    Device(path="/dev/random", type="c", major=1, minor=8),
    Device(path="/dev/urandom", type="c", major=1, minor=9),
    Device(path="/dev/tty", type="c", major=5, minor=0),
)
# config-linux.md, "Default Devices" and config.md, "Linux": what every process expects.
DEFAULT_LINKS = (
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
    ("/dev/ptmx", "pts/ptmx"),
)


class DeviceNode(Struct):
    """Make one device node, or bind the host's where nodes can't be made."""

    device: Device

    @property
    def name(self) -> str:
        return f"device {self.device.path}"

    def describe(self) -> str:
        d = self.device
        return f"{self.name} {d.type} {d.major}:{d.minor} {d.file_mode:o} {d.uid}:{d.gid}"

    @property
    def key(self) -> str:
        """Its name among the trees that were captured."""
        return f"device {self.device.path}"

    def execute(self, context: Context) -> None:
        captured = context.captured.pop(self.key, -1)
        if captured >= 0:
            self._attach(context, captured)
            return
        parent, name = context.parent(self.device.path)
        if context.in_user_namespace:
            self._bind(context)
            return
        try:
            self._make(parent, name)
        except PermissionError as error:
            if error.errno != EPERM:
                raise
            self._bind(context)  # we lack CAP_MKNOD

    def _make(self, parent: int, name: str) -> None:
        d = self.device
        mode = _TYPES[d.type] | d.file_mode
        number = posix.makedev(d.major, d.minor)
        try:
            mknodat(parent, name, mode, number)
        except FileExistsError:
            if self._is_there(parent, name):
                return
            # something else under the name, perhaps an image's: never trusted, not followed
            posix.unlink(name, dir_fd=parent)
            mknodat(parent, name, mode, number)
        if d.uid or d.gid:
            posix.chown(name, d.uid, d.gid, dir_fd=parent, follow_symlinks=False)

    def _is_there(self, parent: int, name: str) -> bool:
        info = posix.stat(name, dir_fd=parent, follow_symlinks=False)
        d = self.device
        if S_IFMT(info.st_mode) != _TYPES[d.type]:
            return False
        return d.type == "p" or info.st_rdev == posix.makedev(d.major, d.minor)

    def make_below(self, directory: int, name: str, owner: tuple[int, int]) -> None:
        """Make the node in a directory of our own, for :func:`capture_nodes`."""
        d = self.device
        mknodat(directory, name, _TYPES[d.type] | d.file_mode, posix.makedev(d.major, d.minor))
        posix.chown(name, *owner, dir_fd=directory, follow_symlinks=False)

    def _bind(self, context: Context) -> None:
        self._attach(context, trees.clone(self.device.path, recursive=False))

    def _attach(self, context: Context, tree: int) -> None:
        try:
            target = context.root.make_file(self.device.path, 0o600)
            try:
                trees.attach(tree, target)
            finally:
                posix.close(target)
        finally:
            posix.close(tree)


def capture_nodes(nodes: list[DeviceNode], context: Context, linux: Linux) -> None:
    """Make the nodes of a container with a user namespace, in which nobody may make one, with the
    host's rights: on a tmpfs that covers the root file system for a moment, each a tree of its
    own. Where the host's rights do not suffice either, nothing is captured.
    """
    flags = posix.O_PATH | posix.O_DIRECTORY | posix.O_CLOEXEC
    k.mount("tmpfs", context.rootfs, "tmpfs", k.MS_NOSUID | k.MS_NOEXEC, "mode=0700")
    directory = posix.open(context.rootfs, flags)
    try:
        for number, node in enumerate(nodes):
            owner = (
                host_id(linux.uid_mappings, node.device.uid),
                host_id(linux.gid_mappings, node.device.gid),
            )
            if -1 in owner:
                continue  # nobody inside: the host's node will do
            node.make_below(directory, str(number), owner)
            context.captured[node.key] = trees.clone(str(number), dirfd=directory, recursive=False)
    except PermissionError:
        pass
    finally:
        posix.close(directory)
        k.umount2(context.rootfs, k.MNT_DETACH)


def host_id(mappings: tuple[IdMapping, ...], inside: int) -> int:
    """The host's number of an id in the user namespace, -1 for one that has none."""
    for m in mappings:
        if m.container_id <= inside < m.container_id + m.size:
            return m.host_id + inside - m.container_id
    return -1


class PlainDev(Struct):
    """Where nothing is mounted at ``/dev``, the image's own takes the devices: a link there would
    spread them over directories that nobody named (CVE-2026-41579)."""

    @property
    def name(self) -> str:
        return "make devices"

    def describe(self) -> str:
        return "/dev must be a directory"

    def execute(self, context: Context) -> None:
        try:
            posix.close(context.root.open("/dev", links=False))
        except FileNotFoundError:
            pass
        except OSError as error:
            if error.errno != ELOOP:
                raise
            raise InvalidArgument("/dev is a link", step=self.name, path="/dev") from None


class DeviceLinks(Struct):
    """The links in ``/dev``; ``ptmx`` leads to the container's own devpts."""

    links: tuple[tuple[str, str], ...]

    @property
    def name(self) -> str:
        return "links in /dev"

    def describe(self) -> str:
        return ", ".join([f"{path} -> {target}" for path, target in self.links])

    def execute(self, context: Context) -> None:
        for path, target in self.links:
            parent, name = context.parent(path)
            self._link(parent, name, target)

    @staticmethod
    def _link(parent: int, name: str, target: str) -> None:
        try:
            posix.symlink(target, name, dir_fd=parent)
        except FileExistsError:
            if name != "ptmx":
                return  # the image's own
            posix.unlink(name, dir_fd=parent)  # a node would be the host's devpts
            posix.symlink(target, name, dir_fd=parent)


def needs_device_setup(mounts: tuple[tuple[str, bool], ...]) -> bool:
    """Whether ``/dev`` is the container's own to fill.

    Arguments:
        mounts: (destination, is a bind) of the configuration.
    """
    return not any(bind and clean(destination) == "/dev" for destination, bind in mounts)


def open_null(context: Context) -> int:
    """The container's ``/dev/null`` as an O_PATH descriptor, proven to be the null device.

    It hides what is masked: a link or a file in its place would show it instead
    (CVE-2025-31133), so the very inode that was checked is what gets mounted.

    Raises:
        FailedPrecondition: something else has its name.
    """
    fd = context.root.open("/dev/null", posix.O_PATH | posix.O_NOFOLLOW)
    info = posix.fstat(fd)
    if not S_ISCHR(info.st_mode) or info.st_rdev != posix.makedev(1, 3):
        posix.close(fd)
        raise FailedPrecondition(
            "/dev/null of the container is not the null device", step="mask", path="/dev/null"
        )
    return fd
